// SPDX-License-Identifier: GPL-2.0-or-later

//! The failover manager: every connection, driven by evidence, commands and time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::action::{Action, Settings};
use super::address::AddressList;
use super::connection::{Attempt, Connection, Phase, Sa, State};
use super::evidence::{Evidence, IkeSa, IkeSaState};
use super::history::{Entry, History, Outcome};
use super::verdict::{verdict, Reason, Seen};
use super::{failover_name, Now};
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::{ConnectionStatus, Event, Tunnel};

/// Every connection's failover state.
#[derive(Debug, Default)]
pub struct FailoverManager {
    connections: BTreeMap<String, Connection>,
    /// Which connection, and which gateway of it, a configuration's name stands for.
    names: HashMap<String, Target>,
    /// Which connection an IKE_SA belongs to, by unique id.
    ike_sas: HashMap<u32, String>,
    deadlines: BTreeSet<(Duration, String)>,
    history: History,
    last_attempt: u64,
    shutting_down: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    connection: String,
    /// None for the connection's own configuration.
    clone_for: Option<String>,
}

impl FailoverManager {
    /// Takes note of what charon did.
    pub fn handle(&mut self, evidence: Evidence, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        match evidence {
            Evidence::State { ike_sa, to } => self.state_changed(&ike_sa, to, now, &mut actions),
            Evidence::Alert { ike_sa, alert } => {
                if let Some(sa) = self.track(&ike_sa) {
                    sa.seen.alert(alert);
                }
            }
            Evidence::IkeUpdown { ike_sa, up } => self.ike_updown(&ike_sa, up, &mut actions),
            Evidence::IkeRekey { old, new } => self.rekeyed(&old, &new, &mut actions),
            Evidence::Reestablished { old } => {
                if let Some(sa) = self.sa(old) {
                    sa.seen.superseded();
                }
            }
            Evidence::ChildUpdown { ike_sa, tunnel, up } => {
                self.child_updown(ike_sa, tunnel, up, &mut actions);
            }
            Evidence::ChildRekey { ike_sa, old, new } => {
                actions.push(Action::publish(Event::ChildRekey {
                    ike_sa_name: new.ike_sa_name.clone(),
                    old_child_sa_name: old,
                    new_child_sa_name: new.child_sa_name.clone(),
                }));
                actions.push(Action::publish(Event::TunnelUp(
                    self.with_connection(ike_sa, new),
                )));
            }
            Evidence::Shutdown => {
                self.shutting_down = true;
                self.deadlines.clear();
            }
        }
        actions
    }

    /// When [`Self::expire`] has to be called next (monotonic).
    pub fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Carries on what waited for a time that has come.
    pub fn expire(&mut self, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some((at, name)) = self.deadlines.first().cloned() {
            if at > now.monotonic {
                break;
            }
            self.deadlines.remove(&(at, name.clone()));
            if let Some(State::Waiting { gateway, .. }) = self
                .connections
                .get(&name)
                .map(|connection| connection.state.clone())
            {
                self.start_attempt(&name, gateway, now, &mut actions);
            }
        }
        actions
    }

