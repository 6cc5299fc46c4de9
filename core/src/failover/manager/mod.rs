// SPDX-License-Identifier: GPL-2.0-or-later

//! The failover manager: every connection, driven by evidence, commands and time.
//!
//! It knows which connection a name or an IKE_SA belongs to, hands on what concerns a connection, and
//! concludes each step in one place (`FailoverManager::conclude`).

mod commands;
mod configuration;
mod evidence;
mod network;
mod orphans;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use self::orphans::Orphans;
use super::action::Action;
use super::connection::{Connection, Idle, State};
use super::deadlines::Deadlines;
use super::history::History;
use super::ike_sa::liveness::Pace;
use super::names::Names;
use super::remembered::Remembered;
use super::report::{details, status, ConnectionDetails, ConnectionStatus, Counters, HistoryEntry};
use super::selection::Selection;
use super::step::{Effect, Step};
use crate::domain::policy::FailoverPolicy;
use crate::domain::{failover_name, Now};
use crate::error::{Error, Result};

/// How many failovers the details of a connection have.
const DETAILED_FAILOVERS: usize = 5;

/// What holds for all connections.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The policy of connections that others loaded; None leaves them alone.
    pub foreign: Option<FailoverPolicy>,
    /// How many attempts may be under way at a time.
    pub max_concurrent: usize,
    /// How many failovers are remembered.
    pub history_size: usize,
    /// Whether charon makes the CHILD_SAs of a connection on one IKE_SA (`charon.reuse_ikesa`), or an IKE_SA
    /// for each.
    pub reuse_ikesa: bool,
    /// The last good gateways, with which connections are initiated; None to begin with the first.
    pub remembered: Option<Remembered>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            foreign: Some(FailoverPolicy::default()),
            max_concurrent: 100,
            history_size: super::history::DEFAULT_SIZE,
            reuse_ikesa: true,
            remembered: None,
        }
    }
}

/// Every connection's failover state.
#[derive(Debug, Default)]
pub struct FailoverManager {
    options: Options,
    connections: BTreeMap<String, Connection>,
    /// Which connection, and which gateway of it, a configuration's name stands for.
    names: Names,
    /// Which connection an IKE_SA belongs to, by unique id.
    ike_sas: HashMap<u32, String>,
    orphans: Orphans,
    deadlines: Deadlines,
    /// Connections with an attempt under way.
    half_open: BTreeSet<String>,
    /// Connections that wait for fewer of them.
    queue: VecDeque<String>,
    history: History,
    last_attempt: u64,
    /// IKE_SAs of connections that came up.
    established: u64,
    /// How often the retries of a connection were used up.
    exhausted: u64,
    /// Some connection has its liveness checked.
    listening: bool,
    shutting_down: bool,
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

