// SPDX-License-Identifier: GPL-2.0-or-later

//! When it is looked whether the network has another way to the gateway of an IKE_SA that is up.

use std::time::Duration;

/// Between two looks, at least: the network of some hosts changes all the time.
const PAUSE: Duration = Duration::from_secs(1);

/// The looks at the path of one IKE_SA.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::failover) struct PathCheck {
    /// When the next one is due (monotonic).
    due: Option<Duration>,
    /// When the last one was (monotonic).
    last: Option<Duration>,
}

impl PathCheck {
    /// The network changed, which may be looked at from that time on (monotonic).
    pub fn network_changed(&mut self, at: Duration) {
        let earliest = self.last.map_or(at, |last| last.saturating_add(PAUSE));
        self.due.get_or_insert(at.max(earliest));
    }

    /// When the next look is due (monotonic).
    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// It is looked at.
    pub fn begin(&mut self, now: Duration) {
        self.due = None;
        self.last = Some(now);
    }
}
