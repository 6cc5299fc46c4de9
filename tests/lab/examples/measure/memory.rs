// SPDX-License-Identifier: GPL-2.0-or-later

//! The resident set of idle charons.

use std::fs;

use extsock_lab::{Charon, ClientOptions, Lab, Loading};

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
        println!("resident memory of charon {what}: {}", resident(&client));
    }
}

fn resident(charon: &Charon) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", charon.pid())).expect("charon runs");
    let value = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_default().trim().to_owned()
    };
    format!("{}, of it {} anonymous", value("VmRSS:"), value("RssAnon:"))
}
