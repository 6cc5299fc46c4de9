// SPDX-License-Identifier: GPL-2.0-or-later

//! How a connection gets from state to state. Each function takes what the former state leaves and returns
//! the next state.

use std::collections::BTreeSet;
use std::time::Duration;

use super::attempt::{Attempt, AttemptStage, Failure, Origin};
use super::common::Common;
use super::event::{Ended, LedFrom};
use super::network::EarlyTries;
use super::outage::{Limit, Outage};
use super::state::{Candidate, Exhausted, Idle, Progress, Recovering, Recovery, Serving, State};
use crate::domain::reason::Reason;
use crate::error::ErrorCode;
use crate::failover::event::Event;
use crate::failover::history::Outcome;
use crate::failover::ike_sa::IkeSaRecord;
use crate::failover::selection::{Considered, Standing, Trials};
use crate::failover::step::{Effect, Failover, Step};

/// A gateway whose IKE_SA or attempt failed.
pub(super) struct Lost {
    pub gateway: String,
    pub reason: Reason,
    /// The CHILD_SAs that were up on it.
    pub children: BTreeSet<String>,
}

/// Nothing is wanted any more.
pub(super) fn rest(c: &mut Common) -> State {
    c.rest();
    State::Idle(Idle::default())
}

/// Nothing is wanted any more: attempts of which charon has reported no IKE_SA end. Those that have one
/// are the caller's concern.
pub(super) fn end_attempts<'a>(
    c: &mut Common,
    attempts: impl Iterator<Item = &'a Attempt>,
    step: &mut Step,
) -> State {
    step.conclude(Outcome::Abandoned);
    for attempt in attempts.filter(|attempt| attempt.is_unseen()) {
        step.abandon(&c.name, attempt.gateway(), None);
    }
    rest(c)
}

/// Tries the gateway, or waits for its turn.
pub(super) fn attempt(
    c: &mut Common,
    mut outage: Outage,
    gateway: String,
    step: &mut Step,
) -> State {
    c.active = Some(gateway.clone());
    let progress = if step.has_room {
        outage.trials.tried(&gateway);
        Progress::Connecting(Attempt::request(c, &gateway, step))
    } else {
        Progress::Queued { gateway }
    };
    State::Recovering(Recovering { outage, progress })
}

/// charon tries a gateway by itself: that is the attempt.
pub(super) fn follow_charon(c: &mut Common, outage: Outage, ike_sa: u32, step: &mut Step) -> State {
    State::Recovering(follow(c, outage, ike_sa, Origin::Charon, step))
}

fn follow(
    c: &mut Common,
    mut outage: Outage,
    ike_sa: u32,
    origin: Origin,
    step: &mut Step,
) -> Recovering {
    let gateway = c.gateway_of(ike_sa).unwrap_or_default();
    c.active = Some(gateway.clone());
    outage.trials.tried(&gateway);
    let attempt = Attempt::of_charon(&gateway, ike_sa, origin, step);
    let progress = Progress::Connecting(attempt);
    Recovering { outage, progress }
}

/// An operator's switch, which is under way already, is all that is left.
pub(super) fn promote(
    c: &mut Common,
    mut outage: Outage,
    candidate: Candidate,
    step: &mut Step,
) -> State {
    let Candidate {
        attempt, trials, ..
    } = candidate;
    outage.trials.join(trials);
    outage.trials.tried(attempt.gateway());
    outage.retries = 1;
    c.active = Some(attempt.gateway().to_owned());
    if let Some(connecting) = c
        .connecting_ike_sa()
        .filter(|id| attempt.ike_sa() != Some(*id))
    {
        // charon's own, to the gateway that is to be left.
        let gateway = c.gateway_of(connecting).unwrap_or_default();
        c.give_up(Some(connecting));
        step.abandon(&c.name, &gateway, Some(connecting));
    }
    let progress = Progress::Connecting(attempt);
    State::Recovering(Recovering { outage, progress })
}

