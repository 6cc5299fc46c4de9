// SPDX-License-Identifier: GPL-2.0-or-later

//! The failover manager: every connection, driven by evidence, commands and time.

mod attempts;
mod commands;
mod configuration;
mod ike_sas;
mod liveness;
mod names;
mod outages;
mod steering;
mod step;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use self::commands::unknown_connection;
use self::names::Names;
use self::steering::steer;
use self::step::Step;
use super::action::Action;
use super::connection::{Connection, Sa, State};
use super::deadlines::{Deadlines, Timer};
use super::evidence::{Evidence, IkeSa};
use super::history::History;
use super::remembered::Remembered;
use crate::domain::policy::{FailoverPolicy, Retransmission};
use crate::domain::{failover_name, Now};
use crate::error::Result;
use crate::failover::event::{Event, Tunnel};
use crate::failover::report::{ConnectionDetails, ConnectionStatus, Counters, HistoryEntry};

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
    /// When charon repeats a request that is not answered.
    pub retransmission: Retransmission,
    /// The last good gateways, with which connections are initiated; None to begin with the first.
    pub remembered: Option<Remembered>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            foreign: Some(FailoverPolicy::default()),
            max_concurrent: 100,
            history_size: super::history::DEFAULT_SIZE,
            retransmission: Retransmission::default(),
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
    /// IKE_SAs that live on although their connection was removed.
    orphans: HashMap<u32, Orphan>,
    deadlines: Deadlines,
    /// Connections with an attempt under way.
    half_open: BTreeSet<String>,
    /// Connections that wait for fewer of them.
    queue: VecDeque<String>,
    history: History,
    last_attempt: u64,
    /// IKE_SAs of connections that came up.
    established: u64,
    /// Connections that were given up.
    exhausted: u64,
    /// Some connection has its liveness checked.
    listening: bool,
    shutting_down: bool,
}

/// Nobody's business, unless its connection is loaded again.
#[derive(Debug)]
struct Orphan {
    connection: String,
    sa: Sa,
}

