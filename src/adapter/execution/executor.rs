// SPDX-License-Identifier: GPL-2.0-or-later

//! What the core decides, done in jobs: every call here may wait.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use extsock_core::domain::address::{own_address, AddressList};
use extsock_core::domain::failover_name;
use extsock_core::error::{Error, ErrorCode, Result};
use extsock_core::failover::action::{
    Action, ConfigKind, Destination, NewPath, Probed, Question, Steering,
};
use extsock_core::failover::manager::Options;
use extsock_core::failover::traffic::{Packets, Sample};

use super::lanes::Lanes;
use super::resolver::Resolver;
use super::state_file::StateFile;
use crate::adapter::configuration::{
    create_dpd_config, create_failover_config, create_retry_config,
};
use crate::adapter::driving::{Driver, HandOn, Publisher};
use crate::adapter::registry::{Connections, DpdRequests, IkeSaKeys, RetryConfig, RetryConfigs};
use crate::charon::{self, charon_number, CheckedOutIkeSa, IkeSaId, PeerCfg, Priority};

/// When an IKE_SA that was not found is looked for again. Until then charon has computed a key.
const SOON: &[Duration] = &[
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(500),
];

/// Carries out the core's actions, and reports to its driver what came of them.
pub(crate) struct Executor {
    pub driver: Arc<Driver>,
    pub connections: Arc<Connections>,
    pub retry_configs: Arc<RetryConfigs>,
    pub dpd_requests: Arc<DpdRequests>,
    pub keys: Arc<IkeSaKeys>,
    /// Set where last good gateways are to be kept.
    state_file: Option<StateFile>,
    resolver: Resolver,
    lanes: Arc<Lanes>,
}

impl HandOn for Executor {
    fn hand_on(self: Arc<Self>, action: Action) {
        let connection = action.connection().to_owned();
        self.defer(connection, move |executor, _| executor.carry_out(action));
    }
}

impl Executor {
    /// An executor with a driver of its own.
    pub fn new(
        connections: Arc<Connections>,
        publisher: Box<dyn Publisher>,
        mut options: Options,
        state_file: Option<StateFile>,
    ) -> Arc<Self> {
        options.remembered = state_file.as_ref().map(StateFile::gateways);
        Arc::new_cyclic(|executor: &Weak<Self>| Self {
            driver: Arc::new(Driver::new(publisher, executor.clone(), options)),
            connections,
            retry_configs: Arc::default(),
            dpd_requests: Arc::default(),
            keys: Arc::default(),
            state_file,
            resolver: Resolver::default(),
            lanes: Arc::default(),
        })
    }

    /// Does what may wait in a job of its own, after what was deferred for the connection before.
    pub fn defer(
        self: &Arc<Self>,
        connection: String,
        work: impl FnOnce(&Arc<Self>, &str) + Send + 'static,
    ) {
        // Weak: what waits in a lane when charon ends must not keep the executor, which has the lanes.
        let executor = Arc::downgrade(self);
        let lane = connection.clone();
        self.lanes.push(&lane, move || {
            let running = |executor: &Arc<Self>| !executor.driver.is_stopping();
            if let Some(executor) = executor.upgrade().filter(running) {
                work(&executor, &connection);
            }
        });
    }

