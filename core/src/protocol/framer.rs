// SPDX-License-Identifier: GPL-2.0-or-later

//! Finds the requests in the bytes of a stream.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use zeroize::{Zeroize, Zeroizing};

use super::request::{repeatable_verb, Rejection, Verb};
use crate::error::Error;

/// How long a sender that ends no request may pause before what it sent counts as one.
pub const PAUSE: Duration = Duration::from_millis(250);

/// Longest request in bytes.
pub const MAX_REQUEST: usize = 1 << 20;

/// Splits the stream of one client into requests.
///
/// A request ends at its newline; the JSON value of APPLY_CONFIG delimits itself and may span lines.
/// Existing clients end nothing, so a [pause](PAUSE) and the end of the stream end a request too.
///
/// ```
/// use extsock_core::protocol::{Framer, MAX_REQUEST};
///
/// let mut framer = Framer::new(MAX_REQUEST);
/// framer.push(b"LIST\nAPPLY_CONFIG {\n}\nSTART_DPD te");
/// assert_eq!(framer.next_request().unwrap().unwrap().as_str(), "LIST");
/// assert_eq!(framer.next_request().unwrap().unwrap().as_str(), "APPLY_CONFIG {\n}");
/// assert!(framer.next_request().is_none());
///
/// framer.push(b"st");
/// assert!(framer.is_partial());
/// framer.pause();
/// assert_eq!(framer.next_request().unwrap().unwrap().as_str(), "START_DPD test");
/// ```
#[derive(Debug)]
pub struct Framer {
    max_request: usize,
    partial: Buffer,
    state: State,
    complete: VecDeque<Result<Zeroizing<String>, Rejection>>,
}

impl Framer {
    /// Framer for one client; `max_request` is in bytes.
    pub fn new(max_request: usize) -> Self {
        Self {
            max_request,
            partial: Buffer::default(),
            state: State::Between,
            complete: VecDeque::new(),
        }
    }

    /// Takes bytes that were received.
    pub fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.push_byte(*byte);
        }
    }

    /// The next complete request, or what to answer to one that cannot be read.
    pub fn next_request(&mut self) -> Option<Result<Zeroizing<String>, Rejection>> {
        self.complete.pop_front()
    }

    /// The sender paused for [`PAUSE`]: what it has sent is a request.
    pub fn pause(&mut self) {
        if self.is_partial() {
            self.finish();
        }
    }

    /// The sender closed its side: what it has sent is a request.
    pub fn end(&mut self) {
        self.pause();
    }

    /// Whether a request has begun and not ended, so that a pause must be watched for.
    pub fn is_partial(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Whether a request was too long; nothing more is read, the client is to be disconnected.
    pub fn is_broken(&self) -> bool {
        self.state == State::Broken
    }

    fn push_byte(&mut self, byte: u8) {
        if self.state == State::Broken {
            return;
        }
        if self.state == State::Between {
            if byte.is_ascii_whitespace() {
                return;
            }
            self.state = State::Line;
        }
        if let State::Json(json) = &self.state {
            // A value whose brackets do not match must not swallow the requests that follow.
            if byte.is_ascii_whitespace() && is_verb(&self.partial.as_bytes()[json.line_start..]) {
                let verb = self.partial.split_off(json.line_start);
                self.finish();
                self.partial = verb;
                self.state = State::Line;
            }
        }
        if self.state == State::Line {
            match byte {
                b'\n' => return self.finish(),
                b'{' | b'[' if self.expects_json() => self.state = State::Json(Json::default()),
                _ => {}
            }
        }
        if self.partial.len() == self.max_request {
            return self.refuse_length();
        }
        self.partial.push(byte);
        if let State::Json(json) = &mut self.state {
            if json.ends_with(byte, self.partial.len()) {
                self.finish();
            }
        }
    }

    /// A value without a verb is one faulty request as well, not one per line.
    fn expects_json(&self) -> bool {
        let begun = self.partial.as_bytes();
        let word = begun.trim_ascii_end();
        word.is_empty() || (word.len() < begun.len() && word == Verb::ApplyConfig.name().as_bytes())
    }

    fn finish(&mut self) {
        let request = mem::take(&mut self.partial);
        self.state = State::Between;
        self.complete.push_back(read(request.as_bytes()));
    }

    fn refuse_length(&mut self) {
        let request = mem::take(&mut self.partial);
        let message = format!("request is longer than {} bytes", self.max_request);
        self.complete
            .push_back(Err(reject(request.as_bytes(), Error::invalid(message))));
        self.state = State::Broken;
    }
}

#[derive(Debug, PartialEq)]
enum State {
    /// Between requests.
    Between,
    /// In a request that ends at its newline.
    Line,
    /// In the JSON value of a request.
    Json(Json),
    /// After a request that was too long.
    Broken,
}

/// Finds the end of a JSON value by its brackets and strings, whether it is valid or not.
#[derive(Debug, Default, PartialEq)]
struct Json {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Where in the request the current line began.
    line_start: usize,
}

impl Json {
    /// Whether the value ends with this byte; `len` is the request's length with it.
    fn ends_with(&mut self, byte: u8, len: usize) -> bool {
        if byte == b'\n' {
            // No JSON string spans lines; one that is not closed ends here.
            self.in_string = false;
            self.escaped = false;
            self.line_start = len;
        } else if self.escaped {
            self.escaped = false;
        } else if self.in_string {
            self.escaped = byte == b'\\';
            self.in_string = byte != b'"';
        } else {
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth -= 1,
                _ => {}
            }
        }
        self.depth == 0
    }
}

fn is_verb(line: &[u8]) -> bool {
    std::str::from_utf8(line).is_ok_and(|line| Verb::from_name(line).is_some())
}

fn read(request: &[u8]) -> Result<Zeroizing<String>, Rejection> {
    match std::str::from_utf8(request) {
        Ok(text) if !text.contains('\0') => Ok(Zeroizing::new(text.trim_end().to_owned())),
        Ok(_) => Err(reject(request, Error::invalid("request has a NUL byte"))),
        Err(_) => Err(reject(request, Error::invalid("request is not UTF-8"))),
    }
}

fn reject(request: &[u8], error: Error) -> Rejection {
    let word = request.split(u8::is_ascii_whitespace).next();
    let word = std::str::from_utf8(word.unwrap_or_default()).unwrap_or_default();
    Rejection {
        verb: repeatable_verb(word),
        error,
    }
}

/// Bytes of which no copy stays behind: a `Vec` that grows leaves one.
#[derive(Default)]
struct Buffer(Zeroizing<Vec<u8>>);

impl Buffer {
    fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn push(&mut self, byte: u8) {
        if self.0.len() == self.0.capacity() {
            let mut larger = Vec::with_capacity((2 * self.0.capacity()).max(256));
            larger.extend_from_slice(&self.0);
            self.0 = Zeroizing::new(larger);
        }
        self.0.push(byte);
    }

    fn split_off(&mut self, at: usize) -> Self {
        let tail = self.0[at..].to_vec();
        self.0[at..].zeroize();
        self.0.truncate(at);
        Self(Zeroizing::new(tail))
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{} bytes]", self.len())
    }
}
