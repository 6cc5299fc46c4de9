// SPDX-License-Identifier: GPL-2.0-or-later

//! A connection that is wanted and has no tunnel.
//!
//! The state begins with a wish for the tunnel or with its loss, and ends with an IKE_SA that is up
//! ([`State::Serving`]), with the last retry ([`State::Exhausted`]), or when nothing is wanted any more
//! ([`State::Idle`]).

use std::time::Duration;

use super::attempt::{AttemptStage, Failure};
use super::common::Common;
use super::event::{Ended, IkeSaEvent, LedOn};
use super::state::{Progress, Recovering, State};
use super::transitions::{
    announce, attempt, ended_without_reason, fail_over, failed, failed_with, follow_charon,
    led_from, rest, serve, switch_to, went_on,
};
use crate::domain::reason::Reason;
use crate::failover::deadlines::Timer;
use crate::failover::step::Step;

impl Recovering {
    /// What charon reported of one of the connection's IKE_SAs.
    pub fn handle(mut self, c: &mut Common, event: IkeSaEvent, step: &mut Step) -> State {
        match event {
            IkeSaEvent::Connecting { ike_sa, cloned } => self.connecting(c, ike_sa, cloned, step),
            IkeSaEvent::Up { ike_sa } => self.up(c, ike_sa, step),
            IkeSaEvent::Replaced { old, new } if self.ike_sa() == Some(old) => {
                if c.is_up(new) {
                    serve(c, new, Some(self.outage), None, step)
                } else {
                    follow_charon(c, self.outage, new, step)
                }
            }
            IkeSaEvent::LedOn(led) => self.led_on(c, led, step),
            IkeSaEvent::LedFrom(led) if self.ike_sa() == Some(led.old) => {
                announce(c, &mut self, step);
                c.give_up(Some(led.old));
                led_from(c, self.outage, None, led, step)
            }
            IkeSaEvent::LedFrom(led) => {
                c.failed_at(&mut self.outage, &led.from, led.remote);
                self.connecting(c, led.new, led.cloned, step)
            }
            IkeSaEvent::Ended(ended) => self.ended(c, &ended, step),
            // It carries nothing, or it is not up.
            IkeSaEvent::Deleting { .. }
            | IkeSaEvent::Replaced { .. }
            | IkeSaEvent::ChildUp { .. }
            | IkeSaEvent::ChildFailed { .. }
            | IkeSaEvent::ChildrenDone { .. }
            | IkeSaEvent::Expired { .. }
            | IkeSaEvent::Silent { .. }
            | IkeSaEvent::CarriesNothing { .. } => State::Recovering(self),
        }
    }

    /// charon initiates an IKE_SA: for the attempt, or by itself.
    fn connecting(mut self, c: &mut Common, ike_sa: u32, cloned: bool, step: &mut Step) -> State {
        let gateway = c.gateway_of(ike_sa).unwrap_or_default();
        let Some(attempt) = self.attempting_mut() else {
            // charon, or an operator by other means, is faster than what was waited for.
            return follow_charon(c, self.outage, ike_sa, step);
        };
        if attempt.awaits(&gateway, cloned) {
            attempt.found(ike_sa);
            attempt.to.gateway.clone_from(&gateway);
            self.outage.trials.tried(&gateway);
            c.active = Some(gateway);
        } else if attempt.ike_sa().is_some() && attempt.ike_sa() == c.replaced_by(ike_sa) {
            // charon goes on with it in place of the attempt's: it was redirected, or tries the same gateway
            // once more.
            c.give_up(attempt.ike_sa());
            attempt.found(ike_sa);
            attempt.to.gateway.clone_from(&gateway);
            c.active = Some(gateway);
        } else if !step.separate_ike_sas || gateway != attempt.gateway() {
            // A second one, of a trap or an operator, does not compete with the attempt.
            c.give_up(Some(ike_sa));
            step.abandon(&c.name, &gateway, Some(ike_sa));
        }
        State::Recovering(self)
    }

