// SPDX-License-Identifier: GPL-2.0-or-later

//! A connection to the plugin, and the output of its lines.

use std::io::Write;

use serde_json::Value;

use crate::failure::Failure;
use crate::socket::{Line, Socket};

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// A connection to the plugin, and how its lines are shown.
pub(crate) struct Session {
    /// The socket.
    pub socket: Socket,
    /// `--json`
    pub json: bool,
}

impl Session {
    /// Shows the reply to a request.
    pub fn tell(&mut self, request: &str, show: impl FnOnce(&Value) -> String) -> Result<()> {
        let reply = self.socket.request(request)?;
        self.print(&reply, show);
        Ok(())
    }

    /// Prints a line of the plugin: unchanged with `--json`, otherwise as `show` formats it.
    pub fn print(&self, line: &Line, show: impl FnOnce(&Value) -> String) {
        if self.json {
            print(&format!("{}\n", line.text));
        } else {
            print(&show(&line.json));
        }
    }
}

/// Prints, without colours where the output is not a terminal. Exits if the reader has closed the output.
pub(crate) fn print(text: &str) {
    let mut out = anstream::stdout();
    if out
        .write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .is_err()
    {
        std::process::exit(0);
    }
}
