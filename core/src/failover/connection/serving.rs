// SPDX-License-Identifier: GPL-2.0-or-later

//! A connection whose tunnel is up.
//!
//! The state begins with an IKE_SA that is up, passes on to the IKE_SA that takes its place, and ends with
//! its failure ([`State::Recovering`]) or its end for another reason ([`State::Idle`]). While the IKE_SA is
//! being deleted by us, the state holds until that is done, or another IKE_SA carries the connection.

use std::net::IpAddr;
use std::time::Duration;

use super::attempt::{Attempt, AttemptStage};
use super::common::Common;
use super::event::{Ended, IkeSaEvent, LedFrom};
use super::outage::Outage;
use super::state::{Candidate, Purpose, Serving, State};
use super::transitions::{
    attempt, end_attempts, end_outage, failed_with, follow_charon, led_from, lost, promote, serve,
    Lost,
};
use crate::domain::reason::Reason;
use crate::error::ErrorCode;
use crate::failover::deadlines::Timer;
use crate::failover::history::Outcome;
use crate::failover::ike_sa::liveness::Pace;
use crate::failover::selection::Trials;
use crate::failover::step::{Failover, Step};

impl Serving {
    /// What charon reported of one of the connection's IKE_SAs.
    pub fn handle(mut self, c: &mut Common, event: IkeSaEvent, step: &mut Step) -> State {
        match event {
            IkeSaEvent::Connecting { ike_sa, .. } => {
                self.connecting(c, ike_sa);
                State::Serving(self)
            }
            IkeSaEvent::Up { ike_sa } => self.up(c, ike_sa, step),
            IkeSaEvent::Deleting { ike_sa } if ike_sa == self.ike_sa => match c.up_ike_sa() {
                // By make-before-break reauthentication, for example.
                Some(next) => self.pass_on(c, next, step),
                None => State::Serving(self),
            },
            IkeSaEvent::Replaced { old, new } if old == self.ike_sa => {
                if c.is_up(new) || self.candidate.is_some() {
                    self.ike_sa = new;
                    State::Serving(self)
                } else {
                    let outage = self.into_outage(step.now.monotonic);
                    follow_charon(c, outage, new, step)
                }
            }
            IkeSaEvent::ChildUp { ike_sa } if ike_sa == self.ike_sa => {
                self.tries = 0;
                end_outage(c, &mut self, step);
                State::Serving(self)
            }
            IkeSaEvent::ChildFailed { ike_sa } if ike_sa == self.ike_sa => {
                let refused = c.wanted.refused(&c.policy, step.now);
                self.child_failed(c, refused, step)
            }
            IkeSaEvent::ChildrenDone { ike_sa } if ike_sa == self.ike_sa => {
                c.wanted.done(&c.policy, step.now);
                State::Serving(self)
            }
            // Its end would not name its gateway as the cause, and its deletion may not be answered.
            IkeSaEvent::Expired { ike_sa } if ike_sa == self.ike_sa => {
                self.discard(c, Reason::IkeSaExpired, step)
            }
            IkeSaEvent::Silent { ike_sa } if ike_sa == self.ike_sa => self.silent(c, step),
            IkeSaEvent::CarriesNothing { ike_sa } if ike_sa == self.ike_sa => {
                step.delete(&c.name, ike_sa);
                self.discard(c, Reason::DataPath, step)
            }
            IkeSaEvent::LedFrom(led) if led.old == self.ike_sa => self.led_from(c, led, step),
            IkeSaEvent::LedFrom(led) => {
                self.connecting(c, led.new);
                State::Serving(self)
            }
            IkeSaEvent::Ended(ended) => self.ended(c, &ended, step),
            // Of another IKE_SA than the one that carries the connection.
            _ => State::Serving(self),
        }
    }

    /// Another IKE_SA that is up carries the tunnel.
    fn pass_on(self, c: &mut Common, ike_sa: u32, step: &mut Step) -> State {
        c.active = c.gateway_of(ike_sa);
        let mut next = Self {
            ike_sa,
            tries: 0,
            ..self
        };
        end_outage(c, &mut next, step);
        State::Serving(next)
    }

