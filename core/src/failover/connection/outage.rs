// SPDX-License-Identifier: GPL-2.0-or-later

//! What happened since a wanted tunnel is away.

use std::time::Duration;

use crate::failover::selection::Trials;

/// From the loss of a tunnel that is wanted, or the wish for it, until it is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::failover) struct Outage {
    /// Since when (monotonic).
    pub since: Duration,
    /// Consecutive failovers.
    pub retries: u32,
    pub trials: Trials,
}

impl Outage {
    pub fn begin(now: Duration) -> Self {
        Self {
            since: now,
            retries: 0,
            trials: Trials::default(),
        }
    }

    /// All gateways count as not tried.
    pub fn forgive(&mut self) {
        self.trials = Trials::default();
    }
}
