// SPDX-License-Identifier: GPL-2.0-or-later

//! `extsockctl`, as a library for its manual page and completions.
//!
//! - [`arguments`] is the command line.
//! - `commands` executes it, in a `session` over a `socket`; `initiate` waits for connections to come up.
//! - `show` formats replies and events for people, in a `table`; `prometheus` formats metrics; `screen` refreshes a
//!   reply on a terminal.

pub mod arguments;
mod commands;
mod failure;
mod initiate;
mod prometheus;
mod screen;
mod session;
mod show;
mod socket;
mod table;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;

pub use failure::EXIT_CODES;

/// Runs it with the arguments of this process.
pub fn main() -> ExitCode {
    // No core dumps: a configuration has secrets. This call cannot fail.
    let _ = nix::sys::prctl::set_dumpable(false);
    let arguments = Arguments::parse();
    match commands::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let (true, Some(line)) = (arguments.json, &failure.line) {
                session::print(&format!("{}\n", line.trim_end()));
            }
            eprintln!("extsockctl: {:#}", failure.problem);
            ExitCode::from(failure.code)
        }
    }
}