    /// The gateway failed.
    fn fail(self, c: &Common, reason: Reason, step: &Step) -> Outage {
        self.into_outage_after(reason, c.policy.stable_after, step.now.monotonic)
    }

    fn connecting(&mut self, c: &Common, ike_sa: u32) {
        let gateway = c.gateway_of(ike_sa);
        if let Some(candidate) = &mut self.candidate {
            let attempt = &mut candidate.attempt;
            if attempt.is_unseen() && gateway.as_deref() == Some(attempt.gateway()) {
                attempt.found(ike_sa);
            }
        }
    }

    /// An IKE_SA is up: that of the candidate takes over, and the present one goes.
    fn up(mut self, c: &mut Common, ike_sa: u32, step: &mut Step) -> State {
        let awaited = |candidate: &mut Candidate| candidate.attempt.ike_sa() == Some(ike_sa);
        if self.candidate.take_if(awaited).is_none() {
            // A second one, of a make-before-break reauthentication for example.
            end_outage(c, &mut self, step);
            return State::Serving(self);
        }
        let old = self.ike_sa;
        let mut outage = self.into_outage(step.now.monotonic);
        outage.retries = 1;
        let state = serve(c, ike_sa, Some(outage), None, step);
        c.give_up(Some(old));
        step.delete(&c.name, old);
        state
    }

    /// charon replaces the IKE_SA by a new one to the gateway that was prepared.
    fn led_from(mut self, c: &mut Common, led: LedFrom, step: &mut Step) -> State {
        c.give_up(Some(led.old));
        let candidate = self.candidate.take();
        let outage = self.fail(c, led.reason, step);
        led_from(c, outage, candidate, led, step)
    }

    /// An IKE_SA ended: that of the candidate, the one that carries the connection, or another one.
    fn ended(mut self, c: &mut Common, ended: &Ended, step: &mut Step) -> State {
        if let Some(candidate) = &mut self.candidate {
            let attempt = &mut candidate.attempt;
            let is_its = attempt.ike_sa() == Some(ended.ike_sa);
            if is_its && attempt.is_pending() && ended.is_unexplained() {
                // Whether charon refused to begin is about to be reported.
                attempt.lost_ike_sa();
                return State::Serving(self);
            }
            if attempt.is_ended_by(ended.ike_sa, &ended.record.gateway, ended.unresolved) {
                let address = ended.record.remote;
                self.candidate_failed(c, address, ended.reason, step);
                return State::Serving(self);
            }
        }
        if ended.ike_sa != self.ike_sa {
            return self.other_ended(c, ended, step);
        }
        let now = step.now.monotonic;
        let thrown_out = self.is_thrown_out(c, ended, now);
        match ended.reason.or(thrown_out.then_some(Reason::PeerDeleted)) {
            Some(reason) => {
                let candidate = self.candidate.take();
                let outage = self.fail(c, reason, step);
                failed_with(c, outage, candidate, ended, reason, step)
            }
            None => self.ended_without_reason(c, step),
        }
    }

    /// Whether the gateway soon deletes what it has accepted. charon, which is making another one by itself, is not
    /// followed then: both would go on without a pause.
    fn is_thrown_out(&self, c: &Common, ended: &Ended, now: Duration) -> bool {
        let made_by_charon = c
            .connecting_ike_sa()
            .is_some_and(|next| c.replaced_by(next) == Some(ended.ike_sa));
        ended.record.observed.is_deleted_by_peer()
            && c.up_ike_sa().is_none()
            && made_by_charon
            && !self.is_stable(c.policy.stable_after, now)
    }

