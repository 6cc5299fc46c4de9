// SPDX-License-Identifier: GPL-2.0-or-later

//! The own check of a gateway's life.

use super::{FailoverManager, Step};
use crate::domain::reason::Reason;
use crate::domain::Now;
use crate::failover::action::{Action, Probed, Question};
use crate::failover::connection::Asked;

impl FailoverManager {
    /// What came of an [`Action::Probe`].
    pub fn probed(&mut self, name: &str, ike_sa: u32, probed: Probed, now: Now) -> Vec<Action> {
        let mut step = Step::new(now);
        if let Some(sa) = self.sa(ike_sa) {
            match (probed, sa.asked) {
                (Probed::Asked(_), Some(Asked::Last)) => self.is_dead(name, ike_sa, &mut step),
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
    pub(super) fn heard(&mut self, id: u32, step: &Step) {
        let Some(sa) = self.sa(id) else { return };
        sa.heard = step.now.monotonic;
        sa.asked = None;
        sa.repeated = 0;
        // Nothing else follows from it, and it comes often.
        let owner = self.ike_sas[&id].clone();
        self.set_deadlines(&owner);
    }

    /// The gateway was silent for long enough to be asked, or asked again.
    pub(super) fn ask(&mut self, name: &str, ike_sa: u32, step: &mut Step) {
        let Some(sa) = self.sa(ike_sa) else { return };
        let question = match &mut sa.asked {
            Some(Asked::Since { again, .. }) => {
                *again += 1;
                sa.repeated += 1;
                Question::Again
            }
            asked => {
                *asked = Some(Asked::Soon);
                Question::First
            }
        };
        step.probe(name, ike_sa, question);
    }

    /// The time to answer is over; packets of the CHILD_SAs may have come in it.
    pub(super) fn ask_last(&mut self, name: &str, ike_sa: u32, step: &mut Step) {
        if let Some(sa) = self.sa(ike_sa) {
            sa.asked = Some(Asked::Last);
            step.probe(name, ike_sa, Question::Last);
        }
    }

    /// The gateway gave no sign of life.
    fn is_dead(&mut self, name: &str, ike_sa: u32, step: &mut Step) {
        let Some(sa) = self.sa(ike_sa) else { return };
        let (gateway, remote) = (sa.gateway.clone(), sa.remote);
        let connection = self.connection(name);
        connection.give_up(Some(ike_sa));
        connection.gateways.failed_at(&gateway, remote);
        step.abandon_ike_sa(name, &gateway, Some(ike_sa));
        self.lost(name, &gateway, Reason::LivenessTimeout, step);
    }
}
