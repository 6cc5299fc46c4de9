// SPDX-License-Identifier: GPL-2.0-or-later

//! The resident set of idle charons.

use extsock_lab::{ClientOptions, Lab, Loading};

use super::usage::Usage;

pub fn measure() {
    for (what, loading) in [
        ("without the plugin", Loading::Absent),
        ("with the plugin", Loading::Directory),
    ] {
        let lab = Lab::new();
        let client = lab.client_with(ClientOptions {
            loading,
            ..ClientOptions::default()
        });
        let usage = Usage::of(&client);
        println!(
            "resident memory of charon {what}: {} kB, of it {} kB anonymous",
            usage.resident, usage.anonymous
        );
    }
}