    /// Checks that no name of these connections, which are to be loaded together, stands for another
    /// connection as well.
    pub fn check_names<'a>(
        &self,
        connections: impl IntoIterator<Item = (&'a str, &'a AddressList)>,
    ) -> Result<()> {
        let mut new: HashMap<String, &str> = HashMap::new();
        for (name, gateways) in connections {
            for (own, _) in names_of(name, gateways) {
                let loaded = self
                    .names
                    .get(&own)
                    .map(|target| target.connection.as_str());
                let other = new
                    .insert(own.clone(), name)
                    .or(loaded)
                    .filter(|other| *other != name);
                if let Some(other) = other {
                    return Err(Error::invalid(format!(
                        "connections.{name}: expected names that are not taken, \
                         found that {own} stands for connection {other}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Loads or replaces a connection; its IKE_SAs are not touched, its retries start afresh.
    pub fn configure(&mut self, name: &str, settings: Settings, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        let gateways = settings.gateways.clone();
        self.forget_names(name);
        match self.connections.get_mut(name) {
            None => {
                self.connections
                    .insert(name.to_owned(), Connection::new(settings));
            }
            Some(connection) => {
                let Settings {
                    gateways,
                    children,
                    policy,
                } = settings;
                connection.gateways = gateways;
                connection.children = children;
                connection.policy = policy;
                connection.retries = 0;
                connection
                    .wanted
                    .retain(|child| connection.children.contains(child));
                let pending = matches!(connection.state, State::Waiting { .. });
                if connection.state == State::Exhausted {
                    connection.rest();
                }
                if pending {
                    self.restart(name, now, &mut actions);
                }
            }
        }
        for (own, clone_for) in names_of(name, &gateways) {
            self.names.insert(
                own,
                Target {
                    connection: name.to_owned(),
                    clone_for,
                },
            );
        }
        actions.push(Action::publish(Event::ConfigApplied {
            connection: name.to_owned(),
        }));
        actions
    }

    /// Forgets a connection: its IKE_SAs live on, its failover ends.
    pub fn remove(&mut self, name: &str) -> Result<Vec<Action>> {
        let mut connection = self
            .connections
            .remove(name)
            .ok_or_else(|| unknown_connection(name))?;
        self.history.conclude(name, Outcome::Abandoned);
        self.names.retain(|_, target| target.connection != name);
        self.ike_sas.retain(|_, owner| owner != name);
        self.deadlines.retain(|(_, owner)| owner != name);
        connection.rest();
        connection.ike_sas.clear();
        Ok(connection
            .take_unused_clones()
            .into_iter()
            .map(|gateway| Action::ReleaseClone {
                connection: name.to_owned(),
                gateway,
            })
            .collect())
    }

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
        let Some(first) = connection.first_gateway() else {
            return Err(Error::invalid(format!(
                "connections.{name}.remote_addrs: expected an address to initiate to, found {:?}",
                connection.gateways.as_str()
            )));
        };
        let asked: Vec<String> = match child {
            None => connection.children.clone(),
            Some(child) if connection.children.iter().any(|known| known == child) => {
                vec![child.to_owned()]
            }
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

        let mut actions = Vec::new();
        let gateway = match connection.state.clone() {
            State::Down | State::Exhausted => {
                connection.retries = 0;
                connection.outage_since = Some(now.monotonic);
                self.start_attempt(name, first.clone(), now, &mut actions);
                first
            }
            State::Waiting { gateway, .. } => {
                self.restart(name, now, &mut actions);
                gateway
            }
            State::Connecting(Attempt {
                number, gateway, ..
            }) => {
                actions.push(self.initiate_action(name, &gateway, asked, number));
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
                    actions.push(self.initiate_action(name, &gateway, missing, 0));
                }
                gateway
            }
        };
        Ok((gateway, actions))
    }

    /// Takes the connection, or the one whose IKE_SA is named, down; returns its name.
    pub fn terminate(&mut self, name: &str) -> Result<(String, Vec<Action>)> {
        let name = self.resolve(name)?.to_owned();
        self.cancel_wait(&name);
        self.history.conclude(&name, Outcome::Abandoned);
        let mut actions = vec![Action::Terminate {
            connection: name.clone(),
        }];
        if let Some(connection) = self.connections.get_mut(&name) {
            connection.rest();
        }
        self.release_clones(&name, &mut actions);
        Ok((name, actions))
    }

    /// Sends a DPD request on the IKE_SA of the connection, or on the one that is named; returns the
    /// IKE_SA's name.
    pub fn start_dpd(&self, name: &str) -> Result<(String, Action)> {
        let connection_name = self.resolve(name)?;
        let connection = &self.connections[connection_name];
        connection
            .ike_sas
            .iter()
            .find(|(_, sa)| sa.phase == Phase::Up && (name == connection_name || name == sa.name))
            .map(|(id, sa)| {
                let connection = connection_name.to_owned();
                (
                    sa.name.clone(),
                    Action::SendDpd {
                        connection,
                        ike_sa: *id,
                    },
                )
            })
            .ok_or_else(|| {
                Error::invalid(format!(
                    "{name}: expected an established IKE_SA, found none"
                ))
            })
    }

    /// The outcome of an [`Action::Initiate`]: whether charon began with it.
    pub fn initiated(&mut self, name: &str, attempt: u64, begun: bool, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        let Some(connection) = self.connections.get_mut(name) else {
            return actions;
        };
        let State::Connecting(current) = &connection.state else {
            return actions;
        };
        if current.number != attempt || current.ike_sa.is_some() {
            return actions;
        }
        let gateway = current.gateway.clone();
        if !begun {
            self.failed(name, &gateway, Reason::InitiateFailed, now, &mut actions);
        } else if let Some((id, _)) = connection.other_live_sa() {
            // charon took an IKE_SA that was there.
            self.settle(name, id, now, &mut actions);
        }
        self.release_clones(name, &mut actions);
        actions
    }

    /// Whether an attempt is still to be made; those for established connections are.
    pub fn is_current(&self, name: &str, attempt: u64) -> bool {
        !self.shutting_down
            && self
                .connections
                .get(name)
                .is_some_and(|connection| match &connection.state {
                    State::Connecting(current) => current.number == attempt,
                    State::Established(_) => attempt == 0,
                    State::Down | State::Waiting { .. } | State::Exhausted => false,
                })
    }

    /// Unique ids of the connection's IKE_SAs that we initiated.
    pub fn ike_sas(&self, name: &str) -> Vec<u32> {
        self.connections
            .get(name)
            .map_or_else(Vec::new, |c| c.ike_sas.keys().copied().collect())
    }

    /// Every connection, by name.
    pub fn list(&self) -> Vec<ConnectionStatus> {
        self.connections
            .iter()
            .map(|(name, connection)| connection.status(name))
            .collect()
    }

    /// The last failovers.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Forgets what the connection's names stand for, but those of clones whose IKE_SA lives on:
    /// rekeying carries them on.
    fn forget_names(&mut self, name: &str) {
        let Some(connection) = self.connections.get(name) else {
            return;
        };
        let names: Vec<String> = names_of(name, &connection.gateways)
            .map(|(own, _)| own)
            .filter(|own| !connection.ike_sas.values().any(|sa| sa.name == *own))
            .collect();
        for own in names {
            self.names.remove(&own);
        }
    }

    fn state_changed(
        &mut self,
        ike_sa: &IkeSa,
        to: IkeSaState,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        match to {
            IkeSaState::Connecting => self.connecting(ike_sa, now),
            IkeSaState::Established => {
                let Some(sa) = self.track(ike_sa) else { return };
                sa.seen.established();
                if sa.phase != Phase::Successor {
                    sa.phase = Phase::Up;
                    let owner = self.ike_sas[&ike_sa.id].clone();
                    self.settle(&owner, ike_sa.id, now, actions);
                }
            }
            IkeSaState::Deleting => {
                if let Some(sa) = self.sa(ike_sa.id) {
                    sa.seen.deleting(ike_sa);
                    sa.phase = Phase::Closing;
                }
            }
            IkeSaState::Destroying => self.handle_connection_failure(ike_sa, now, actions),
            IkeSaState::Created
            | IkeSaState::Passive
            | IkeSaState::Rekeying
            | IkeSaState::Rekeyed => {}
        }
    }

    fn connecting(&mut self, ike_sa: &IkeSa, now: Now) {
        let known = self.ike_sas.contains_key(&ike_sa.id);
        let Some(sa) = self.track(ike_sa) else { return };
        if !known && ike_sa.tasks.is_empty() {
            // Only an IKE_SA that the rekeying of another one makes has nothing to do by itself.
            sa.phase = Phase::Successor;
            return;
        }
        let gateway = sa.gateway.clone();
        let owner = self.ike_sas[&ike_sa.id].clone();
        let number = self.next_attempt();
        let connection = self.connections.get_mut(&owner).expect("track() found it");
        let begun_elsewhere = match &mut connection.state {
            State::Connecting(attempt) => {
                attempt.ike_sa.get_or_insert(ike_sa.id);
                return;
            }
            State::Established(_) => return,
            State::Waiting { .. } => false,
            State::Down | State::Exhausted => true,
        };
        // charon, or an operator by other means, initiates it.
        if begun_elsewhere {
            connection.retries = 0;
            connection.outage_since = Some(now.monotonic);
        }
        connection.active = Some(gateway.clone());
        self.cancel_wait(&owner);
        self.set_state(
            &owner,
            State::Connecting(Attempt {
                number,
                gateway,
                ike_sa: Some(ike_sa.id),
            }),
        );
    }

    /// The connection's tunnel is this IKE_SA now, which is up or coming up.
    fn settle(&mut self, name: &str, id: u32, now: Now, actions: &mut Vec<Action>) {
        let Some(connection) = self.connections.get_mut(name) else {
            return;
        };
        let Some(sa) = connection.ike_sas.get(&id) else {
            return;
        };
        if matches!(connection.state, State::Established(_)) {
            // A second one, of a make-before-break reauthentication for example.
            return;
        }
        let gateway = sa.gateway.clone();
        let up = sa.phase == Phase::Up;
        connection.active = Some(gateway.clone());
        if up {
            let outage = connection.outage_since.take();
            let attempts = std::mem::take(&mut connection.retries);
            if attempts > 0 {
                let outage = now
                    .monotonic
                    .saturating_sub(outage.unwrap_or(now.monotonic));
                self.history.conclude(name, Outcome::Established);
                actions.push(Action::publish(Event::FailoverEstablished {
                    connection: name.to_owned(),
                    gateway,
                    attempts,
                    outage_ms: outage.as_millis().try_into().unwrap_or(u64::MAX),
                }));
            }
            self.cancel_wait(name);
            self.set_state(name, State::Established(id));
        } else {
            let number = self.next_attempt();
            self.set_state(
                name,
                State::Connecting(Attempt {
                    number,
                    gateway,
                    ike_sa: Some(id),
                }),
            );
        }
        self.release_clones(name, actions);
    }

    fn ike_updown(&mut self, ike_sa: &IkeSa, up: bool, actions: &mut Vec<Action>) {
        let connection = self.connection_of(ike_sa);
        if let Some(sa) = self.sa(ike_sa.id).filter(|_| !up) {
            sa.seen.down(ike_sa);
            sa.down = true;
        }
        let ike_sa_name = ike_sa.name.clone();
        let state = ike_sa.state.number();
        actions.push(Action::publish(if up {
            Event::IkeSaUp {
                ike_sa_name,
                connection,
                state,
            }
        } else {
            Event::IkeSaDown {
                ike_sa_name,
                connection,
                state,
            }
        }));
    }

    fn rekeyed(&mut self, old: &IkeSa, new: &IkeSa, actions: &mut Vec<Action>) {
        actions.push(Action::publish(Event::IkeRekey {
            old_ike_sa_name: old.name.clone(),
            new_ike_sa_name: new.name.clone(),
        }));
        let Some((gateway, children)) = self.sa(old.id).map(|sa| {
            sa.seen.superseded();
            sa.phase = Phase::Closing;
            (sa.gateway.clone(), std::mem::take(&mut sa.children))
        }) else {
            return;
        };
        let Some(sa) = self.track(new) else { return };
        sa.phase = Phase::Up;
        sa.gateway = gateway;
        sa.children = children;
        let owner = &self.ike_sas[&new.id];
        if let Some(connection) = self.connections.get_mut(owner) {
            if connection.state == State::Established(old.id) {
                connection.state = State::Established(new.id);
            }
        }
    }

    fn child_updown(&mut self, id: u32, tunnel: Tunnel, up: bool, actions: &mut Vec<Action>) {
        let child = tunnel.child_sa_name.clone();
        if let Some(owner) = self.ike_sas.get(&id) {
            let connection = self.connections.get_mut(owner).expect("an owner exists");
            let sa = connection
                .ike_sas
                .get_mut(&id)
                .expect("the index is kept with the table");
            if up {
                sa.children.insert(child.clone());
                connection.want(&child);
            } else if !sa.down {
                // Closed by itself: not to be brought back with the IKE_SA.
                sa.children.remove(&child);
                connection.wanted.retain(|wanted| *wanted != child);
            }
        }
        let tunnel = self.with_connection(id, tunnel);
        actions.push(Action::publish(if up {
            Event::TunnelUp(tunnel)
        } else {
            Event::TunnelDown(tunnel)
        }));
    }

    /// An IKE_SA ends. Whether its gateway failed, [`verdict`] tells.
    fn handle_connection_failure(&mut self, ike_sa: &IkeSa, now: Now, actions: &mut Vec<Action>) {
        // An IKE_SA whose peer's name does not resolve ends without ever having been told of.
        self.track(ike_sa);
        let Some(name) = self.ike_sas.remove(&ike_sa.id) else {
            return;
        };
        let connection = self.connections.get_mut(&name).expect("an owner exists");
        let sa = connection
            .ike_sas
            .remove(&ike_sa.id)
            .expect("the index is kept with the table");
        let ours = match &connection.state {
            State::Connecting(attempt) => match attempt.ike_sa {
                Some(id) => id == ike_sa.id,
                None => ike_sa.state == IkeSaState::Created,
            },
            State::Established(id) => *id == ike_sa.id,
            State::Down | State::Exhausted => ike_sa.state == IkeSaState::Created,
            State::Waiting { .. } => false,
        };
        let listed = |gateway: &String| connection.gateways.position_of_name(gateway).is_some();
        let stale = |target: &Target| target.clone_for.as_ref().is_some_and(|g| !listed(g));
        if self.names.get(&sa.name).is_some_and(stale) {
            // Of a list that was replaced under it.
            self.names.remove(&sa.name);
        }
        let reason = verdict(&sa.seen, ike_sa);
        if ours && !self.shutting_down {
            if let Some(id) = connection.other_live_sa().map(|(id, _)| id) {
                if reason.is_some() {
                    connection.outage_since.get_or_insert(now.monotonic);
                }
                connection.state = State::Down;
                self.settle(&name, id, now, actions);
            } else if let Some(reason) = reason {
                self.failed(&name, &sa.gateway, reason, now, actions);
            } else {
                connection.rest();
                self.history.conclude(&name, Outcome::Abandoned);
            }
        }
        self.release_clones(&name, actions);
    }

    /// The gateway failed: the next one, unless there is none or it failed too often.
    fn failed(
        &mut self,
        name: &str,
        from: &str,
        reason: Reason,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let connection = self
            .connections
            .get_mut(name)
            .expect("callers looked it up");
        self.history.conclude(name, Outcome::Failed(reason));
        let report = |code, message: String| Action::Report {
            connection: name.to_owned(),
            error: Error::new(code, message),
        };
        let Some(to) = connection.gateway_after(from) else {
            actions.push(report(
                ErrorCode::NoAlternativeSegw,
                format!(
                    "gateway {from} failed ({}), there is no other",
                    reason.as_str()
                ),
            ));
            connection.rest();
            return;
        };
        if !connection.policy.allows(connection.retries) {
            let retries = connection.retries;
            connection.state = State::Exhausted;
            actions.push(report(
                ErrorCode::MaxRetryExceeded,
                format!(
                    "gateway {from} failed ({}), given up after {retries}",
                    reason.as_str()
                ),
            ));
            actions.push(Action::publish(Event::FailoverExhausted {
                connection: name.to_owned(),
                retries,
            }));
            return;
        }

        let delay = connection.policy.delay(connection.retries);
        connection.retries += 1;
        connection.outage_since.get_or_insert(now.monotonic);
        actions.push(Action::publish(Event::FailoverStarted {
            connection: name.to_owned(),
            from: from.to_owned(),
            to: to.clone(),
            reason: reason.as_str().into(),
            attempt: connection.retries,
        }));
        self.history.add(Entry {
            time: now.unix,
            connection: name.to_owned(),
            from: from.to_owned(),
            to: to.clone(),
            reason,
            result: Outcome::Pending,
        });
        if delay.is_zero() {
            self.start_attempt(name, to, now, actions);
        } else {
            let until = now.monotonic.saturating_add(delay);
            self.deadlines.insert((until, name.to_owned()));
            self.set_state(name, State::Waiting { until, gateway: to });
        }
    }

    /// Ends a wait and makes the attempt at once.
    fn restart(&mut self, name: &str, now: Now, actions: &mut Vec<Action>) {
        let State::Waiting { gateway, .. } = self.connections[name].state.clone() else {
            return;
        };
        self.cancel_wait(name);
        self.start_attempt(name, gateway, now, actions);
    }

    fn start_attempt(&mut self, name: &str, gateway: String, now: Now, actions: &mut Vec<Action>) {
        let number = self.next_attempt();
        let connection = self
            .connections
            .get_mut(name)
            .expect("callers looked it up");
        connection.active = Some(gateway.clone());
        connection.outage_since.get_or_insert(now.monotonic);
        let children = connection.children_to_initiate();
        connection.state = State::Connecting(Attempt {
            number,
            gateway: gateway.clone(),
            ike_sa: None,
        });
        actions.push(self.initiate_action(name, &gateway, children, number));
    }

    fn initiate_action(
        &mut self,
        name: &str,
        gateway: &str,
        children: Vec<String>,
        attempt: u64,
    ) -> Action {
        let connection = self
            .connections
            .get_mut(name)
            .expect("callers looked it up");
        let first = connection.first_gateway().as_deref() == Some(gateway);
        if !first {
            connection.clones.insert(gateway.to_owned());
        }
        Action::Initiate {
            connection: name.to_owned(),
            gateway: gateway.to_owned(),
            first,
            children,
            attempt,
        }
    }

    fn next_attempt(&mut self) -> u64 {
        self.last_attempt += 1;
        self.last_attempt
    }

    fn set_state(&mut self, name: &str, state: State) {
        if let Some(connection) = self.connections.get_mut(name) {
            connection.state = state;
        }
    }

    fn cancel_wait(&mut self, name: &str) {
        if let Some(State::Waiting { until, .. }) = self.connections.get(name).map(|c| &c.state) {
            let deadline = (*until, name.to_owned());
            self.deadlines.remove(&deadline);
        }
    }

    fn release_clones(&mut self, name: &str, actions: &mut Vec<Action>) {
        let Some(connection) = self.connections.get_mut(name) else {
            return;
        };
        for gateway in connection.take_unused_clones() {
            actions.push(Action::ReleaseClone {
                connection: name.to_owned(),
                gateway,
            });
        }
    }

    /// The record of an IKE_SA, made at its first sight; None if it is not one that we initiated
    /// for a known connection.
    fn track(&mut self, ike_sa: &IkeSa) -> Option<&mut Sa> {
        if !self.ike_sas.contains_key(&ike_sa.id) {
            let target = self.names.get(&ike_sa.name).filter(|_| ike_sa.initiator)?;
            let connection = self.connections.get_mut(&target.connection)?;
            let gateway = match &target.clone_for {
                Some(gateway) => gateway.clone(),
                // charon itself takes the first address that resolves.
                None => ike_sa
                    .remote
                    .and_then(|remote| connection.gateways.position_of(&remote))
                    .and_then(|position| connection.gateways.get(position))
                    .map(ToString::to_string)
                    .or_else(|| connection.first_gateway())?,
            };
            connection.ike_sas.insert(
                ike_sa.id,
                Sa {
                    name: ike_sa.name.clone(),
                    gateway,
                    phase: Phase::Connecting,
                    down: false,
                    children: BTreeSet::new(),
                    seen: Seen::default(),
                },
            );
            self.ike_sas.insert(ike_sa.id, target.connection.clone());
        }
        self.sa(ike_sa.id)
    }

    fn sa(&mut self, id: u32) -> Option<&mut Sa> {
        let owner = self.ike_sas.get(&id)?;
        self.connections.get_mut(owner)?.ike_sas.get_mut(&id)
    }

    fn connection_of(&self, ike_sa: &IkeSa) -> Option<String> {
        self.ike_sas
            .get(&ike_sa.id)
            .or_else(|| {
                self.names
                    .get(&ike_sa.name)
                    .map(|target| &target.connection)
            })
            .cloned()
    }

    fn with_connection(&self, ike_sa: u32, mut tunnel: Tunnel) -> Tunnel {
        tunnel.connection = self
            .ike_sas
            .get(&ike_sa)
            .or_else(|| {
                self.names
                    .get(&tunnel.ike_sa_name)
                    .map(|target| &target.connection)
            })
            .cloned();
        tunnel
    }

    /// The connection of that name, or the one that an IKE_SA of that name belongs to.
    fn resolve(&self, name: &str) -> Result<&str> {
        self.names
            .get(name)
            .map(|target| target.connection.as_str())
            .ok_or_else(|| unknown_connection(name))
    }
}

/// The connection's own name and those of its clones.
fn names_of<'a>(
    name: &'a str,
    gateways: &'a AddressList,
) -> impl Iterator<Item = (String, Option<String>)> + 'a {
    let clones = gateways.gateways().iter().skip(1).map(move |gateway| {
        let gateway = gateway.to_string();
        (failover_name(name, &gateway), Some(gateway))
    });
    std::iter::once((name.to_owned(), None)).chain(clones)
}

fn unknown_connection(name: &str) -> Error {
    Error::invalid(format!(
        "{name}: expected the name of a connection, found an unknown one"
    ))
}
