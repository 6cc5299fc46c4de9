// SPDX-License-Identifier: GPL-2.0-or-later

//! What clients ask for.

use std::sync::Arc;

use extsock_core::config::{self, Configuration};
use extsock_core::error::{Error, Result};
use extsock_core::failover::action::{Action, Settings};
use extsock_core::failover::manager::FailoverManager;
use extsock_core::failover::Now;
use extsock_core::protocol::{ConnectionStatus, HistoryEntry, Reply, Request};

use super::connections::build;
use super::credential_files::{secret_key, Material};
use super::driver::Driver;
use crate::charon::PeerCfg;

impl Driver {
    /// Carries out a request.
    pub fn request(self: &Arc<Self>, request: Request) -> Reply {
        let verb = request.verb();
        let result = match request {
            Request::ApplyConfig(configuration) => self.apply(&configuration),
            Request::RemoveConfig { connection } => self.remove(connection),
            Request::Initiate { connection, child } => self
                .named(|manager, now| manager.initiate(&connection, child.as_deref(), now))
                .map(|gateway| Reply::Initiate {
                    connection: connection.clone(),
                    gateway,
                }),
            Request::Failover {
                connection,
                gateway,
            } => self
                .named(|manager, now| manager.failover(&connection, gateway.as_deref(), now))
                .map(|gateway| Reply::Failover {
                    connection: connection.clone(),
                    gateway,
                }),
            Request::Terminate { name } => self
                .named(|manager, now| manager.terminate(&name, now))
                .map(|connection| Reply::Terminate { connection }),
            Request::StartDpd { name } => self
                .named(|manager, _| {
                    let (ike_sa_name, action) = manager.start_dpd(&name)?;
                    Ok((ike_sa_name, vec![action]))
                })
                .map(|ike_sa_name| Reply::StartDpd { ike_sa_name }),
            Request::History { connection, count } => Ok(Reply::History {
                failovers: self.history(connection.as_deref(), count),
            }),
            Request::List => Ok(Reply::List {
                connections: self.list(),
            }),
        };
        result.unwrap_or_else(|error| {
            log::info!("{} failed: {error}", verb.name());
            Reply::failed(verb, error)
        })
    }

    /// All or nothing: everything that can fail comes before the first change.
    fn apply(self: &Arc<Self>, configuration: &Configuration) -> Result<Reply> {
        let loaded = configuration
            .connections
            .iter()
            .map(|connection| {
                let (peer_cfg, material) = build(connection)?;
                Ok((connection, peer_cfg, material))
            })
            .collect::<Result<Vec<(&config::Connection, PeerCfg, Material)>>>()?;
        let keys = configuration
            .private_keys
            .iter()
            .map(secret_key)
            .collect::<Result<Vec<_>>>()?;
        check_start_actions(configuration)?;
        let names: Vec<String> = configuration
            .connections
            .iter()
            .map(|connection| connection.name.clone())
            .collect();

        // charon may be verifying certificates, and have both wait for that: before and after the core's lock.
        let (loaded, mut materials): (Vec<_>, Vec<_>) = loaded
            .into_iter()
            .map(|(connection, peer_cfg, mut material)| {
                material.share(&keys);
                ((connection, peer_cfg), material.register())
            })
            .unzip();
        let mut unowned = if names.is_empty() {
            let mut material = Material::default();
            material.share(&keys);
            material.register()
        } else {
            None
        };
        self.try_with_core(|manager, now| {
            manager.check_names(
                loaded
                    .iter()
                    .map(|(c, _)| (c.name.as_str(), &c.remote_addrs)),
            )?;
            self.connections.set_secrets(&names, &configuration.secrets);
            if names.is_empty() {
                unowned = self.connections.set_material("", unowned.take());
            }
            let mut actions = Vec::new();
            for ((connection, peer_cfg), material) in loaded.into_iter().zip(&mut materials) {
                *material = self
                    .connections
                    .set_material(&connection.name, material.take());
                actions.extend(self.load(manager, connection, peer_cfg, now));
            }
            Ok(actions)
        })?;
        Ok(Reply::ApplyConfig { connections: names })
    }

    fn load(
        self: &Arc<Self>,
        manager: &mut FailoverManager,
        connection: &config::Connection,
        peer_cfg: PeerCfg,
        now: Now,
    ) -> Vec<Action> {
        let name = &connection.name;
        let children = || connection.children.iter();
        let settings = Settings {
            gateways: connection.remote_addrs.clone(),
            children: children().map(|child| child.name.clone()).collect(),
            policy: connection.failover.over(&self.policy),
        };
        let with_action = |action: config::Action| {
            children()
                .filter(move |child| child.start_action == action)
                .map(|child| child.name.as_str())
        };
        if let Some(replaced) = self.connections.set(peer_cfg) {
            self.uninstall_traps(name, &replaced, |child| {
                !with_action(config::Action::Trap).any(|trapped| trapped == child)
            });
        }
        let mut actions = manager.configure(name, settings, now);
        for child in with_action(config::Action::Start) {
            // It has a gateway and the child: see check_start_actions().
            if let Ok((_, more)) = manager.initiate(name, Some(child), now) {
                actions.extend(more);
            }
        }
        for child in with_action(config::Action::Trap) {
            self.install_trap(name, child);
        }
        actions
    }

    fn remove(self: &Arc<Self>, connection: String) -> Result<Reply> {
        // Dropped after the core's lock, as in apply().
        let mut _material = None;
        self.try_with_core(|manager, now| {
            let actions = manager.remove(&connection, now)?;
            _material = self.connections.set_material(&connection, None);
            if let Some(config) = self.connections.remove(&connection) {
                self.uninstall_traps(&connection, &config, |_| true);
            }
            Ok(actions)
        })?;
        log::info!("{connection}: removed");
        Ok(Reply::RemoveConfig { connection })
    }

    fn history(
        self: &Arc<Self>,
        connection: Option<&str>,
        count: Option<usize>,
    ) -> Vec<HistoryEntry> {
        let mut failovers = Vec::new();
        self.with_core(|manager, _| {
            failovers = manager
                .history()
                .latest(usize::MAX)
                .filter(|entry| connection.is_none_or(|wanted| entry.connection == wanted))
                .take(count.unwrap_or(usize::MAX))
                .map(HistoryEntry::from)
                .collect();
            Vec::new()
        });
        failovers
    }

    fn list(self: &Arc<Self>) -> Vec<ConnectionStatus> {
        let mut list = Vec::new();
        self.with_core(|manager, now| {
            list = manager.list(now);
            Vec::new()
        });
        list
    }

    /// A step of the core that tells a name, or fails.
    fn named(
        self: &Arc<Self>,
        step: impl FnOnce(&mut FailoverManager, Now) -> Result<(String, Vec<Action>)>,
    ) -> Result<String> {
        let mut name = String::new();
        self.try_with_core(|manager, now| {
            let (told, actions) = step(manager, now)?;
            name = told;
            Ok(actions)
        })?;
        Ok(name)
    }
}

/// Only a connection with a gateway can be started when it is loaded.
fn check_start_actions(configuration: &Configuration) -> Result<()> {
    for connection in configuration
        .connections
        .iter()
        .filter(|c| c.remote_addrs.is_empty())
    {
        let started = |child: &&config::Child| child.start_action == config::Action::Start;
        if let Some(child) = connection.children.iter().find(started) {
            return Err(Error::parsing(format!(
                "connections.{}.children.{}.start_action: expected none or trap, as remote_addrs \
                 has no address to initiate to, found start",
                connection.name, child.name
            )));
        }
    }
    Ok(())
}
