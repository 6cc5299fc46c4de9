// SPDX-License-Identifier: GPL-2.0-or-later

//! The failover manager: every connection, driven by evidence, commands and time.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use super::action::{Action, Begin, Settings};
use super::address::AddressList;
use super::connection::{millis, Attempt, Connection, Phase, Sa, State};
use super::deadlines::{Deadlines, Timer};
use super::evidence::{Alert, Evidence, IkeSa, IkeSaState};
use super::history::{Entry, History, Outcome};
use super::policy::FailoverPolicy;
use super::verdict::{going_on, verdict, Reason};
use super::{failover_name, Now};
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::{ConnectionStatus, Event, Tunnel};

/// What holds for all connections.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The policy of connections that others loaded; None leaves them alone.
    pub foreign: Option<FailoverPolicy>,
    /// How many attempts may be under way at a time.
    pub max_concurrent: usize,
    /// How many failovers are remembered.
    pub history_size: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            foreign: Some(FailoverPolicy::default()),
            max_concurrent: 100,
            history_size: super::history::DEFAULT_SIZE,
        }
    }
}

/// Every connection's failover state.
#[derive(Debug, Default)]
pub struct FailoverManager {
    options: Options,
    connections: BTreeMap<String, Connection>,
    /// Which connection, and which gateway of it, a configuration's name stands for.
    names: HashMap<String, Target>,
    /// Which connection an IKE_SA belongs to, by unique id.
    ike_sas: HashMap<u32, String>,
    /// IKE_SAs that live on although their connection was removed.
    orphans: HashMap<u32, Orphan>,
    deadlines: Deadlines,
    /// Connections with an attempt under way.
    half_open: BTreeSet<String>,
    /// Connections that wait for fewer of them.
    queue: VecDeque<String>,
    history: History,
    last_attempt: u64,
    /// Some connection has its liveness checked.
    listening: bool,
    shutting_down: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    connection: String,
    /// None for the connection's own configuration.
    clone_for: Option<String>,
}

/// Nobody's business, unless its connection is loaded again.
#[derive(Debug)]
struct Orphan {
    connection: String,
    sa: Sa,
}

impl FailoverManager {
    /// Without connections.
    pub fn new(options: Options) -> Self {
        Self {
            history: History::new(options.history_size),
            options,
            ..Self::default()
        }
    }

