// SPDX-License-Identifier: GPL-2.0-or-later

//! Failover: evidence of what happens to IKE_SAs goes in, what is to be done about it comes out.
//!
//! One [`manager::FailoverManager`] has all connections. Whatever drives it
//!
//! - tells it of connections ([`configure`](manager::FailoverManager::configure),
//!   [`remove`](manager::FailoverManager::remove)) and passes on what clients want
//!   ([`initiate`](manager::FailoverManager::initiate),
//!   [`failover`](manager::FailoverManager::failover) and others);
//! - hands it all evidence, in the order in which it came ([`handle`](manager::FailoverManager::handle));
//! - wakes it at [`next_deadline`](manager::FailoverManager::next_deadline), by
//!   [`expire`](manager::FailoverManager::expire);
//! - carries out the [`action::Action`]s that each of these returns, those of one connection in their
//!   order, and reports what each of them says is to be reported.
//!
//! The example of the crate shows it.

pub mod action;
pub mod address;
mod connection;
mod deadlines;
pub mod evidence;
mod gateways;
pub mod history;
pub mod manager;
pub mod policy;
pub mod remembered;
pub mod verdict;

use std::time::Duration;

/// The current time, twice, and chance: whatever drives the core brings them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Now {
    /// Since an arbitrary start, never going back: for deadlines and durations.
    pub monotonic: Duration,
    /// Since 1970-01-01 00:00 UTC: for people.
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
