// SPDX-License-Identifier: GPL-2.0-or-later

//! Brings connections up and waits for them.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use serde_json::Value;

use crate::failure::{Failure, INTERRUPTED, NOT_ESTABLISHED};
use crate::session::{print, Result, Session};
use crate::show;
use crate::socket::Line;

/// How often the states are polled: not every end of an attempt is an event, as a connection with one gateway has
/// no failovers.
const CHECK: Duration = Duration::from_millis(500);

/// Clears the line that is overwritten while nothing happens.
const CLEAR_LINE: &str = "\r\u{1b}[K";

impl Session {
    /// Brings connections up, with all their children or one of them. If one fails, the others are still brought
    /// up.
    pub fn initiate(&mut self, names: &[String], child: Option<&str>, wait: bool) -> Result<()> {
        if wait {
            self.socket
                .request(&format!("SUBSCRIBE {}", names.join(" ")))?;
        }
        let mut result = Ok(());
        let mut pending = Vec::new();
        for name in names {
            let request = format!("INITIATE {name} {}", child.unwrap_or_default());
            match self.socket.request(&request) {
                Ok(reply) => {
                    let gateway = show::text(&reply.json["gateway"]);
                    self.print(&reply, |_| format!("{name}: trying {gateway}\n"));
                    pending.push(name.clone());
                }
                Err(failure) => result = keep(result, failure),
            }
        }
        if wait && !pending.is_empty() {
            let names = pending.join(", ");
            let set = ctrlc::set_handler(move || {
                eprintln!("\ninterrupted; the attempt to bring {names} up goes on");
                std::process::exit(INTERRUPTED.into());
            });
            set.expect("there is no other handler");
            let waited = self.await_established(pending);
            if let Err(failure) = waited {
                result = keep(result, failure);
            }
        }
        result
    }

    fn await_established(&mut self, mut pending: Vec<String>) -> Result<()> {
        let mut progress = Progress {
            begin: Instant::now(),
            live: io::stdout().is_terminal() && !self.json,
        };
        let mut result = Ok(());
        loop {
            let request = match &pending[..] {
                [only] => format!("STATUS {only}"),
                _ => "STATUS".to_owned(),
            };
            let reply = self.socket.request(&request)?;
            let statuses = reply.json["connections"].as_array();
            let status = |name: &String| {
                let mut all = statuses.into_iter().flatten();
                all.find(|status| status["name"] == name.as_str())
            };
            let begin = progress.begin;
            let mut done = Vec::new();
            pending.retain(|name| {
                let state = status(name).map(|status| show::text(&status["state"]));
                match state.as_deref() {
                    Some("connecting" | "waiting") => return true,
                    Some("established") => done.push(name.clone()),
                    // Removing the connection ends its attempt as well.
                    state => {
                        let elapsed = begin.elapsed().as_secs_f64();
                        let state = state.unwrap_or("removed");
                        let problem = anyhow!("{name} is {state} after {elapsed:.1} s");
                        let failure = Failure::new(NOT_ESTABLISHED, problem);
                        result = keep(std::mem::replace(&mut result, Ok(())), failure);
                    }
                }
                false
            });
            if self.json && (!done.is_empty() || pending.is_empty()) {
                self.print(&reply, |_| String::new());
            }
            for name in done.iter().filter(|_| !self.json) {
                let gateway = status(name).map(|status| show::text(&status["active_gateway"]));
                let gateway = gateway.unwrap_or_default();
                progress.say(&format!(
                    "{name}: established to {gateway} after {:.1} s",
                    begin.elapsed().as_secs_f64()
                ));
            }
            if pending.is_empty() {
                progress.end();
                return result;
            }
            if let Some(status) = status(&pending[0]) {
                progress.show(status);
            }
            self.show_events(&mut progress)?;
        }
    }

    /// Shows events until there are none for a while, or one came that may be the last.
    fn show_events(&mut self, progress: &mut Progress) -> Result<()> {
        while let Some(event) = self.socket.event(Some(CHECK))? {
            self.show_event(&event, progress);
            let name = event.json["event"].as_str().unwrap_or_default();
            if ["ike_sa_up", "failover_established", "failover_exhausted"].contains(&name) {
                break;
            }
        }
        Ok(())
    }

    fn show_event(&self, event: &Line, progress: &mut Progress) {
        if self.json {
            self.print(event, |_| String::new());
            return;
        }
        let elapsed = progress.begin.elapsed().as_secs_f64();
        progress.say(&format!("{elapsed:6.1} s  {}", show::progress(&event.json)));
    }
}

/// Returns the first failure; further ones are printed at once.
fn keep(result: Result<()>, failure: Failure) -> Result<()> {
    if result.is_ok() {
        return Err(failure);
    }
    eprintln!("extsockctl: {:#}", failure.problem);
    result
}

/// The output while it waits. On a terminal, the last line shows what it is waiting for.
struct Progress {
    begin: Instant,
    live: bool,
}

impl Progress {
    fn say(&mut self, line: &str) {
        self.end();
        print(&format!("{line}\n"));
    }

    fn show(&mut self, status: &Value) {
        if self.live {
            let elapsed = self.begin.elapsed().as_secs_f64();
            let line = format!("{elapsed:6.1} s  {}", show::waiting(status));
            screen_line(&line);
        }
    }

    fn end(&mut self) {
        if self.live {
            screen_line("");
        }
    }
}

fn screen_line(line: &str) {
    crate::screen::write(&format!("{CLEAR_LINE}{}", crate::table::cut(line, 79)));
}