    /// An IKE_SA is up, the attempt's or another one.
    fn up(mut self, c: &mut Common, ike_sa: u32, step: &mut Step) -> State {
        announce(c, &mut self, step);
        let gateway = c.gateway_of(ike_sa);
        if let Some(attempt) = self.attempting() {
            // Where each CHILD_SA has an IKE_SA of its own, the attempt goes on for its CHILD_SA.
            let is_beside_it =
                step.separate_ike_sas && gateway.as_deref() == Some(attempt.gateway());
            if attempt.ike_sa() != Some(ike_sa) && !is_beside_it {
                attempt.abandon(c, step);
            }
        }
        serve(c, ike_sa, Some(self.outage), None, step)
    }

    /// charon tries an IKE_SA again, at the gateway that was prepared.
    fn led_on(mut self, c: &mut Common, led: LedOn, step: &mut Step) -> State {
        c.failed_at(&mut self.outage, &led.from, led.remote);
        if self.ike_sa() != Some(led.ike_sa) {
            // It was given up before, or is to be terminated.
            return State::Recovering(self);
        }
        announce(c, &mut self, step);
        let failure = Failure {
            gateway: led.from,
            reason: Reason::PeerUnreachable,
            at: step.now.monotonic,
        };
        went_on(c, self.outage, led.ike_sa, failure, step)
    }

    /// An IKE_SA ended, the attempt's or another one.
    fn ended(mut self, c: &mut Common, ended: &Ended, step: &mut Step) -> State {
        if ended.reason.is_some() {
            c.failed_at(&mut self.outage, &ended.record.gateway, ended.record.remote);
        }
        let Some(attempt) = self.attempting_mut() else {
            return State::Recovering(self);
        };
        if attempt.is_pending() && attempt.ike_sa() == Some(ended.ike_sa) && ended.is_unexplained()
        {
            // Whether charon refused to begin is about to be reported; what is yet to be begun will be.
            attempt.lost_ike_sa();
            return State::Recovering(self);
        }
        let gateway = &ended.record.gateway;
        if !attempt.is_ended_by(ended.ike_sa, gateway, ended.unresolved) {
            return State::Recovering(self);
        }
        match ended.reason {
            Some(reason) => {
                announce(c, &mut self, step);
                failed_with(c, self.outage, None, ended, reason, step)
            }
            None => {
                let attempts = self.progress.attempt().into_iter();
                ended_without_reason(c, self.outage, attempts, step)
            }
        }
    }

    /// The attempt failed.
    pub fn attempt_failed(mut self, c: &mut Common, reason: Reason, step: &mut Step) -> State {
        let Some(attempt) = self.attempting() else {
            return State::Recovering(self);
        };
        let (gateway, address) = (attempt.gateway().to_owned(), attempt.address(c));
        if reason == Reason::AddressUnresolvable {
            c.gateways.looked_up(&gateway, Vec::new());
        }
        announce(c, &mut self, step);
        c.failed_at(&mut self.outage, &gateway, address);
        failed(c, self.outage, &gateway, reason, step)
    }

    /// charon was called for the attempt and has returned.
    pub fn initiated(
        mut self,
        c: &mut Common,
        begun: bool,
        asked: &[String],
        step: &mut Step,
    ) -> State {
        let Some(attempt) = self.attempting_mut() else {
            return State::Recovering(self);
        };
        match attempt.stage {
            AttemptStage::EndedEarly { .. } if begun => {
                let attempts = self.progress.attempt().into_iter();
                ended_without_reason(c, self.outage, attempts, step)
            }
            AttemptStage::EndedEarly { .. } => self.attempt_failed(c, Reason::InitiateFailed, step),
            AttemptStage::Initiating {
                ike_sa: Some(id), ..
            } => {
                attempt.stage = AttemptStage::Connecting(id);
                if begun {
                    c.initiate_late_children(id, asked, step);
                }
                State::Recovering(self)
            }
            AttemptStage::Initiating { .. } if !begun => {
                self.attempt_failed(c, Reason::InitiateFailed, step)
            }
            AttemptStage::Initiating { config, .. } => match c.live_ike_sa() {
                Some(live) if c.is_up(live) => self.up(c, live, step),
                Some(live) => follow_charon(c, self.outage, live, step),
                None => {
                    attempt.stage = AttemptStage::Reused { config };
                    State::Recovering(self)
                }
            },
            _ => State::Recovering(self),
        }
    }

