// SPDX-License-Identifier: GPL-2.0-or-later

//! Gives configurations to charon and to the failover core, and takes them back.

use std::sync::Arc;

use extsock_core::config::{self, Configuration, Problem, Problems};
use extsock_core::domain::policy::FailoverPolicy;
use extsock_core::domain::Now;
use extsock_core::error::Result;
use extsock_core::failover::action::{Action, Settings};
use extsock_core::failover::manager::FailoverManager;

use crate::adapter::configuration::{build, identity, Built, GatewayCfgs, Material, ReadFile};
use crate::adapter::driving::Driver;
use crate::adapter::execution::Executor;
use crate::adapter::registry::{Connections, Owner};
use crate::charon::{IkeSaId, PeerCfg};

/// Loads and removes connections, whoever asks for it.
pub(crate) struct Loader {
    executor: Arc<Executor>,
    driver: Arc<Driver>,
    connections: Arc<Connections>,
    /// The defaults of a connection's `failover`.
    policy: FailoverPolicy,
}

impl Loader {
    pub fn new(executor: Arc<Executor>, policy: FailoverPolicy) -> Self {
        Self {
            driver: Arc::clone(&executor.driver),
            connections: Arc::clone(&executor.connections),
            executor,
            policy,
        }
    }

    /// Whether a connection of that name was loaded here.
    pub fn is_loaded(&self, connection: &str) -> bool {
        self.connections.get(connection).is_some()
    }

    /// All or nothing: everything that can fail comes before the first change. What a document without
    /// connections brings belongs to its source. Returns the files that it has been read from.
    pub fn apply(&self, configuration: &Configuration, source: &str) -> Result<Vec<ReadFile>> {
        let Read {
            connections: loaded,
            shared,
            files,
        } = read(configuration)?;
        let check_names = |manager: &FailoverManager| {
            let connections = configuration.connections.iter();
            manager.check_names(connections.map(|c| (c.name.as_str(), &c.remote_addrs)))
        };
        // What is refused is not trusted for a moment.
        self.driver
            .try_with_core(|manager, _| check_names(manager).map(|()| ((), Vec::new())))?;
        // charon may be verifying certificates, and have both wait for that: before and after the core's lock.
        let shared = shared.register().map(Arc::new);
        let mut materials = Vec::new();
        let mut configs = Vec::new();
        for (connection, built) in loaded {
            let own = built.material.register().map(Arc::new);
            materials.push(own.into_iter().chain(shared.clone()).collect::<Vec<_>>());
            configs.push((connection, built.peer_cfg, built.gateways));
        }
        let owners = if configuration.connections.is_empty() {
            materials.push(shared.into_iter().collect());
            vec![Owner::Source(source.to_owned())]
        } else {
            let names = names(configuration).into_iter();
            names.map(Owner::Connection).collect()
        };
        self.driver.try_with_core(|manager, now| {
            // Another request may have come between.
            check_names(manager)?;
            self.connections
                .set_secrets(&owners, &configuration.secrets);
            for (owner, material) in owners.iter().zip(&mut materials) {
                let brought = std::mem::take(material);
                *material = self.connections.set_material(owner.clone(), brought);
            }
            let mut actions = Vec::new();
            for (connection, peer_cfg, gateways) in configs {
                actions.extend(self.load(manager, connection, peer_cfg, gateways, now));
            }
            Ok(((), actions))
        })?;
        for connection in &configuration.connections {
            self.report_liveness(connection);
        }
        Ok(files)
    }

    /// Says so if the liveness check is off though a connection sets a time of it.
    fn report_liveness(&self, connection: &config::ConnectionConfig) {
        let found = connection.failover.liveness_off_by_default(&self.policy);
        if let Some((on, off)) = found {
            let name = &connection.name;
            log::warn!("{name}: {on} is above 0, but failover.{off} is 0 in strongswan.conf, so that the liveness check is off");
        }
    }

