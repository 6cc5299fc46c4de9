// SPDX-License-Identifier: GPL-2.0-or-later

//! Brings connections up and waits for them.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use serde_json::Value;

use crate::arguments::Timeout;
use crate::failure::{Failure, INTERRUPTED, NOT_ESTABLISHED};
use crate::session::{print, Result, Session};
use crate::show;
use crate::socket::Line;

/// How often the states are polled: not every end of an attempt is an event, such as that for want of credentials
/// of our own.
const CHECK: Duration = Duration::from_millis(500);

/// Clears the line that is overwritten while nothing happens.
const CLEAR_LINE: &str = "\r\u{1b}[K";

/// Whether waiting for a connection makes sense.
enum Outlook {
    /// It is up.
    Established,
    /// It is tried, or will be.
    Wanted,
    /// Nothing is tried any more.
    Over,
}

impl Outlook {
    /// By what STATUS says of the connection, which is nothing if it was removed.
    fn of(status: Option<&Value>) -> Self {
        let Some(status) = status else {
            return Self::Over;
        };
        match status["state"].as_str() {
            Some("established") => Self::Established,
            Some("connecting" | "waiting") => Self::Wanted,
            Some("exhausted") if !status["next_retry_ms"].is_null() => Self::Wanted,
            _ => Self::Over,
        }
    }
}

impl Session {
    /// Brings connections up, with all their children or one of them, and waits if there is a timeout. If one
    /// fails, the others are still brought up.
    pub fn initiate(
        &mut self,
        names: &[String],
        child: Option<&str>,
        wait: Option<Timeout>,
    ) -> Result<()> {
        if wait.is_some() {
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
        if let (Some(timeout), false) = (wait, pending.is_empty()) {
            let names = pending.join(", ");
            let set = ctrlc::set_handler(move || {
                eprintln!("\ninterrupted; the attempt to bring {names} up goes on");
                std::process::exit(INTERRUPTED.into());
            });
            set.expect("there is no other handler");
            if let Err(failure) = self.await_established(pending, timeout) {
                result = keep(result, failure);
            }
        }
        result
    }

    fn await_established(&mut self, mut pending: Vec<String>, timeout: Timeout) -> Result<()> {
        let mut progress = Progress {
            begin: Instant::now(),
            live: io::stdout().is_terminal() && !self.json,
        };
        let deadline = match timeout {
            Timeout::After(time) => Some(progress.begin + time),
            Timeout::Never => None,
        };
        let mut result = Ok(());
        loop {
            let request = match &pending[..] {
                [only] => format!("STATUS {only}"),
                _ => "STATUS".to_owned(),
            };
            let reply = self.socket.request(&request)?;
            let time_is_up = deadline.is_some_and(|deadline| deadline <= Instant::now());
            let status = |name: &str| {
                let mut all = show::items(&reply.json["connections"]).iter();
                all.find(|status| status["name"] == name)
            };
            let awaited = pending.len();
            pending.retain(|name| {
                let status = status(name);
                let outlook = Outlook::of(status);
                match outlook {
                    Outlook::Wanted if !time_is_up => return true,
                    Outlook::Established if self.json => {}
                    Outlook::Established => progress.established(name, status),
                    Outlook::Wanted | Outlook::Over => {
                        let failure = progress.not_established(name, status, &outlook);
                        result = keep(std::mem::replace(&mut result, Ok(())), failure);
                    }
                }
                false
            });
            if self.json && pending.len() < awaited {
                self.print(&reply, |_| String::new());
            }
            let Some(first) = pending.first() else {
                progress.end();
                return result;
            };
            if let Some(status) = status(first) {
                progress.show(status);
            }
            self.show_events(&mut progress, deadline)?;
        }
    }

    /// Shows events until there are none for a while, one came that may be the last, or the time is up.
    fn show_events(&mut self, progress: &mut Progress, deadline: Option<Instant>) -> Result<()> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let patience = left.map_or(CHECK, |left| left.min(CHECK));
            if patience.is_zero() {
                return Ok(());
            }
            let Some(event) = self.socket.event(Some(patience))? else {
                return Ok(());
            };
            self.show_event(&event, progress);
            let name = event.json["event"].as_str().unwrap_or_default();
            if ["ike_sa_up", "failover_established", "failover_exhausted"].contains(&name) {
                return Ok(());
            }
        }
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
    fn established(&mut self, name: &str, status: Option<&Value>) {
        let gateway = status.map(|status| show::text(&status["active_gateway"]));
        let gateway = gateway.unwrap_or_default();
        let elapsed = self.begin.elapsed().as_secs_f64();
        self.say(&format!(
            "{name}: established to {gateway} after {elapsed:.1} s"
        ));
    }

    /// Why the waiting for a connection ends without success.
    fn not_established(
        &mut self,
        name: &str,
        status: Option<&Value>,
        outlook: &Outlook,
    ) -> Failure {
        self.end();
        let state = status.map_or_else(|| "removed".to_owned(), |s| show::text(&s["state"]));
        let elapsed = self.begin.elapsed().as_secs_f64();
        let mut problem = format!("{name} is {state} after {elapsed:.1} s");
        if matches!(outlook, Outlook::Wanted) {
            problem += ", and stays wanted";
        }
        let reasons = status.map(show::why_not_up).unwrap_or_default();
        if !reasons.is_empty() {
            problem = format!("{problem}: {reasons}");
        }
        Failure::new(NOT_ESTABLISHED, anyhow!(problem))
    }

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
