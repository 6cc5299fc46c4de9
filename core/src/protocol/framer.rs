// SPDX-License-Identifier: GPL-2.0-or-later

//! Finds the requests in the bytes of a stream.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use zeroize::{Zeroize, Zeroizing};

use super::request::{repeatable_verb, Rejection, Verb};
use crate::error::Error;

/// The pause after which an unterminated request counts as complete.
pub const PAUSE: Duration = Duration::from_millis(250);

/// Longest request in bytes.
pub const MAX_REQUEST: usize = 1 << 20;

/// Splits the stream of one client into requests.
///
/// A request ends at its newline; the JSON value of APPLY_CONFIG delimits itself and may span lines.
/// Clients of the existing plugin do not terminate requests, so a [pause](PAUSE) and the end of the stream end a
/// request, too.
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

    /// Adds bytes that were received.
    pub fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.push_byte(*byte);
        }
    }

    /// The next complete request, or the reply to one that cannot be read.
    pub fn next_request(&mut self) -> Option<Result<Zeroizing<String>, Rejection>> {
        self.complete.pop_front()
    }

    /// Whether [`Self::next_request`] has one.
    pub fn has_request(&self) -> bool {
        !self.complete.is_empty()
    }

    /// The sender paused for [`PAUSE`]: the bytes so far are a request.
    pub fn pause(&mut self) {
        if self.is_partial() {
            self.finish();
        }
    }

    /// The sender closed its side: the bytes so far are a request.
    pub fn end(&mut self) {
        self.pause();
    }

    /// The sender took too long for a request: it is refused, nothing more is read.
    pub fn time_out(&mut self, limit: Duration) {
        if self.is_partial() {
            let message = format!("request is not complete after {limit:?}");
            self.refuse(message);
        }
    }

    /// Whether a request has begun and not ended, so that a pause would end it.
    pub fn is_partial(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Whether a request was too long or took too long; nothing more is read, the client is to be disconnected.
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
        let word = self.partial.as_bytes().trim_ascii_end();
        word.is_empty() || word == Verb::ApplyConfig.name().as_bytes()
    }

    fn finish(&mut self) {
        let request = mem::take(&mut self.partial);
        self.state = State::Between;
        self.complete.push_back(read(request.as_bytes()));
    }

    fn refuse_length(&mut self) {
        self.refuse(format!("request is longer than {} bytes", self.max_request));
    }

    fn refuse(&mut self, message: String) {
        let request = mem::take(&mut self.partial);
        self.complete
            .push_back(Err(reject(request.as_bytes(), Error::invalid(message))));
        self.state = State::Broken;
    }
}

#[derive(PartialEq)]
enum State {
    /// Between requests.
    Between,
    /// In a request that ends at its newline.
    Line,
    /// In the JSON value of a request.
    Json(Json),
    /// After a request that was too long or took too long.
    Broken,
}

/// Finds the end of a JSON value by its brackets and strings, whether it is valid or not.
#[derive(Default, PartialEq)]
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
    Verb::ALL.iter().any(|verb| verb.name().as_bytes() == line)
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