/// The IKE_SA that carried the connection, or its attempt, failed. What carries it from now on: another
/// IKE_SA that is up, an operator's switch, an IKE_SA that charon makes by itself, or the next gateway.
pub(super) fn lost(
    c: &mut Common,
    mut outage: Outage,
    candidate: Option<Candidate>,
    lost: Lost,
    step: &mut Step,
) -> State {
    let Lost {
        gateway,
        reason,
        children,
    } = lost;
    if step.separate_ike_sas && c.up_ike_sa().is_none_or(|up| !c.carries(up, &children)) {
        // What is up has its own CHILD_SAs, and is no successor of the lost one.
        if !reason.comes_from_the_gateway() {
            c.abandon_all_at(&gateway, step);
        } else if let Some(up) = c.up_ike_sa() {
            c.initiate_missing(up, children, step);
        }
    }
    if let Some(ike_sa) = c.up_ike_sa() {
        c.failed(&mut outage, &gateway, None, reason);
        return serve(c, ike_sa, Some(outage), candidate, step);
    }
    if let Some(candidate) = candidate {
        c.failed(&mut outage, &gateway, None, reason);
        return promote(c, outage, candidate, step);
    }
    let connecting = c.connecting_ike_sa();
    if let Some(ike_sa) = connecting.filter(|id| may_follow(c, &outage, *id, &gateway, reason)) {
        c.failed(&mut outage, &gateway, None, reason);
        return follow_charon(c, outage, ike_sa, step);
    }
    if let Some(ike_sa) = connecting {
        c.give_up(Some(ike_sa));
        step.abandon(&c.name, &gateway, Some(ike_sa));
    }
    failed(c, outage, &gateway, reason, step)
}

/// The gateway failed: what comes next depends on a configuration that others may have changed.
pub(super) fn failed(
    c: &mut Common,
    outage: Outage,
    gateway: &str,
    reason: Reason,
    step: &mut Step,
) -> State {
    c.abandon_superseded(gateway, step);
    if step.separate_ike_sas {
        c.abandon_all_at(gateway, step);
    }
    let failure = Failure {
        gateway: gateway.to_owned(),
        reason,
        at: step.now.monotonic,
    };
    if c.foreign {
        step.check(&c.name);
        let progress = Progress::Checking(failure);
        State::Recovering(Recovering { outage, progress })
    } else {
        fail_over(c, outage, failure, step)
    }
}

/// The next gateway, unless there is none or it failed too often.
pub(super) fn fail_over(
    c: &mut Common,
    mut outage: Outage,
    failure: Failure,
    step: &mut Step,
) -> State {
    let Failure {
        gateway: from,
        reason,
        ..
    } = failure;
    // It accepted the IKE_SA in this outage already.
    let throws_out = reason == Reason::PeerDeleted && outage.trials.has_tried(&from);
    outage.trials.tried(&from);
    let set_aside_until = || step.now.monotonic.saturating_add(c.policy.cool_down);
    let set_aside_until = (reason.is_refusal() || throws_out).then(set_aside_until);
    let best = c.select(&outage, &from, step).best().cloned();
    if let Some(Considered {
        standing: Standing::OtherAddress(_),
        ..
    }) = best
    {
        return try_next_address(c, outage, from, reason, step);
    }
    c.gateways.failed(&from, reason, set_aside_until);
    step.conclude(Outcome::Failed(reason));
    // It may be set aside by now.
    let Some(next) = c.select(&outage, &from, step).best().cloned() else {
        let code = ErrorCode::NoAlternativeSegw;
        let reason = reason.as_str();
        step.report(
            &c.name,
            code,
            format!("gateway {from} failed ({reason}), there is no other"),
        );
        return rest(c);
    };
    match delay_before(c, &mut outage, next.standing, step) {
        Some(delay) => begin_failover(c, outage, &from, next, reason, delay, step),
        None => {
            let failure = Failure {
                gateway: from,
                reason,
                at: step.now.monotonic,
            };
            exhaust(c, outage, failure, step)
        }
    }
}