    /// Carries out what may wait.
    fn carry_out(self: &Arc<Self>, action: Action) {
        match action {
            Action::Resolve {
                connection,
                attempt,
                gateway,
            } => self.resolve(connection, attempt, gateway),
            Action::Check { connection } => self.check(&connection),
            Action::Initiate {
                connection,
                attempt,
            } => self.make_attempt(&connection, attempt),
            Action::InitiateChildren {
                connection,
                ike_sa,
                children,
            } => self.initiate_children(&connection, IkeSaId(ike_sa), &children),
            Action::InitiateAgain {
                connection,
                ike_sa,
                children,
            } => self.initiate_again(&connection, IkeSaId(ike_sa), &children),
            Action::Adopt { connection, ike_sa } => self.adopt(&connection, IkeSaId(ike_sa)),
            Action::Steer {
                connection,
                ike_sa,
                steering,
            } => self.steer(&connection, IkeSaId(ike_sa), steering),
            Action::Unsteer { ike_sa, .. } => self.retry_configs.forget(IkeSaId(ike_sa)),
            Action::ReleaseClone {
                connection,
                gateway,
            } => self
                .connections
                .remove_clone(&failover_name(&connection, &gateway)),
            Action::Terminate { connection } => self.terminate_all(&connection),
            Action::Delete { connection, ike_sa } => {
                self.terminate(&connection, IkeSaId(ike_sa), false);
            }
            Action::Abandon {
                connection,
                gateway,
                ike_sa,
            } => self.abandon(&connection, &gateway, ike_sa),
            Action::Look {
                connection,
                ike_sa,
                inbound,
            } => self.look(&connection, IkeSaId(ike_sa), &inbound),
            Action::Probe {
                connection,
                ike_sa,
                question,
            } => self.probe(&connection, IkeSaId(ike_sa), question),
            Action::CheckPath { connection, ike_sa } => {
                self.check_path(&connection, IkeSaId(ike_sa));
            }
            Action::SendDpd { connection, ike_sa } => dpd(&connection, IkeSaId(ike_sa)),
            Action::Remember {
                connection,
                gateway,
            } => self.remember(connection, gateway),
            Action::Publish(_)
            | Action::Waits { .. }
            | Action::NoRoute { .. }
            | Action::Report { .. } => {
                debug_assert!(false, "dispatch() publishes and logs these at once");
            }
        }
    }

    fn remember(&self, connection: String, gateway: Option<String>) {
        if let Some(file) = &self.state_file {
            file.remember(connection, gateway);
        }
    }

    fn resolve(self: &Arc<Self>, connection: String, attempt: Option<u64>, gateway: String) {
        let driver = Arc::downgrade(&self.driver);
        self.resolver.resolve(&gateway.clone(), move |addresses| {
            charon::queue(Priority::High, move || {
                if let Some(driver) = driver.upgrade() {
                    driver.with_core(|manager, now| {
                        manager.resolved(&connection, attempt, &gateway, addresses, now)
                    });
                }
            });
        });
    }

    fn make_attempt(self: &Arc<Self>, connection: &str, attempt: u64) {
        let (peer_cfg, addresses) = self.look_at(connection);
        let mut begin = None;
        self.driver.with_core(|manager, now| {
            let (wanted, actions) = manager.begin(connection, attempt, addresses, now);
            begin = wanted;
            actions
        });
        let (Some(peer_cfg), Some(begin)) = (peer_cfg, begin) else {
            return;
        };

        if begin.needs_route && !has_route_to(&begin.to, &peer_cfg) {
            self.driver
                .with_core(|manager, now| manager.no_route(begin, now));
            return;
        }
        let gateways = self.connections.gateways.get(connection);
        // Where they differ, charon finds the IKE_SA by no configuration while it is connecting: its first
        // CHILD_SA makes it, the others follow by its id.
        let asked = match &gateways {
            Some(_) => first_child(&peer_cfg, &begin.children),
            None => begin.children.clone(),
        };
        let begun = if let (Some(id), true) = (begin.ike_sa, gateways.is_some()) {
            self.initiate_children(connection, IkeSaId(id), &asked);
            Ok(())
        } else if begin.config == ConfigKind::Own {
            initiate(&peer_cfg, &asked)
        } else {
            if begin.to.address.is_some() && retries_initiation() {
                // charon may wait for the name itself (retry_initiate_interval).
                terminate_unresolved(connection);
            }
            let own = gateways.as_ref().and_then(|all| all.get(&begin.to.gateway));
            self.connections.gateways.found(connection, &begin.to);
            let clone = create_failover_config(&peer_cfg, &begin.to, own);
            self.add_peer_config_and_initiate(clone, &asked)
        };
        if let Err(error) = &begun {
            log::error!(
                "{connection}: initiating to {} failed: {error}",
                begin.to.remote()
            );
        }
        self.driver
            .with_core(|manager, now| manager.initiated(begin, begun.is_ok(), &asked, now));
    }

    /// The configuration, whoever loaded it, as it is now.
    fn config_of(&self, connection: &str) -> Option<PeerCfg> {
        self.connections
            .get(connection)
            .or_else(|| charon::peer_cfg_by_name(connection))
    }

