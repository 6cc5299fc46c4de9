// SPDX-License-Identifier: GPL-2.0-or-later

//! A connection that failed over as often as is allowed, and still has no tunnel.
//!
//! It stays wanted: when the wait is over, each gateway is tried once more ([`State::Recovering`]). A new wish for
//! the tunnel, by a client or as charon initiates it, ends the wait as well.

use std::time::Duration;

use super::common::Common;
use super::event::{IkeSaEvent, LedFrom};
use super::outage::Outage;
use super::state::{Exhausted, State};
use super::transitions::{begin_failover, follow_charon, rest, serve, unresolved};
use crate::failover::deadlines::Timer;
use crate::failover::step::Step;

impl Exhausted {
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
                None => State::Exhausted(self),
            },
            _ => State::Exhausted(self),
        }
    }

    /// A deadline has come.
    pub fn expired(self, c: &mut Common, timer: Timer, step: &mut Step) -> State {
        if timer != Timer::Retry {
            return State::Exhausted(self);
        }
        let Self {
            outage, failure, ..
        } = self;
        let from = failure.gateway;
        let Some(next) = c.select(&outage, &from, step).best().cloned() else {
            return rest(c);
        };
        begin_failover(c, outage, &from, next, failure.reason, Duration::ZERO, step)
    }

    /// When it has to be looked at again.
    pub fn deadlines(&self) -> Vec<(Timer, Duration)> {
        let until = self.until.into_iter();
        until.map(|until| (Timer::Retry, until)).collect()
    }
}
