// SPDX-License-Identifier: GPL-2.0-or-later

//! What gateways of one connection have of their own: port, identity, certificates.
//!
//! The connection's own configuration is that of its first gateway, and IKE_SAs that are up have it,
//! wherever they lead: charon and operators find them by it. While an IKE_SA is connecting it has the
//! configuration of the gateway at its address instead, whoever initiated it and why, so that the identity
//! that is demanded is always that gateway's.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use extsock_core::domain::address::Gateway;
use extsock_core::domain::failover_name;
use extsock_core::failover::action::Destination;

use crate::adapter::configuration::{create_gateway_config, GatewayCfgs};
use crate::charon::{IkeSa, IkeSaId, InStateChange, PeerCfg};

/// How many addresses of names are remembered for a connection: more than one of them has at a time.
const FOUND: usize = 64;

/// The gateways of all connections in which they differ.
#[derive(Default)]
pub(crate) struct Gateways {
    /// Whether there are any.
    some: AtomicBool,
    /// Listener callbacks take the lock. Whoever holds it only looks up and changes what is in the tables:
    /// calls nothing of charon's, takes no other lock, and makes and frees no configuration. So it is given
    /// back after its holder's own running time, and nobody can wait for it who is waited for.
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    connections: HashMap<String, Differing>,
    /// The connection of its own name and of those of its clones.
    names: HashMap<String, String>,
    /// What IKE_SAs had before: charon may still read it in the callback in which it is exchanged.
    replaced: HashMap<IkeSaId, PeerCfg>,
}

impl Tables {
    fn remove(&mut self, connection: &str) -> Option<Differing> {
        let removed = self.connections.remove(connection)?;
        for name in removed.names(connection) {
            self.names.remove(&name);
        }
        Some(removed)
    }
}

struct Differing {
    own: Arc<PeerCfg>,
    gateways: Arc<GatewayCfgs>,
    /// Those that are addresses.
    fixed: Vec<GatewayConfig>,
    /// Addresses that names were found to have, the last ones.
    found: VecDeque<GatewayConfig>,
}

/// The configuration of a gateway at one of its addresses.
struct GatewayConfig {
    address: IpAddr,
    gateway: String,
    config: Arc<PeerCfg>,
}

impl GatewayConfig {
    /// None if the gateway is not one of the connection's.
    fn new(own: &PeerCfg, gateways: &GatewayCfgs, gateway: &str, address: IpAddr) -> Option<Self> {
        let cfg = gateways.get(gateway)?;
        let to = Destination {
            gateway: gateway.to_owned(),
            address: Some(address),
        };
        Some(Self {
            address,
            gateway: to.gateway.clone(),
            config: Arc::new(create_gateway_config(own, &to, cfg)),
        })
    }
}

impl Differing {
    fn new(own: &PeerCfg, gateways: GatewayCfgs) -> Self {
        let addresses = gateways.keys().filter_map(|gateway| {
            let ip = Gateway::parse(gateway).ip()?;
            GatewayConfig::new(own, &gateways, gateway, ip)
        });
        Self {
            own: Arc::new(own.clone()),
            fixed: addresses.collect(),
            found: VecDeque::new(),
            gateways: Arc::new(gateways),
        }
    }

    /// Makes the configuration the last one that was found; false if it is not known.
    fn found_again(&mut self, gateway: &str, address: IpAddr) -> bool {
        let is_known =
            |config: &GatewayConfig| (config.address, &*config.gateway) == (address, gateway);
        let known = (self.found.iter().position(is_known)).and_then(|at| self.found.remove(at));
        let is_known = known.is_some();
        self.found.extend(known);
        is_known
    }

    /// Adds a configuration; returns one that was found too long ago.
    fn add(&mut self, config: GatewayConfig) -> Option<GatewayConfig> {
        self.found.push_back(config);
        (self.found.len() > FOUND).then(|| self.found.pop_front())?
    }

    /// The connection of that name and its clones.
    fn names<'a>(&'a self, connection: &'a str) -> impl Iterator<Item = String> + 'a {
        let clones = self.gateways.keys();
        let clones = clones.map(move |gateway| failover_name(connection, gateway));
        clones.chain([connection.to_owned()])
    }

    fn configs(&self) -> impl Iterator<Item = &GatewayConfig> {
        // Of names the one that was looked up last: it is about to be tried, and may have moved to where
        // another was.
        self.fixed.iter().chain(self.found.iter().rev())
    }

    fn at(&self, address: IpAddr) -> Option<&Arc<PeerCfg>> {
        let config = self.configs().find(|config| config.address == address);
        config.map(|known| &known.config)
    }
}

