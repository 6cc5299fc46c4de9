// SPDX-License-Identifier: GPL-2.0-or-later

//! Changes of the network, which concern all connections.

use std::time::Duration;

use super::FailoverManager;
use crate::domain::Now;
use crate::failover::action::{Action, NewPath, Probed, Question};

/// In which time connections that wait are tried when the network changes, where there are many.
const SPREAD: Duration = Duration::from_secs(1);

/// How many of them are many.
const MANY: u32 = 100;

impl FailoverManager {
    /// Tries the connections that wait, and looks at the paths of those that are up, one after the other so that they do
    /// not all begin in the same moment.
    pub(super) fn network_changed(&mut self, now: Now) -> Vec<Action> {
        let all = self.connections.iter();
        let concerned = all.filter(|(_, known)| known.heeds_network());
        let names: Vec<String> = concerned.map(|(name, _)| name.clone()).collect();
        let pause = SPREAD / u32::try_from(names.len()).unwrap_or(u32::MAX).max(MANY);
        let mut at = now.monotonic;
        let mut actions = Vec::new();
        for name in names {
            actions.extend(self.step(&name, now, |known, _| known.network_changed(at)));
            at = at.saturating_add(pause);
        }
        actions
    }

    /// An [`Action::CheckPath`] found that the path is not what it was: the gateway is asked for a sign of life, unless
    /// charon asks it.
    pub fn path_changed(
        &mut self,
        name: &str,
        ike_sa: u32,
        path: NewPath,
        now: Now,
    ) -> Vec<Action> {
        self.step(name, now, |connection, step| {
            let known = connection.common.ike_sas.get_mut(&ike_sa);
            let Some(up) = known.and_then(|known| known.up_mut()) else {
                return;
            };
            if !up.liveness.doubt() {
                return;
            }
            match path {
                NewPath::Found => step.probe(name, ike_sa, Question::First),
                NewPath::Announced(at) => {
                    up.liveness.probed(Probed::Asked(at), step.now.monotonic);
                }
            }
        })
    }
}