    /// An IKE_SA ended that is not the one that carries the connection. Where each CHILD_SA has one of its own,
    /// its CHILD_SA is missing then.
    fn other_ended(mut self, c: &mut Common, ended: &Ended, step: &mut Step) -> State {
        let gateway = c.gateway_of(self.ike_sa);
        let same = gateway.as_ref() == Some(&ended.record.gateway);
        match ended.reason.filter(|_| step.separate_ike_sas && same) {
            Some(reason @ Reason::DpdTimeout) => {
                let candidate = self.candidate.take();
                let outage = self.fail(c, reason, step);
                failed_with(c, outage, candidate, ended, reason, step)
            }
            Some(Reason::PeerDeleted) => {
                c.initiate_missing(self.ike_sa, ended.record.children.clone(), step);
                State::Serving(self)
            }
            _ => State::Serving(self),
        }
    }

    /// The IKE_SA ended, and no failure of the gateway was seen.
    fn ended_without_reason(mut self, c: &mut Common, step: &mut Step) -> State {
        if let Some(ike_sa) = c.up_ike_sa() {
            return self.pass_on(c, ike_sa, step);
        }
        match (c.connecting_ike_sa(), self.candidate.take()) {
            (Some(_), Some(candidate)) => {
                let outage = self.into_outage(step.now.monotonic);
                promote(c, outage, candidate, step)
            }
            (Some(ike_sa), None) => {
                let outage = self.into_outage(step.now.monotonic);
                follow_charon(c, outage, ike_sa, step)
            }
            (None, candidate) => {
                let attempt = candidate.as_ref().map(|candidate| &candidate.attempt);
                end_attempts(c, attempt.into_iter(), step)
            }
        }
    }

    /// CHILD_SAs did not come up, or one of unknown name did not. Without any, after some tries, the IKE_SA is of no
    /// use.
    fn child_failed(mut self, c: &mut Common, is_wanted: bool, step: &mut Step) -> State {
        let known = c.ike_sas.get(&self.ike_sa);
        let bare = known.is_some_and(|known| known.stage.is_up() && known.children.is_empty());
        // The names of what others have loaded are not known before it is up.
        if !bare || !c.is_kept(self.outage()) || !is_wanted && !c.needs_child() {
            return State::Serving(self);
        }
        self.tries += 1;
        let limit = c.policy.on_child_failure.tries();
        if limit.is_none_or(|limit| self.tries < limit) {
            return State::Serving(self);
        }
        step.delete(&c.name, self.ike_sa);
        self.discard(c, Reason::ChildFailed, step)
    }

    /// The gateway gave no sign of life.
    fn silent(self, c: &mut Common, step: &mut Step) -> State {
        let gateway = c.gateway_of(self.ike_sa).unwrap_or_default();
        step.abandon(&c.name, &gateway, Some(self.ike_sa));
        self.discard(c, Reason::LivenessTimeout, step)
    }

    /// The IKE_SA is not to carry the connection any more.
    fn discard(mut self, c: &mut Common, reason: Reason, step: &mut Step) -> State {
        let Some(known) = c.ike_sas.get_mut(&self.ike_sa) else {
            return State::Serving(self);
        };
        known.close();
        let (gateway, remote) = (known.gateway.clone(), known.remote);
        let children = known.children.clone();
        let candidate = self.candidate.take();
        let mut outage = self.fail(c, reason, step);
        c.failed_at(&mut outage, &gateway, remote);
        let lost_to = Lost {
            gateway,
            reason,
            children,
        };
        lost(c, outage, candidate, lost_to, step)
    }