impl Gateways {
    /// Replaces those of a connection, whose own configuration is given.
    pub fn set(&self, own: &PeerCfg, gateways: GatewayCfgs) {
        let name = own.name().into_owned();
        if gateways.is_empty() {
            return self.remove(&name);
        }
        let mut differing = Differing::new(own, gateways);
        // IKE_SAs may be at addresses that were looked up for the configuration before.
        for (gateway, address) in self.found_before(&name) {
            let config = GatewayConfig::new(own, &differing.gateways, &gateway, address);
            differing.found.extend(config);
        }
        let names: Vec<String> = differing.names(&name).collect();
        let mut tables = self.lock();
        let replaced = tables.remove(&name);
        for own in names {
            tables.names.insert(own, name.clone());
        }
        tables.connections.insert(name, differing);
        self.some.store(true, Ordering::Relaxed);
        drop(tables);
        // Freed without the lock.
        drop(replaced);
    }

    fn found_before(&self, connection: &str) -> Vec<(String, IpAddr)> {
        let tables = self.lock();
        let found = tables.connections.get(connection).map(|known| &known.found);
        let configs = found.into_iter().flatten();
        configs
            .map(|config| (config.gateway.clone(), config.address))
            .collect()
    }

    /// Forgets those of a connection.
    pub fn remove(&self, connection: &str) {
        let removed = self.lock().remove(connection);
        drop(removed);
    }

    /// Those of a connection, if they differ.
    pub fn get(&self, connection: &str) -> Option<Arc<GatewayCfgs>> {
        let tables = self.lock();
        let differing = tables.connections.get(connection)?;
        Some(Arc::clone(&differing.gateways))
    }

    /// Whether the connection has the same ones already.
    pub fn is_same(&self, connection: &str, gateways: &GatewayCfgs) -> bool {
        match self.get(connection) {
            Some(known) => *known == *gateways,
            None => gateways.is_empty(),
        }
    }

    /// A name was looked up: its address is that gateway's from now on.
    pub fn found(&self, connection: &str, to: &Destination) {
        let Some(address) = to.address else { return };
        loop {
            let mut tables = self.lock();
            let Some(known) = tables.connections.get_mut(connection) else {
                return;
            };
            if known.found_again(&to.gateway, address) {
                return;
            }
            let (own, gateways) = (Arc::clone(&known.own), Arc::clone(&known.gateways));
            drop(tables);
            // Made without the lock.
            let Some(config) = GatewayConfig::new(&own, &gateways, &to.gateway, address) else {
                return;
            };
            let mut tables = self.lock();
            let known = tables.connections.get_mut(connection);
            if let Some(known) = known.filter(|known| Arc::ptr_eq(&known.gateways, &gateways)) {
                let former = known.add(config);
                drop(tables);
                drop(former);
                return;
            }
            // Replaced meanwhile.
        }
    }

    /// The configurations of a connection's gateways, by their addresses.
    pub fn by_address(&self, connection: &str) -> HashMap<IpAddr, Arc<PeerCfg>> {
        let tables = self.lock();
        let configs = tables.connections.get(connection).map(Differing::configs);
        let mut by_address = HashMap::new();
        for config in configs.into_iter().flatten() {
            by_address
                .entry(config.address)
                .or_insert_with(|| Arc::clone(&config.config));
        }
        by_address
    }

    /// The IKE_SA begins to connect: gives it the configuration of the gateway at its address. Safe in a
    /// listener callback.
    pub fn connecting(&self, ike_sa: &mut IkeSa<'_>, hook: &InStateChange) {
        let (_, Some(address)) = ike_sa.addresses() else {
            return;
        };
        self.exchange(ike_sa, hook, |differing, _| differing.at(address).cloned());
    }

    /// The IKE_SA is up: gives it the connection's own configuration back. Safe in a listener callback.
    pub fn established(&self, ike_sa: &mut IkeSa<'_>, hook: &InStateChange) {
        self.exchange(ike_sa, hook, |differing, was_exchanged| {
            was_exchanged.then(|| Arc::clone(&differing.own))
        });
    }

    /// The IKE_SA is gone. Safe in a listener callback.
    pub fn gone(&self, ike_sa: &IkeSa<'_>) {
        if self.some.load(Ordering::Relaxed) {
            let replaced = self.lock().replaced.remove(&ike_sa.id());
            drop(replaced);
        }
    }

    fn exchange(
        &self,
        ike_sa: &mut IkeSa<'_>,
        hook: &InStateChange,
        by: impl FnOnce(&Differing, bool) -> Option<Arc<PeerCfg>>,
    ) {
        if !self.some.load(Ordering::Relaxed) {
            return;
        }
        let id = ike_sa.id();
        let config = ike_sa.with_name(|name| {
            let tables = self.lock();
            let differing = tables.connections.get(tables.names.get(name)?)?;
            by(differing, tables.replaced.contains_key(&id))
        });
        let before = config.and_then(|config| ike_sa.exchange_peer_cfg(&config, hook));
        if let Some(before) = before {
            // Nobody else has this IKE_SA, and so the config in the table.
            let earlier = self.lock().replaced.insert(id, before);
            drop(earlier);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        // Tables that no panic can leave half-changed.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
