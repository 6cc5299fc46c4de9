// SPDX-License-Identifier: GPL-2.0-or-later

//! A connection loses its gateway, goes to the next one, and recovers.

use std::time::Duration;

use super::{FailoverManager, Step};
use crate::domain::reason::Reason;
use crate::error::ErrorCode;
use crate::failover::connection::{millis, Attempt, Connection, Failure, Phase, State};
use crate::failover::event::Event;
use crate::failover::history::{Entry, Outcome};

impl FailoverManager {
    /// The connection's tunnel is this IKE_SA now, which is up or coming up.
    pub(super) fn settle(&mut self, name: &str, id: u32, step: &mut Step) {
        let Some(connection) = self.connections.get_mut(name) else {
            return;
        };
        let Some(sa) = connection.ike_sas.get(&id) else {
            return;
        };
        let gateway = sa.gateway.clone();
        let up = sa.phase == Phase::Up;
        let switched = connection
            .switch
            .as_ref()
            .is_some_and(|attempt| attempt.ike_sa == Some(id));
        if let (State::Established(old), false) = (&connection.state, switched) {
            if *old != id {
                // A second one, of a make-before-break reauthentication for example.
                return;
            }
        }
        if !up {
            match connection.switch.take_if(|_| switched) {
                Some(attempt) => connection.carry_on_with(attempt),
                None => self.connecting_to(name, gateway, id, step),
            }
            return;
        }

        self.tell_untold(name, step);
        let connection = self.connection(name);
        let before = std::mem::replace(&mut connection.state, State::Established(id));
        connection.active = Some(gateway);
        match before {
            State::Established(old) if switched => {
                connection.give_up(Some(old));
                step.delete(name, old);
            }
            // Another one came up before the attempt did.
            State::Connecting(attempt) if attempt.ike_sa != Some(id) => {
                connection.give_up(attempt.ike_sa);
                if attempt.own.is_some() || attempt.ike_sa.is_some() {
                    step.abandon(name, &attempt);
                }
            }
            _ => {}
        }
        if switched {
            connection.switch = None;
            connection.retries = 1;
        }
        let has_child = connection
            .ike_sas
            .get(&id)
            .is_some_and(|sa| !sa.children.is_empty());
        if has_child || !connection.needs_child() {
            self.recovered(name, id, step);
        }
    }

    /// The outage ends with this IKE_SA.
    pub(super) fn recovered(&mut self, name: &str, id: u32, step: &mut Step) {
        let connection = self.connection(name);
        let Some(gateway) = connection.ike_sas.get(&id).map(|sa| sa.gateway.clone()) else {
            return;
        };
        let attempts = std::mem::take(&mut connection.retries);
        let outage = connection
            .outage_since
            .take()
            .map_or(Duration::ZERO, |since| {
                step.now.monotonic.saturating_sub(since)
            });
        connection.gateways.succeeded(&gateway, step.now.unix);
        if !connection.foreign {
            self.remember(name, Some(&gateway), step);
        }
        if attempts > 0 {
            step.publish(Event::FailoverEstablished {
                connection: name.to_owned(),
                gateway,
                attempts,
                outage_ms: millis(outage),
            });
            self.history
                .conclude(name, Outcome::Established, Some(outage));
        }
    }

    /// Remembers the gateway as the connection's last good one, or forgets it.
    pub(super) fn remember(&mut self, name: &str, gateway: Option<&str>, step: &mut Step) {
        let Some(remembered) = &mut self.options.remembered else {
            return;
        };
        let before = match gateway {
            Some(gateway) => remembered.insert(name.to_owned(), gateway.to_owned()),
            None => remembered.remove(name),
        };
        if before.as_deref() != gateway {
            step.remember(name, gateway);
        }
    }