    /// The gateway that an operator asked for failed, or its IKE_SA ended for another reason: the present one
    /// stays, unless the gateway's name has other addresses.
    pub fn candidate_failed(
        &mut self,
        c: &mut Common,
        address: Option<IpAddr>,
        reason: Option<Reason>,
        step: &mut Step,
    ) {
        let Some(mut candidate) = self.candidate.take() else {
            return;
        };
        let gateway = candidate.attempt.gateway().to_owned();
        if let Some(address) = address.filter(|_| c.gateways.is_name(&gateway)) {
            candidate.trials.tried_address(&gateway, address);
        }
        let addresses = c.gateways.addresses(&gateway);
        let other = candidate.trials.untried(&gateway, addresses);
        if reason.is_some() && other.is_some() {
            candidate.attempt = Attempt::request(c, &gateway, step);
            self.candidate = Some(candidate);
            return;
        }
        let reason = reason.unwrap_or(candidate.purpose.reason());
        c.gateways.failed(&gateway, reason, None);
        if let Some(outage) = self.outage_mut() {
            outage.trials.tried(&gateway);
        }
        step.conclude(Outcome::Failed(reason));
        step.report(
            &c.name,
            ErrorCode::ConnectionTimeout,
            format!(
                "gateway {gateway} failed ({}), the present one stays",
                reason.as_str()
            ),
        );
    }

    /// The candidate's attempt failed.
    pub fn attempt_failed(mut self, c: &mut Common, reason: Reason, step: &mut Step) -> State {
        if let Some(candidate) = &self.candidate {
            let attempt = &candidate.attempt;
            let address = attempt.address(c);
            if reason == Reason::AddressUnresolvable {
                let gateway = attempt.gateway().to_owned();
                c.gateways.looked_up(&gateway, Vec::new());
            }
            self.candidate_failed(c, address, Some(reason), step);
        }
        State::Serving(self)
    }

    /// charon was called for the candidate's attempt and has returned.
    pub fn initiated(
        mut self,
        c: &mut Common,
        begun: bool,
        asked: &[String],
        step: &mut Step,
    ) -> State {
        let Some(candidate) = &mut self.candidate else {
            return State::Serving(self);
        };
        let stage = &mut candidate.attempt.stage;
        match *stage {
            AttemptStage::Initiating {
                ike_sa: Some(id), ..
            } => {
                *stage = AttemptStage::Connecting(id);
                if begun {
                    c.initiate_late_children(id, asked, step);
                }
            }
            AttemptStage::EndedEarly { .. } if begun => self.candidate_failed(c, None, None, step),
            AttemptStage::EndedEarly { .. } | AttemptStage::Initiating { .. } if !begun => {
                return self.attempt_failed(c, Reason::InitiateFailed, step);
            }
            AttemptStage::Initiating { config, .. } => *stage = AttemptStage::Reused { config },
            _ => {}
        }
        State::Serving(self)
    }

    /// A deadline has come.
    pub fn expired(self, c: &mut Common, timer: Timer, step: &mut Step) -> State {
        match timer {
            Timer::Switch => {
                let Some(candidate) = &self.candidate else {
                    return State::Serving(self);
                };
                let reason = candidate.attempt.reason_of_timeout(c);
                candidate.attempt.abandon(c, step);
                self.attempt_failed(c, reason, step)
            }
            Timer::Child => {
                let timed_out = c.wanted.timed_out(&c.policy, step.now);
                let is_over = self
                    .outage_deadline(c)
                    .is_some_and(|at| at <= step.now.monotonic);
                if timed_out || is_over {
                    self.child_failed(c, timed_out, step)
                } else {
                    State::Serving(self)
                }
            }
            Timer::Look => {
                let known = c.ike_sas.get_mut(&self.ike_sa);
                if let Some(up) = known.and_then(|known| known.up_mut()) {
                    step.look(&c.name, self.ike_sa, up.liveness.look());
                }
                State::Serving(self)
            }
            Timer::Path => {
                let known = c.ike_sas.get_mut(&self.ike_sa);
                if let Some(up) = known.and_then(|known| known.up_mut()) {
                    up.path.begin(step.now.monotonic);
                    step.check_path(&c.name, self.ike_sa);
                }
                State::Serving(self)
            }
            _ => State::Serving(self),
        }
    }

    /// When its traffic is to be looked at, where the liveness check is on.
    pub fn next_look(&self, c: &Common, pace: Pace) -> Option<(Timer, Duration)> {
        let up = c.ike_sas.get(&self.ike_sa)?.up()?;
        let at = up.liveness.next_look(&c.policy.liveness()?, pace)?;
        Some((Timer::Look, at))
    }