/// The delay before a gateway of that standing is tried, which may begin the next round; None if the retries are used
/// up.
pub(super) fn delay_before(
    c: &Common,
    outage: &mut Outage,
    standing: Standing,
    step: &Step,
) -> Option<Duration> {
    let repetition = match standing {
        Standing::OtherAddress(_) | Standing::Eligible => None,
        Standing::SetAside(_) => outage.trials.repetition(),
        Standing::Tried | Standing::Refused(_) => {
            if outage.limit == Limit::Reached || !c.policy.allows(outage.retries) {
                return None;
            }
            Some(outage.trials.next_round())
        }
    };
    let delay = |repetition| c.policy.delay(repetition, step.now.random);
    Some(repetition.map_or(Duration::ZERO, delay))
}

/// The connection goes to that gateway, at once or after the delay.
pub(super) fn begin_failover(
    c: &mut Common,
    mut outage: Outage,
    from: &str,
    next: Considered,
    reason: Reason,
    delay: Duration,
    step: &mut Step,
) -> State {
    outage.retries += 1;
    step.failover_started(Failover {
        name: &c.name,
        from,
        to: &next.gateway,
        reason,
        attempt: outage.retries,
    });
    attempt_after(c, outage, next.gateway, delay, step)
}

/// Tries the gateway when the delay is over.
pub(super) fn attempt_after(
    c: &mut Common,
    outage: Outage,
    gateway: String,
    delay: Duration,
    step: &mut Step,
) -> State {
    if delay.is_zero() {
        return attempt(c, outage, gateway, step);
    }
    step.waits(&c.name, Some(delay));
    let until = step.now.monotonic.saturating_add(delay);
    let progress = Progress::Backoff { until, gateway };
    State::Recovering(Recovering { outage, progress })
}

/// The gateway is a name with other addresses, which come before the next gateway. All of them are
/// one step of a failover.
fn try_next_address(
    c: &mut Common,
    mut outage: Outage,
    gateway: String,
    reason: Reason,
    step: &mut Step,
) -> State {
    c.gateways.failed(&gateway, reason, None);
    if outage.retries == 0 {
        outage.retries = 1;
        step.failover_started(Failover {
            name: &c.name,
            from: &gateway,
            to: &gateway,
            reason,
            attempt: 1,
        });
    }
    attempt(c, outage, gateway, step)
}

/// The retries are used up and the round is over: the connection waits for the next one.
pub(super) fn exhaust(c: &Common, mut outage: Outage, failure: Failure, step: &mut Step) -> State {
    let retries = outage.retries;
    let Failure {
        ref gateway,
        reason,
        ..
    } = failure;
    let reason = reason.as_str();
    let message = format!("gateway {gateway} failed ({reason}) after {retries} failovers");
    step.report(&c.name, ErrorCode::MaxRetryExceeded, message);
    if outage.limit == Limit::NotReached {
        outage.limit = Limit::Reached;
        step.effect(Effect::Exhausted);
        step.publish(Event::FailoverExhausted {
            connection: c.name.clone(),
            retries,
        });
    }
    outage.forgive();
    let delay = c.policy.exhausted_delay(step.now.random);
    step.waits(&c.name, delay);
    let until = delay.map(|delay| step.now.monotonic.saturating_add(delay));
    State::Exhausted(Exhausted {
        outage,
        failure,
        until,
    })
}

/// charon replaces the IKE_SA that carried the connection, or its attempt, by a new one to the gateway
/// that was prepared.
pub(super) fn led_from(
    c: &mut Common,
    mut outage: Outage,
    candidate: Option<Candidate>,
    led: LedFrom,
    step: &mut Step,
) -> State {
    let LedFrom {
        old,
        new,
        from,
        remote,
        reason,
        ..
    } = led;
    c.failed_at(&mut outage, &from, remote);
    let to = c.gateway_of(new).unwrap_or_default();
    let returns = to != from && outage.trials.has_tried(&to);
    if c.up_ike_sa().is_some() || candidate.is_some() || returns {
        // Another IKE_SA of the connection is up, or an operator's switch is on its way, or it is to wait for the
        // next round.
        c.give_up(Some(new));
        step.abandon(&c.name, &to, Some(new));
        let lost_to = Lost {
            gateway: from,
            reason,
            children: c.children_of(old),
        };
        return lost(c, outage, candidate, lost_to, step);
    }
    let failure = Failure {
        gateway: from,
        reason,
        at: step.now.monotonic,
    };
    let state = went_on(c, outage, new, failure, step);
    c.adopt(new, step);
    state
}