    /// Reads the configuration, which others change without notice, and gives it to the manager.
    fn check(self: &Arc<Self>, connection: &str) {
        let (_, addresses) = self.look_at(connection);
        self.driver
            .with_core(|manager, now| manager.checked(connection, addresses, now));
    }

    /// The configuration as it is now, and its remote addresses, for the manager.
    fn look_at(&self, connection: &str) -> (Option<PeerCfg>, Option<AddressList>) {
        let peer_cfg = self.config_of(connection);
        if peer_cfg.is_none() {
            log::info!("{connection}: its configuration is gone, and its failover ends");
        }
        let addresses = peer_cfg
            .as_ref()
            .map(|peer_cfg| AddressList::parse(&peer_cfg.ike_cfg().fields().remote));
        (peer_cfg, addresses)
    }

    /// Registers a clone, in place of an earlier one of its name, and initiates it.
    fn add_peer_config_and_initiate(&self, clone: PeerCfg, children: &[String]) -> Result<()> {
        self.connections.set(clone.clone());
        initiate(&clone, children)
    }

    fn initiate_children(&self, connection: &str, ike_sa: IkeSaId, children: &[String]) {
        let Some(peer_cfg) = self.config_of(connection) else {
            return;
        };
        for child_cfg in peer_cfg.child_cfgs() {
            if !children.iter().any(|child| *child == child_cfg.name()) {
                continue;
            }
            match CheckedOutIkeSa::by_id(ike_sa) {
                Some(ike_sa) => ike_sa.initiate(child_cfg),
                None => {
                    log::info!("{connection}: the IKE_SA is gone before its CHILD_SA");
                    return;
                }
            }
        }
    }

    /// As [`Self::initiate_children`], unless charon is making one: its request may not be answered yet.
    fn initiate_again(&self, connection: &str, ike_sa: IkeSaId, children: &[String]) {
        let missing: Vec<String> = match self.keys.check_out(ike_sa) {
            Some(ike_sa) if ike_sa.is_up() && !ike_sa.makes_child() => {
                let all = children.iter();
                all.filter(|child| !ike_sa.has_child(child))
                    .cloned()
                    .collect()
            }
            _ => return,
        };
        self.initiate_children(connection, ike_sa, &missing);
    }

    /// By its own configuration charon finds the IKE_SA when the connection is initiated again, by an
    /// operator or by traffic, and operators find it by its name.
    fn adopt(self: &Arc<Self>, connection: &str, ike_sa: IkeSaId) {
        let Some(peer_cfg) = self.config_of(connection) else {
            return;
        };
        let differs = self.connections.gateways.get(connection).is_some();
        self.find(connection, SOON, move || {
            match CheckedOutIkeSa::by_id(ike_sa) {
                // It has the gateway's own until it is up.
                Some(ike_sa) if differs && !ike_sa.is_up() => true,
                Some(mut ike_sa) => {
                    // With the same one it would get new interface IDs (if_id %unique).
                    if !ike_sa.peer_cfg().is_some_and(|known| known.is(&peer_cfg)) {
                        ike_sa.set_peer_cfg(&peer_cfg);
                    }
                    true
                }
                None => false,
            }
        });
    }

    /// The connection goes and its IKE_SA stays: with the configuration of its gateway, which
    /// reauthentication goes by from now on.
    pub fn leave_at(
        self: &Arc<Self>,
        connection: &str,
        ike_sa: IkeSaId,
        gateways: Arc<HashMap<IpAddr, Arc<PeerCfg>>>,
    ) {
        self.defer(connection.to_owned(), move |_, _| {
            let Some(mut ike_sa) = CheckedOutIkeSa::by_id(ike_sa) else {
                return;
            };
            if let Some(peer_cfg) = ike_sa.remote().and_then(|at| gateways.get(&at)) {
                ike_sa.set_peer_cfg(peer_cfg);
            }
        });
    }

    fn terminate_all(self: &Arc<Self>, connection: &str) {
        for id in self.driver.ask(|core, _| core.terminating(connection)) {
            self.terminate(connection, IkeSaId(id), false);
        }
    }

    fn terminate(self: &Arc<Self>, connection: &str, ike_sa: IkeSaId, force: bool) {
        self.find(connection, SOON, move || charon::terminate(ike_sa, force));
    }

