// SPDX-License-Identifier: GPL-2.0-or-later

//! What the host's own network means for a connection.
//!
//! A connection that waits is tried at once when the network changes. Routing daemons and updown scripts change it
//! all the time, so the time between two such tries doubles until the connection has a tunnel that lasts.
//!
//! A gateway that has no route is not tried, and has not failed: another one is taken, and if none has a route the
//! connection waits for the network.

use std::time::Duration;

use super::attempt::{AttemptStage, Failure};
use super::common::Common;
use super::outage::Outage;
use super::state::{Exhausted, Progress, Recovering, Serving, State};
use super::transitions::{attempt, attempt_after, delay_before, exhaust, rest};
use super::Connection;
use crate::domain::policy::FailoverPolicy;
use crate::domain::reason::Reason;
use crate::error::ErrorCode;
use crate::failover::deadlines::Timer;
use crate::failover::history::Outcome;
use crate::failover::selection::Standing;
use crate::failover::step::{Failover, Step};

/// The waits of an outage that were cut short because the network changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::failover) struct EarlyTries {
    /// When the connection may be tried for a change that no wait was cut short for yet (monotonic).
    news: Option<Duration>,
    last: Option<EarlyTry>,
}

/// A try for which a wait was cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EarlyTry {
    /// When (monotonic).
    at: Duration,
    /// How many there were before it.
    before: u32,
}

impl EarlyTries {
    /// The network changed, for which the connection may be tried from that time on (monotonic).
    fn changed(&mut self, at: Duration) {
        self.news.get_or_insert(at);
    }

    /// When a wait until that time ends (monotonic).
    fn cut_short(&mut self, until: Duration, policy: &FailoverPolicy) -> Duration {
        let Some(news) = self.news.take() else {
            return until;
        };
        let (earliest, before) = match self.last {
            Some(last) => {
                let pause = policy.pause_between_changes(last.before);
                (last.at.saturating_add(pause), last.before.saturating_add(1))
            }
            None => (news, 0),
        };
        let at = earliest.max(news);
        if at >= until {
            return until;
        }
        self.last = Some(EarlyTry { at, before });
        at
    }

    /// The wait was not followed by an attempt, as there is still no route: looking for one costs nothing.
    fn was_no_attempt(&mut self) {
        if let Some(last) = &mut self.last {
            last.before = last.before.saturating_sub(1);
        }
    }

    /// The tunnel is up: what changed before then is of no interest any more.
    pub fn without_news(self) -> Self {
        Self { news: None, ..self }
    }
}

impl Connection {
    /// The network changed, for which the connection may be tried from that time on (monotonic).
    pub fn network_changed(&mut self, at: Duration) {
        if let Some(outage) = self.state.outage_mut() {
            outage.early.changed(at);
        }
        let c = &mut self.common;
        if let State::Serving(Serving { ike_sa, .. }) = &self.state {
            let known = c.ike_sas.get_mut(ike_sa);
            let up = known.and_then(|known| known.up_mut());
            if let Some(up) = up.filter(|_| c.policy.liveness().is_some()) {
                up.path.network_changed(at);
            }
        }
    }

    /// Whether a change of the network is of interest, and no earlier one is about to be looked at.
    pub fn heeds_network(&self) -> bool {
        let c = &self.common;
        let State::Serving(Serving { ike_sa, .. }) = &self.state else {
            return self.state.outage().is_some();
        };
        let up = c.ike_sas.get(ike_sa).and_then(|known| known.up());
        let is_looked_at = up.is_some_and(|up| up.path.due().is_some());
        self.state.outage().is_some() || c.policy.liveness().is_some() && !is_looked_at
    }

    /// Cuts the wait short in which a step left the connection, if the network has changed.
    pub fn heed_network(&mut self) {
        let policy = &self.common.policy;
        let (outage, until) = match &mut self.state {
            State::Recovering(Recovering {
                outage,
                progress: Progress::Backoff { until, .. },
            })
            | State::Exhausted(Exhausted {
                outage,
                until: Some(until),
                ..
            }) => (outage, until),
            _ => return,
        };
        *until = outage.early.cut_short(*until, policy);
    }
}

