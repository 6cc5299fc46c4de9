// SPDX-License-Identifier: GPL-2.0-or-later

//! The plugin's socket.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{anyhow, Context};
use serde_json::Value;

use crate::failure::{Failure, REFUSED, UNREACHABLE};

/// A line from the plugin.
#[derive(Clone, Debug)]
pub struct Line {
    /// The line as it was received.
    pub text: String,
    /// The line, parsed.
    pub json: Value,
}

impl Line {
    fn is_reply(&self) -> bool {
        self.json.get("reply").is_some()
    }
}

/// What the plugin listens on.
trait Stream: Read + Write {
    fn set_patience(&self, patience: Option<Duration>) -> io::Result<()>;
}

impl Stream for UnixStream {
    fn set_patience(&self, patience: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(patience)
    }
}

impl Stream for TcpStream {
    fn set_patience(&self, patience: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(patience)
    }
}

/// A connection to the plugin.
pub struct Socket {
    stream: Box<dyn Stream>,
    received: Vec<u8>,
    /// Events that came before a reply.
    events: VecDeque<Line>,
}

impl Socket {
    /// Connects to a path, or to a URI in charon's notation.
    pub fn connect(socket: &str) -> Result<Self, Failure> {
        let connected: io::Result<Box<dyn Stream>> = match socket.strip_prefix("tcp://") {
            Some(address) => TcpStream::connect(address).map(|stream| Box::new(stream) as _),
            None => UnixStream::connect(socket.strip_prefix("unix://").unwrap_or(socket))
                .map(|stream| Box::new(stream) as _),
        };
        let stream = connected
            .with_context(|| format!("{socket}: is charon running, with the plugin?"))
            .map_err(|error| Failure::new(UNREACHABLE, error))?;
        Ok(Self {
            stream,
            received: Vec::new(),
            events: VecDeque::new(),
        })
    }

    /// Sends a request, returns the reply to it if that is not an error.
    pub fn request(&mut self, request: &str) -> Result<Line, Failure> {
        // A refused client gets a line with the reason, which can be read even if writing fails.
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
        let problem = anyhow!("{} ({})", text("message"), text("name"));
        Err(Failure::new(REFUSED, problem).with_line(reply.text))
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
            .set_patience(patience)
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
