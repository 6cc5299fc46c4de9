// SPDX-License-Identifier: GPL-2.0-or-later

//! The own check of a gateway's life.

use std::time::Duration;

use super::{FailoverManager, Step};
use crate::failover::action::Action;
use crate::failover::Now;

impl FailoverManager {
    /// The outcome of an [`Action::Probe`]: since when its traffic is silent (monotonic) if that
    /// proves it alive, else None: it was asked for a sign of life.
    pub fn probed(
        &mut self,
        name: &str,
        ike_sa: u32,
        heard: Option<Duration>,
        now: Now,
    ) -> Vec<Action> {
        let mut step = Step::new(now);
        if let Some(sa) = self.sa(ike_sa) {
            match heard {
                Some(heard) => {
                    sa.heard = sa.heard.max(heard);
                    sa.asked = None;
                }
                None => {
                    sa.asked.get_or_insert(step.now.monotonic);
                }
            }
        }
        self.conclude_step(name, &mut step);
        step.into_actions()
    }

    /// An authenticated message of the gateway's came.
    pub(super) fn heard(&mut self, id: u32, step: &mut Step) {
        let Some(sa) = self.sa(id) else { return };
        sa.heard = step.now.monotonic;
        sa.asked = None;
        let owner = self.ike_sas[&id].clone();
        self.conclude_step(&owner, step);
    }
}