    fn load(
        &self,
        manager: &mut FailoverManager,
        connection: &config::ConnectionConfig,
        peer_cfg: PeerCfg,
        gateways: GatewayCfgs,
        now: Now,
    ) -> Vec<Action> {
        let name = &connection.name;
        let children = || connection.children.iter();
        let settings = Settings {
            gateways: connection.remote_addrs.clone(),
            children: children()
                .filter(|child| !child.mode.is_shunt())
                .map(|child| child.name.clone())
                .collect(),
            policy: connection.failover.over(&self.policy),
        };
        let with_action = |has: fn(config::ChildAction) -> bool| {
            children()
                .filter(move |child| has(child.start_action))
                .map(|child| child.name.as_str())
        };
        let loaded = self.connections.get(name);
        let same_gateways = self.connections.gateways.is_same(name, &gateways);
        if same_gateways && loaded.is_some_and(|loaded| loaded.is_same(&peer_cfg)) {
            if let Some(actions) = manager.confirm(name, &settings, now) {
                return actions;
            }
        }
        self.connections.gateways.set(&peer_cfg, gateways);
        if let Some(replaced) = self.connections.set(peer_cfg) {
            self.executor.uninstall_traps(name, &replaced, |child| {
                !with_action(config::ChildAction::traps).any(|trapped| trapped == child)
            });
        }
        let mut actions = manager.configure(name, settings, now);
        for child in with_action(config::ChildAction::starts) {
            // It has a gateway and the child: see check_start_actions().
            if let Ok((_, more)) = manager.initiate(name, Some(child), now) {
                actions.extend(more);
            }
        }
        for child in with_action(config::ChildAction::traps) {
            self.executor.install_trap(name, child);
        }
        actions
    }

    /// Removes a connection.
    pub fn forget(&self, connection: &str) -> Result<()> {
        // Dropped after the core's lock, as in apply().
        let mut _material = Vec::new();
        let gateways = Arc::new(self.connections.gateways.by_address(connection));
        self.driver.try_with_core(|manager, now| {
            let ike_sas = manager.ike_sas(connection);
            let actions = manager.remove(connection, now)?;
            if !gateways.is_empty() {
                for id in ike_sas {
                    self.executor
                        .leave_at(connection, IkeSaId(id), Arc::clone(&gateways));
                }
            }
            let owner = Owner::Connection(connection.to_owned());
            _material = self.connections.set_material(owner, Vec::new());
            if let Some(config) = self.connections.remove(connection) {
                self.executor.uninstall_traps(connection, &config, |_| true);
            }
            Ok(((), actions))
        })?;
        log::info!("{connection}: removed");
        Ok(())
    }

    /// Removes what a document without connections brought.
    pub fn forget_source(&self, source: &str) {
        let owner = Owner::Source(source.to_owned());
        self.connections
            .set_secrets(std::slice::from_ref(&owner), &[]);
        self.connections.set_material(owner, Vec::new());
    }
}

/// What a configuration brings, of which charon has nothing yet.
struct Read<'a> {
    connections: Vec<(&'a config::ConnectionConfig, Built)>,
    /// What belongs to all of its connections.
    shared: Material,
    /// The files that were read.
    files: Vec<ReadFile>,
}

/// Reads all files and builds all objects; an error tells of everything that charon cannot use.
fn read(configuration: &Configuration) -> Result<Read<'_>> {
    let mut connections = Vec::new();
    let mut shared = Material::default();
    let mut problems = Problems::default();
    for connection in &configuration.connections {
        check_start_actions(connection, &mut problems);
        match build(connection) {
            Ok(built) => connections.push((connection, built)),
            Err(found) => problems.extend(found),
        }
    }
    for key in &configuration.private_keys {
        problems.keep(shared.add_key(key));
    }
    for container in &configuration.containers {
        problems.keep(shared.add_container(container));
    }
    for key in &configuration.token_keys {
        problems.keep(shared.add_token_key(key));
    }
    for authority in &configuration.authorities {
        problems.keep(shared.add_authority(authority));
    }
    for id in configuration.secrets.iter().flat_map(|secret| &secret.ids) {
        problems.keep(identity(id, "secrets"));
    }
    problems.located(&configuration.locations)?;
    let mut files = shared.take_files();
    for (_, built) in &mut connections {
        files.extend(built.material.take_files());
    }
    Ok(Read {
        connections,
        shared,
        files,
    })
}

/// The connections of a configuration.
pub(crate) fn names(configuration: &Configuration) -> Vec<String> {
    let connections = configuration.connections.iter();
    connections
        .map(|connection| connection.name.clone())
        .collect()
}

/// Only a connection with a gateway, and only what has an SA, can be started when it is loaded.
fn check_start_actions(connection: &config::ConnectionConfig, problems: &mut Problems) {
    for child in &connection.children {
        if !child.start_action.starts() {
            continue;
        }
        let why = if child.mode.is_shunt() {
            "mode is a policy without an SA"
        } else if connection.remote_addrs.is_empty() {
            "remote_addrs has no address to initiate to"
        } else {
            continue;
        };
        problems.push(Problem {
            path: format!(
                "connections.{}.children.{}.start_action",
                connection.name, child.name
            ),
            why: format!("expected none or trap, as {why}, found start"),
        });
    }
}
