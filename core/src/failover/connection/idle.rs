// SPDX-License-Identifier: GPL-2.0-or-later

//! A connection of which nothing is wanted.
//!
//! The state ends with a wish for the tunnel, by a client or as charon initiates it. An IKE_SA that was taken
//! down may still be there in it, about to be deleted.

use super::common::Common;
use super::event::{Ended, IkeSaEvent};
use super::outage::Outage;
use super::state::{Idle, State};
use super::transitions::{ended_without_reason, follow_charon, serve, unresolved};
use crate::failover::step::Step;

impl Idle {
    /// What charon reported of one of the connection's IKE_SAs.
    pub fn handle(self, c: &mut Common, event: IkeSaEvent, step: &mut Step) -> State {
        match event {
            // Of an attempt that was terminated before charon reported it.
            IkeSaEvent::Connecting { ike_sa, .. } if self.terminating => {
                c.give_up(Some(ike_sa));
                State::Idle(self)
            }
            // charon, or an operator by other means, initiates it.
            IkeSaEvent::Connecting { ike_sa, .. } => {
                let outage = Outage::begin(step.now.monotonic);
                follow_charon(c, outage, ike_sa, step)
            }
            IkeSaEvent::Up { ike_sa } => serve(c, ike_sa, None, None, step),
            IkeSaEvent::LedFrom(led) => {
                let connecting = IkeSaEvent::Connecting {
                    ike_sa: led.new,
                    cloned: led.cloned,
                };
                self.handle(c, connecting, step)
            }
            IkeSaEvent::Ended(ended) => self.ended(c, &ended, step),
            _ => State::Idle(self),
        }
    }

    /// Only one that charon could not even begin with, as no address of the peer resolves, is a wish for the
    /// tunnel.
    fn ended(self, c: &mut Common, ended: &Ended, step: &mut Step) -> State {
        if !ended.unresolved {
            return State::Idle(self);
        }
        match ended.reason {
            Some(reason) => unresolved(c, ended, reason, step),
            None => {
                let outage = Outage::begin(step.now.monotonic);
                ended_without_reason(c, outage, [].into_iter(), step)
            }
        }
    }
}
