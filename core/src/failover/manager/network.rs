// SPDX-License-Identifier: GPL-2.0-or-later

//! Changes of the network, which concern all connections.

use std::time::Duration;

use super::FailoverManager;
use crate::domain::Now;
use crate::failover::action::Action;

/// In which time connections that wait are tried when the network changes, where there are many.
const SPREAD: Duration = Duration::from_secs(1);

/// How many of them are many.
const MANY: u32 = 100;

impl FailoverManager {
    /// Tries the connections that wait, one after the other so that they do not all begin in the same moment.
    pub(super) fn network_changed(&mut self, now: Now) -> Vec<Action> {
        let all = self.connections.iter();
        let in_an_outage = all.filter(|(_, known)| known.state.outage().is_some());
        let names: Vec<String> = in_an_outage.map(|(name, _)| name.clone()).collect();
        let pause = SPREAD / u32::try_from(names.len()).unwrap_or(u32::MAX).max(MANY);
        let mut at = now.monotonic;
        let mut actions = Vec::new();
        for name in names {
            actions.extend(self.step(&name, now, |known, _| known.network_changed(at)));
            at = at.saturating_add(pause);
        }
        actions
    }
}