    /// When it has to be looked at again for other reasons.
    pub fn deadlines(&self, c: &Common) -> Vec<(Timer, Duration)> {
        let timeout = c.policy.connect_timeout;
        let child = self.child_deadline(c).into_iter();
        let child = child.chain(self.outage_deadline(c)).min();
        let mut deadlines: Vec<_> = child.map(|at| (Timer::Child, at)).into_iter().collect();
        if let Some(candidate) = self.candidate.as_ref().filter(|_| !timeout.is_zero()) {
            let since = candidate.attempt.since;
            deadlines.push((Timer::Switch, since.saturating_add(timeout)));
        }
        deadlines
    }

    /// When the next CHILD_SA is asked for again, or is not expected any more.
    fn child_deadline(&self, c: &Common) -> Option<Duration> {
        let is_up = c.is_up(self.ike_sa);
        is_up.then(|| c.wanted.next(c.policy.connect_timeout))?
    }

    /// Until when a CHILD_SA has to be up where only that ends the outage.
    fn outage_deadline(&self, c: &Common) -> Option<Duration> {
        let timeout = c.policy.connect_timeout;
        let up = c.ike_sas.get(&self.ike_sa)?.up()?;
        let is_limited = self.outage().is_some() && !timeout.is_zero();
        is_limited.then(|| up.since.saturating_add(timeout))
    }

    /// The tunnel, or more CHILD_SAs, are asked for; returns the gateway that is tried.
    pub fn initiate(
        mut self,
        c: &mut Common,
        asked: Vec<String>,
        first: String,
        step: &mut Step,
    ) -> (State, String) {
        if c.is_up(self.ike_sa) {
            let gateway = c.gateway_of(self.ike_sa).unwrap_or(first);
            c.initiate_missing(self.ike_sa, asked, step);
            return (State::Serving(self), gateway);
        }
        // It is being deleted, and the tunnel is wanted again.
        c.gateways.forgive();
        let outage = Outage::begin(step.now.monotonic);
        match self.candidate.take() {
            Some(candidate) => {
                let gateway = candidate.attempt.gateway().to_owned();
                (promote(c, outage, candidate, step), gateway)
            }
            None => (attempt(c, outage, first.clone(), step), first),
        }
    }

    /// An operator asks for a gateway.
    pub fn switch(mut self, c: &mut Common, from: &str, to: String, step: &mut Step) -> State {
        if let Some(outage) = self.outage_mut() {
            outage.forgive();
        }
        let is_up = c.is_up(self.ike_sa);
        if is_up && to == from {
            return State::Serving(self);
        }
        if let Some(previous) = self.candidate.take() {
            previous.attempt.abandon(c, step);
        }
        step.conclude(Outcome::Abandoned);
        if !is_up {
            let mut outage = self.into_outage(step.now.monotonic);
            outage.retries = 0;
            return attempt(c, outage, to, step);
        }
        step.failover_started(Failover {
            name: &c.name,
            from,
            to: &to,
            reason: Purpose::Operator.reason(),
            attempt: 1,
        });
        self.candidate = Some(Candidate {
            attempt: Attempt::request(c, &to, step),
            purpose: Purpose::Operator,
            trials: Trials::default(),
        });
        State::Serving(self)
    }

    /// A new configuration ends a switch to a gateway that is gone.
    pub fn reconfigured(mut self, c: &mut Common, step: &mut Step) -> State {
        let is_gone = |candidate: &mut Candidate| {
            let attempt = &candidate.attempt;
            attempt.ike_sa().is_none() && c.gateways.find(attempt.gateway()).is_none()
        };
        if let Some(candidate) = self.candidate.take_if(is_gone) {
            candidate.attempt.abandon(c, step);
            step.conclude(Outcome::Abandoned);
        }
        State::Serving(self)
    }
}
