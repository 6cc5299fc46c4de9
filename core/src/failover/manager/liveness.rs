// SPDX-License-Identifier: GPL-2.0-or-later

//! The own check of a gateway's life.

use super::{FailoverManager, Step};
use crate::failover::action::{Action, Probed};
use crate::failover::connection::Asked;
use crate::failover::verdict::Reason;
use crate::failover::Now;

impl FailoverManager {
    /// What came of an [`Action::Probe`].
    pub fn probed(&mut self, name: &str, ike_sa: u32, probed: Probed, now: Now) -> Vec<Action> {
        let mut step = Step::new(now);
        if let Some(sa) = self.sa(ike_sa) {
            match (probed, sa.asked) {
                (Probed::Heard(at), _) => {
                    sa.heard = sa.heard.max(at);
                    sa.asked = None;
                }
                // The answer was there before this report.
                (Probed::Asked(at), _) if sa.heard >= at => sa.asked = None,
                (Probed::Asked(first), Some(Asked::Soon)) => {
                    sa.asked = Some(Asked::Since { first, again: 0 });
                }
                (Probed::Asked(_), _) => {}
                (Probed::Impossible, _) => {
                    sa.heard = now.monotonic;
                    sa.asked = None;
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

    /// The gateway was silent for long enough to be asked, or asked again.
    pub(super) fn ask(&mut self, name: &str, ike_sa: u32, step: &mut Step) {
        let Some(sa) = self.sa(ike_sa) else { return };
        let again = match &mut sa.asked {
            Some(Asked::Since { again, .. }) => {
                *again += 1;
                true
            }
            asked => {
                *asked = Some(Asked::Soon);
                false
            }
        };
        step.probe(name, ike_sa, again);
    }

    /// The gateway gave no sign of life.
    pub(super) fn is_dead(&mut self, name: &str, ike_sa: u32, step: &mut Step) {
        let Some(sa) = self.sa(ike_sa) else { return };
        let (gateway, remote) = (sa.gateway.clone(), sa.remote);
        let connection = self.connection(name);
        connection.give_up(Some(ike_sa));
        connection.gateways.failed_at(&gateway, remote);
        step.abandon_ike_sa(name, &gateway, Some(ike_sa));
        self.lost(name, &gateway, Reason::LivenessTimeout, step);
    }
}