/// Bytes of which no copy is left in memory; a growing `Vec` would leave one.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorCode;

    /// What comes out of a stream that is received in these chunks.
    fn requests(chunks: &[&[u8]], max_request: usize) -> Vec<Result<String, Rejection>> {
        let mut framer = Framer::new(max_request);
        let mut requests = Vec::new();
        for chunk in chunks {
            framer.push(chunk);
            requests.extend(std::iter::from_fn(|| framer.next_request()));
        }
        framer.end();
        assert!(!framer.is_partial());
        requests.extend(std::iter::from_fn(|| framer.next_request()));
        requests
            .into_iter()
            .map(|r| r.map(|text| text.to_string()))
            .collect()
    }

    fn texts(stream: &str) -> Vec<String> {
        requests(&[stream.as_bytes()], MAX_REQUEST)
            .into_iter()
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn lines_are_requests() {
        assert_eq!(
            texts("LIST\nSTART_DPD a b\r\n\r\n\n  \n REMOVE_CONFIG x \nLIST"),
            ["LIST", "START_DPD a b", "REMOVE_CONFIG x", "LIST"]
        );
    }

    #[test]
    fn a_pretty_printed_value_is_one_request() {
        let value = "APPLY_CONFIG {\n  \"a\": [\n    \"}]\\\"\\\\\", {}\n  ]\n}";
        let stream = format!("{value}\n{value}  \r\n{value}LIST\n{value}{value}");
        assert_eq!(texts(&stream), [value, value, value, "LIST", value, value]);
    }

    #[test]
    fn a_value_is_complete_without_newline_or_pause() {
        let mut framer = Framer::new(MAX_REQUEST);
        framer.push(b"APPLY_CONFIG   [{}");
        assert!(framer.is_partial() && framer.next_request().is_none());
        framer.push(b"]");
        assert!(!framer.is_partial());
        assert_eq!(
            framer.next_request().unwrap().unwrap().as_str(),
            "APPLY_CONFIG   [{}]"
        );
        assert!(framer.next_request().is_none());
    }

    #[test]
    fn a_pause_ends_a_request() {
        let mut framer = Framer::new(MAX_REQUEST);
        framer.pause();
        framer.push(b" \n");
        assert!(!framer.is_partial());
        framer.pause();
        assert!(framer.next_request().is_none());
        framer.push(b"START_DPD test");
        framer.pause();
        framer.push(b"LIST\n");
        assert_eq!(
            framer.next_request().unwrap().unwrap().as_str(),
            "START_DPD test"
        );
        assert_eq!(framer.next_request().unwrap().unwrap().as_str(), "LIST");
    }

    #[test]
    fn an_argument_that_is_no_value_ends_at_the_newline() {
        assert_eq!(
            texts("APPLY_CONFIG\nAPPLY_CONFIG nonsense {\nLIST\n"),
            ["APPLY_CONFIG", "APPLY_CONFIG nonsense {", "LIST"]
        );
    }

    #[test]
    fn a_faulty_value_is_one_request_and_the_next_one_is_found() {
        for value in [
            "APPLY_CONFIG {\n \"a\": b,\n}",
            "APPLY_CONFIG {\n \"a: 1,\n \"b\": 2\n}",
            "APPLY_CONFIG {\n \"a\": \"b\\\n}",
            "APPLY_CONFIG {\n \"a\": [1\n}",
            "APPLY_CONFIG {\n \"a\": {\n",
            "APPLY_CONFIG {\n \"a\": \"-----BEGIN\nABCD\nLISTS\nEND\",\n \"b\": 1\n}",
            "{\n \"connections\": {}\n}",
            "APPLY_CONFIG{\n \"connections\": {}\n}",
        ] {
            for next in ["LIST", "START_DPD test", "APPLY_CONFIG {\n}"] {
                let stream = format!("{value}\n{next}\n");
                assert_eq!(texts(&stream), [value.trim_end(), next], "{value}");
            }
        }
    }

    #[test]
    fn too_long_a_request_breaks_the_stream() {
        let mut framer = Framer::new(10);
        framer.push(b"LIST 67890\nAPPLY_CONFIG {}\nLIST\n");
        assert_eq!(
            framer.next_request().unwrap().unwrap().as_str(),
            "LIST 67890"
        );
        let rejection = framer.next_request().unwrap().unwrap_err();
        assert_eq!(rejection.verb, "APPLY_CONF");
        assert_eq!(rejection.error.code, ErrorCode::InvalidParameter);
        assert_eq!(rejection.error.message, "request is longer than 10 bytes");
        assert!(framer.is_broken() && !framer.is_partial());
        framer.push(b"LIST\n");
        framer.end();
        assert!(framer.next_request().is_none());
    }

    #[test]
    fn a_request_that_takes_too_long_breaks_the_stream() {
        let mut framer = Framer::new(MAX_REQUEST);
        framer.time_out(PAUSE);
        assert!(!framer.is_broken());
        framer.push(b"APPLY_CONFIG {\"secret");
        framer.time_out(Duration::from_secs(30));
        let rejection = framer.next_request().unwrap().unwrap_err();
        assert_eq!(rejection.verb, "APPLY_CONFIG");
        assert_eq!(rejection.error.message, "request is not complete after 30s");
        framer.push(b"LIST\n");
        assert!(framer.is_broken() && framer.next_request().is_none());
    }

    #[test]
    fn text_that_is_not_utf8_or_has_nul_bytes_is_refused() {
        let stream = b"LIST\nSTART_DPD \xff\n\xfe\nSTART_DPD a\0b\nLIST\n";
        let requests = requests(&[stream], MAX_REQUEST);
        assert_eq!(requests[0].as_deref(), Ok("LIST"));
        assert_eq!(requests[4].as_deref(), Ok("LIST"));
        let refused = |index: usize| {
            let rejection = requests[index].as_ref().unwrap_err();
            (rejection.verb.as_str(), rejection.error.message.as_str())
        };
        assert_eq!(refused(1), ("START_DPD", "request is not UTF-8"));
        assert_eq!(refused(2), ("", "request is not UTF-8"));
        assert_eq!(refused(3), ("START_DPD", "request has a NUL byte"));
        assert_eq!(requests.len(), 5);
    }

    #[test]
    fn the_largest_request_takes_linear_time() {
        // Quadratic behaviour would take hours here.
        let value = format!("APPLY_CONFIG [{}]", "{ } ".repeat(MAX_REQUEST / 5));
        assert_eq!(
            texts(&format!("{value}\n{value}")),
            [value.as_str(), value.as_str()]
        );
        let open = format!("START_DPD {}", " {".repeat(MAX_REQUEST / 4));
        assert_eq!(texts(&open), [open]);
    }

    fn cut<'a>(stream: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
        let mut positions: Vec<usize> = cuts.iter().map(|c| c.index(stream.len() + 1)).collect();
        positions.extend([0, stream.len()]);
        positions.sort_unstable();
        positions.windows(2).map(|w| &stream[w[0]..w[1]]).collect()
    }

    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "LIST",
            "APPLY_CONFIG ",
            "START_DPD ",
            "{",
            "}",
            "[",
            "]",
            "\"",
            "\\",
            "\n",
            "\r\n",
            " ",
            "name",
            "é",
            "\0",
            ":",
            ",",
        ]);
        prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    fn values() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![any::<i32>().prop_map(Into::into), ".*".prop_map(Into::into)];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
                prop::collection::btree_map(".*", inner, 0..5)
                    .prop_map(serde_json::Value::from_iter),
            ]
        })
        .prop_filter("a value with brackets", |v| v.is_array() || v.is_object())
    }

    proptest! {
        #[test]
        fn chunks_do_not_matter(
            stream in pieces(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
            max_request in 1..80_usize,
        ) {
            let whole = requests(&[stream.as_bytes()], max_request);
            let chunks = cut(stream.as_bytes(), &cuts);
            prop_assert_eq!(requests(&chunks, max_request), whole);
        }

        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            requests(&[&bytes], 500);
        }

        #[test]
        fn valid_values_are_found_whole(
            values in prop::collection::vec(values(), 1..5),
            pretty in any::<bool>(),
            separator in prop::sample::select(vec!["", "\n", "\r\n", " \n\n"]),
        ) {
            let sent: Vec<String> = values
                .iter()
                .map(|value| match pretty {
                    true => format!("APPLY_CONFIG {value:#}"),
                    false => format!("APPLY_CONFIG {value}"),
                })
                .collect();
            prop_assert_eq!(texts(&sent.join(separator)), sent);
        }
    }
}
