// SPDX-License-Identifier: GPL-2.0-or-later

//! The plugin's socket.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{anyhow, Context};
use serde_json::Value;

use crate::{Failure, REFUSED, UNREACHABLE};

/// A line of the plugin's.
#[derive(Clone, Debug)]
pub struct Line {
    /// As it came.
    pub text: String,
    /// What it says.
    pub json: Value,
}

impl Line {
    fn is_reply(&self) -> bool {
        self.json.get("reply").is_some()
    }
}

/// A connection to the plugin.
pub struct Socket {
    stream: UnixStream,
    received: Vec<u8>,
    /// Events that came before a reply.
    events: VecDeque<Line>,
}

impl Socket {
    /// Connects.
    pub fn connect(path: &Path) -> Result<Self, Failure> {
        let stream = UnixStream::connect(path)
            .with_context(|| format!("{}: is charon running, with the plugin?", path.display()))
            .map_err(|error| Failure::new(UNREACHABLE, error))?;
        Ok(Self {
            stream,
            received: Vec::new(),
            events: VecDeque::new(),
        })
    }

    /// Sends a request, returns the reply to it if that is not an error.
    pub fn request(&mut self, request: &str) -> Result<Line, Failure> {
        // Refused clients are told why: that is read even where nothing can be written.
        let sent = self.stream.write_all(request.as_bytes());
        let sent = sent.and_then(|()| self.stream.write_all(b"\n"));
        let reply = loop {
            match self.read(None)? {
                Some(line) if line.is_reply() => break line,
                Some(line) => self.events.push_back(line),
                None => {
                    let problem = sent.map_or_else(|e| e.to_string(), |()| GONE.to_owned());
                    return Err(Failure::new(UNREACHABLE, anyhow!(problem)));
                }
            }
        };
        if reply.json["ok"] == true {
            return Ok(reply);
        }
        let error = &reply.json["error"];
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        Err(Failure::new(
            REFUSED,
            anyhow!("{} ({})", text("message"), text("name")),
        ))
    }

    /// The next event; None if there is none within the time.
    pub fn event(&mut self, patience: Option<Duration>) -> Result<Option<Line>, Failure> {
        match self.events.pop_front() {
            Some(event) => Ok(Some(event)),
            None => self.read(patience),
        }
    }

    fn read(&mut self, patience: Option<Duration>) -> Result<Option<Line>, Failure> {
        let lost = |error| Failure::new(UNREACHABLE, error);
        self.stream
            .set_read_timeout(patience)
            .map_err(|error| lost(error.into()))?;
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                let json = serde_json::from_str(&text)
                    .with_context(|| format!("the plugin sent what is no JSON: {text}"))
                    .map_err(lost)?;
                return Ok(Some(Line { text, json }));
            }
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(lost(anyhow!(GONE))),
                Ok(n) => self.received.extend_from_slice(&buffer[..n]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return Ok(None)
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(lost(error.into())),
            }
        }
    }
}

const GONE: &str = "the plugin has closed the connection";