    /// When [`Self::expire`] has to be called next (monotonic).
    pub fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.next()
    }

    /// Carries on what waited for a time that has come.
    pub fn expire(&mut self, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some((name, timer)) = self.deadlines.take_due(now.monotonic) {
            actions.extend(self.step(&name, now, |connection, step| {
                connection.expired(timer, step)
            }));
        }
        actions
    }

    /// An [`Action::Terminate`] is about to be carried out: on these IKE_SAs.
    pub fn terminating(&mut self, name: &str) -> Vec<u32> {
        let mut ike_sas = self.orphans.closing_of(name);
        if let Some(connection) = self.connections.get_mut(name) {
            let mut is_down = false;
            if let State::Idle(Idle { terminating }) = &mut connection.state {
                *terminating = false;
                is_down = true;
            }
            // What has begun since then is wanted.
            let known = connection.common.ike_sas.iter();
            let known = known.filter(|(_, known)| is_down || known.stage.is_closing());
            ike_sas.extend(known.map(|(id, _)| *id));
        }
        ike_sas
    }

    /// Unique ids of the connection's IKE_SAs that we initiated.
    pub fn ike_sas(&self, name: &str) -> Vec<u32> {
        let known = self.connections.get(name);
        known.map_or_else(Vec::new, |known| {
            known.common.ike_sas.keys().copied().collect()
        })
    }

    /// The policy in force.
    pub fn policy(&self, name: &str) -> Option<&FailoverPolicy> {
        self.connections.get(name).map(|known| &known.common.policy)
    }

    /// Why the connection's gateway was chosen that was chosen last after a failure.
    pub fn selection(&self, name: &str) -> Option<&Selection> {
        self.connections.get(name)?.common.selection.as_ref()
    }

    /// How many things are remembered of connections and IKE_SAs, the history excepted.
    pub fn tracked(&self) -> usize {
        let of_connections: usize = self
            .connections
            .values()
            .map(|known| known.common.ike_sas.len() + known.common.clones.len())
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

    /// Whether [`Evidence::Received`](super::evidence::Evidence::Received) is wanted.
    pub fn is_listening(&self) -> bool {
        self.listening
    }

    /// Names of configurations whose IKE_SAs are of concern from now on (true), or are not any more,
    /// since this was last called. Of IKE_SAs with other names, evidence is only wanted where they have
    /// several remote addresses; [`Evidence::IkeUpdown`](super::evidence::Evidence::IkeUpdown),
    /// `ChildUpdown` and the like always are.
    pub fn take_name_changes(&mut self) -> Vec<(String, bool)> {
        self.names.take_changes()
    }

    /// Every connection, in the order of their names.
    pub fn list(&self, now: Now) -> Vec<ConnectionStatus> {
        let all = self.connections.values();
        all.map(|known| status(known, now.monotonic)).collect()
    }

    /// One connection.
    pub fn status(&self, name: &str, now: Now) -> Option<ConnectionStatus> {
        Some(status(self.connections.get(name)?, now.monotonic))
    }

    /// Every connection, or the one that is named by itself or an IKE_SA of it, in detail.
    pub fn details(&self, name: Option<&str>, now: Now) -> Result<Vec<ConnectionDetails>> {
        let wanted = name.map(|name| self.resolve(name)).transpose()?;
        Ok(self
            .connections
            .iter()
            .filter(|(name, _)| wanted.is_none_or(|wanted| wanted == name.as_str()))
            .map(|(name, connection)| {
                let last_failovers = self
                    .history
                    .latest(usize::MAX)
                    .filter(|entry| entry.connection == *name)
                    .take(DETAILED_FAILOVERS)
                    .map(HistoryEntry::from)
                    .collect();
                details(connection, last_failovers, now.monotonic)
            })
            .collect())
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        Counters {
            connections: self.connections.len(),
            attempts: self.last_attempt,
            attempts_under_way: self.half_open.len(),
            attempts_queued: self.queue.len(),
            established: self.established,
            exhausted: self.exhausted,
            failovers: self.history.counts().clone(),
        }
    }

    /// The last failovers.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The connection of that name, or the one that an IKE_SA of that name belongs to.
    fn resolve(&self, name: &str) -> Result<&str> {
        self.names
            .get(name)
            .map(|target| target.connection.as_str())
            .ok_or_else(|| unknown_connection(name))
    }

    fn begin_step(&self, name: &str, now: Now) -> Step {
        let separate_ike_sas = !self.options.reuse_ikesa;
        Step::new(
            now,
            self.has_room(name),
            separate_ike_sas,
            self.last_attempt,
        )
    }

    /// Whether the connection may make an attempt, or too many are under way.
    fn has_room(&self, name: &str) -> bool {
        let below = self.half_open.len() < self.options.max_concurrent;
        below || self.half_open.contains(name)
    }

    /// A part of a step in which the connection takes part.
    fn with_connection(
        &mut self,
        name: &str,
        step: &mut Step,
        part: impl FnOnce(&mut Connection, &mut Step),
    ) {
        step.has_room = self.has_room(name);
        if let Some(connection) = self.connections.get_mut(name) {
            part(connection, step);
        }
    }

    /// One step of the connection, if it is known.
    fn step(
        &mut self,
        name: &str,
        now: Now,
        take: impl FnOnce(&mut Connection, &mut Step),
    ) -> Vec<Action> {
        let mut step = self.begin_step(name, now);
        if let Some(connection) = self.connections.get_mut(name) {
            take(connection, &mut step);
        }
        self.conclude(name, step)
    }

    /// Concludes a step: what follows from the state that it left the connection in, and then its effects. A
    /// connection that has come to rest makes room for those that wait.
    fn conclude(&mut self, name: &str, mut step: Step) -> Vec<Action> {
        let now = step.now;
        self.settle(name, &mut step);
        let mut actions = self.apply(name, step);
        while !self.shutting_down && self.half_open.len() < self.options.max_concurrent {
            let Some(queued) = self.queue.pop_front() else {
                break;
            };
            let mut step = self.begin_step(&queued, now);
            if let Some(connection) = self.connections.get_mut(&queued) {
                connection.dequeue(&mut step);
            }
            self.settle(&queued, &mut step);
            actions.extend(self.apply(&queued, step));
        }
        actions
    }

    /// What follows from the state that a step left the connection in.
    fn settle(&mut self, name: &str, step: &mut Step) {
        let Some(connection) = self.connections.get_mut(name) else {
            return;
        };
        for gateway in connection.take_unused_clones() {
            if connection.common.gateways.find(&gateway).is_none() {
                self.names.remove(&failover_name(name, &gateway));
            }
            step.release_clone(name, gateway);
        }
        if self.shutting_down {
            return;
        }
        if connection.is_half_open() {
            self.half_open.insert(name.to_owned());
        } else {
            self.half_open.remove(name);
        }
        if connection.is_queued() && !self.queue.iter().any(|queued| queued == name) {
            self.queue.push_back(name.to_owned());
        }
        connection.heed_network();
        connection.tend_children(step);
        connection.steer(step);
        if connection.common.foreign && connection.is_at_rest() {
            // Taken in again when charon initiates it.
            self.unload(name);
        }
        self.set_deadlines(name);
    }

    fn set_deadlines(&mut self, name: &str) {
        let connection = self.connections.get(name).filter(|_| !self.shutting_down);
        let pace = Pace::of(self.ike_sas.len());
        let deadlines = connection.map_or_else(Vec::new, |known| known.deadlines(pace));
        self.deadlines.set(name, deadlines);
    }

    fn apply(&mut self, name: &str, mut step: Step) -> Vec<Action> {
        self.last_attempt = step.last_attempt;
        let mut actions = Vec::new();
        for effect in step.take_effects() {
            match effect {
                Effect::Act(action) => actions.push(action),
                Effect::Record(entry) => self.history.add(entry),
                Effect::Conclude { outcome, outage } => {
                    self.history.conclude(name, outcome, outage);
                }
                Effect::GoodGateway(gateway) => actions.extend(self.remember(name, gateway)),
                Effect::Exhausted => self.exhausted += 1,
            }
        }
        actions
    }

    /// Remembers the gateway as the connection's last good one, or forgets it.
    fn remember(&mut self, name: &str, gateway: Option<String>) -> Option<Action> {
        let remembered = self.options.remembered.as_mut()?;
        let before = match gateway.clone() {
            Some(gateway) => remembered.insert(name.to_owned(), gateway),
            None => remembered.remove(name),
        };
        (before != gateway).then(|| Action::Remember {
            connection: name.to_owned(),
            gateway,
        })
    }
}

fn unknown_connection(name: &str) -> Error {
    Error::invalid(format!(
        "{name}: expected the name of a connection, found an unknown one"
    ))
}
