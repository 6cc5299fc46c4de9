// SPDX-License-Identifier: GPL-2.0-or-later

//! Connections as they are loaded, changed and removed.

use std::collections::{BTreeSet, HashMap};

use super::commands::unknown_connection;
use super::names::Target;
use super::{FailoverManager, Step};
use crate::domain::address::AddressList;
use crate::domain::{failover_name, Now};
use crate::error::{Error, Result};
use crate::failover::action::{Action, Settings};
use crate::failover::connection::{Attempt, Connection, Phase, State};
use crate::failover::event::Event;
use crate::failover::history::Outcome;

impl FailoverManager {
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
        let mut step = Step::new(now);
        self.load(name, settings, false, &mut step);
        step.publish(Event::ConfigApplied {
            connection: name.to_owned(),
        });
        self.conclude_step(name, &mut step);
        step.into_actions()
    }

    /// Applies a configuration that is there already: says so and leaves all as it is. None if it is not
    /// there, or another.
    pub fn confirm(&mut self, name: &str, settings: &Settings, now: Now) -> Option<Vec<Action>> {
        let connection = self.connections.get(name)?;
        let same = !connection.foreign
            && *connection.gateways.list() == settings.gateways
            && connection.children == settings.children
            && connection.policy == settings.policy;
        if !same {
            return None;
        }
        let mut step = Step::new(now);
        step.publish(Event::ConfigApplied {
            connection: name.to_owned(),
        });
        Some(step.into_actions())
    }

    /// Forgets a connection: its IKE_SAs live on, its failover ends.
    pub fn remove(&mut self, name: &str, now: Now) -> Result<Vec<Action>> {
        if !self.connections.contains_key(name) {
            return Err(unknown_connection(name));
        }
        let mut step = Step::new(now);
        self.forget(name, &mut step);
        self.remember(name, None, &mut step);
        Ok(step.into_actions())
    }

    /// The outcome of an [`Action::Check`], also good at any other time: the remote addresses of the
    /// configuration as it is now, None if it is gone.
    pub fn checked(&mut self, name: &str, gateways: Option<AddressList>, now: Now) -> Vec<Action> {
        let mut step = Step::new(now);
        if !self.connections.contains_key(name) {
            return step.into_actions();
        }
        match gateways {
            Some(gateways) => {
                self.tell_untold(name, &mut step);
                self.follow(name, gateways, &mut step);
                if let State::Checking(failure) = self.connection(name).state.clone() {
                    self.fail_over(name, failure, &mut step);
                }
                self.conclude_step(name, &mut step);
            }
            None if self.connection(name).foreign => self.vanished(name, &mut step),
            // Loaded again since it was looked at.
            None => {}
        }
        step.into_actions()
    }

    /// Others removed the configuration; what charon was led to in the meantime is not wanted.
    fn vanished(&mut self, name: &str, step: &mut Step) {
        if let State::Connecting(attempt) = &self.connection(name).state {
            if attempt.untold.is_some() {
                step.abandon(name, attempt);
            }
        }
        self.forget(name, step);
    }

    /// Others may have changed the addresses of their connection, also in the middle of an outage, which
    /// goes on then.
    fn follow(&mut self, name: &str, gateways: AddressList, step: &mut Step) {
        let connection = self.connection(name);
        if !connection.foreign || *connection.gateways.list() == gateways {
            return;
        }
        let (retries, before) = (connection.retries, connection.gateways.clone());
        let settings = Settings {
            gateways,
            children: connection.children.clone(),
            policy: connection.policy,
        };
        self.load(name, settings, true, step);
        let connection = self.connection(name);
        connection.retries = retries;
        connection.gateways.resume(&before);
    }

    pub(super) fn load(&mut self, name: &str, settings: Settings, foreign: bool, step: &mut Step) {
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
                for sa in connection.ike_sas.values_mut() {
                    // What was prepared was made of the old configuration.
                    sa.steered_to = None;
                }
                self.restart(name, step);
            }
        }
        // An initiation with the clone for a gateway that is gone may have just begun.
        let clones: Vec<String> = self.connections[name].clones.iter().cloned().collect();
        let clones = clones
            .into_iter()
            .map(|gateway| (failover_name(name, &gateway), Some(gateway)));
        for (own, clone_for) in names_of(name, &gateways).chain(clones) {
            let target = Target {
                connection: name.to_owned(),
                clone_for,
            };
            self.names.insert(own, target);
        }
        self.take_back(name, step);
        self.listening |= self.connections[name].policy.liveness().is_some();
    }

    /// The connection was removed before, and its IKE_SAs live on.
    pub(super) fn take_back(&mut self, name: &str, step: &mut Step) {
        let ids: BTreeSet<u32> = self
            .orphans
            .iter()
            .filter(|(_, orphan)| orphan.connection == name)
            .map(|(id, _)| *id)
            .collect();
        let orphans: Vec<_> = ids
            .into_iter()
            .filter_map(|id| Some((id, self.drop_orphan(id)?.sa)))
            .collect();
        let known = self.connections.get_mut(name);
        let Some(connection) = known.filter(|_| !orphans.is_empty()) else {
            return;
        };
        for (id, mut sa) in orphans {
            for child in &sa.children {
                connection.want(child);
            }
            // Nobody cared for an answer meanwhile.
            sa.asked = None;
            sa.heard = step.now.monotonic;
            connection.ike_sas.insert(id, sa);
            self.ike_sas.insert(id, name.to_owned());
        }
        let live = connection
            .live_sa()
            .and_then(|id| Some((id, connection.ike_sas.get(&id)?.clone())));
        match live {
            Some((id, sa)) if sa.phase == Phase::Up => {
                connection.active = Some(sa.gateway);
                connection.state = State::Established(id);
            }
            Some((id, sa)) => self.connecting_to(name, sa.gateway, id, step),
            None => {}
        }
    }

    /// A new configuration gives what waits another start, and ends what leads to a gateway that it
    /// has not.
    pub(super) fn restart(&mut self, name: &str, step: &mut Step) {
        let connection = self.connection(name);
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
                step.abandon(name, attempt);
                connection.gateways.first()
            }
            State::Exhausted => None,
            _ => return self.drop_switch(name, switch, step),
        };
        self.drop_switch(name, switch, step);
        match next {
            Some(gateway) => self.start_attempt(name, gateway, step),
            None => self.connection(name).rest(),
        }
    }

    pub(super) fn drop_switch(&mut self, name: &str, switch: Option<Attempt>, step: &mut Step) {
        if let Some(attempt) = switch {
            step.abandon(name, &attempt);
            self.history.conclude(name, Outcome::Abandoned, None);
        }
    }

    pub(super) fn forget(&mut self, name: &str, step: &mut Step) {
        self.end_attempts(name, step);
        if let Some(connection) = self.connections.get_mut(name) {
            for (ike_sa, mut sa) in std::mem::take(&mut connection.ike_sas) {
                self.ike_sas.remove(&ike_sa);
                sa.steered_to = None;
                self.orphaned(ike_sa, name, sa);
                step.unsteer(name, ike_sa);
            }
        }
        self.queue.retain(|queued| queued != name);
        self.conclude_step(name, step);
        self.unload(name);
    }

    pub(super) fn unload(&mut self, name: &str) {
        if let Some(connection) = self.connections.remove(name) {
            let clones = connection.clones.iter();
            let clones = clones.map(|gateway| failover_name(name, gateway));
            for own in names_of(name, connection.gateways.list())
                .map(|(own, _)| own)
                .chain(clones)
            {
                self.names.remove(&own);
            }
            if connection.policy.liveness().is_some() {
                let mut others = self.connections.values();
                self.listening = others.any(|other| other.policy.liveness().is_some());
            }
        }
    }
}

/// The connection's own name and those of its clones.
pub(super) fn names_of<'a>(
    name: &'a str,
    gateways: &'a AddressList,
) -> impl Iterator<Item = (String, Option<String>)> + 'a {
    let clones = gateways.gateways().iter().map(move |gateway| {
        let gateway = gateway.to_string();
        (failover_name(name, &gateway), Some(gateway))
    });
    std::iter::once((name.to_owned(), None)).chain(clones)
}
