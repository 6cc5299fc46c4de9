// SPDX-License-Identifier: GPL-2.0-or-later

//! What each command does.

use std::io::Read;
use std::path::Path;
use std::{fs, io};

use anyhow::{anyhow, Context};
use extsock_core::protocol::{Reply, Verb};
use extsock_core::strongswan::Version;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::arguments::{Arguments, Command, ConnectionName, Timeout};
use crate::failure::{Failure, REFUSED};
use crate::session::{print, Result, Session};
use crate::socket::Socket;
use crate::{prometheus, screen, show};

/// Does what the arguments say.
pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.command {
        Command::Check { file, strongswan } => return check(file, *strongswan, arguments.json),
        Command::Schema => {
            print(&extsock_core::config::json_schema());
            return Ok(());
        }
        _ => {}
    }
    let mut session = Session {
        socket: Socket::connect(&arguments.socket)?,
        json: arguments.json,
    };
    match &arguments.command {
        Command::Apply {
            file,
            initiate,
            timeout,
        } => session.apply(file, initiate.then_some(*timeout)),
        Command::Check { .. } | Command::Schema => unreachable!("they need no socket"),
        Command::Remove(ConnectionName { connection }) => {
            session.tell(&format!("REMOVE_CONFIG {connection}"), |_| String::new())
        }
        Command::List => session.tell("LIST", show::list),
        Command::Status { connection, watch } => {
            let request = format!("STATUS {}", connection.as_deref().unwrap_or_default());
            if *watch {
                screen::watch(&mut session, &request)
            } else {
                session.tell(&request, show::status)
            }
        }
        Command::Initiate {
            connection,
            child,
            no_wait,
            timeout,
        } => {
            let wait = (!no_wait).then_some(*timeout);
            session.initiate(std::slice::from_ref(connection), child.as_deref(), wait)
        }
        Command::Terminate(ConnectionName { connection }) => {
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
        Command::Dpd(ConnectionName { connection }) => {
            session.tell(&format!("START_DPD {connection}"), |_| String::new())
        }
        Command::History { connection, count } => {
            let connection = connection.as_deref().unwrap_or_default();
            session.tell(&format!("HISTORY {connection} {count}"), show::history)
        }
        Command::Monitor { only } => session.monitor(only),
        Command::Reload => session.reload(),
        Command::Stats { prometheus: true } => {
            let stats = session.socket.request("STATS")?;
            let list = session.socket.request("LIST")?;
            print(&prometheus::text(&stats.json, &list.json));
            Ok(())
        }
        Command::Stats { prometheus: false } => session.tell("STATS", show::values),
        Command::Version => session.tell("VERSION", show::values),
    }
}

impl Session {
    fn apply(&mut self, file: &Path, initiate: Option<Timeout>) -> Result<()> {
        let json = read(file)?;
        let request = Zeroizing::new(format!("APPLY_CONFIG {}", json.trim()));
        let reply = self.socket.request(&request)?;
        let names = show::names(&reply.json["connections"]);
        self.print(&reply, |_| format!("loaded {}\n", names.join(", ")));
        match initiate {
            Some(timeout) => self.initiate(&names, None, Some(timeout)),
            None => Ok(()),
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

fn check(file: &Path, strongswan: Version, json: bool) -> Result<()> {
    let text = read(file)?;
    let configuration = extsock_core::config::parse(&text, strongswan).map_err(|error| {
        let problem = anyhow!("{}: {}", file.display(), error.message);
        let line = Reply::failed(Verb::ApplyConfig, error).to_line();
        Failure::new(REFUSED, problem).with_line(line)
    })?;
    if json {
        let connections = configuration.connections.into_iter();
        let connections = connections.map(|connection| connection.name).collect();
        print(&Reply::ApplyConfig { connections }.to_line());
    }
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
