// SPDX-License-Identifier: GPL-2.0-or-later

//! `status --watch`: one screen that is kept up to date.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use anstream::{AutoStream, ColorChoice};
use serde_json::Value;

use crate::session::{Result, Session};
use crate::show;

/// How often the screen is refreshed, for times that count down.
const PERIOD: Duration = Duration::from_secs(1);
/// How long to wait for further events after one, so that the screen is refreshed once for all of them.
const TOGETHER: Duration = Duration::from_millis(50);

/// Shows the reply to the request each second and at each event.
pub(crate) fn watch(session: &mut Session, request: &str) -> Result<()> {
    let on_terminal = io::stdout().is_terminal() && !session.json;
    if on_terminal {
        write("\u{1b}[2J");
    }
    loop {
        let shown = Instant::now();
        let reply = session.socket.request(request)?;
        if on_terminal {
            draw(&reply.json);
        } else {
            session.print(&reply, show::status);
        }
        let mut patience = PERIOD;
        while session.socket.event(Some(patience))?.is_some() {
            patience = TOGETHER;
            if shown.elapsed() >= PERIOD {
                break;
            }
        }
    }
}

/// Overwrites the screen without clearing it first, so that it does not flicker.
fn draw(reply: &Value) {
    let rows = terminal_size::terminal_size().map_or(24, |(_, height)| height.0.into());
    let mut text = show::screen(reply, rows);
    if AutoStream::choice(&io::stdout()) == ColorChoice::Never {
        text = anstream::adapter::strip_str(&text).to_string();
    }
    let lines = text.replace('\n', "\u{1b}[K\n");
    write(&format!("\u{1b}[H{lines}\u{1b}[J"));
}

/// Writes the text unchanged: escape sequences that move the cursor are needed even where colours are not wanted.
pub(crate) fn write(text: &str) {
    let mut out = io::stdout().lock();
    if out
        .write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .is_err()
    {
        std::process::exit(0);
    }
}
