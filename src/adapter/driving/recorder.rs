// SPDX-License-Identifier: GPL-2.0-or-later

//! All that goes into the core and the decisions that come out, as lines of the log, of which the lab makes
//! recordings.

use std::time::Duration;

use extsock_core::domain::Now;
use extsock_core::failover::event::Event;
use extsock_core::failover::evidence::Evidence;
use serde_json::{json, Value};

/// Records what charon reported.
pub(super) fn evidence(evidence: &Evidence, now: Now) {
    line(now.unix, json!({"evidence": evidence}));
}

/// Records what the core decided.
pub(super) fn event(event: &Event, now: Now) {
    line(now.unix, json!({"event": event}));
}

/// The time is in microseconds since 1970-01-01 00:00 UTC, by which the lab puts its requests in between.
fn line(time: Duration, mut line: Value) {
    line["at"] = json!(time.as_micros());
    log::trace!("recorded {line}");
}