impl Connection {
    /// The gateway of the attempt that was about to be made has no route, or the configured own address is missing.
    pub fn no_route(&mut self, attempt: u64, step: &mut Step) {
        let Some((known, _)) = self.state.attempt_mut(attempt) else {
            return;
        };
        match known.stage {
            // charon has initiated it by itself meanwhile.
            AttemptStage::Initiating {
                ike_sa: Some(id), ..
            } => known.stage = AttemptStage::Connecting(id),
            AttemptStage::Initiating { ike_sa: None, .. } | AttemptStage::EndedEarly { .. } => {
                self.advance(|state, c| match state {
                    State::Recovering(state) => (state.no_route(c, step), ()),
                    State::Serving(state) => (state.attempt_failed(c, Reason::NoRoute, step), ()),
                    state => (state, ()),
                });
            }
            _ => {}
        }
    }
}

impl Serving {
    /// When it is to be looked whether the network has another way to the gateway.
    pub fn next_path_check(&self, c: &Common) -> Option<(Timer, Duration)> {
        let up = c.ike_sas.get(&self.ike_sa)?.up()?;
        Some((Timer::Path, up.path.due()?))
    }
}

impl Recovering {
    fn no_route(mut self, c: &mut Common, step: &mut Step) -> State {
        let Some(attempt) = self.attempting() else {
            return State::Recovering(self);
        };
        let gateway = attempt.gateway().to_owned();
        let address = attempt.to.address;
        c.failed_at(&mut self.outage, &gateway, address);
        c.gateways.failed(&gateway, Reason::NoRoute, None);
        pass_over(c, self.outage, &gateway, step)
    }
}

/// The gateway has no route: the next one is tried, or the network waited for. None of both counts as a retry.
fn pass_over(c: &mut Common, mut outage: Outage, from: &str, step: &mut Step) -> State {
    let Some(next) = c.select(&outage, from, step).best().cloned() else {
        let message = format!("gateway {from} has no route, there is no other");
        step.report(&c.name, ErrorCode::NoAlternativeSegw, message);
        step.conclude(Outcome::Failed(Reason::NoRoute));
        return rest(c);
    };
    if next.standing.begins_round() && c.gateways.lack_routes() {
        return wait_for_network(c, outage, from, next.gateway, step);
    }
    step.no_route(&c.name, from, None);
    if let Standing::OtherAddress(_) = next.standing {
        return attempt(c, outage, next.gateway, step);
    }
    match delay_before(c, &mut outage, next.standing, step) {
        Some(delay) => go_on_with(c, outage, from, next.gateway, delay, step),
        None => {
            let failure = Failure {
                gateway: from.to_owned(),
                reason: Reason::NoRoute,
                at: step.now.monotonic,
            };
            step.conclude(Outcome::Failed(Reason::NoRoute));
            exhaust(c, outage, failure, step)
        }
    }
}

/// The connection goes to another gateway. That is told if clients were told that it goes to the one without a route.
fn go_on_with(
    c: &mut Common,
    outage: Outage,
    from: &str,
    to: String,
    delay: Duration,
    step: &mut Step,
) -> State {
    if outage.retries > 0 {
        step.conclude(Outcome::Failed(Reason::NoRoute));
        step.failover_started(Failover {
            name: &c.name,
            from,
            to: &to,
            reason: Reason::NoRoute,
            attempt: outage.retries,
        });
    }
    attempt_after(c, outage, to, delay, step)
}

/// No gateway has a route. They are looked at again when the network changes, and from time to time.
fn wait_for_network(
    c: &Common,
    mut outage: Outage,
    from: &str,
    gateway: String,
    step: &mut Step,
) -> State {
    outage.trials.repeat_round();
    outage.early.was_no_attempt();
    let wait = c.policy.wait_for_network(step.now.random);
    step.no_route(&c.name, from, Some(wait));
    let until = step.now.monotonic.saturating_add(wait);
    let progress = Progress::Backoff { until, gateway };
    State::Recovering(Recovering { outage, progress })
}
