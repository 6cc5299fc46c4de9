// SPDX-License-Identifier: GPL-2.0-or-later

//! Attempts to bring a connection up: begun, queued while there are too many, and given up.

use std::net::IpAddr;

use super::{FailoverManager, Step};
use crate::domain::reason::Reason;
use crate::domain::Now;
use crate::failover::action::{Action, Begin};
use crate::failover::connection::{Attempt, Connection, State};

impl FailoverManager {
    /// The outcome of an [`Action::Resolve`]: the addresses in the order in which they are to be tried,
    /// none if the name does not resolve.
    pub fn resolved(
        &mut self,
        name: &str,
        attempt: Option<u64>,
        gateway: &str,
        addresses: Vec<IpAddr>,
        now: Now,
    ) -> Vec<Action> {
        let mut step = Step::new(now);
        let Some(connection) = self.connections.get_mut(name) else {
            return step.into_actions();
        };
        let Some(attempt) = attempt else {
            if connection.gateways.find(gateway).is_some() {
                connection.gateways.prepare(gateway, addresses);
                self.conclude_step(name, &mut step);
            }
            return step.into_actions();
        };
        let gateway = match connection.attempt(attempt) {
            Some(Attempt {
                ike_sa: Some(_), ..
            }) => {
                // charon initiated it itself meanwhile.
                step.initiate(name, attempt);
                return step.into_actions();
            }
            Some(attempt) if attempt.address.is_none() => attempt.gateway.clone(),
            _ => return step.into_actions(),
        };
        let known = !addresses.is_empty();
        match connection.gateways.found(&gateway, addresses) {
            Some(address) => {
                if let Some(attempt) = connection.attempt(attempt) {
                    attempt.address = Some(address);
                }
                step.initiate(name, attempt);
            }
            None => {
                let before = connection.gateways.health(&gateway).last_failure;
                let reason = before
                    .filter(|_| known)
                    .unwrap_or(Reason::AddressUnresolvable);
                self.attempt_failed(name, attempt, reason, &mut step);
            }
        }
        self.conclude_step(name, &mut step);
        step.into_actions()
    }

    /// An [`Action::Initiate`] is about to be carried out: how, or None if it is not wanted any more.
    pub fn begin(&mut self, name: &str, attempt: u64) -> Option<Begin> {
        if self.shutting_down {
            return None;
        }
        let connection = self.connections.get_mut(name)?;
        let begun = connection.attempt(attempt)?.clone();
        let own = match begun.ike_sa {
            // charon initiated it itself meanwhile, and finds it by the same configuration again.
            Some(id) => connection
                .ike_sas
                .get(&id)
                .is_some_and(|sa| sa.name == name),
            // charon would take another IKE_SA with the connection's own configuration for the new one.
            None => {
                connection.gateways.list().is_first_entry(&begun.gateway)
                    && begun.address.is_none()
                    && connection.live_sa().is_none()
            }
        };
        if let Some(attempt) = connection.attempt(attempt) {
            attempt.own = Some(own);
        }
        if !own {
            connection.clones.insert(begun.gateway.clone());
        }
        Some(Begin {
            lead: begun.lead(),
            own,
            ike_sa: begun.ike_sa,
            children: connection.children_to_initiate(),
        })
    }

