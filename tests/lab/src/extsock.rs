// SPDX-License-Identifier: GPL-2.0-or-later

//! A client of the plugin's socket.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use extsock_core::strongswan::Version;
use serde_json::Value;

use crate::recording;
use crate::wait::DEADLINE;

/// An event as received.
#[derive(Clone, Debug)]
pub struct Event {
    /// When its line was read.
    pub at: Instant,
    /// The line as it came.
    pub line: String,
    /// The object in it.
    pub json: Value,
}

impl Event {
    /// The value of key `event`.
    pub fn name(&self) -> &str {
        self["event"].as_str().unwrap_or_default()
    }
}

impl std::ops::Index<&str> for Event {
    type Output = Value;

    fn index(&self, key: &str) -> &Value {
        &self.json[key]
    }
}

/// A connection to the plugin. Events are kept in their order; [`Self::wait_event`] goes
/// forward through them.
pub struct Extsock {
    stream: UnixStream,
    inbox: Arc<Inbox>,
    seen: usize,
}

#[derive(Default)]
struct Inbox {
    received: Mutex<Received>,
    changed: Condvar,
}

#[derive(Default)]
struct Received {
    replies: VecDeque<String>,
    events: Vec<Event>,
    closed: bool,
}

impl Extsock {
    /// Connects to the plugin's socket.
    #[track_caller]
    pub fn connect(path: &Path) -> Self {
        let stream =
            UnixStream::connect(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let inbox = Arc::<Inbox>::default();
        let reader = stream.try_clone().expect("a file descriptor is free");
        let receiver = Arc::clone(&inbox);
        // Ends with the connection, which Drop shuts down.
        thread::spawn(move || receiver.receive(reader));
        Self {
            stream,
            inbox,
            seen: 0,
        }
    }

    /// Sends one request and returns the reply to it.
    #[track_caller]
    pub fn request(&mut self, request: &str) -> Value {
        self.send(format!("{request}\n").as_bytes());
        self.reply()
    }

    /// Sends one request that must succeed.
    #[track_caller]
    pub fn ok(&mut self, request: &str) -> Value {
        let reply = self.request(request);
        assert_eq!(reply["ok"], true, "{request}: {reply}");
        reply
    }

    /// Sends one request that must fail, and returns the error.
    #[track_caller]
    pub fn error(&mut self, request: &str) -> Value {
        let reply = self.request(request);
        assert_eq!(reply["ok"], false, "{request}: {reply}");
        reply["error"].clone()
    }

    /// Applies a configuration.
    #[track_caller]
    pub fn apply(&mut self, config: &Value) -> Value {
        self.ok(&format!("APPLY_CONFIG {config}"))
    }

    /// What LIST says about one connection; `Null` if it is not there.
    #[track_caller]
    pub fn connection(&mut self, name: &str) -> Value {
        let reply = self.ok("LIST");
        let connections = reply["connections"].as_array().cloned().unwrap_or_default();
        connections
            .into_iter()
            .find(|connection| connection["name"] == name)
            .unwrap_or(Value::Null)
    }

    /// The version of charon's strongSwan.
    #[track_caller]
    pub fn strongswan_version(&mut self) -> Version {
        let reply = self.ok("VERSION");
        let version = reply["strongswan"].as_str();
        version
            .and_then(|version| version.parse().ok())
            .expect("the plugin tells the version of strongSwan")
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        recording::request(bytes);
        self.stream.write_all(bytes).expect("the plugin reads");
    }

    /// Tells the plugin that nothing more is sent.
    pub fn half_close(&mut self) {
        self.stream
            .shutdown(Shutdown::Write)
            .expect("the connection is open");
    }

    /// Waits for the next reply.
    #[track_caller]
    pub fn reply(&mut self) -> Value {
        let line = self.reply_line();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))
    }

    /// Waits for the next reply and leaves it as it came.
    #[track_caller]
    pub fn reply_line(&mut self) -> String {
        match self.wait(|received| received.replies.pop_front()) {
            Some(reply) => reply,
            None => panic!("no reply{}", self.closed()),
        }
    }

    /// Waits until the plugin closes the connection.
    #[track_caller]
    pub fn wait_closed(&mut self) {
        let closed = self.wait(|received| received.closed.then_some(()));
        assert!(closed.is_some(), "the plugin keeps the connection");
    }

    /// Waits for the next event called `name` after the one last waited for.
    #[track_caller]
    pub fn wait_event(&mut self, name: &str) -> Event {
        self.wait_event_where(name, |event| event.name() == name)
    }

    /// Waits for the next event that fits, after the one last waited for.
    #[track_caller]
    pub fn wait_event_where(&mut self, what: &str, fits: impl Fn(&Event) -> bool) -> Event {
        let seen = self.seen;
        let found = self.wait(|received| {
            let later = received.events.iter().enumerate().skip(seen);
            later
                .map(|(index, event)| (index, event.clone()))
                .find(|(_, event)| fits(event))
        });
        match found {
            Some((index, event)) => {
                self.seen = index + 1;
                event
            }
            None => panic!("no event {what} after the first {seen}{}", self.closed()),
        }
    }

    /// All events up to now.
    pub fn events(&self) -> Vec<Event> {
        self.inbox.lock().events.clone()
    }

    /// The events up to now that are called `name`.
    pub fn events_named(&self, name: &str) -> Vec<Event> {
        let mut events = self.events();
        events.retain(|event| event.name() == name);
        events
    }

    /// For messages: why nothing more may come.
    fn closed(&self) -> &'static str {
        if self.inbox.lock().closed {
            ", the plugin has closed the connection"
        } else {
            ""
        }
    }

    fn wait<T>(&self, mut condition: impl FnMut(&mut Received) -> Option<T>) -> Option<T> {
        let mut result = None;
        let waited =
            self.inbox
                .changed
                .wait_timeout_while(self.inbox.lock(), DEADLINE, |received| {
                    result = condition(received);
                    result.is_none() && !received.closed
                });
        drop(waited);
        result
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Received> {
        // Whatever panicked has only looked at it.
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn receive(&self, stream: UnixStream) {
        // A read error is the end of the connection, too.
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let at = Instant::now();
            // What is no JSON is kept as a reply, where a test stumbles over it.
            let json: Value = serde_json::from_str(&line).unwrap_or_default();
            let mut received = self.lock();
            if json.get("event").is_some() {
                received.events.push(Event { at, line, json });
            } else {
                received.replies.push_back(line);
            }
            self.changed.notify_all();
        }
        self.lock().closed = true;
        self.changed.notify_all();
    }
}

impl Drop for Extsock {
    fn drop(&mut self) {
        // Fails only if the plugin has closed the connection.
        let _ = self.stream.shutdown(Shutdown::Both);
        if thread::panicking() {
            eprintln!("--- events:");
            for event in self.events() {
                eprintln!("{}", event.line);
            }
        }
    }
}