    /// The IKE_SA that carried the connection, or its attempt, is lost to a failure.
    pub(super) fn lost(&mut self, name: &str, gateway: &str, reason: Reason, step: &mut Step) {
        let connection = self.connection(name);
        connection.outage_since.get_or_insert(step.now.monotonic);
        let switch = connection.switch.take();
        if let Some(id) = connection.sa_in(Phase::Up) {
            connection.switch = switch;
            connection.state = State::Down;
            connection.gateways.failed(gateway, reason, None);
            self.settle(name, id, step);
        } else if let Some(attempt) = switch {
            // An operator's switch is on its way already.
            connection.gateways.failed(gateway, reason, None);
            connection.carry_on_with(attempt);
        } else if let Some(id) = match reason {
            Reason::DpdTimeout | Reason::LivenessTimeout => {
                connection.connecting_elsewhere(gateway)
            }
            _ => connection.sa_in(Phase::Connecting),
        } {
            // charon is.
            connection.state = State::Down;
            connection.gateways.failed(gateway, reason, None);
            self.settle(name, id, step);
        } else {
            if let Some(id) = connection.sa_in(Phase::Connecting) {
                // charon tries what just failed.
                connection.give_up(Some(id));
                step.abandon_ike_sa(name, gateway, Some(id));
            }
            self.failed(name, gateway, reason, step);
        }
    }

    /// We delete the IKE_SA, which lasts until the gateway answers: another one that is up, by
    /// make-before-break reauthentication for example, is the tunnel from now on.
    pub(super) fn hand_over(&mut self, name: &str, id: u32, step: &mut Step) {
        let connection = self.connection(name);
        if connection.state != State::Established(id) {
            return;
        }
        if let Some(successor) = connection.sa_in(Phase::Up) {
            connection.state = State::Down;
            self.settle(name, successor, step);
        }
    }

    /// The IKE_SA that carried the connection, or its attempt, ended for another reason.
    pub(super) fn ended(&mut self, name: &str, step: &mut Step) {
        let connection = self.connection(name);
        if let Some(id) = connection.live_sa() {
            connection.state = State::Down;
            self.settle(name, id, step);
        } else {
            self.end_attempts(name, step);
        }
    }

    /// The attempt, which may be an operator's switch, failed.
    pub(super) fn attempt_failed(
        &mut self,
        name: &str,
        number: u64,
        reason: Reason,
        step: &mut Step,
    ) {
        let connection = self.connection(name);
        let Some(attempt) = connection.attempt(number).cloned() else {
            return;
        };
        if reason == Reason::AddressUnresolvable {
            connection.gateways.found(&attempt.gateway, Vec::new());
        }
        let ike_sa = attempt.ike_sa.and_then(|id| connection.ike_sas.get(&id));
        let address = attempt.address.or(ike_sa.and_then(|sa| sa.remote));
        connection.gateways.failed_at(&attempt.gateway, address);
        let switching = connection
            .switch
            .as_ref()
            .is_some_and(|switch| switch.number == number);
        if switching {
            self.switch_failed(name, reason, step);
        } else {
            self.failed(name, &attempt.gateway, reason, step);
        }
    }

    /// The attempt, which may be an operator's switch, ended for a reason that is not the gateway's.
    pub(super) fn attempt_ended(&mut self, name: &str, number: u64, step: &mut Step) {
        let switch = self.connection(name).switch.as_ref();
        if switch.is_some_and(|switch| switch.number == number) {
            self.switch_failed(name, Reason::Operator, step);
        } else {
            self.ended(name, step);
        }
    }

    /// The attempt took too long.
    pub(super) fn attempt_timed_out(&mut self, name: &str, attempt: &Attempt, step: &mut Step) {
        let connection = self.connection(name);
        let looking_up = !attempt.is_begun() && connection.gateways.is_name(&attempt.gateway);
        connection.give_up(attempt.ike_sa);
        step.abandon(name, attempt);
        let reason = if looking_up && attempt.address.is_none() {
            Reason::AddressUnresolvable
        } else {
            Reason::ConnectTimeout
        };
        self.attempt_failed(name, attempt.number, reason, step);
    }

    /// The gateway failed: what comes next depends on a configuration that others may have changed.
    pub(super) fn failed(&mut self, name: &str, from: &str, reason: Reason, step: &mut Step) {
        self.tell_untold(name, step);
        let connection = self.connection(name);
        connection.outage_since.get_or_insert(step.now.monotonic);
        abandon_superseded(name, connection, from, step);
        let failure = Failure {
            gateway: from.to_owned(),
            reason,
            at: step.now.monotonic,
        };
        if connection.foreign {
            connection.state = State::Checking(failure);
            step.check(name);
        } else {
            self.fail_over(name, failure, step);
        }
    }

