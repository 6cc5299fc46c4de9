// SPDX-License-Identifier: GPL-2.0-or-later

//! `extsockctl`: extsock for people and scripts.

use std::process::ExitCode;

fn main() -> ExitCode {
    extsockctl::main()
}
