// SPDX-License-Identifier: GPL-2.0-or-later

//! The types that configuration, failover and protocol have in common.

pub mod address;
pub mod child_failure;
pub mod failover_options;
pub mod policy;
pub mod reason;
pub mod time;

use std::time::Duration;

/// The current time on two clocks, and a random number; the caller of the core provides them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Now {
    /// Since an arbitrary start, on a clock that never goes back: for deadlines and durations.
    pub monotonic: Duration,
    /// Since 1970-01-01 00:00 UTC: for what people read.
    pub unix: Duration,
    /// A random number between 0 and 1, for jitter.
    pub random: f64,
}

/// The separator between a connection's name and a gateway in the name of a clone.
const FAILOVER: &str = "-failover-";

/// The name of the peer_cfg that serves a gateway other than the connection's first.
pub fn failover_name(connection: &str, gateway: &str) -> String {
    format!("{connection}{FAILOVER}{gateway}")
}

/// A time for people and programs, in whole milliseconds.
pub(crate) fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}
