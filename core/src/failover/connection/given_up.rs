// SPDX-License-Identifier: GPL-2.0-or-later

//! A connection that failed over as often as is allowed.
//!
//! The state ends with a new wish for the tunnel, by a client or as charon initiates it.

use super::common::Common;
use super::event::{IkeSaEvent, LedFrom};
use super::outage::Outage;
use super::state::{GivenUp, State};
use super::transitions::{follow_charon, serve, unresolved};
use crate::failover::step::Step;

impl GivenUp {
    /// What charon reported of one of the connection's IKE_SAs.
    pub fn handle(self, c: &mut Common, event: IkeSaEvent, step: &mut Step) -> State {
        match event {
            // charon, or an operator by other means, initiates it.
            IkeSaEvent::Connecting { ike_sa, .. }
            | IkeSaEvent::LedFrom(LedFrom { new: ike_sa, .. }) => {
                c.gateways.forgive();
                let outage = Outage::begin(step.now.monotonic);
                follow_charon(c, outage, ike_sa, step)
            }
            IkeSaEvent::Up { ike_sa } => serve(c, ike_sa, Some(self.outage), None, step),
            IkeSaEvent::Ended(ended) => match ended.reason.filter(|_| ended.unresolved) {
                Some(reason) => unresolved(c, &ended, reason, step),
                None => State::GivenUp(self),
            },
            _ => State::GivenUp(self),
        }
    }
}