    /// The next gateway, unless there is none or it failed too often.
    pub(super) fn fail_over(&mut self, name: &str, failure: Failure, step: &mut Step) {
        let Failure {
            gateway: from,
            reason,
            ..
        } = failure;
        let connection = self.connection(name);
        if connection.gateways.untried_address(&from).is_some() {
            return self.try_next_address(name, from, reason, step);
        }
        let aside = reason.is_refusal().then(|| {
            let now = step.now.monotonic;
            now.saturating_add(connection.policy.cool_down)
        });
        connection.gateways.failed(&from, reason, aside);
        self.history.conclude(name, Outcome::Failed(reason), None);
        let connection = self.connection(name);
        if !connection.policy.allows(connection.retries) {
            let retries = connection.retries;
            connection.state = State::Exhausted;
            step.report(
                name,
                ErrorCode::MaxRetryExceeded,
                format!(
                    "gateway {from} failed ({}), given up after {retries} failovers",
                    reason.as_str()
                ),
            );
            self.exhausted += 1;
            step.publish(Event::FailoverExhausted {
                connection: name.to_owned(),
                retries,
            });
            return;
        }
        let Some(next) = connection.gateways.next_after(&from, step.now.monotonic) else {
            step.report(
                name,
                ErrorCode::NoAlternativeSegw,
                format!(
                    "gateway {from} failed ({}), there is no other",
                    reason.as_str()
                ),
            );
            connection.rest();
            return;
        };

        connection.retries += 1;
        let retries = connection.retries;
        let delay = next.repetition.map_or(Duration::ZERO, |repetition| {
            connection.policy.delay(repetition, step.now.random)
        });
        self.record(name, &from, &next.gateway, reason, retries, step);
        if delay.is_zero() {
            self.start_attempt(name, next.gateway, step);
        } else {
            self.connection(name).state = State::Waiting {
                until: step.now.monotonic.saturating_add(delay),
                gateway: next.gateway,
            };
        }
    }

    /// The gateway is a name with other addresses, which come before the next gateway. All of them are
    /// one step of a failover.
    fn try_next_address(&mut self, name: &str, gateway: String, reason: Reason, step: &mut Step) {
        let connection = self.connection(name);
        connection.gateways.failed(&gateway, reason, None);
        if connection.retries == 0 {
            connection.retries = 1;
            self.record(name, &gateway, &gateway, reason, 1, step);
        }
        self.start_attempt(name, gateway, step);
    }

    /// The gateway that an operator asked for failed: the present one stays.
    pub(super) fn switch_failed(&mut self, name: &str, reason: Reason, step: &mut Step) {
        let connection = self.connection(name);
        if let Some(attempt) = connection.switch.take() {
            let other = connection.gateways.untried_address(&attempt.gateway);
            if other.is_some() && reason != Reason::Operator {
                return self.start_switch(name, attempt.gateway, step);
            }
            connection.gateways.failed(&attempt.gateway, reason, None);
            if connection.outage_since.is_none() {
                // In an outage to come it counts as any other.
                connection.gateways.outage_ended();
            }
            self.history.conclude(name, Outcome::Failed(reason), None);
            step.report(
                name,
                ErrorCode::ConnectionTimeout,
                format!(
                    "gateway {} failed ({}), the present one stays",
                    attempt.gateway,
                    reason.as_str()
                ),
            );
        }
    }

    /// Tells of a failover.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn record(
        &mut self,
        name: &str,
        from: &str,
        to: &str,
        reason: Reason,
        attempt: u32,
        step: &mut Step,
    ) {
        step.publish(Event::FailoverStarted {
            connection: name.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            reason: reason.as_str().into(),
            attempt,
        });
        self.history.add(Entry {
            time: step.now.unix,
            connection: name.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            reason,
            result: Outcome::Pending,
            attempt,
            outage: None,
        });
    }
}

/// What charon waits for at that gateway in vain.
pub(super) fn abandon_superseded(
    name: &str,
    connection: &Connection,
    gateway: &str,
    step: &mut Step,
) {
    for (id, sa) in &connection.ike_sas {
        if sa.seen.is_superseded() {
            step.abandon_ike_sa(name, gateway, Some(*id));
        }
    }
}