    fn abandon(self: &Arc<Self>, connection: &str, gateway: &str, ike_sa: Option<u32>) {
        match ike_sa {
            Some(id) => self.terminate(connection, IkeSaId(id), true),
            None => {
                terminate_unresolved(connection);
                terminate_unresolved(&failover_name(connection, gateway));
            }
        }
    }

    /// Does something with an IKE_SA, and tries again if it is not found: charon tells of one that takes
    /// the place of another before it is in its table (sa/ike_sa.c, reestablish).
    fn find(
        self: &Arc<Self>,
        connection: &str,
        later: &'static [Duration],
        work: impl Fn() -> bool + Send + 'static,
    ) {
        if work() {
            return;
        }
        let Some((delay, later)) = later.split_first() else {
            return;
        };
        let executor = Arc::downgrade(self);
        let connection = connection.to_owned();
        charon::schedule(*delay, move || {
            if let Some(executor) = executor.upgrade() {
                executor.defer(connection, move |executor, connection| {
                    executor.find(connection, later, work);
                });
            }
        });
    }

    fn steer(&self, connection: &str, ike_sa: IkeSaId, steering: Steering) {
        let Some(peer_cfg) = self.config_of(connection) else {
            self.retry_configs.forget(ike_sa);
            return;
        };
        let gateways = self.connections.gateways.get(connection);
        let to = steering.destination();
        let own = to.and_then(|to| gateways.as_ref()?.get(&to.gateway));
        if let Some(to) = to {
            self.connections.gateways.found(connection, to);
        }
        let prepared = RetryConfig {
            peer_cfg: create_retry_config(&peer_cfg, &steering, own),
            keeps_trying: peer_cfg.fields(0).keyingtries != 1,
            steering,
        };
        self.retry_configs.prepare(ike_sa, prepared);
    }

    /// Reads the packet counters of the CHILD_SAs.
    fn look(self: &Arc<Self>, connection: &str, ike_sa: IkeSaId, before: &Packets) {
        let Some(checked_out) = self.keys.check_out(ike_sa).filter(CheckedOutIkeSa::is_up) else {
            return;
        };
        let at = self.driver.now().monotonic;
        let inbound = checked_out.packets(true);
        let sample = Sample::new(before, inbound, || checked_out.packets(false));
        drop(checked_out);
        self.driver
            .with_core(|manager, now| manager.looked(connection, ike_sa.0, sample, at, now));
    }

    /// Asks the gateway for a sign of life.
    fn probe(self: &Arc<Self>, connection: &str, ike_sa: IkeSaId, question: Question) {
        let Some(checked_out) = self.keys.check_out(ike_sa).filter(CheckedOutIkeSa::is_up) else {
            return;
        };
        let now = self.driver.now().monotonic;
        let is_repeated = || {
            let request = self.dpd_requests.get(ike_sa);
            request.is_some_and(|request| checked_out.repeat_dpd(&request))
        };
        let is_asked = match question {
            Question::Again if is_repeated() => true,
            Question::First | Question::Again => send_dpd(checked_out),
        };
        let probed = match is_asked {
            true => Probed::Asked(now),
            false => Probed::Impossible,
        };
        self.driver
            .with_core(|manager, now| manager.probed(connection, ike_sa.0, probed, now));
    }

    /// Looks whether charon would send to the gateway from another address, or is telling it of one.
    fn check_path(self: &Arc<Self>, connection: &str, ike_sa: IkeSaId) {
        let Some(checked_out) = self.keys.check_out(ike_sa).filter(CheckedOutIkeSa::is_up) else {
            return;
        };
        let hosts = checked_out.local().zip(checked_out.remote());
        let announces = checked_out.announces_addresses();
        drop(checked_out);
        let is_other = |(local, remote)| {
            let source = charon::source_address(remote, local);
            source.is_some_and(|source| source != local)
        };
        let path = if announces {
            NewPath::Announced(self.driver.now().monotonic)
        } else if hosts.is_some_and(is_other) {
            NewPath::Found
        } else {
            return;
        };
        self.driver
            .with_core(|manager, now| manager.path_changed(connection, ike_sa.0, path, now));
    }

