// SPDX-License-Identifier: GPL-2.0-or-later

//! What each command does.

use std::io::{IsTerminal, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use anyhow::{anyhow, Context};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::arguments::{Arguments, Command, Connection};
use crate::socket::{Line, Socket};
use crate::{show, Failure, INTERRUPTED, NOT_ESTABLISHED, REFUSED};

type Result<T> = std::result::Result<T, Failure>;

/// Does what the arguments say.
pub fn run(arguments: &Arguments) -> Result<()> {
    if let Command::Check { file } = &arguments.command {
        return check(file);
    }
    let mut session = Session {
        socket: Socket::connect(&arguments.socket)?,
        json: arguments.json,
    };
    match &arguments.command {
        Command::Apply { file, initiate } => session.apply(file, *initiate),
        Command::Check { .. } => unreachable!("it needs no socket"),
        Command::Remove(Connection { connection }) => {
            session.tell(&format!("REMOVE_CONFIG {connection}"), |_| String::new())
        }
        Command::List => session.tell("LIST", show::list),
        Command::Status { connection, watch } => session.status(connection.as_deref(), *watch),
        Command::Initiate {
            connection,
            child,
            no_wait,
        } => session.initiate(connection, child.as_deref(), !no_wait),
        Command::Terminate(Connection { connection }) => {
            session.tell(&format!("TERMINATE {connection}"), |_| String::new())
        }
        Command::Failover {
            connection,
            gateway,
        } => {
            let gateway = gateway.as_deref().unwrap_or_default();
            session.tell(&format!("FAILOVER {connection} {gateway}"), |reply| {
                let gateway = reply["gateway"].as_str().unwrap_or_default();
                format!("switching to {gateway}\n")
            })
        }
        Command::Dpd(Connection { connection }) => {
            session.tell(&format!("START_DPD {connection}"), |_| String::new())
        }
        Command::History { connection, count } => {
            let connection = connection.as_deref().unwrap_or_default();
            session.tell(&format!("HISTORY {connection} {count}"), show::history)
        }
        Command::Monitor { only } => session.monitor(only),
        Command::Reload => session.reload(),
        Command::Stats { prometheus: true } => session.tell("STATS", show::prometheus),
        Command::Stats { prometheus: false } => session.tell("STATS", show::values),
        Command::Version => session.tell("VERSION", show::values),
    }
}

struct Session {
    socket: Socket,
    json: bool,
}

impl Session {
    fn tell(&mut self, request: &str, show: impl FnOnce(&Value) -> String) -> Result<()> {
        let reply = self.socket.request(request)?;
        self.print(&reply, show);
        Ok(())
    }

    fn print(&self, line: &Line, show: impl FnOnce(&Value) -> String) {
        if self.json {
            print(&format!("{}\n", line.text));
        } else {
            print(&show(&line.json));
        }
    }

    fn apply(&mut self, file: &Path, initiate: bool) -> Result<()> {
        let json = read(file)?;
        let request = Zeroizing::new(format!("APPLY_CONFIG {}", json.trim()));
        let reply = self.socket.request(&request)?;
        let names: Vec<String> = reply.json["connections"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|name| Some(name.as_str()?.to_owned()))
            .collect();
        self.print(&reply, |_| format!("loaded {}\n", names.join(", ")));
        if initiate {
            for name in &names {
                self.initiate(name, None, true)?;
            }
        }
        Ok(())
    }

    fn status(&mut self, connection: Option<&str>, watch: bool) -> Result<()> {
        let request = format!("STATUS {}", connection.unwrap_or_default());
        if !watch {
            return self.tell(&request, show::status);
        }
        // Events are not shown, and must not pile up.
        self.socket.request("SUBSCRIBE failover_exhausted")?;
        loop {
            let reply = self.socket.request(&request)?;
            if io::stdout().is_terminal() && !self.json {
                print("\u{1b}[H\u{1b}[2J");
            }
            self.print(&reply, show::status);
            while self.socket.event(Some(Duration::from_millis(1)))?.is_some() {}
            thread::sleep(Duration::from_secs(1));
        }
    }

    fn initiate(&mut self, connection: &str, child: Option<&str>, wait: bool) -> Result<()> {
        self.socket.request(&format!("SUBSCRIBE {connection}"))?;
        let request = format!("INITIATE {connection} {}", child.unwrap_or_default());
        let reply = self.socket.request(&request)?;
        let gateway = reply.json["gateway"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        self.print(&reply, |_| format!("{connection}: trying {gateway}\n"));
        if !wait {
            return Ok(());
        }
        let name = connection.to_owned();
        // Fails only if it is set already, for the connection before.
        let _ = ctrlc::set_handler(move || {
            eprintln!("\ninterrupted; the attempt to bring {name} up goes on");
            std::process::exit(INTERRUPTED);
        });
        self.await_established(connection)
    }

    fn await_established(&mut self, connection: &str) -> Result<()> {
        const CHECK: Duration = Duration::from_millis(500);
        let begin = Instant::now();
        loop {
            // Not every end is an event: with one gateway there is no failover.
            let reply = self.socket.request(&format!("STATUS {connection}"))?;
            let status = &reply.json["connections"][0];
            let elapsed = begin.elapsed().as_secs_f64();
            match status["state"].as_str().unwrap_or_default() {
                "established" => {
                    let gateway = status["active_gateway"].as_str().unwrap_or_default();
                    self.print(&reply, |_| {
                        format!("{connection}: established to {gateway} after {elapsed:.1} s\n")
                    });
                    return Ok(());
                }
                state @ ("exhausted" | "down") => {
                    let problem = anyhow!("{connection} is {state} after {elapsed:.1} s");
                    return Err(Failure::new(NOT_ESTABLISHED, problem));
                }
                _ => {}
            }
            while let Some(event) = self.socket.event(Some(CHECK))? {
                self.print(&event, |event| {
                    format!("{elapsed:5.1} s {}\n", show::event(event))
                });
                let name = event.json["event"].as_str().unwrap_or_default();
                if ["ike_sa_up", "failover_established", "failover_exhausted"].contains(&name) {
                    break;
                }
            }
        }
    }

    fn monitor(&mut self, only: &[String]) -> Result<()> {
        self.socket
            .request(&format!("SUBSCRIBE {}", only.join(" ")))?;
        loop {
            if let Some(event) = self.socket.event(None)? {
                self.print(&event, |event| format!("{}\n", show::event(event)));
            }
        }
    }

    fn reload(&mut self) -> Result<()> {
        let reply = self.socket.request("RELOAD")?;
        self.print(&reply, show::reload);
        let failed = reply.json["failed"].as_array().cloned().unwrap_or_default();
        for failure in &failed {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            eprintln!(
                "{}: {}",
                text(&failure["file"]),
                text(&failure["error"]["message"])
            );
        }
        if failed.is_empty() {
            return Ok(());
        }
        let problem = anyhow!("{} files were not loaded", failed.len());
        Err(Failure::new(REFUSED, problem))
    }
}

fn check(file: &Path) -> Result<()> {
    let json = read(file)?;
    extsock_core::config::parse(&json)
        .map_err(|error| Failure::new(REFUSED, anyhow!("{}: {}", file.display(), error.message)))?;
    Ok(())
}

fn read(file: &Path) -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let read = if file == Path::new("-") {
        io::stdin().read_to_string(&mut text).map(drop)
    } else {
        fs::read_to_string(file).map(|content| *text = content)
    };
    read.with_context(|| file.display().to_string())
        .map_err(|error| Failure::new(REFUSED, error))?;
    Ok(text)
}

/// Colours are left out where it is no terminal. Who reads no more is not written to.
fn print(text: &str) {
    let mut out = anstream::stdout();
    if out
        .write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .is_err()
    {
        std::process::exit(0);
    }
}