    /// The outcome of an [`Action::Initiate`]: whether charon began with it, and the CHILD_SAs that
    /// were asked for then.
    pub fn initiated(
        &mut self,
        name: &str,
        attempt: u64,
        begun: bool,
        asked: &[String],
        now: Now,
    ) -> Vec<Action> {
        let mut step = Step::new(now);
        let Some(connection) = self.connections.get_mut(name) else {
            return step.into_actions();
        };
        let Some(known) = connection.attempt(attempt) else {
            return step.into_actions();
        };
        known.pending = false;
        let known = known.clone();
        match known.ike_sa {
            Some(id) => {
                let late: Vec<String> = connection
                    .children_to_initiate()
                    .into_iter()
                    .filter(|child| !asked.contains(child))
                    .collect();
                if begun && !asked.is_empty() && !late.is_empty() {
                    step.initiate_children(name, id, late);
                }
            }
            None if begun && known.ended => self.attempt_ended(name, attempt, &mut step),
            None if !begun => {
                self.attempt_failed(name, attempt, Reason::InitiateFailed, &mut step);
            }
            // charon waits for the peer's name to resolve (retry_initiate_interval), or took an
            // IKE_SA that was there.
            None => {
                let waits = matches!(connection.state, State::Connecting(_));
                let live = connection.live_sa();
                if let Some(id) = live.filter(|_| waits) {
                    self.settle(name, id, &mut step);
                } else if let Some(attempt) = connection.attempt(attempt) {
                    attempt.joined = true;
                }
            }
        }
        self.conclude_step(name, &mut step);
        step.into_actions()
    }

    /// An IKE_SA ended. An attempt for which charon took that one, which was about to end, has none: it
    /// is to be made again.
    pub(super) fn repeat_joined(&mut self, name: &str, step: &mut Step) {
        let connection = self.connection(name);
        let State::Connecting(attempt) = &connection.state else {
            return;
        };
        let (gateway, joined) = (attempt.gateway.clone(), attempt.joined);
        if joined && attempt.ike_sa.is_none() && connection.ike_sas.is_empty() {
            self.start_attempt(name, gateway, step);
        }
    }

    /// Makes the attempt, or puts it at the end of the queue.
    pub(super) fn start_attempt(&mut self, name: &str, gateway: String, step: &mut Step) {
        let room =
            self.half_open.contains(name) || self.half_open.len() < self.options.max_concurrent;
        let connection = self.connection(name);
        connection.active = Some(gateway.clone());
        connection.outage_since.get_or_insert(step.now.monotonic);
        if !room {
            connection.state = State::Queued { gateway };
            if !self.queue.iter().any(|queued| queued == name) {
                self.queue.push_back(name.to_owned());
            }
            return;
        }
        let number = self.next_attempt();
        let connection = self.connection(name);
        connection.gateways.trying(&gateway);
        let attempt = Attempt::new(number, gateway, step.now.monotonic);
        prepare(name, connection, &attempt, step);
        connection.state = State::Connecting(attempt);
        self.half_open.insert(name.to_owned());
    }

    /// As [`Self::start_attempt`], while the IKE_SA to the present gateway stays up.
    pub(super) fn start_switch(&mut self, name: &str, gateway: String, step: &mut Step) {
        let number = self.next_attempt();
        let connection = self.connection(name);
        let attempt = Attempt::new(number, gateway, step.now.monotonic);
        prepare(name, connection, &attempt, step);
        connection.switch = Some(attempt);
    }

    /// An attempt that charon made without being told to.
    pub(super) fn connecting_to(
        &mut self,
        name: &str,
        gateway: String,
        ike_sa: u32,
        step: &mut Step,
    ) {
        let number = self.next_attempt();
        let connection = self.connection(name);
        connection.outage_since.get_or_insert(step.now.monotonic);
        connection.active = Some(gateway.clone());
        connection.gateways.trying(&gateway);
        let mut attempt = Attempt::new(number, gateway, step.now.monotonic);
        attempt.ike_sa = Some(ike_sa);
        attempt.pending = false;
        connection.state = State::Connecting(attempt);
    }

    fn next_attempt(&mut self) -> u64 {
        self.last_attempt += 1;
        self.last_attempt
    }
}

/// A name has to be looked up before the attempt can be made.
fn prepare(name: &str, connection: &Connection, attempt: &Attempt, step: &mut Step) {
    if connection.gateways.is_name(&attempt.gateway) {
        step.resolve(name, Some(attempt.number), &attempt.gateway);
    } else {
        step.initiate(name, attempt.number);
    }
}