/// charon has failed over by itself. Others may have removed their connection meanwhile, so that it is
/// announced when that is known.
pub(super) fn went_on(
    c: &mut Common,
    mut outage: Outage,
    ike_sa: u32,
    failure: Failure,
    step: &mut Step,
) -> State {
    c.gateways.failed(&failure.gateway, failure.reason, None);
    outage.trials.tried(&failure.gateway);
    c.abandon_superseded(&failure.gateway, step);
    outage.retries += 1;
    let mut state = follow(c, outage, ike_sa, Origin::CharonAfter(failure), step);
    if c.foreign {
        step.check(&c.name);
    } else {
        announce(c, &mut state, step);
    }
    State::Recovering(state)
}

/// The IKE_SA that carried the connection, or its attempt, ended as its gateway failed.
pub(super) fn failed_with(
    c: &mut Common,
    mut outage: Outage,
    candidate: Option<Candidate>,
    ended: &Ended,
    reason: Reason,
    step: &mut Step,
) -> State {
    c.failed_at(&mut outage, &ended.record.gateway, ended.record.remote);
    if reason == Reason::PeerDeleted && ended.record.children.is_empty() {
        for child in ended.record.closed_with_the_ike_sa(step.now.monotonic) {
            c.wanted.want(child);
        }
    }
    let gateway = ended.record.gateway.clone();
    let first = c.gateways.first().filter(|_| {
        let is_first = c.gateways.list().is_first_entry(&gateway);
        reason == Reason::AddressUnresolvable && !ended.is_clone && !is_first
    });
    match first {
        // charon took an entry before it that cannot be initiated to.
        Some(first) => attempt(c, outage, first, step),
        None => {
            let children = ended.record.children.clone();
            let lost_to = Lost {
                gateway,
                reason,
                children,
            };
            lost(c, outage, candidate, lost_to, step)
        }
    }
}

/// As nothing was under way, charon made an IKE_SA by itself, with which it could not even begin, as no address
/// of the peer resolves: the tunnel is wanted.
pub(super) fn unresolved(c: &mut Common, ended: &Ended, reason: Reason, step: &mut Step) -> State {
    c.gateways.forgive();
    let outage = Outage::begin(step.now.monotonic);
    failed_with(c, outage, None, ended, reason, step)
}

/// What carried the connection, or was to, ended, and no failure of the gateway was seen. Another IKE_SA carries
/// it from now on, if there is one.
pub(super) fn ended_without_reason<'a>(
    c: &mut Common,
    outage: Outage,
    attempts: impl Iterator<Item = &'a Attempt>,
    step: &mut Step,
) -> State {
    if let Some(ike_sa) = c.up_ike_sa() {
        serve(c, ike_sa, Some(outage), None, step)
    } else if let Some(ike_sa) = c.connecting_ike_sa() {
        follow_charon(c, outage, ike_sa, step)
    } else {
        end_attempts(c, attempts, step)
    }
}

/// An operator asks for a gateway, and what there was has been dealt with.
pub(super) fn switch_to(
    c: &mut Common,
    mut outage: Outage,
    from: &str,
    to: String,
    step: &mut Step,
) -> State {
    outage.retries = 0;
    step.conclude(Outcome::Abandoned);
    if to != from {
        outage.retries = 1;
        step.failover_started(Failover {
            name: &c.name,
            from,
            to: &to,
            reason: Reason::Operator,
            attempt: 1,
        });
    }
    attempt(c, outage, to, step)
}

/// That IKE_SA carries the connection from now on, and ends the outage, with its first CHILD_SA at the
/// latest.
pub(super) fn serve(
    c: &mut Common,
    ike_sa: u32,
    outage: Option<Outage>,
    candidate: Option<Candidate>,
    step: &mut Step,
) -> State {
    c.active = c.gateway_of(ike_sa);
    let outage = outage.unwrap_or_else(|| Outage::begin(step.now.monotonic));
    let mut serving = Serving {
        ike_sa,
        recovery: Recovery::Awaited(outage),
        candidate,
        tries: 0,
    };
    end_outage(c, &mut serving, step);
    State::Serving(serving)
}

