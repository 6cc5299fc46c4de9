// SPDX-License-Identifier: GPL-2.0-or-later

//! charon retries or re-establishes an IKE_SA by itself: where it is led.

use super::outages::abandon_superseded;
use super::{FailoverManager, Step};
use crate::domain::reason::Reason;
use crate::failover::connection::{Connection, Failure, Phase, State};
use crate::failover::evidence::IkeSa;
use crate::failover::history::Outcome;
use crate::failover::verdict::going_on;

impl FailoverManager {
    /// charon tries the IKE_SA again, at the gateway that was prepared.
    pub(super) fn led_on(&mut self, ike_sa: &IkeSa, gateway: String, step: &mut Step) {
        let Some(name) = self.ike_sas.get(&ike_sa.id).cloned() else {
            return;
        };
        let connection = self.connections.get_mut(&name).expect("an owner exists");
        let Some(sa) = connection.ike_sas.get_mut(&ike_sa.id) else {
            return;
        };
        let from = std::mem::replace(&mut sa.gateway, gateway.clone());
        let remote = sa.remote.take();
        sa.seen.recovered();
        sa.steered_to = None;
        let attempted = matches!(
            &connection.state,
            State::Connecting(attempt) if attempt.ike_sa == Some(ike_sa.id)
        );
        connection.gateways.failed_at(&from, remote);
        if attempted {
            self.went_on(
                &name,
                &from,
                ike_sa.id,
                gateway,
                Reason::PeerUnreachable,
                step,
            );
        }
        // Otherwise it was given up before, or is to be terminated.
        self.adopt(&name, ike_sa.id, step);
        self.conclude_step(&name, step);
    }

    /// charon replaces an IKE_SA by a new one, to the gateway that was prepared.
    pub(super) fn led_from(&mut self, old: u32, new: &IkeSa, gateway: String, step: &mut Step) {
        let Some(name) = self.ike_sas.get(&old).cloned() else {
            return;
        };
        if self.track(new, step).is_none() {
            return;
        }
        let connection = self.connections.get_mut(&name).expect("an owner exists");
        let Some((from, remote, reason)) = connection.ike_sas.get(&old).map(|sa| {
            let reason = going_on(&sa.seen, sa.phase != Phase::Connecting);
            (sa.gateway.clone(), sa.remote, reason)
        }) else {
            return;
        };
        connection.gateways.failed_at(&from, remote);
        if let Some(sa) = connection.ike_sas.get_mut(&new.id) {
            sa.gateway.clone_from(&gateway);
            sa.created = true;
            sa.replacement = true;
        }
        let current = match &connection.state {
            State::Established(id) => *id == old,
            State::Connecting(attempt) => attempt.ike_sa == Some(old),
            _ => false,
        };
        if current {
            connection.give_up(Some(old));
        }
        let elsewhere = connection.sa_in(Phase::Up);
        if current && (elsewhere.is_some() || connection.switch.is_some()) {
            // Another IKE_SA of the connection is up, or an operator's switch is on its way.
            connection.give_up(Some(new.id));
            step.abandon_ike_sa(&name, &gateway, Some(new.id));
            self.lost(&name, &from, reason, step);
        } else if current {
            self.went_on(&name, &from, new.id, gateway, reason, step);
            self.adopt(&name, new.id, step);
        } else {
            self.attribute(&name, new, gateway, step);
        }
        self.conclude_step(&name, step);
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn went_on(
        &mut self,
        name: &str,
        from: &str,
        ike_sa: u32,
        to: String,
        reason: Reason,
        step: &mut Step,
    ) {
        self.tell_untold(name, step);
        let connection = self.connection(name);
        connection.gateways.failed(from, reason, None);
        abandon_superseded(name, connection, from, step);
        connection.retries += 1;
        let foreign = connection.foreign;
        let failure = Failure {
            gateway: from.to_owned(),
            reason,
            at: step.now.monotonic,
        };
        self.connecting_to(name, to, ike_sa, step);
        if let State::Connecting(attempt) = &mut self.connection(name).state {
            attempt.untold = Some(failure);
        }
        if foreign {
            step.check(name);
        } else {
            self.tell_untold(name, step);
        }
    }

    /// Tells of the failover that charon made by itself; of a connection that others loaded, when it is
    /// known that they have not removed it since.
    pub(super) fn tell_untold(&mut self, name: &str, step: &mut Step) {
        let connection = self.connection(name);
        let retries = connection.retries;
        let State::Connecting(attempt) = &mut connection.state else {
            return;
        };
        let Some(failure) = attempt.untold.take() else {
            return;
        };
        let to = attempt.gateway.clone();
        let Failure {
            gateway, reason, ..
        } = failure;
        self.history.conclude(name, Outcome::Failed(reason), None);
        self.record(name, &gateway, &to, reason, retries, step);
    }
}

/// Prepares where charon is led, where that has changed.
pub(super) fn steer(name: &str, connection: &mut Connection, step: &mut Step) {
    let current = match &connection.state {
        State::Established(id) => Some(*id),
        State::Connecting(attempt) => attempt.ike_sa,
        _ => None,
    };
    let Some((id, sa)) = current.and_then(|id| connection.ike_sas.get_key_value(&id)) else {
        return;
    };
    if !connection.has_alternative() || !matches!(sa.phase, Phase::Connecting | Phase::Up) {
        return;
    }
    let id = *id;
    let to = connection.steer(sa, step.now.monotonic);
    if let Some(gateway) = connection.name_to_look_up(id, step.now.monotonic) {
        step.resolve(name, None, &gateway);
    }
    let sa = connection.ike_sas.get_mut(&id).expect("just seen");
    if sa.steered_to.as_ref() != Some(&to) {
        sa.steered_to = Some(to.clone());
        step.steer(name, id, to);
    }
}