impl Orphan {
    /// By which charon may tell of it: one that was initiated with a clone has the connection's name only
    /// once charon was told so, for which the connection may have gone too early.
    fn names(&self) -> impl Iterator<Item = String> + '_ {
        let clone = || failover_name(&self.connection, &self.sa.gateway);
        let own = std::iter::once(self.sa.name.clone());
        own.chain(self.sa.cloned.then(clone))
    }
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
        let mut step = Step::new(now);
        match evidence {
            Evidence::State { ike_sa, to } => self.state_changed(&ike_sa, to, &mut step),
            Evidence::Alert { ike_sa, alert } => self.alerted(&ike_sa, alert, &mut step),
            Evidence::IkeUpdown { ike_sa, up } => self.ike_updown(&ike_sa, up, &mut step),
            Evidence::IkeRekey {
                old,
                new,
                old_spis,
                new_spis,
            } => {
                self.tell_rekeyed(&old, &new, old_spis, new_spis, &mut step);
                self.rekeyed(&old, &new, &mut step);
            }
            Evidence::Migrated { old, new } => self.migrated(old, new, &mut step),
            Evidence::TookOver { ike_sa } => self.took_over(&ike_sa, &mut step),
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
                None => self.led_on(&ike_sa, gateway, &mut step),
                Some(old) => self.led_from(old, &ike_sa, gateway, &mut step),
            },
            Evidence::Received { ike_sa } => self.heard(ike_sa, &step),
            Evidence::ChildUpdown {
                ike_sa,
                tunnel,
                up,
                more,
            } => {
                self.child_updown(ike_sa, tunnel, up, &mut step);
                if up && !more {
                    self.complete_children(ike_sa, &mut step);
                }
            }
            Evidence::ChildRekey { ike_sa, old, new } => {
                let new = self.with_connection(ike_sa, *new);
                step.publish(Event::ChildRekey {
                    ike_sa_name: new.ike_sa_name.clone(),
                    old_child_sa_name: old.child_sa_name,
                    new_child_sa_name: new.child_sa_name.clone(),
                    connection: new.connection.clone(),
                    ike_sa_uniqueid: ike_sa,
                    old_uniqueid: old.uniqueid,
                    new_uniqueid: new.uniqueid,
                    old_spi_in: old.spi_in,
                    old_spi_out: old.spi_out,
                    new_spi_in: new.spi_in,
                    new_spi_out: new.spi_out,
                });
                step.publish(Event::TunnelUp(new));
            }
            Evidence::Shutdown => {
                self.shutting_down = true;
                self.deadlines.clear();
            }
        }
        step.into_actions()
    }

    /// When [`Self::expire`] has to be called next (monotonic).
    pub fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.next()
    }

    /// Carries on what waited for a time that has come.
    pub fn expire(&mut self, now: Now) -> Vec<Action> {
        let mut step = Step::new(now);
        while let Some((name, timer)) = self.deadlines.take_due(step.now.monotonic) {
            self.expired(&name, timer, &mut step);
            self.conclude_step(&name, &mut step);
        }
        step.into_actions()
    }

    /// An [`Action::Terminate`] is about to be carried out: on these IKE_SAs.
    pub fn terminating(&mut self, name: &str) -> Vec<u32> {
        if let Some(connection) = self.connections.get_mut(name) {
            connection.terminating = false;
        }
        self.ike_sas(name)
    }

    /// Unique ids of the connection's IKE_SAs that we initiated.
    pub fn ike_sas(&self, name: &str) -> Vec<u32> {
        self.connections
            .get(name)
            .map_or_else(Vec::new, |c| c.ike_sas.keys().copied().collect())
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

    /// Names of configurations whose IKE_SAs are of concern from now on (true), or are not any more,
    /// since this was last called. Of IKE_SAs with other names, evidence is only wanted where they have
    /// several remote addresses; [`Evidence::IkeUpdown`], `ChildUpdown` and the like always are.
    pub fn take_name_changes(&mut self) -> Vec<(String, bool)> {
        self.names.take_changes()
    }

    /// Every connection, in the order of their names.
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
                connection.details(name, last_failovers, now.monotonic)
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

    fn expired(&mut self, name: &str, timer: Timer, step: &mut Step) {
        let Some(connection) = self.connections.get_mut(name) else {
            return;
        };
        match (timer, connection.state.clone()) {
            (Timer::Retry, State::Waiting { gateway, .. }) => {
                self.start_attempt(name, gateway, step);
            }
            (Timer::Check, State::Checking(failure)) => self.fail_over(name, failure, step),
            (Timer::Connect, State::Connecting(attempt)) => {
                self.attempt_timed_out(name, &attempt, step);
            }
            (Timer::Switch, _) => {
                if let Some(attempt) = connection.switch.clone() {
                    self.attempt_timed_out(name, &attempt, step);
                }
            }
            (Timer::Child, State::Established(ike_sa)) => self.child_failed(name, ike_sa, step),
            (Timer::Probe, State::Established(ike_sa)) => self.ask(name, ike_sa, step),
            (Timer::Dead, State::Established(ike_sa)) => self.ask_last(name, ike_sa, step),
            _ => {}
        }
    }

    /// What follows from the state that a step left the connection in.
    fn conclude_step(&mut self, name: &str, step: &mut Step) {
        if let Some(connection) = self.connections.get_mut(name) {
            for gateway in connection.take_unused_clones() {
                if connection.gateways.find(&gateway).is_none() {
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
            steer(name, connection, step);
            let idle = connection.state == State::Down && connection.ike_sas.is_empty();
            if connection.foreign && idle {
                // Taken in again when charon initiates it.
                self.unload(name);
            }
            self.set_deadlines(name);
        }
        while self.half_open.len() < self.options.max_concurrent {
            let Some(queued) = self.queue.pop_front() else {
                break;
            };
            let state = self.connections.get(&queued).map(|c| c.state.clone());
            if let Some(State::Queued { gateway }) = state {
                self.start_attempt(&queued, gateway, step);
                self.set_deadlines(&queued);
            }
        }
    }

    fn set_deadlines(&mut self, name: &str) {
        let deadlines = match self.connections.get(name) {
            Some(connection) if !self.shutting_down => {
                connection.deadlines(self.options.retransmission)
            }
            _ => Vec::new(),
        };
        self.deadlines.set(name, deadlines);
    }

    /// The connection of that name, which the caller has seen.
    fn connection(&mut self, name: &str) -> &mut Connection {
        self.connections
            .get_mut(name)
            .expect("callers looked it up")
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
