// SPDX-License-Identifier: GPL-2.0-or-later

//! Attempts to bring a connection up: begun, queued while there are too many, and given up.

use super::{FailoverManager, Step};
use crate::failover::action::Begin;
use crate::failover::connection::{Attempt, State};
use crate::failover::verdict::Reason;
use crate::failover::{action::Action, Now};

impl FailoverManager {
    /// An [`Action::Initiate`] is about to be carried out: how, or None if it is not wanted any more.
    pub fn begin(&mut self, name: &str, attempt: u64) -> Option<Begin> {
        if self.shutting_down {
            return None;
        }
        let connection = self.connections.get_mut(name)?;
        let Attempt {
            gateway, ike_sa, ..
        } = connection.attempt(attempt)?.clone();
        let own = match ike_sa {
            // charon initiated it itself meanwhile, and finds it by the same configuration again.
            Some(id) => connection
                .ike_sas
                .get(&id)
                .is_some_and(|sa| sa.name == name),
            // charon would take another IKE_SA with the connection's own configuration for the new one.
            None => {
                connection.gateways.first().as_ref() == Some(&gateway)
                    && connection.live_sa().is_none()
            }
        };
        if let Some(attempt) = connection.attempt(attempt) {
            attempt.own = Some(own);
        }
        if !own {
            connection.clones.insert(gateway.clone());
        }
        Some(Begin {
            gateway,
            own,
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
        let Some(Attempt {
            gateway, ike_sa, ..
        }) = connection.attempt(attempt).map(|attempt| attempt.clone())
        else {
            return step.into_actions();
        };
        match ike_sa {
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
            None if !begun => {
                self.attempt_failed(name, attempt, &gateway, Reason::InitiateFailed, &mut step);
            }
            // charon waits for the peer's name to resolve (retry_initiate_interval), or took an
            // IKE_SA that was there.
            None => {
                let waits = matches!(connection.state, State::Connecting(_));
                if let Some(id) = connection.live_sa().filter(|_| waits) {
                    self.settle(name, id, &mut step);
                }
            }
        }
        self.conclude_step(name, &mut step);
        step.into_actions()
    }

    /// Makes the attempt, or puts it at the end of the queue.
    pub(super) fn start_attempt(&mut self, name: &str, gateway: String, step: &mut Step) {
        let room =
            self.half_open.contains(name) || self.half_open.len() < self.options.max_concurrent;
        let number = self.next_attempt();
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
        connection.gateways.trying(&gateway);
        connection.state = State::Connecting(Attempt {
            number,
            gateway,
            since: step.now.monotonic,
            own: None,
            ike_sa: None,
        });
        self.half_open.insert(name.to_owned());
        step.initiate(name, number);
    }

    pub(super) fn start_switch(&mut self, name: &str, gateway: String, step: &mut Step) {
        let number = self.next_attempt();
        let connection = self.connection(name);
        connection.switch = Some(Attempt {
            number,
            gateway,
            since: step.now.monotonic,
            own: None,
            ike_sa: None,
        });
        step.initiate(name, number);
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
        connection.state = State::Connecting(Attempt {
            number,
            gateway,
            since: step.now.monotonic,
            own: None,
            ike_sa: Some(ike_sa),
        });
    }

    pub(super) fn next_attempt(&mut self) -> u64 {
        self.last_attempt += 1;
        self.last_attempt
    }
}
