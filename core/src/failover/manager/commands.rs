// SPDX-License-Identifier: GPL-2.0-or-later

//! What operators and programs ask for, and what came of the actions.

use std::net::IpAddr;
use std::time::Duration;

use super::{unknown_connection, FailoverManager};
use crate::domain::address::AddressList;
use crate::domain::Now;
use crate::error::{Error, ErrorCode, Result};
use crate::failover::action::{Action, Begin, Probed};
use crate::failover::connection::{Common, Idle, IkeSaEvent, State};
use crate::failover::ike_sa::liveness::Finding;
use crate::failover::traffic::Sample;

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
        let c = &mut connection.common;
        let first = first_gateway(c)?;
        let asked: Vec<String> = match child {
            None => c.children.clone(),
            Some(child) if c.knows_child(child) => vec![child.to_owned()],
            Some(child) => {
                return Err(Error::invalid(format!(
                    "INITIATE {name}: expected one of its children ({}), found {child}",
                    c.children.join(", ")
                )))
            }
        };
        for child in &asked {
            c.wanted.want(child);
        }
        let remembered = self.options.remembered.as_ref();
        let good = remembered.and_then(|all| c.gateways.find(all.get(name)?));
        let mut gateway = good.unwrap_or(first);
        let actions = self.step(name, now, |connection, step| {
            gateway = connection.initiate(asked, gateway.clone(), step);
        });
        Ok((gateway, actions))
    }

    /// Takes the connection, or the one whose IKE_SA is named, down; returns its name.
    pub fn terminate(&mut self, name: &str, now: Now) -> Result<(String, Vec<Action>)> {
        let name = self.resolve(name)?.to_owned();
        let actions = self.step(&name, now, |connection, step| {
            step.terminate(&connection.common.name);
            connection.end_attempts(step);
            // charon may have to wait before it can begin to delete them.
            for known in connection.common.ike_sas.values_mut() {
                known.close();
            }
            connection.state = State::Idle(Idle { terminating: true });
        });
        Ok((name, actions))
    }

    /// Switches the connection to the gateway, or to the next one, at an operator's command: an
    /// IKE_SA that is up is deleted when the new one is; returns the gateway.
    pub fn failover(
        &mut self,
        name: &str,
        gateway: Option<&str>,
        now: Now,
    ) -> Result<(String, Vec<Action>)> {
        let c = match self.connections.get(name) {
            Some(connection) => &connection.common,
            None => return Err(unknown_connection(name)),
        };
        let first = first_gateway(c)?;
        let from = c.active.clone().unwrap_or_else(|| first.clone());
        let to = match gateway {
            Some(wanted) => c.gateways.find(wanted).ok_or_else(|| {
                Error::invalid(format!(
                    "FAILOVER {name}: expected one of its gateways ({}), found {wanted}",
                    c.gateways.names().collect::<Vec<_>>().join(", ")
                ))
            })?,
            None => c.gateways.following(&from).ok_or_else(|| {
                Error::new(
                    ErrorCode::NoAlternativeSegw,
                    format!("FAILOVER {name}: there is no other gateway than {first}"),
                )
            })?,
        };
        let actions = self.step(name, now, |connection, step| {
            connection.switch(&from, to.clone(), step);
        });
        Ok((to, actions))
    }

    /// Sends a DPD request on the IKE_SA of the connection, or on the one that is named; returns the
    /// IKE_SA's name.
    pub fn start_dpd(&self, name: &str) -> Result<(String, Action)> {
        let connection_name = self.resolve(name)?;
        let connection = &self.connections[connection_name];
        let current = match &connection.state {
            State::Serving(serving) => connection.common.ike_sas.get_key_value(&serving.ike_sa),
            _ => None,
        };
        current
            .filter(|(_, known)| known.stage.is_up())
            .map(|(id, known)| {
                let connection = connection_name.to_owned();
                let action = Action::SendDpd {
                    connection,
                    ike_sa: *id,
                };
                (known.name.clone(), action)
            })
            .ok_or_else(|| {
                Error::invalid(format!(
                    "{name}: expected an established IKE_SA, found none"
                ))
            })
    }

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
        self.step(name, now, |connection, step| match attempt {
            Some(attempt) => connection.resolved(attempt, addresses, step),
            None if connection.common.gateways.find(gateway).is_some() => {
                connection.common.gateways.looked_up(gateway, addresses);
            }
            None => {}
        })
    }

    /// An [`Action::Initiate`] is about to be carried out, with the remote addresses of the configuration as
    /// it is now, as in [`Self::checked`]: how, or None if it is not wanted any more.
    pub fn begin(
        &mut self,
        name: &str,
        attempt: u64,
        gateways: Option<AddressList>,
        now: Now,
    ) -> (Option<Begin>, Vec<Action>) {
        let actions = self.checked(name, gateways, now);
        let connection = self.connections.get_mut(name);
        let begin = connection
            .filter(|_| !self.shutting_down)
            .and_then(|connection| connection.begin(attempt));
        (begin, actions)
    }

    /// The attempt was not made, as the host has no route to its gateway, or not the own address of its configuration.
    pub fn no_route(&mut self, begin: Begin, now: Now) -> Vec<Action> {
        self.step(&begin.connection, now, |connection, step| {
            connection.no_route(begin.attempt, step);
        })
    }

    /// charon has returned from an initiation: whether it began with it, and the CHILD_SAs that were asked
    /// for then.
    pub fn initiated(
        &mut self,
        begin: Begin,
        begun: bool,
        asked: &[String],
        now: Now,
    ) -> Vec<Action> {
        self.step(&begin.connection, now, |connection, step| {
            connection.initiated(begin.attempt, begun, asked, step);
        })
    }

    /// The outcome of an [`Action::Check`], also good at any other time: the remote addresses of the
    /// configuration as it is now, None if it is gone.
    pub fn checked(&mut self, name: &str, gateways: Option<AddressList>, now: Now) -> Vec<Action> {
        let Some(connection) = self.connections.get(name) else {
            return Vec::new();
        };
        let foreign = connection.common.foreign;
        let mut step = self.begin_step(name, now);
        match gateways {
            Some(gateways) => self.confirmed(name, gateways, &mut step),
            None if foreign => self.vanished(name, &mut step),
            // It was loaded again since it was looked at.
            None => {}
        }
        self.conclude(name, step)
    }

    /// What came of an [`Action::Probe`].
    pub fn probed(&mut self, name: &str, ike_sa: u32, probed: Probed, now: Now) -> Vec<Action> {
        self.step(name, now, |connection, step| {
            let known = connection.common.ike_sas.get_mut(&ike_sa);
            let Some(up) = known.and_then(|known| known.up_mut()) else {
                return;
            };
            up.liveness.probed(probed, step.now.monotonic);
        })
    }

    /// What an [`Action::Look`] found, and when that was (monotonic).
    pub fn looked(
        &mut self,
        name: &str,
        ike_sa: u32,
        sample: Sample,
        at: Duration,
        now: Now,
    ) -> Vec<Action> {
        self.step(name, now, |connection, step| {
            let liveness = connection.common.policy.liveness();
            let known = connection.common.ike_sas.get_mut(&ike_sa);
            let up = known.and_then(|known| known.up_mut());
            let (Some(up), Some(times)) = (up, liveness) else {
                return;
            };
            match up.liveness.looked(sample, at, &times) {
                Finding::Nothing => {}
                Finding::Ask(question) => step.probe(name, ike_sa, question),
                Finding::Silent => connection.handle(IkeSaEvent::Silent { ike_sa }, step),
                Finding::NoData => connection.handle(IkeSaEvent::CarriesNothing { ike_sa }, step),
            }
        })
    }
}

fn first_gateway(c: &Common) -> Result<String> {
    c.gateways.first().ok_or_else(|| {
        Error::invalid(format!(
            "connections.{}.remote_addrs: expected an address to initiate to, found {:?}",
            c.name,
            c.gateways.list().as_str()
        ))
    })
}
