// SPDX-License-Identifier: GPL-2.0-or-later

//! The protocol of the control socket: requests and replies of one client, events to all.

mod event;
mod framer;
mod reply;
mod request;

pub use event::{Event, Tunnel};
pub use framer::{Framer, MAX_REQUEST, PAUSE};
pub use reply::{
    ConnectionState, ConnectionStatus, GatewayStatus, HistoryEntry, PolicyStatus, Reply,
};
pub use request::{parse, Rejection, Request, Verb};

use serde::Serialize;

/// JSON escapes newlines, so that an object is always one line.
fn to_line(object: &impl Serialize) -> String {
    let mut line = serde_json::to_string(object).expect("strings and numbers can be serialized");
    line.push('\n');
    line
}
