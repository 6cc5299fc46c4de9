// SPDX-License-Identifier: GPL-2.0-or-later

//! The protocol of the control socket: requests and replies of one client, events to all.
//!
//! ```
//! use extsock_core::protocol::{parse, Framer, Request, MAX_REQUEST};
//! use extsock_core::strongswan::Version;
//!
//! let mut framer = Framer::new(MAX_REQUEST);
//! // Bytes may arrive in any number of pieces.
//! framer.push(b"STATUS n");
//! assert!(framer.next_request().is_none());
//! framer.push(b"et\nFAILOVER");
//! let text = framer.next_request().expect("one is complete").expect("it is acceptable");
//! let request = parse(&text, Version::NEWEST).expect("it is a request");
//! assert_eq!(request, Request::Status { name: Some("net".to_owned()) });
//!
//! // The rest is a request if the stream ends, or after a pause.
//! assert!(framer.next_request().is_none());
//! framer.end();
//! let text = framer.next_request().expect("it is complete").expect("it is acceptable");
//! let refused = parse(&text, Version::NEWEST).unwrap_err();
//! assert_eq!(refused.error.message, "FAILOVER: expected the name of a connection");
//! ```

mod event;
mod framer;
mod reply;
mod request;

pub use event::Published;
pub use framer::{Framer, MAX_REQUEST, PAUSE};
pub use reply::{ClientStats, FileError, Reply, Stats, VerbHelp};
pub use request::{parse, Rejection, Request, Subscription, Verb};

use std::time::{Duration, SystemTime};

use serde::Serialize;

/// JSON escapes newlines, so that an object is always one line.
fn to_line(object: &impl Serialize) -> String {
    let mut line = serde_json::to_string(object).expect("strings and numbers can be serialized");
    line.push('\n');
    line
}

/// A time since 1970-01-01 00:00 UTC as `2023-11-14T22:13:20.007Z`.
pub fn rfc3339(time: Duration) -> String {
    humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + time).to_string()
}
