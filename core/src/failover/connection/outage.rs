// SPDX-License-Identifier: GPL-2.0-or-later

//! What happened since a wanted tunnel is away.

use std::time::Duration;

use super::network::EarlyTries;
use crate::failover::selection::Trials;

/// From the loss of a tunnel that is wanted, or the wish for it, until it is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::failover) struct Outage {
    /// Since when (monotonic).
    pub since: Duration,
    /// Consecutive failovers.
    pub retries: u32,
    pub trials: Trials,
    pub limit: Limit,
    /// How changes of the network have cut its waits short.
    pub early: EarlyTries,
}

/// Whether the retries of an outage are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::failover) enum Limit {
    /// The policy allows more of them, or the present round is not over.
    NotReached,
    /// They are used up, which was told: one round at a time.
    Reached,
}

impl Outage {
    pub fn begin(now: Duration) -> Self {
        Self {
            since: now,
            retries: 0,
            trials: Trials::default(),
            limit: Limit::NotReached,
            early: EarlyTries::default(),
        }
    }

    /// The retries begin anew, as somebody asks for it.
    pub fn restart(&mut self) {
        self.retries = 0;
        self.limit = Limit::NotReached;
        self.early = EarlyTries::default();
        self.forgive();
    }

    /// All gateways count as not tried.
    pub fn forgive(&mut self) {
        self.trials = Trials::default();
    }
}
