// SPDX-License-Identifier: GPL-2.0-or-later

//! Connections as they are loaded, changed and removed.

use std::collections::HashMap;

use super::orphans::Orphan;
use super::{unknown_connection, FailoverManager};
use crate::domain::address::AddressList;
use crate::domain::{failover_name, Now};
use crate::error::{Error, Result};
use crate::failover::action::{Action, Settings};
use crate::failover::connection::Connection;
use crate::failover::event::Event;
use crate::failover::names::Target;
use crate::failover::step::{Effect, Step};

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
        let mut step = self.begin_step(name, now);
        self.load(name, settings, false, &mut step);
        step.publish(Event::ConfigApplied {
            connection: name.to_owned(),
        });
        self.conclude(name, step)
    }

    /// Applies a configuration that is there already: says so and leaves all as it is. None if it is not
    /// there, or another.
    pub fn confirm(&mut self, name: &str, settings: &Settings, now: Now) -> Option<Vec<Action>> {
        let c = &self.connections.get(name)?.common;
        let same = !c.foreign
            && *c.gateways.list() == settings.gateways
            && c.children == settings.children
            && c.policy == settings.policy;
        same.then(|| {
            self.step(name, now, |connection, step| {
                step.publish(Event::ConfigApplied {
                    connection: connection.common.name.clone(),
                });
            })
        })
    }

    /// Forgets a connection: its IKE_SAs live on, its failover ends.
    pub fn remove(&mut self, name: &str, now: Now) -> Result<Vec<Action>> {
        if !self.connections.contains_key(name) {
            return Err(unknown_connection(name));
        }
        let mut step = self.begin_step(name, now);
        self.forget(name, &mut step);
        step.effect(Effect::GoodGateway(None));
        let actions = self.conclude(name, step);
        self.unload(name);
        Ok(actions)
    }

    /// The configuration of a connection is there, with that list of gateways.
    pub(super) fn confirmed(&mut self, name: &str, gateways: AddressList, step: &mut Step) {
        let Some(connection) = self.connections.get_mut(name) else {
            return;
        };
        connection.announce(step);
        if connection.common.foreign && *connection.common.gateways.list() != gateways {
            // Others have changed it, perhaps in the middle of an outage, which goes on then.
            self.rename(name, &gateways, |connection| {
                connection.follow_list(gateways.clone(), step);
            });
        }
        if let Some(connection) = self.connections.get_mut(name) {
            connection.checked(step);
        }
    }

    /// Others removed the configuration; what charon was led to in the meantime is not wanted.
    pub(super) fn vanished(&mut self, name: &str, step: &mut Step) {
        if let Some(connection) = self.connections.get_mut(name) {
            connection.abandon_unannounced(step);
        }
        self.forget(name, step);
    }

    pub(super) fn load(&mut self, name: &str, settings: Settings, foreign: bool, step: &mut Step) {
        let gateways = settings.gateways.clone();
        if !self.connections.contains_key(name) {
            let new = Connection::new(name, settings, foreign);
            self.connections.insert(name.to_owned(), new);
            self.rename(name, &gateways, |_| ());
        } else {
            self.rename(name, &gateways, |connection| {
                connection.reconfigure(settings, foreign, step);
            });
        }
        self.take_back(name, step);
        let policy = &self.connections[name].common.policy;
        self.listening |= policy.liveness().is_some();
    }

    /// Changes a connection so that it has these gateways: the names that it had before are not its any more.
    fn rename(&mut self, name: &str, gateways: &AddressList, change: impl FnOnce(&mut Connection)) {
        let Some(connection) = self.connections.get_mut(name) else {
            return;
        };
        for (own, _) in names_of(name, connection.common.gateways.list()) {
            self.names.remove(&own);
        }
        change(connection);
        // An initiation with the clone for a gateway that is gone may have just begun.
        let clones = connection.common.clones.iter();
        let clones = clones.map(|gateway| (failover_name(name, gateway), Some(gateway.clone())));
        for (own, clone_for) in names_of(name, gateways).chain(clones) {
            let connection = name.to_owned();
            let target = Target {
                connection,
                clone_for,
            };
            self.names.insert(own, target);
        }
    }

    /// The connection was removed before, and its IKE_SAs live on.
    fn take_back(&mut self, name: &str, step: &mut Step) {
        let records = self.orphans.take_of(name, &mut self.names);
        let known = self.connections.get_mut(name);
        let Some(connection) = known.filter(|_| !records.is_empty()) else {
            return;
        };
        let c = &mut connection.common;
        for (ike_sa, mut record) in records {
            for child in &record.children {
                c.wanted.want(child);
            }
            if let Some(up) = record.up_mut() {
                // Answers were not looked at meanwhile.
                up.liveness.restart(step.now.monotonic);
            }
            c.ike_sas.insert(ike_sa, record);
            self.ike_sas.insert(ike_sa, name.to_owned());
        }
        connection.resume(step);
    }

    /// Nothing is wanted of the connection, and its IKE_SAs live on without it.
    fn forget(&mut self, name: &str, step: &mut Step) {
        let Some(connection) = self.connections.get_mut(name) else {
            return;
        };
        connection.abandon_switch(step);
        connection.end_attempts(step);
        for (ike_sa, mut record) in std::mem::take(&mut connection.common.ike_sas) {
            self.ike_sas.remove(&ike_sa);
            record.steering = None;
            let connection = name.to_owned();
            let orphan = Orphan { connection, record };
            self.orphans.insert(ike_sa, orphan, &mut self.names);
            step.unsteer(name, ike_sa);
        }
        self.queue.retain(|queued| queued != name);
    }

    pub(super) fn unload(&mut self, name: &str) {
        let Some(connection) = self.connections.remove(name) else {
            return;
        };
        let c = connection.common;
        let clones = c.clones.iter().map(|gateway| failover_name(name, gateway));
        let own = names_of(name, c.gateways.list()).map(|(own, _)| own);
        for own in own.chain(clones) {
            self.names.remove(&own);
        }
        if c.policy.liveness().is_some() {
            let mut others = self.connections.values();
            self.listening = others.any(|other| other.common.policy.liveness().is_some());
        }
    }
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