    pub fn install_trap(self: &Arc<Self>, connection: &str, child: &str) {
        let child = child.to_owned();
        self.defer(connection.to_owned(), move |executor, connection| {
            let Some(peer_cfg) = executor.connections.get(connection) else {
                return;
            };
            let child_cfg = peer_cfg
                .child_cfgs()
                .into_iter()
                .find(|cfg| cfg.name() == child);
            if !child_cfg.is_some_and(|child_cfg| charon::install_trap(&peer_cfg, &child_cfg)) {
                log::error!("{connection}: installing the trap policy of {child} failed");
            }
        });
    }

    pub fn uninstall_traps(
        self: &Arc<Self>,
        connection: &str,
        config: &PeerCfg,
        concerned: impl Fn(&str) -> bool,
    ) {
        let children: BTreeSet<String> = config
            .child_cfgs()
            .iter()
            .filter(|child| child.may_trap())
            .map(|child| child.name().into_owned())
            .filter(|child| concerned(child))
            .collect();
        for child in children {
            // Each by itself, so that none begins once charon's shutdown has: see traps.rs, is_installed().
            self.defer(connection.to_owned(), move |_, connection| {
                charon::uninstall_trap(connection, &child);
            });
        }
    }
}

/// Whether packets can be sent there, as far as that is known: charon looks up a name whose address is not given.
fn has_route_to(to: &Destination, peer_cfg: &PeerCfg) -> bool {
    let remote = to.address.or_else(|| to.gateway.parse().ok());
    remote.is_none_or(|remote| {
        let own = own_address(&peer_cfg.ike_cfg().fields().local, remote);
        charon::has_route(remote, own)
    })
}

/// The first of the CHILD_SAs, of all if none is named; none if there are none.
fn first_child(peer_cfg: &PeerCfg, children: &[String]) -> Vec<String> {
    let all: Vec<String> = (peer_cfg.child_cfgs().iter())
        .map(|child| child.name().into_owned())
        .collect();
    let named = all.iter().find(|child| children.contains(child));
    named.or(all.first()).cloned().into_iter().collect()
}

/// Initiates the CHILD_SAs, all if none is named, or an IKE_SA without one if there are none.
fn initiate(peer_cfg: &PeerCfg, children: &[String]) -> Result<()> {
    let all = peer_cfg.child_cfgs();
    let mut child_cfgs: Vec<_> = all
        .iter()
        .filter(|child| children.iter().any(|name| *name == child.name()))
        .cloned()
        .map(Some)
        .collect();
    if child_cfgs.is_empty() {
        // None are named, or none of those that were up is left: others have edited them.
        child_cfgs.extend(all.into_iter().map(Some));
    }
    if child_cfgs.is_empty() {
        child_cfgs.push(None);
    }
    for child_cfg in child_cfgs {
        // The first one makes the IKE_SA, the others find it by its equal configuration.
        if !charon::initiate(peer_cfg.clone(), child_cfg) {
            return Err(Error::new(
                ErrorCode::StrongswanApiFailed,
                "charon could not begin, its log tells why",
            ));
        }
    }
    Ok(())
}

/// Sends a DPD request because somebody wants one.
fn dpd(connection: &str, ike_sa: IkeSaId) {
    match CheckedOutIkeSa::by_id(ike_sa).filter(CheckedOutIkeSa::is_up) {
        Some(ike_sa) => {
            send_dpd(ike_sa);
        }
        None => log::info!("{connection}: no DPD, the IKE_SA is gone"),
    }
}

/// Whether the gateway is asked for a sign of life: now, or by an exchange that is under way.
fn send_dpd(ike_sa: CheckedOutIkeSa) -> bool {
    if !ike_sa.is_ikev1() {
        ike_sa.send_dpd();
        return true;
    }
    let config = match ike_sa.peer_cfg().filter(|_| ike_sa.supports_dpd()) {
        Some(peer_cfg) if !peer_cfg.has_unique_if_id() => create_dpd_config(&peer_cfg),
        _ => return false,
    };
    ike_sa.send_dpd_with(&config)
}

/// Whether charon waits for names to resolve (sa/ike_sa.c, retry_initiate).
fn retries_initiation() -> bool {
    charon_number("retry_initiate_interval", 0.0) > 0.0
}

fn terminate_unresolved(name: &str) {
    for ike_sa in charon::unresolved(name) {
        charon::terminate(ike_sa, true);
    }
}