    /// Takes note of what charon did.
    pub fn handle(&mut self, evidence: Evidence, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        match evidence {
            Evidence::State { ike_sa, to } => self.state_changed(&ike_sa, to, now, &mut actions),
            Evidence::Alert { ike_sa, alert } => self.alerted(&ike_sa, alert, now, &mut actions),
            Evidence::IkeUpdown { ike_sa, up } => self.ike_updown(&ike_sa, up, &mut actions),
            Evidence::IkeRekey { old, new } => self.rekeyed(&old, &new, now, &mut actions),
            Evidence::Reestablished { old } => {
                if let Some(sa) = self.sa(old) {
                    sa.seen.superseded();
                }
            }
            Evidence::Steered {
                ike_sa,
                replaces,
                gateway,
            } => match replaces {
                None => self.led_on(&ike_sa, gateway, now, &mut actions),
                Some(old) => self.led_from(old, &ike_sa, gateway, now, &mut actions),
            },
            Evidence::Received { ike_sa } => self.heard(ike_sa, now, &mut actions),
            Evidence::ChildUpdown { ike_sa, tunnel, up } => {
                self.child_updown(ike_sa, tunnel, up, now, &mut actions);
            }
            Evidence::ChildRekey { ike_sa, old, new } => {
                actions.push(Action::publish(Event::ChildRekey {
                    ike_sa_name: new.ike_sa_name.clone(),
                    old_child_sa_name: old,
                    new_child_sa_name: new.child_sa_name.clone(),
                }));
                let tunnel = self.with_connection(ike_sa, new);
                actions.push(Action::publish(Event::TunnelUp(tunnel)));
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
        self.deadlines.next()
    }

    /// Carries on what waited for a time that has come.
    pub fn expire(&mut self, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some((name, timer)) = self.deadlines.take_due(now.monotonic) {
            self.expired(&name, timer, now, &mut actions);
            self.conclude_step(&name, now, &mut actions);
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

    /// Loads or replaces a connection; its IKE_SAs are not touched, its retries start afresh, and an
    /// attempt to a gateway that is gone is made to the first one instead.
    pub fn configure(&mut self, name: &str, settings: Settings, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        self.load(name, settings, false, now, &mut actions);
        actions.push(Action::publish(Event::ConfigApplied {
            connection: name.to_owned(),
        }));
        self.conclude_step(name, now, &mut actions);
        actions
    }

    /// The remote addresses of a connection that others loaded were found to have changed.
    pub fn gateways_changed(&mut self, name: &str, gateways: AddressList, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        let Some(connection) = self.connections.get(name) else {
            return actions;
        };
        let settings = Settings {
            gateways,
            children: connection.children.clone(),
            policy: connection.policy,
        };
        let (foreign, retries) = (connection.foreign, connection.retries);
        self.load(name, settings, foreign, now, &mut actions);
        if let Some(connection) = self.connections.get_mut(name) {
            // Found in the middle of an outage, which goes on.
            connection.retries = retries;
        }
        self.conclude_step(name, now, &mut actions);
        actions
    }

    /// Forgets a connection: its IKE_SAs live on, its failover ends.
    pub fn remove(&mut self, name: &str, now: Now) -> Result<Vec<Action>> {
        if !self.connections.contains_key(name) {
            return Err(unknown_connection(name));
        }
        let mut actions = Vec::new();
        self.forget(name, now, &mut actions);
        Ok(actions)
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

        let mut actions = Vec::new();
        let gateway = match connection.state.clone() {
            State::Down | State::Exhausted => {
                connection.afresh(now);
                self.start_attempt(name, first.clone(), now, &mut actions);
                first
            }
            State::Waiting { gateway, .. } => {
                self.start_attempt(name, gateway.clone(), now, &mut actions);
                gateway
            }
            State::Queued { gateway } => gateway,
            State::Connecting(Attempt {
                gateway, ike_sa, ..
            }) => {
                // Without an IKE_SA the attempt has yet to begin, or is caught up with then.
                if let Some(ike_sa) = ike_sa {
                    actions.push(initiate_children(name, ike_sa, asked));
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
                    actions.push(initiate_children(name, id, missing));
                }
                gateway
            }
        };
        self.conclude_step(name, now, &mut actions);
        Ok((gateway, actions))
    }

    /// Takes the connection, or the one whose IKE_SA is named, down; returns its name.
    pub fn terminate(&mut self, name: &str, now: Now) -> Result<(String, Vec<Action>)> {
        let name = self.resolve(name)?.to_owned();
        let mut actions = vec![Action::Terminate {
            connection: name.clone(),
        }];
        self.end_attempts(&name, &mut actions);
        self.conclude_step(&name, now, &mut actions);
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

        let mut actions = Vec::new();
        connection.gateways.forgive();
        match connection.state.clone() {
            State::Established(_) if to == from => {}
            State::Connecting(attempt) if attempt.gateway == to => {}
            State::Established(_) => {
                if let Some(previous) = connection.switch.take() {
                    actions.push(abandon(name, &previous));
                }
                self.history.conclude(name, Outcome::Abandoned, None);
                self.record(name, &from, &to, Reason::Operator, 1, now, &mut actions);
                self.start_switch(name, to.clone(), now, &mut actions);
            }
            state => {
                if let State::Connecting(attempt) = &state {
                    actions.push(abandon(name, attempt));
                    connection.give_up(attempt.ike_sa);
                }
                connection.retries = 0;
                self.history.conclude(name, Outcome::Abandoned, None);
                if state != State::Down && to != from {
                    connection.retries = 1;
                    self.record(name, &from, &to, Reason::Operator, 1, now, &mut actions);
                }
                self.start_attempt(name, to.clone(), now, &mut actions);
            }
        }
        self.conclude_step(name, now, &mut actions);
        Ok((to, actions))
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
        let mut actions = Vec::new();
        let Some(connection) = self.connections.get_mut(name) else {
            return actions;
        };
        let Some(Attempt {
            gateway, ike_sa, ..
        }) = connection.attempt(attempt).map(|attempt| attempt.clone())
        else {
            return actions;
        };
        match ike_sa {
            Some(id) => {
                let late: Vec<String> = connection
                    .children_to_initiate()
                    .into_iter()
                    .filter(|child| !asked.contains(child))
                    .collect();
                if begun && !asked.is_empty() && !late.is_empty() {
                    actions.push(initiate_children(name, id, late));
                }
            }
            None if !begun => {
                self.attempt_failed(
                    name,
                    attempt,
                    &gateway,
                    Reason::InitiateFailed,
                    now,
                    &mut actions,
                );
            }
            // charon waits for the peer's name to resolve (retry_initiate_interval), or took an
            // IKE_SA that was there.
            None => {
                let waits = matches!(connection.state, State::Connecting(_));
                if let Some(id) = connection.live_sa().filter(|_| waits) {
                    self.settle(name, id, now, &mut actions);
                }
            }
        }
        self.conclude_step(name, now, &mut actions);
        actions
    }

    /// The configuration of an [`Action::Initiate`] is gone: so is the connection.
    pub fn vanished(&mut self, name: &str, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.connections.contains_key(name) {
            self.forget(name, now, &mut actions);
        }
        actions
    }

    /// The outcome of an [`Action::Probe`]: since when its traffic is silent (monotonic) if that
    /// proves it alive, else None: it was asked for a sign of life.
    pub fn probed(
        &mut self,
        name: &str,
        ike_sa: u32,
        heard: Option<Duration>,
        now: Now,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(sa) = self.sa(ike_sa) {
            match heard {
                Some(heard) => {
                    sa.heard = sa.heard.max(heard);
                    sa.asked = None;
                }
                None => {
                    sa.asked.get_or_insert(now.monotonic);
                }
            }
        }
        self.conclude_step(name, now, &mut actions);
        actions
    }

    /// Unique ids of the connection's IKE_SAs that we initiated.
    pub fn ike_sas(&self, name: &str) -> Vec<u32> {
        self.connections
            .get(name)
            .map_or_else(Vec::new, |c| c.ike_sas.keys().copied().collect())
    }

    /// Whether the connection was loaded by others.
    pub fn is_foreign(&self, name: &str) -> bool {
        self.connections.get(name).is_some_and(|c| c.foreign)
    }

    /// The remote addresses that are known of the connection.
    pub fn gateways(&self, name: &str) -> Option<&AddressList> {
        self.connections.get(name).map(|c| c.gateways.list())
    }

    /// The policy in force.
    pub fn policy(&self, name: &str) -> Option<&FailoverPolicy> {
        self.connections.get(name).map(|c| &c.policy)
    }

    /// How many things are remembered of connections and IKE_SAs, the history excepted.
    pub fn tracked(&self) -> usize {
        let of_connections: usize = self
            .connections
            .values()
            .map(|connection| connection.ike_sas.len() + connection.clones.len())
            .sum();
        of_connections
            + self.connections.len()
            + self.names.len()
            + self.ike_sas.len()
            + self.orphans.len()
            + self.deadlines.len()
            + self.half_open.len()
            + self.queue.len()
    }

    /// How many attempts are under way.
    pub fn half_open(&self) -> usize {
        self.half_open.len()
    }

    /// Whether [`Evidence::Received`] is wanted.
    pub fn is_listening(&self) -> bool {
        self.listening
    }

    /// Every connection, by name.
    pub fn list(&self, now: Now) -> Vec<ConnectionStatus> {
        self.connections
            .iter()
            .map(|(name, connection)| connection.status(name, now.monotonic))
            .collect()
    }

    /// One connection.
    pub fn status(&self, name: &str, now: Now) -> Option<ConnectionStatus> {
        let connection = self.connections.get(name)?;
        Some(connection.status(name, now.monotonic))
    }

    /// The last failovers.
    pub fn history(&self) -> &History {
        &self.history
    }

    fn load(
        &mut self,
        name: &str,
        settings: Settings,
        foreign: bool,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        if let Some(replaced) = self.connections.get(name) {
            for (own, _) in names_of(name, replaced.gateways.list()) {
                self.names.remove(&own);
            }
        }
        let gateways = settings.gateways.clone();
        match self.connections.get_mut(name) {
            None => {
                self.connections
                    .insert(name.to_owned(), Connection::new(settings, foreign));
            }
            Some(connection) => {
                let Settings {
                    gateways,
                    children,
                    policy,
                } = settings;
                connection.gateways.replace(gateways);
                connection.children = children;
                connection.policy = policy;
                connection.foreign = foreign;
                connection.retries = 0;
                let configured = connection.children.clone();
                if !configured.is_empty() {
                    connection.wanted.retain(|child| configured.contains(child));
                }
                self.restart(name, now, actions);
            }
        }
        for (own, clone_for) in names_of(name, &gateways) {
            let target = Target {
                connection: name.to_owned(),
                clone_for,
            };
            self.names.insert(own, target);
        }
        self.take_back(name, now);
        self.listening |= self.connections[name].policy.liveness().is_some();
    }

    /// The connection was removed before, and its IKE_SAs live on.
    fn take_back(&mut self, name: &str, now: Now) {
        let ids: BTreeSet<u32> = self
            .orphans
            .iter()
            .filter(|(_, orphan)| orphan.connection == name)
            .map(|(id, _)| *id)
            .collect();
        let Some(connection) = self.connections.get_mut(name).filter(|_| !ids.is_empty()) else {
            return;
        };
        for id in ids {
            if let Some(orphan) = self.orphans.remove(&id) {
                for child in &orphan.sa.children {
                    connection.want(child);
                }
                connection.ike_sas.insert(id, orphan.sa);
                self.ike_sas.insert(id, name.to_owned());
            }
        }
        let live = connection
            .live_sa()
            .and_then(|id| Some((id, connection.ike_sas.get(&id)?.clone())));
        match live {
            Some((id, sa)) if sa.phase == Phase::Up => {
                connection.active = Some(sa.gateway);
                connection.state = State::Established(id);
            }
            Some((id, sa)) => self.connecting_to(name, sa.gateway, id, now),
            None => {}
        }
    }

    /// A new configuration gives what waits another start, and ends what leads to a gateway that it
    /// has not.
    fn restart(&mut self, name: &str, now: Now, actions: &mut Vec<Action>) {
        let connection = self
            .connections
            .get_mut(name)
            .expect("callers looked it up");
        let is_gone = |gateway: &str| connection.gateways.find(gateway).is_none();
        let unseen =
            |attempt: &Attempt| attempt.ike_sa.is_none() && is_gone(attempt.gateway.as_str());
        let switch = connection
            .switch
            .take_if(|attempt| attempt.ike_sa.is_none() && is_gone(&attempt.gateway));
        let next = match &connection.state {
            State::Waiting { gateway, .. } if !is_gone(gateway) => Some(gateway.clone()),
            State::Waiting { .. } => connection.gateways.first(),
            State::Queued { gateway } if is_gone(gateway) => connection.gateways.first(),
            State::Connecting(attempt) if unseen(attempt) => {
                actions.push(abandon(name, attempt));
                connection.gateways.first()
            }
            State::Exhausted => None,
            _ => return self.drop_switch(name, switch, actions),
        };
        self.drop_switch(name, switch, actions);
        match next {
            Some(gateway) => self.start_attempt(name, gateway, now, actions),
            None => self
                .connections
                .get_mut(name)
                .expect("callers looked it up")
                .rest(),
        }
    }

    fn drop_switch(&mut self, name: &str, switch: Option<Attempt>, actions: &mut Vec<Action>) {
        if let Some(attempt) = switch {
            actions.push(abandon(name, &attempt));
            self.history.conclude(name, Outcome::Abandoned, None);
        }
    }

    /// Nothing is wanted any more; attempts of which charon has not told end, too.
    fn end_attempts(&mut self, name: &str, actions: &mut Vec<Action>) {
        self.history.conclude(name, Outcome::Abandoned, None);
        let Some(connection) = self.connections.get_mut(name) else {
            return;
        };
        let connecting = match &connection.state {
            State::Connecting(attempt) => Some(attempt),
            _ => None,
        };
        let unseen = |attempt: &&Attempt| attempt.own.is_some() && attempt.ike_sa.is_none();
        actions.extend(
            connecting
                .into_iter()
                .chain(&connection.switch)
                .filter(unseen)
                .map(|attempt| abandon(name, attempt)),
        );
        connection.rest();
    }

    fn forget(&mut self, name: &str, now: Now, actions: &mut Vec<Action>) {
        self.end_attempts(name, actions);
        if let Some(connection) = self.connections.get_mut(name) {
            for (ike_sa, sa) in std::mem::take(&mut connection.ike_sas) {
                self.ike_sas.remove(&ike_sa);
                let connection = name.to_owned();
                self.orphans.insert(ike_sa, Orphan { connection, sa });
                actions.push(unsteer(name, ike_sa));
            }
        }
        self.queue.retain(|queued| queued != name);
        self.conclude_step(name, now, actions);
        self.connections.remove(name);
        self.names.retain(|_, target| target.connection != name);
    }

    fn expired(&mut self, name: &str, timer: Timer, now: Now, actions: &mut Vec<Action>) {
        let Some(connection) = self.connections.get_mut(name) else {
            return;
        };
        match (timer, connection.state.clone()) {
            (Timer::Retry, State::Waiting { gateway, .. }) => {
                self.start_attempt(name, gateway, now, actions);
            }
            (Timer::Connect, State::Connecting(attempt)) => {
                connection.give_up(attempt.ike_sa);
                actions.push(abandon(name, &attempt));
                self.failed(name, &attempt.gateway, Reason::ConnectTimeout, now, actions);
            }
            (Timer::Switch, _) => {
                if let Some(attempt) = connection.switch.clone() {
                    connection.give_up(attempt.ike_sa);
                    actions.push(abandon(name, &attempt));
                    self.switch_failed(name, Reason::ConnectTimeout, actions);
                }
            }
            (Timer::Probe, State::Established(ike_sa)) => {
                if let Some(sa) = connection.ike_sas.get_mut(&ike_sa) {
                    // The answer may be a long time coming; until then it is not asked again.
                    sa.asked = Some(now.monotonic);
                    let connection = name.to_owned();
                    actions.push(Action::Probe { connection, ike_sa });
                }
            }
            (Timer::Dead, State::Established(id)) => {
                let Some(gateway) = connection.ike_sas.get(&id).map(|sa| sa.gateway.clone()) else {
                    return;
                };
                connection.give_up(Some(id));
                actions.push(Action::Abandon {
                    connection: name.to_owned(),
                    gateway: gateway.clone(),
                    ike_sa: Some(id),
                });
                self.lost(name, &gateway, Reason::LivenessTimeout, now, actions);
            }
            _ => {}
        }
    }

    fn state_changed(
        &mut self,
        ike_sa: &IkeSa,
        to: IkeSaState,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        if let Some(orphan) = self.orphans.get_mut(&ike_sa.id) {
            match to {
                IkeSaState::Established if orphan.sa.phase == Phase::Connecting => {
                    orphan.sa.phase = Phase::Up;
                }
                IkeSaState::Deleting => {
                    orphan.sa.seen.deleting(ike_sa);
                    orphan.sa.phase = Phase::Closing;
                }
                IkeSaState::Destroying => {
                    self.orphans.remove(&ike_sa.id);
                }
                _ => {}
            }
            return;
        }
        match to {
            IkeSaState::Connecting => self.connecting(ike_sa, now, actions),
            IkeSaState::Established => {
                let Some(sa) = self.track(ike_sa, now) else {
                    return;
                };
                sa.seen.recovered();
                sa.heard = now.monotonic;
                if matches!(sa.phase, Phase::Connecting) {
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
        if let Some(owner) = self.ike_sas.get(&ike_sa.id).cloned() {
            self.conclude_step(&owner, now, actions);
        }
    }

    fn connecting(&mut self, ike_sa: &IkeSa, now: Now, actions: &mut Vec<Action>) {
        let known = self.ike_sas.contains_key(&ike_sa.id);
        if !known {
            if self.follow_orphan(ike_sa, now) {
                return;
            }
            self.take_in(ike_sa, now, actions);
        }
        let Some(sa) = self.track(ike_sa, now) else {
            return;
        };
        if !known && ike_sa.tasks.is_empty() {
            // Only an IKE_SA that the rekeying of another one makes has nothing to do by itself.
            sa.phase = Phase::Successor;
            return;
        }
        sa.created = false;
        if sa.phase != Phase::Connecting {
            return;
        }
        // Another try of the same IKE_SA.
        sa.seen.recovered();
        if known {
            return;
        }
        let gateway = sa.gateway.clone();
        let owner = self.ike_sas[&ike_sa.id].clone();
        if ike_sa.name != owner {
            self.adopt(&owner, ike_sa.id, actions);
        }
        self.attribute(&owner, ike_sa, gateway, now, actions);
    }

    /// Whether the new IKE_SA replaces one whose connection was removed.
    fn follow_orphan(&mut self, ike_sa: &IkeSa, now: Now) -> bool {
        if self.names.contains_key(&ike_sa.name) {
            return false;
        }
        let connection = self
            .orphans
            .values()
            .find(|orphan| orphan.sa.name == ike_sa.name)
            .map(|orphan| orphan.connection.clone());
        let Some(connection) = connection else {
            return false;
        };
        let gateway = ike_sa.remote.map_or_else(String::new, |ip| ip.to_string());
        let mut sa = Sa::new(&ike_sa.name, gateway, now.monotonic);
        if ike_sa.tasks.is_empty() {
            sa.phase = Phase::Successor;
        }
        self.orphans.insert(ike_sa.id, Orphan { connection, sa });
        true
    }

    fn adopt(&mut self, name: &str, ike_sa: u32, actions: &mut Vec<Action>) {
        if let Some(sa) = self.sa(ike_sa) {
            name.clone_into(&mut sa.name);
        }
        actions.push(Action::Adopt {
            connection: name.to_owned(),
            ike_sa,
        });
    }

    /// What the connection's new IKE_SA, which is connecting, is for.
    fn attribute(
        &mut self,
        name: &str,
        ike_sa: &IkeSa,
        gateway: String,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let connection = self
            .connections
            .get_mut(name)
            .expect("callers looked it up");
        let cloned = ike_sa.name != name;
        let switch = connection.switch.as_mut().filter(|attempt| {
            attempt.ike_sa.is_none() && attempt.gateway == gateway && attempt.own.is_some()
        });
        if let Some(attempt) = switch {
            attempt.ike_sa = Some(ike_sa.id);
            return;
        }
        match &mut connection.state {
            State::Connecting(attempt) => {
                // With the connection's own configuration, charon takes the first address that resolves.
                let ours = attempt.gateway == gateway || !cloned && attempt.own == Some(true);
                if attempt.ike_sa.is_none() && ours {
                    attempt.ike_sa = Some(ike_sa.id);
                    attempt.gateway.clone_from(&gateway);
                    connection.active = Some(gateway.clone());
                    connection.gateways.trying(&gateway);
                } else {
                    // A second one, of a trap or an operator, does not compete with the attempt.
                    connection.give_up(Some(ike_sa.id));
                    actions.push(Action::Abandon {
                        connection: name.to_owned(),
                        gateway,
                        ike_sa: Some(ike_sa.id),
                    });
                }
                return;
            }
            State::Established(_) => return,
            // charon, or an operator by other means, initiates it.
            State::Waiting { .. } | State::Queued { .. } => {}
            State::Down | State::Exhausted => connection.afresh(now),
        }
        self.connecting_to(name, gateway, ike_sa.id, now);
    }

    /// An attempt that charon made without being told to.
    fn connecting_to(&mut self, name: &str, gateway: String, ike_sa: u32, now: Now) {
        let number = self.next_attempt();
        let connection = self
            .connections
            .get_mut(name)
            .expect("callers looked it up");
        connection.outage_since.get_or_insert(now.monotonic);
        connection.active = Some(gateway.clone());
        connection.gateways.trying(&gateway);
        connection.state = State::Connecting(Attempt {
            number,
            gateway,
            since: now.monotonic,
            own: None,
            ike_sa: Some(ike_sa),
        });
    }

    /// Takes in a connection that others loaded, when charon initiates it.
    fn take_in(&mut self, ike_sa: &IkeSa, now: Now, actions: &mut Vec<Action>) {
        let Some(policy) = self.options.foreign else {
            return;
        };
        let known = self.names.get(&ike_sa.name);
        let foreign = known.is_none_or(|target| {
            self.connections
                .get(&target.connection)
                .is_some_and(|connection| connection.foreign)
        });
        if !ike_sa.initiator || !foreign {
            return;
        }
        let gateways = AddressList::parse(&ike_sa.remote_addrs);
        let same = known.is_some_and(|target| {
            target.clone_for.is_some()
                || self
                    .connections
                    .get(&target.connection)
                    .is_some_and(|connection| *connection.gateways.list() == gateways)
        });
        if gateways.len() < 2 || same {
            return;
        }
        let settings = Settings {
            gateways,
            children: Vec::new(),
            policy,
        };
        self.load(&ike_sa.name, settings, true, now, actions);
    }

    /// The connection's tunnel is this IKE_SA now, which is up or coming up.
    fn settle(&mut self, name: &str, id: u32, now: Now, actions: &mut Vec<Action>) {
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
                None => self.connecting_to(name, gateway, id, now),
            }
            return;
        }

        let before = std::mem::replace(&mut connection.state, State::Established(id));
        connection.active = Some(gateway);
        match before {
            State::Established(old) if switched => {
                connection.give_up(Some(old));
                actions.push(delete(name, old));
            }
            // Another one came up before the attempt did.
            State::Connecting(attempt) if attempt.ike_sa != Some(id) => {
                connection.give_up(attempt.ike_sa);
                if attempt.own.is_some() || attempt.ike_sa.is_some() {
                    actions.push(abandon(name, &attempt));
                }
            }
            _ => {}
        }
        if switched {
            connection.switch = None;
            connection.retries = 1;
        }
        if !connection.needs_child() {
            self.recovered(name, id, now, actions);
        }
    }

    /// The outage ends with this IKE_SA.
    fn recovered(&mut self, name: &str, id: u32, now: Now, actions: &mut Vec<Action>) {
        let connection = self
            .connections
            .get_mut(name)
            .expect("callers looked it up");
        let Some(gateway) = connection.ike_sas.get(&id).map(|sa| sa.gateway.clone()) else {
            return;
        };
        let attempts = std::mem::take(&mut connection.retries);
        let outage = connection
            .outage_since
            .take()
            .map_or(Duration::ZERO, |since| now.monotonic.saturating_sub(since));
        connection.gateways.succeeded(&gateway, now.unix);
        if attempts > 0 {
            actions.push(Action::publish(Event::FailoverEstablished {
                connection: name.to_owned(),
                gateway,
                attempts,
                outage_ms: millis(outage),
            }));
            self.history
                .conclude(name, Outcome::Established, Some(outage));
        }
    }

    fn alerted(&mut self, ike_sa: &IkeSa, alert: Alert, now: Now, actions: &mut Vec<Action>) {
        let Some(sa) = self.track(ike_sa, now) else {
            return;
        };
        sa.seen.alert(alert);
        if alert != Alert::KeepOnChildSaFailure {
            return;
        }
        let bare = sa.phase == Phase::Up && sa.children.is_empty();
        let gateway = sa.gateway.clone();
        let owner = self.ike_sas[&ike_sa.id].clone();
        let connection = self.connections.get_mut(&owner).expect("track() found it");
        let current = connection.state == State::Established(ike_sa.id);
        if bare && current && connection.policy.on_child_failure {
            connection.give_up(Some(ike_sa.id));
            actions.push(delete(&owner, ike_sa.id));
            self.lost(&owner, &gateway, Reason::ChildFailed, now, actions);
            self.conclude_step(&owner, now, actions);
        }
    }

    /// charon tries the IKE_SA again, at the gateway that was prepared.
    fn led_on(&mut self, ike_sa: &IkeSa, gateway: String, now: Now, actions: &mut Vec<Action>) {
        let Some(name) = self.ike_sas.get(&ike_sa.id).cloned() else {
            return;
        };
        let connection = self.connections.get_mut(&name).expect("an owner exists");
        let Some(sa) = connection.ike_sas.get_mut(&ike_sa.id) else {
            return;
        };
        let from = std::mem::replace(&mut sa.gateway, gateway.clone());
        sa.seen.recovered();
        sa.steered_to = None;
        let attempted = matches!(
            &connection.state,
            State::Connecting(attempt) if attempt.ike_sa == Some(ike_sa.id)
        );
        if attempted {
            self.went_on(
                &name,
                &from,
                ike_sa.id,
                gateway,
                Reason::PeerUnreachable,
                now,
                actions,
            );
        }
        // Otherwise it was given up before, or is to be terminated.
        self.adopt(&name, ike_sa.id, actions);
        self.conclude_step(&name, now, actions);
    }

    /// charon replaces an IKE_SA by a new one, to the gateway that was prepared.
    fn led_from(
        &mut self,
        old: u32,
        new: &IkeSa,
        gateway: String,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let Some(name) = self.ike_sas.get(&old).cloned() else {
            return;
        };
        if self.track(new, now).is_none() {
            return;
        }
        let connection = self.connections.get_mut(&name).expect("an owner exists");
        let Some((from, reason)) = connection.ike_sas.get(&old).map(|sa| {
            let reason = going_on(&sa.seen, sa.phase != Phase::Connecting);
            (sa.gateway.clone(), reason)
        }) else {
            return;
        };
        if let Some(sa) = connection.ike_sas.get_mut(&new.id) {
            sa.gateway.clone_from(&gateway);
            sa.created = true;
        }
        let current = match &connection.state {
            State::Established(id) => *id == old,
            State::Connecting(attempt) => attempt.ike_sa == Some(old),
            _ => false,
        };
        if current {
            connection.give_up(Some(old));
            self.went_on(&name, &from, new.id, gateway, reason, now, actions);
            self.adopt(&name, new.id, actions);
        } else {
            self.attribute(&name, new, gateway, now, actions);
        }
        self.conclude_step(&name, now, actions);
    }

    #[allow(clippy::too_many_arguments)]
    fn went_on(
        &mut self,
        name: &str,
        from: &str,
        ike_sa: u32,
        to: String,
        reason: Reason,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let connection = self
            .connections
            .get_mut(name)
            .expect("callers looked it up");
        connection.gateways.failed(from, reason, None);
        connection.retries += 1;
        let retries = connection.retries;
        self.history.conclude(name, Outcome::Failed(reason), None);
        self.record(name, from, &to, reason, retries, now, actions);
        self.connecting_to(name, to, ike_sa, now);
    }

    /// An authenticated message of the gateway's came.
    fn heard(&mut self, id: u32, now: Now, actions: &mut Vec<Action>) {
        let Some(sa) = self.sa(id) else { return };
        sa.heard = now.monotonic;
        sa.asked = None;
        let owner = self.ike_sas[&id].clone();
        self.conclude_step(&owner, now, actions);
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

    fn rekeyed(&mut self, old: &IkeSa, new: &IkeSa, now: Now, actions: &mut Vec<Action>) {
        actions.push(Action::publish(Event::IkeRekey {
            old_ike_sa_name: old.name.clone(),
            new_ike_sa_name: new.name.clone(),
        }));
        if let Some(orphan) = self.orphans.get_mut(&old.id) {
            orphan.sa.seen.superseded();
            let connection = orphan.connection.clone();
            let mut sa = Sa::new(&new.name, orphan.sa.gateway.clone(), now.monotonic);
            sa.children = std::mem::take(&mut orphan.sa.children);
            sa.phase = std::mem::replace(&mut orphan.sa.phase, Phase::Closing);
            self.orphans.insert(new.id, Orphan { connection, sa });
            return;
        }
        let Some((gateway, children, given_up)) = self.sa(old.id).map(|sa| {
            sa.seen.superseded();
            let given_up = std::mem::replace(&mut sa.phase, Phase::Closing) == Phase::Closing;
            (
                sa.gateway.clone(),
                std::mem::take(&mut sa.children),
                given_up,
            )
        }) else {
            return;
        };
        let Some(sa) = self.track(new, now) else {
            return;
        };
        sa.phase = Phase::Up;
        sa.gateway = gateway;
        sa.children = children;
        let owner = self.ike_sas[&new.id].clone();
        if let Some(connection) = self.connections.get_mut(&owner) {
            if given_up {
                // Decided before charon told of it.
                connection.give_up(Some(new.id));
                actions.push(delete(&owner, new.id));
            } else if connection.state == State::Established(old.id) {
                connection.state = State::Established(new.id);
            }
        }
        self.conclude_step(&owner, now, actions);
    }

    fn child_updown(
        &mut self,
        id: u32,
        tunnel: Tunnel,
        up: bool,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let child = tunnel.child_sa_name.clone();
        if let Some(owner) = self.ike_sas.get(&id).cloned() {
            let connection = self.connections.get_mut(&owner).expect("an owner exists");
            let sa = connection
                .ike_sas
                .get_mut(&id)
                .expect("the index is kept with the table");
            let lives_on = !sa.down && sa.phase != Phase::Closing;
            if up {
                sa.children.insert(child.clone());
                connection.want(&child);
                if connection.needs_child() && connection.state == State::Established(id) {
                    self.recovered(&owner, id, now, actions);
                }
            } else if lives_on {
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
        self.track(ike_sa, now);
        let Some(name) = self.ike_sas.remove(&ike_sa.id) else {
            return;
        };
        let connection = self.connections.get_mut(&name).expect("an owner exists");
        let sa = connection
            .ike_sas
            .remove(&ike_sa.id)
            .expect("the index is kept with the table");
        actions.push(unsteer(&name, ike_sa.id));
        let unresolved = ike_sa.state == IkeSaState::Created;
        let is_of = |attempt: &Attempt| match attempt.ike_sa {
            Some(id) => id == ike_sa.id,
            None => unresolved && attempt.gateway == sa.gateway,
        };
        let switching = connection.switch.as_ref().is_some_and(is_of);
        let ours = match &connection.state {
            State::Connecting(attempt) => is_of(attempt),
            State::Established(id) => *id == ike_sa.id,
            State::Down | State::Exhausted => unresolved,
            State::Waiting { .. } | State::Queued { .. } => false,
        };
        // charon could not begin with what was to replace another one.
        let begun = || sa.created.then_some(Reason::InitiateFailed);
        let reason = verdict(&sa.seen, ike_sa).or_else(begun);
        if sa.seen.lacks_credentials() && !self.shutting_down {
            actions.push(Action::Report {
                connection: name.clone(),
                error: Error::invalid(format!(
                    "no credentials of our own for gateway {}, which another gateway cannot change",
                    sa.gateway
                )),
            });
        }
        if self.shutting_down || sa.phase == Phase::Closing && reason.is_none() && !ours {
            // Given up before, or the daemon ends.
        } else if switching {
            self.switch_failed(&name, reason.unwrap_or(Reason::Operator), actions);
        } else if ours {
            match reason {
                Some(reason) => {
                    if matches!(connection.state, State::Down | State::Exhausted) {
                        // charon, or an operator by other means, initiated it.
                        connection.afresh(now);
                    }
                    self.lost(&name, &sa.gateway, reason, now, actions);
                }
                None if connection.state == State::Exhausted => {}
                None => self.ended(&name, now, actions),
            }
        }
        self.conclude_step(&name, now, actions);
    }

    /// The IKE_SA that carried the connection, or its attempt, is lost to a failure.
    fn lost(
        &mut self,
        name: &str,
        gateway: &str,
        reason: Reason,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let connection = self
            .connections
            .get_mut(name)
            .expect("callers looked it up");
        connection.outage_since.get_or_insert(now.monotonic);
        let switch = connection.switch.take();
        if let Some(id) = connection.sa_in(Phase::Up) {
            connection.switch = switch;
            connection.state = State::Down;
            connection.gateways.failed(gateway, reason, None);
            self.settle(name, id, now, actions);
        } else if let Some(attempt) = switch {
            // An operator's switch is on its way already.
            connection.gateways.failed(gateway, reason, None);
            connection.carry_on_with(attempt);
        } else if let Some(id) = connection.sa_in(Phase::Connecting) {
            // charon is.
            connection.state = State::Down;
            connection.gateways.failed(gateway, reason, None);
            self.settle(name, id, now, actions);
        } else {
            self.failed(name, gateway, reason, now, actions);
        }
    }

    /// The IKE_SA that carried the connection, or its attempt, ended for another reason.
    fn ended(&mut self, name: &str, now: Now, actions: &mut Vec<Action>) {
        let connection = self
            .connections
            .get_mut(name)
            .expect("callers looked it up");
        if let Some(id) = connection.live_sa() {
            connection.state = State::Down;
            self.settle(name, id, now, actions);
        } else {
            self.end_attempts(name, actions);
        }
    }

    fn attempt_failed(
        &mut self,
        name: &str,
        attempt: u64,
        gateway: &str,
        reason: Reason,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let connection = self
            .connections
            .get_mut(name)
            .expect("callers looked it up");
        let switching = connection
            .switch
            .as_ref()
            .is_some_and(|switch| switch.number == attempt);
        if switching {
            self.switch_failed(name, reason, actions);
        } else {
            self.failed(name, gateway, reason, now, actions);
        }
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
        self.history.conclude(name, Outcome::Failed(reason), None);
        let aside = reason
            .is_refusal()
            .then(|| now.monotonic.saturating_add(connection.policy.cool_down));
        connection.gateways.failed(from, reason, aside);
        connection.outage_since.get_or_insert(now.monotonic);
        let report = |code, message: String| Action::Report {
            connection: name.to_owned(),
            error: Error::new(code, message),
        };
        if !connection.policy.retry.allows(connection.retries) {
            let retries = connection.retries;
            connection.state = State::Exhausted;
            actions.push(report(
                ErrorCode::MaxRetryExceeded,
                format!(
                    "gateway {from} failed ({}), given up after {retries} failovers",
                    reason.as_str()
                ),
            ));
            actions.push(Action::publish(Event::FailoverExhausted {
                connection: name.to_owned(),
                retries,
            }));
            return;
        }
        let Some(next) = connection.gateways.next_after(from, now.monotonic) else {
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

        connection.retries += 1;
        let retries = connection.retries;
        let delay = next.repetition.map_or(Duration::ZERO, |repetition| {
            connection.policy.retry.delay(repetition, now.random)
        });
        self.record(name, from, &next.gateway, reason, retries, now, actions);
        if delay.is_zero() {
            self.start_attempt(name, next.gateway, now, actions);
        } else {
            let connection = self
                .connections
                .get_mut(name)
                .expect("callers looked it up");
            connection.state = State::Waiting {
                until: now.monotonic.saturating_add(delay),
                gateway: next.gateway,
            };
        }
    }

    /// The gateway that an operator asked for failed: the present one stays.
    fn switch_failed(&mut self, name: &str, reason: Reason, actions: &mut Vec<Action>) {
        let connection = self
            .connections
            .get_mut(name)
            .expect("callers looked it up");
        if let Some(attempt) = connection.switch.take() {
            connection.gateways.failed(&attempt.gateway, reason, None);
            if connection.outage_since.is_none() {
                // In an outage to come it counts as any other.
                connection.gateways.outage_ended();
            }
            self.history.conclude(name, Outcome::Failed(reason), None);
            actions.push(Action::Report {
                connection: name.to_owned(),
                error: Error::new(
                    ErrorCode::ConnectionTimeout,
                    format!(
                        "gateway {} failed ({}), the present one stays",
                        attempt.gateway,
                        reason.as_str()
                    ),
                ),
            });
        }
    }

    /// Tells of a failover.
    #[allow(clippy::too_many_arguments)]
    fn record(
        &mut self,
        name: &str,
        from: &str,
        to: &str,
        reason: Reason,
        attempt: u32,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        actions.push(Action::publish(Event::FailoverStarted {
            connection: name.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            reason: reason.as_str().into(),
            attempt,
        }));
        self.history.add(Entry {
            time: now.unix,
            connection: name.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            reason,
            result: Outcome::Pending,
            attempt,
            outage: None,
        });
    }

    /// Makes the attempt, or puts it at the end of the queue.
    fn start_attempt(&mut self, name: &str, gateway: String, now: Now, actions: &mut Vec<Action>) {
        let room =
            self.half_open.contains(name) || self.half_open.len() < self.options.max_concurrent;
        let number = self.next_attempt();
        let connection = self
            .connections
            .get_mut(name)
            .expect("callers looked it up");
        connection.active = Some(gateway.clone());
        connection.outage_since.get_or_insert(now.monotonic);
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
            since: now.monotonic,
            own: None,
            ike_sa: None,
        });
        self.half_open.insert(name.to_owned());
        actions.push(Action::Initiate {
            connection: name.to_owned(),
            attempt: number,
        });
    }

    fn start_switch(&mut self, name: &str, gateway: String, now: Now, actions: &mut Vec<Action>) {
        let number = self.next_attempt();
        let connection = self
            .connections
            .get_mut(name)
            .expect("callers looked it up");
        connection.switch = Some(Attempt {
            number,
            gateway,
            since: now.monotonic,
            own: None,
            ike_sa: None,
        });
        actions.push(Action::Initiate {
            connection: name.to_owned(),
            attempt: number,
        });
    }

    fn next_attempt(&mut self) -> u64 {
        self.last_attempt += 1;
        self.last_attempt
    }

    /// What follows from the state that a step left the connection in.
    fn conclude_step(&mut self, name: &str, now: Now, actions: &mut Vec<Action>) {
        if let Some(connection) = self.connections.get_mut(name) {
            for gateway in connection.take_unused_clones() {
                actions.push(Action::ReleaseClone {
                    connection: name.to_owned(),
                    gateway,
                });
            }
            if self.shutting_down {
                return;
            }
            self.deadlines.set(name, connection.deadlines());
            if connection.is_half_open() {
                self.half_open.insert(name.to_owned());
            } else {
                self.half_open.remove(name);
            }
            steer(name, connection, now, actions);
            let idle = connection.state == State::Down && connection.ike_sas.is_empty();
            if connection.foreign && idle {
                // Taken in again when charon initiates it.
                self.connections.remove(name);
                self.names.retain(|_, target| target.connection != name);
            }
        }
        while self.half_open.len() < self.options.max_concurrent {
            let Some(queued) = self.queue.pop_front() else {
                break;
            };
            let state = self.connections.get(&queued).map(|c| c.state.clone());
            if let Some(State::Queued { gateway }) = state {
                self.start_attempt(&queued, gateway, now, actions);
                if let Some(connection) = self.connections.get(&queued) {
                    self.deadlines.set(&queued, connection.deadlines());
                }
            }
        }
    }

    /// The record of an IKE_SA, made at its first sight; None if it is not one that we initiated
    /// for a known connection.
    fn track(&mut self, ike_sa: &IkeSa, now: Now) -> Option<&mut Sa> {
        if !self.ike_sas.contains_key(&ike_sa.id) {
            let target = self.names.get(&ike_sa.name).filter(|_| ike_sa.initiator)?;
            let connection = self.connections.get_mut(&target.connection)?;
            let gateway = match &target.clone_for {
                Some(gateway) => gateway.clone(),
                None => connection.gateway_at(ike_sa.remote)?,
            };
            let sa = Sa::new(&ike_sa.name, gateway, now.monotonic);
            connection.ike_sas.insert(ike_sa.id, sa);
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

/// Prepares where charon is led, where that has changed.
fn steer(name: &str, connection: &mut Connection, now: Now, actions: &mut Vec<Action>) {
    let current = match &connection.state {
        State::Established(id) => Some(*id),
        State::Connecting(attempt) => attempt.ike_sa,
        _ => None,
    };
    let Some((id, sa)) = current.and_then(|id| connection.ike_sas.get_key_value(&id)) else {
        return;
    };
    if connection.gateways.list().len() < 2 || !matches!(sa.phase, Phase::Connecting | Phase::Up) {
        return;
    }
    let id = *id;
    let gateway = connection.steer(sa, now.monotonic);
    let sa = connection.ike_sas.get_mut(&id).expect("just seen");
    if sa.steered_to.as_ref() != Some(&gateway) {
        sa.steered_to = Some(gateway.clone());
        actions.push(Action::Steer {
            connection: name.to_owned(),
            ike_sa: id,
            gateway,
        });
    }
}

fn unsteer(name: &str, ike_sa: u32) -> Action {
    Action::Unsteer {
        connection: name.to_owned(),
        ike_sa,
    }
}

fn delete(name: &str, ike_sa: u32) -> Action {
    Action::Delete {
        connection: name.to_owned(),
        ike_sa,
    }
}

fn abandon(name: &str, attempt: &Attempt) -> Action {
    Action::Abandon {
        connection: name.to_owned(),
        gateway: attempt.gateway.clone(),
        ike_sa: attempt.ike_sa,
    }
}

fn initiate_children(name: &str, ike_sa: u32, children: Vec<String>) -> Action {
    Action::InitiateChildren {
        connection: name.to_owned(),
        ike_sa,
        children,
    }
}

fn first_gateway(name: &str, connection: &Connection) -> Result<String> {
    connection.gateways.first().ok_or_else(|| {
        Error::invalid(format!(
            "connections.{name}.remote_addrs: expected an address to initiate to, found {:?}",
            connection.gateways.list().as_str()
        ))
    })
}

/// The connection's own name and those of its clones.
fn names_of<'a>(
    name: &'a str,
    gateways: &'a AddressList,
) -> impl Iterator<Item = (String, Option<String>)> + 'a {
    let clones = gateways.gateways().iter().map(move |gateway| {
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
