// SPDX-License-Identifier: GPL-2.0-or-later

//! What operators and programs ask for.

use super::{FailoverManager, Step};
use crate::domain::reason::Reason;
use crate::domain::Now;
use crate::error::{Error, ErrorCode, Result};
use crate::failover::action::Action;
use crate::failover::connection::{Attempt, Connection, Phase, State};
use crate::failover::history::Outcome;

impl FailoverManager {
    /// Brings up one or all CHILD_SAs of a connection; returns the gateway that is tried.
    pub fn initiate(
        &mut self,
        name: &str,
        child: Option<&str>,
        now: Now,
    ) -> Result<(String, Vec<Action>)> {
        let connection = self
            .connections
            .get_mut(name)
            .ok_or_else(|| unknown_connection(name))?;
        let first = first_gateway(name, connection)?;
        let asked: Vec<String> = match child {
            None => connection.children.clone(),
            Some(child) if connection.knows_child(child) => vec![child.to_owned()],
            Some(child) => {
                return Err(Error::invalid(format!(
                    "INITIATE {name}: expected one of its children ({}), found {child}",
                    connection.children.join(", ")
                )))
            }
        };
        for child in &asked {
            connection.want(child);
        }

        let mut step = Step::new(now);
        let gateway = match connection.standing() {
            State::Down | State::Exhausted => {
                connection.afresh(now);
                let remembered = self.options.remembered.as_ref();
                let good = remembered.and_then(|all| connection.gateways.find(all.get(name)?));
                let gateway = good.unwrap_or(first);
                self.start_attempt(name, gateway.clone(), &mut step);
                gateway
            }
            State::Waiting { gateway, .. } => {
                self.start_attempt(name, gateway.clone(), &mut step);
                gateway
            }
            State::Queued { gateway } => gateway,
            // The next one follows.
            State::Checking(failure) => failure.gateway,
            State::Connecting(Attempt {
                gateway, ike_sa, ..
            }) => {
                // Without an IKE_SA the attempt has yet to begin, or is caught up with then.
                if let Some(ike_sa) = ike_sa {
                    step.initiate_children(name, ike_sa, asked);
                }
                gateway
            }
            State::Established(id) => {
                let gateway = connection
                    .ike_sas
                    .get(&id)
                    .map_or(first, |sa| sa.gateway.clone());
                let missing: Vec<String> = asked
                    .into_iter()
                    .filter(|child| !connection.is_child_up(child))
                    .collect();
                if !missing.is_empty() {
                    step.initiate_children(name, id, missing);
                }
                gateway
            }
        };
        self.conclude_step(name, &mut step);
        Ok((gateway, step.into_actions()))
    }

    /// Takes the connection, or the one whose IKE_SA is named, down; returns its name.
    pub fn terminate(&mut self, name: &str, now: Now) -> Result<(String, Vec<Action>)> {
        let name = self.resolve(name)?.to_owned();
        let mut step = Step::new(now);
        step.terminate(&name);
        self.end_attempts(&name, &mut step);
        self.connection(&name).terminating = true;
        self.conclude_step(&name, &mut step);
        Ok((name, step.into_actions()))
    }

    /// Switches the connection to the gateway, or to the next one, at an operator's command: an
    /// IKE_SA that is up is deleted when the new one is; returns the gateway.
    pub fn failover(
        &mut self,
        name: &str,
        gateway: Option<&str>,
        now: Now,
    ) -> Result<(String, Vec<Action>)> {
        let connection = self
            .connections
            .get_mut(name)
            .ok_or_else(|| unknown_connection(name))?;
        let first = first_gateway(name, connection)?;
        let from = connection.active.clone().unwrap_or_else(|| first.clone());
        let to = match gateway {
            Some(wanted) => connection.gateways.find(wanted).ok_or_else(|| {
                Error::invalid(format!(
                    "FAILOVER {name}: expected one of its gateways ({}), found {wanted}",
                    connection.gateways.names().collect::<Vec<_>>().join(", ")
                ))
            })?,
            None => connection.gateways.following(&from).ok_or_else(|| {
                Error::new(
                    ErrorCode::NoAlternativeSegw,
                    format!("FAILOVER {name}: there is no other gateway than {first}"),
                )
            })?,
        };

        let mut step = Step::new(now);
        connection.gateways.forgive();
        match connection.standing() {
            State::Established(_) if to == from => {}
            State::Connecting(attempt) if attempt.gateway == to => {}
            State::Established(_) => {
                if let Some(previous) = connection.switch.take() {
                    step.abandon(name, &previous);
                }
                self.history.conclude(name, Outcome::Abandoned, None);
                self.record(name, &from, &to, Reason::Operator, 1, &mut step);
                self.start_switch(name, to.clone(), &mut step);
            }
            state => {
                if let State::Connecting(attempt) = &state {
                    step.abandon(name, attempt);
                    connection.give_up(attempt.ike_sa);
                }
                connection.retries = 0;
                self.history.conclude(name, Outcome::Abandoned, None);
                if state != State::Down && to != from {
                    connection.retries = 1;
                    self.record(name, &from, &to, Reason::Operator, 1, &mut step);
                }
                self.start_attempt(name, to.clone(), &mut step);
            }
        }
        self.conclude_step(name, &mut step);
        Ok((to, step.into_actions()))
    }

    /// Sends a DPD request on the IKE_SA of the connection, or on the one that is named; returns the
    /// IKE_SA's name.
    pub fn start_dpd(&self, name: &str) -> Result<(String, Action)> {
        let connection_name = self.resolve(name)?;
        let connection = &self.connections[connection_name];
        let current = match &connection.state {
            State::Established(id) => connection.ike_sas.get_key_value(id),
            _ => None,
        };
        current
            .filter(|(_, sa)| sa.phase == Phase::Up)
            .map(|(id, sa)| {
                let connection = connection_name.to_owned();
                let action = Action::SendDpd {
                    connection,
                    ike_sa: *id,
                };
                (sa.name.clone(), action)
            })
            .ok_or_else(|| {
                Error::invalid(format!(
                    "{name}: expected an established IKE_SA, found none"
                ))
            })
    }

    /// Nothing is wanted any more; attempts of which charon has not told end, too.
    pub(super) fn end_attempts(&mut self, name: &str, step: &mut Step) {
        self.history.conclude(name, Outcome::Abandoned, None);
        let Some(connection) = self.connections.get_mut(name) else {
            return;
        };
        let connecting = match &connection.state {
            State::Connecting(attempt) => Some(attempt),
            _ => None,
        };
        let unseen = |attempt: &&Attempt| attempt.own.is_some() && attempt.ike_sa.is_none();
        for attempt in connecting
            .into_iter()
            .chain(&connection.switch)
            .filter(unseen)
        {
            step.abandon(name, attempt);
        }
        connection.rest();
    }
}

pub(super) fn first_gateway(name: &str, connection: &Connection) -> Result<String> {
    connection.gateways.first().ok_or_else(|| {
        Error::invalid(format!(
            "connections.{name}.remote_addrs: expected an address to initiate to, found {:?}",
            connection.gateways.list().as_str()
        ))
    })
}

pub(super) fn unknown_connection(name: &str) -> Error {
    Error::invalid(format!(
        "{name}: expected the name of a connection, found an unknown one"
    ))
}
