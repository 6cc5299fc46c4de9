// SPDX-License-Identifier: GPL-2.0-or-later

//! `extsockctl`, as a library for its manual page and completions.
//!
//! - [`arguments`] is the command line.
//! - `commands` does what it says, over a `socket`, and shows it by `show` in a `table`, counters for
//!   Prometheus by `prometheus`, on a terminal by `screen`.

pub mod arguments;
mod commands;
mod initiate;
mod prometheus;
mod screen;
mod show;
mod socket;
mod table;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;

/// Exit codes and what they mean.
pub const EXIT_CODES: &[(u8, &str)] = &[
    (0, "done"),
    (
        REFUSED,
        "refused by the plugin, or a file is not acceptable",
    ),
    (2, "wrong arguments"),
    (UNREACHABLE, "the plugin cannot be reached, or has gone"),
    (NOT_ESTABLISHED, "a connection did not come up"),
    (
        INTERRUPTED,
        "interrupted while waiting for a connection, whose attempt goes on",
    ),
];

const REFUSED: u8 = 1;
const UNREACHABLE: u8 = 3;
const NOT_ESTABLISHED: u8 = 4;
/// As shells have it.
const INTERRUPTED: u8 = 130;

/// Runs it with the arguments of this process.
pub fn main() -> ExitCode {
    // No core dumps: a configuration has secrets. This call cannot fail.
    let _ = nix::sys::prctl::set_dumpable(false);
    let arguments = Arguments::parse();
    match commands::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let (true, Some(line)) = (arguments.json, &failure.line) {
                commands::print(&format!("{}\n", line.trim_end()));
            }
            eprintln!("extsockctl: {:#}", failure.problem);
            ExitCode::from(failure.code)
        }
    }
}

/// Why it fails, and its exit code.
#[derive(Debug)]
struct Failure {
    code: u8,
    problem: anyhow::Error,
    /// The plugin's JSON line that says so.
    line: Option<String>,
}

impl Failure {
    fn new(code: u8, problem: impl Into<anyhow::Error>) -> Self {
        Self {
            code,
            problem: problem.into(),
            line: None,
        }
    }

    fn with_line(mut self, line: String) -> Self {
        self.line = Some(line);
        self
    }
}