    /// A deadline has come.
    pub fn expired(self, c: &mut Common, timer: Timer, step: &mut Step) -> State {
        match (timer, self.progress) {
            (Timer::Retry, Progress::Backoff { gateway, .. }) => {
                attempt(c, self.outage, gateway, step)
            }
            (Timer::Check, Progress::Checking(failure)) => fail_over(c, self.outage, failure, step),
            (Timer::Connect, Progress::Connecting(attempt)) => {
                let reason = attempt.reason_of_timeout(c);
                attempt.abandon(c, step);
                let progress = Progress::Connecting(attempt);
                let outage = self.outage;
                Self { outage, progress }.attempt_failed(c, reason, step)
            }
            (_, progress) => {
                let outage = self.outage;
                State::Recovering(Self { outage, progress })
            }
        }
    }

    /// When it has to be looked at again. How long an attempt at an only gateway takes is left to charon: a slow
    /// set-up must be able to finish where giving it up gains nothing.
    pub fn deadlines(&self, c: &Common) -> Vec<(Timer, Duration)> {
        let timeout = c.policy.connect_timeout;
        match &self.progress {
            Progress::Backoff { until, .. } => vec![(Timer::Retry, *until)],
            _ if timeout.is_zero() || !c.has_alternative(Some(&self.outage)) => Vec::new(),
            Progress::Checking(failure) => {
                vec![(Timer::Check, failure.at.saturating_add(timeout))]
            }
            Progress::Connecting(attempt) => {
                vec![(Timer::Connect, attempt.since.saturating_add(timeout))]
            }
            Progress::Queued { .. } => Vec::new(),
        }
    }

    /// The tunnel, or more CHILD_SAs, are asked for; returns the gateway that is tried.
    pub fn initiate(self, c: &mut Common, asked: Vec<String>, step: &mut Step) -> (State, String) {
        match self.progress {
            Progress::Backoff { gateway, .. } => {
                let state = attempt(c, self.outage, gateway.clone(), step);
                (state, gateway)
            }
            Progress::Connecting(ref attempt) => {
                let gateway = attempt.gateway().to_owned();
                // Without an IKE_SA the attempt has yet to begin, or is caught up with then.
                if let Some(ike_sa) = attempt.ike_sa() {
                    step.initiate_children(&c.name, ike_sa, asked);
                }
                (State::Recovering(self), gateway)
            }
            Progress::Queued { ref gateway }
            // The next one follows.
            | Progress::Checking(Failure { ref gateway, .. }) => {
                let gateway = gateway.clone();
                (State::Recovering(self), gateway)
            }
        }
    }

    /// An operator asks for a gateway.
    pub fn switch(mut self, c: &mut Common, from: &str, to: String, step: &mut Step) -> State {
        self.outage.forgive();
        if let Some(attempt) = self.attempting() {
            if attempt.gateway() == to {
                return State::Recovering(self);
            }
            attempt.abandon(c, step);
        }
        switch_to(c, self.outage, from, to, step)
    }

    /// A new configuration gives what waits another start, and ends what leads to a gateway that is gone.
    pub fn reconfigured(self, c: &mut Common, step: &mut Step) -> State {
        let is_gone = |gateway: &str| c.gateways.find(gateway).is_none();
        let next = match &self.progress {
            Progress::Backoff { gateway, .. } if !is_gone(gateway) => Some(gateway.clone()),
            Progress::Backoff { .. } => c.gateways.first(),
            Progress::Queued { gateway } if is_gone(gateway) => c.gateways.first(),
            Progress::Connecting(attempt)
                if attempt.ike_sa().is_none() && is_gone(attempt.gateway()) =>
            {
                attempt.abandon(c, step);
                c.gateways.first()
            }
            _ => return State::Recovering(self),
        };
        match next {
            Some(gateway) => attempt(c, self.outage, gateway, step),
            None => rest(c),
        }
    }
}
