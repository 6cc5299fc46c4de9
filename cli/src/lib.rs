// SPDX-License-Identifier: GPL-2.0-or-later

//! `extsockctl`, as a library for its manual page and completions.
//!
//! - [`arguments`] is the command line.
//! - `commands` does what it says, over a `socket`, and shows it by `show` in a `table`.

pub mod arguments;
mod commands;
mod show;
mod socket;
mod table;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;

/// Runs it with the arguments of this process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match commands::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
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
}

/// The request was refused, or a file is not acceptable.
const REFUSED: u8 = 1;
/// The plugin cannot be reached, or went.
const UNREACHABLE: u8 = 3;
/// The connection did not come up.
const NOT_ESTABLISHED: u8 = 4;
/// Interrupted while waiting, as shells have it.
const INTERRUPTED: i32 = 130;

impl Failure {
    fn new(code: u8, problem: impl Into<anyhow::Error>) -> Self {
        Self {
            code,
            problem: problem.into(),
        }
    }
}
