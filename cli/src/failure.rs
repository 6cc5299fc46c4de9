// SPDX-License-Identifier: GPL-2.0-or-later

//! Why a command fails, and the exit code that says so.

/// Exit codes and what they mean.
pub const EXIT_CODES: &[(u8, &str)] = &[
    (0, "done"),
    (
        REFUSED,
        "refused by the plugin, or a file is not acceptable",
    ),
    (2, "wrong arguments"),
    (UNREACHABLE, "the plugin cannot be reached, or has gone"),
    (
        NOT_ESTABLISHED,
        "a connection did not come up in time, or is not tried any more",
    ),
    (
        INTERRUPTED,
        "interrupted while waiting for a connection, whose attempt goes on",
    ),
];

pub(crate) const REFUSED: u8 = 1;
pub(crate) const UNREACHABLE: u8 = 3;
pub(crate) const NOT_ESTABLISHED: u8 = 4;
/// The exit code of shells for SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why it fails, and its exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub code: u8,
    pub problem: anyhow::Error,
    /// The plugin's JSON line with the error.
    pub line: Option<String>,
}

impl Failure {
    pub fn new(code: u8, problem: impl Into<anyhow::Error>) -> Self {
        Self {
            code,
            problem: problem.into(),
            line: None,
        }
    }

    pub fn with_line(mut self, line: String) -> Self {
        self.line = Some(line);
        self
    }
}