/// An IKE_SA that was up all along carries the connection, which is loaded again.
pub(super) fn resume(c: &mut Common, ike_sa: u32, step: &Step) -> State {
    c.active = c.gateway_of(ike_sa);
    let up = c.ike_sas.get(&ike_sa).and_then(IkeSaRecord::up);
    State::Serving(Serving {
        ike_sa,
        recovery: Recovery::Done {
            since: up.map_or(step.now.monotonic, |up| up.since),
            trials: Trials::default(),
            early: EarlyTries::default(),
        },
        candidate: None,
        tries: 0,
    })
}

/// Ends the outage, unless there has to be a CHILD_SA and there is none.
pub(super) fn end_outage(c: &mut Common, serving: &mut Serving, step: &mut Step) {
    let Some(known) = c.ike_sas.get(&serving.ike_sa) else {
        return;
    };
    if known.children.is_empty() && c.needs_child() {
        return;
    }
    if let Recovery::Awaited(outage) = &mut serving.recovery {
        let gateway = known.gateway.clone();
        c.recovered(&gateway, outage, step);
        serving.recovery = Recovery::Done {
            since: step.now.monotonic,
            trials: std::mem::take(&mut outage.trials),
            early: std::mem::take(&mut outage.early).without_news(),
        };
    }
}

/// Announces the failover that charon made by itself, if it is not announced yet.
pub(super) fn announce(c: &Common, state: &mut Recovering, step: &mut Step) {
    let Progress::Connecting(attempt) = &mut state.progress else {
        return;
    };
    let Origin::CharonAfter(failure) = &attempt.origin else {
        return;
    };
    step.conclude(Outcome::Failed(failure.reason));
    step.failover_started(Failover {
        name: &c.name,
        from: &failure.gateway,
        to: attempt.gateway(),
        reason: failure.reason,
        attempt: state.outage.retries,
    });
    attempt.origin = Origin::Charon;
}

/// Tells clients when CHILD_SAs that are wanted begin to be missing while the IKE_SA is up, and when that ends.
pub(super) fn tell_missing(c: &mut Common, missing: Vec<String>, step: &mut Step) {
    let connection = || c.name.clone();
    match (c.told_missing.is_empty(), missing.is_empty()) {
        (true, false) => step.publish(Event::DegradedStarted {
            connection: connection(),
            missing: missing.clone(),
        }),
        (false, true) => step.publish(Event::DegradedEnded {
            connection: connection(),
        }),
        _ => {}
    }
    c.told_missing = missing;
}

/// An IKE_SA ended. An attempt for which charon took that one, which was about to end, has none: it
/// is to be made again.
pub(super) fn repeat_reused(c: &mut Common, state: State, step: &mut Step) -> State {
    match state {
        State::Recovering(Recovering {
            outage,
            progress: Progress::Connecting(known),
        }) if matches!(known.stage, AttemptStage::Reused { .. }) && c.ike_sas.is_empty() => {
            attempt(c, outage, known.to.gateway, step)
        }
        state => state,
    }
}

/// Whether an IKE_SA that charon makes by itself is followed when the gateway failed: one to a gateway that
/// is dead is not, if there is an alternative. The addresses of a name are told apart only where charon is
/// asked.
fn may_follow(c: &Common, outage: &Outage, ike_sa: u32, from: &str, reason: Reason) -> bool {
    let is_dead = matches!(reason, Reason::DpdTimeout | Reason::LivenessTimeout);
    let same = c.gateway_of(ike_sa).as_deref() == Some(from) && !c.gateways.is_name(from);
    if reason == Reason::PeerDeleted && outage.trials.has_tried(from) {
        // charon's own reaction to a gateway that deletes what it has accepted has no delays.
        return c.replaced_by(ike_sa).is_none();
    }
    !is_dead || !same || !c.has_alternative(Some(outage))
}
