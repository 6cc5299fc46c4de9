// SPDX-License-Identifier: GPL-2.0-or-later

//! Drives the failover core: charon's events, requests and timers go in one at a time, and what the
//! core decides is carried out on charon's threads.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use extsock_core::config::{self, Configuration};
use extsock_core::error::{Error, ErrorCode, Result};
use extsock_core::failover::action::{Action, Settings};
use extsock_core::failover::evidence::Evidence;
use extsock_core::failover::manager::FailoverManager;
use extsock_core::failover::policy::RetryPolicy;
use extsock_core::failover::{failover_name, Now};
use extsock_core::protocol::{ConnectionStatus, Event, Reply, Request};

use super::connections::{build, Connections};
use super::failover_config::create_failover_config;
use super::lanes::Lanes;
use crate::charon::{self, IkeSaId, PeerCfg, Priority};

/// Who is told of events. Must not wait.
pub trait Publisher: Send + Sync {
    /// One event happened.
    fn publish(&self, event: &Event);
}

/// The failover core and everything that it needs from outside.
pub struct Driver {
    core: Mutex<Core>,
    evidence: Sender<Evidence>,
    /// A job that will read the evidence is queued.
    scheduled: AtomicBool,
    stopping: AtomicBool,
    connections: Connections,
    lanes: Arc<Lanes>,
    publisher: Box<dyn Publisher>,
    policy: RetryPolicy,
    started: Instant,
}

struct Core {
    manager: FailoverManager,
    evidence: Receiver<Evidence>,
    /// When the earliest timer that was handed to charon's scheduler fires.
    timer: Option<Duration>,
}

impl Driver {
    /// A driver without connections; `policy` is the default of all.
    pub fn new(
        connections: Connections,
        publisher: Box<dyn Publisher>,
        policy: RetryPolicy,
    ) -> Arc<Self> {
        let (sender, receiver) = channel();
        Arc::new(Self {
            core: Mutex::new(Core {
                manager: FailoverManager::default(),
                evidence: receiver,
                timer: None,
            }),
            evidence: sender,
            scheduled: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            connections,
            lanes: Arc::default(),
            publisher,
            policy,
            started: Instant::now(),
        })
    }

    /// Takes note of what charon did. Never waits: safe in a listener callback.
    pub fn observe(self: &Arc<Self>, evidence: Evidence) {
        // The receiver lives as long as self.
        let _ = self.evidence.send(evidence);
        if !self.scheduled.swap(true, Ordering::AcqRel) {
            let driver = Arc::clone(self);
            charon::queue(Priority::High, move || {
                // Acquires what was sent before by who found it true.
                driver.scheduled.swap(false, Ordering::AcqRel);
                driver.with_core(|_, _| Vec::new());
            });
        }
    }

    /// The daemon shuts down: nothing is initiated any more.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Carries out a request.
    pub fn request(self: &Arc<Self>, request: Request) -> Reply {
        let verb = request.verb();
        let result = match request {
            Request::ApplyConfig(configuration) => self.apply(&configuration),
            Request::RemoveConfig { connection } => self.remove(connection),
            Request::Initiate { connection, child } => self.initiate(connection, child.as_deref()),
            Request::Terminate { name } => self.terminate(&name),
            Request::StartDpd { name } => self.start_dpd(&name),
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
            .map(|connection| Ok((connection, build(connection)?)))
            .collect::<Result<Vec<(&config::Connection, PeerCfg)>>>()?;
        check_start_actions(configuration)?;
        let names: Vec<String> = configuration
            .connections
            .iter()
            .map(|connection| connection.name.clone())
            .collect();

        self.try_with_core(|manager, now| {
            manager.check_names(
                loaded
                    .iter()
                    .map(|(c, _)| (c.name.as_str(), &c.remote_addrs)),
            )?;
            self.connections.set_secrets(&names, &configuration.secrets);
            let mut actions = Vec::new();
            for (connection, peer_cfg) in loaded {
                let settings = Settings {
                    gateways: connection.remote_addrs.clone(),
                    children: connection
                        .children
                        .iter()
                        .map(|child| child.name.clone())
                        .collect(),
                    policy: self.policy,
                };
                if let Some(replaced) = self.connections.set(peer_cfg) {
                    self.uninstall_traps(&connection.name, &replaced, |child| {
                        let trapped = |new: &&config::Child| {
                            new.name == child && new.start_action == config::Action::Trap
                        };
                        !connection.children.iter().any(|new| trapped(&new))
                    });
                }
                actions.extend(manager.configure(&connection.name, settings, now));
                for child in &connection.children {
                    match child.start_action {
                        config::Action::None => {}
                        config::Action::Start => {
                            // It has a gateway and the child: see check_start_actions().
                            if let Ok((_, more)) =
                                manager.initiate(&connection.name, Some(&child.name), now)
                            {
                                actions.extend(more);
                            }
                        }
                        config::Action::Trap => self.install_trap(&connection.name, &child.name),
                    }
                }
            }
            Ok(actions)
        })?;
        Ok(Reply::ApplyConfig { connections: names })
    }

    fn remove(self: &Arc<Self>, connection: String) -> Result<Reply> {
        self.try_with_core(|manager, _| {
            let actions = manager.remove(&connection)?;
            if let Some(config) = self.connections.remove(&connection) {
                self.uninstall_traps(&connection, &config, |_| true);
            }
            Ok(actions)
        })?;
        log::info!("{connection}: removed");
        Ok(Reply::RemoveConfig { connection })
    }

    fn initiate(self: &Arc<Self>, connection: String, child: Option<&str>) -> Result<Reply> {
        let mut gateway = String::new();
        self.try_with_core(|manager, now| {
            let (target, actions) = manager.initiate(&connection, child, now)?;
            gateway = target;
            Ok(actions)
        })?;
        Ok(Reply::Initiate {
            connection,
            gateway,
        })
    }

    fn terminate(self: &Arc<Self>, name: &str) -> Result<Reply> {
        let mut connection = String::new();
        self.try_with_core(|manager, _| {
            let (resolved, actions) = manager.terminate(name)?;
            connection = resolved;
            Ok(actions)
        })?;
        Ok(Reply::Terminate { connection })
    }

    fn start_dpd(self: &Arc<Self>, name: &str) -> Result<Reply> {
        let mut ike_sa_name = String::new();
        self.try_with_core(|manager, _| {
            let (resolved, action) = manager.start_dpd(name)?;
            ike_sa_name = resolved;
            Ok(vec![action])
        })?;
        Ok(Reply::StartDpd { ike_sa_name })
    }

    fn list(self: &Arc<Self>) -> Vec<ConnectionStatus> {
        let mut list = Vec::new();
        self.with_core(|manager, _| {
            list = manager.list();
            Vec::new()
        });
        list
    }

    fn ike_sas(self: &Arc<Self>, connection: &str) -> Vec<IkeSaId> {
        let mut ids = Vec::new();
        self.with_core(|manager, _| {
            ids = manager.ike_sas(connection);
            Vec::new()
        });
        ids.into_iter().map(IkeSaId).collect()
    }

    fn with_core(self: &Arc<Self>, step: impl FnOnce(&mut FailoverManager, Now) -> Vec<Action>) {
        let result = self.try_with_core(|manager, now| Ok(step(manager, now)));
        debug_assert!(result.is_ok(), "the step cannot fail");
    }

    /// One step of the core, after all evidence that came before it; carries out what follows. The
    /// lock is held until the actions are handed on, so that their order is that of the decisions.
    fn try_with_core(
        self: &Arc<Self>,
        step: impl FnOnce(&mut FailoverManager, Now) -> Result<Vec<Action>>,
    ) -> Result<()> {
        let mut core = self.lock_core();
        let now = self.now();
        let core = &mut *core;
        while let Ok(evidence) = core.evidence.try_recv() {
            let actions = core.manager.handle(evidence, now);
            self.dispatch(actions);
        }
        self.dispatch(core.manager.expire(now));
        let result = step(&mut core.manager, now).map(|actions| self.dispatch(actions));
        self.arm_timer(core, now);
        result
    }

    fn arm_timer(self: &Arc<Self>, core: &mut Core, now: Now) {
        let Some(next) = core.manager.next_deadline() else {
            return;
        };
        if core.timer.is_some_and(|timer| timer <= next) {
            return;
        }
        core.timer = Some(next);
        let driver = Arc::clone(self);
        charon::schedule(next.saturating_sub(now.monotonic), move || {
            let mut core = driver.lock_core();
            core.timer = core.timer.filter(|timer| *timer != next);
            drop(core);
            driver.with_core(|_, _| Vec::new());
        });
    }

    fn dispatch(self: &Arc<Self>, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Publish(event) => {
                    log_event(&event);
                    self.publisher.publish(&event);
                }
                Action::Report { connection, error } => {
                    log::warn!("{connection}: {error}");
                }
                Action::Initiate {
                    connection,
                    gateway,
                    first,
                    children,
                    attempt,
                } => {
                    self.defer(connection, move |driver, connection| {
                        driver.carry_out(connection, &gateway, first, &children, attempt);
                    });
                }
                Action::ReleaseClone {
                    connection,
                    gateway,
                } => {
                    self.defer(connection, move |driver, connection| {
                        driver
                            .connections
                            .remove_clone(&failover_name(connection, &gateway));
                    });
                }
                Action::Terminate { connection } => {
                    self.defer(connection, |driver, connection| {
                        for ike_sa in driver.ike_sas(connection) {
                            charon::terminate(ike_sa);
                        }
                    });
                }
                Action::SendDpd { connection, ike_sa } => {
                    self.defer(connection, move |_, connection| {
                        if !charon::send_dpd(IkeSaId(ike_sa)) {
                            log::info!("{connection}: no DPD, the IKE_SA is gone");
                        }
                    });
                }
            }
        }
    }

    /// Does what may wait in a job of its own, after what was deferred for the connection before.
    fn defer(
        self: &Arc<Self>,
        connection: String,
        work: impl FnOnce(&Arc<Self>, &str) + Send + 'static,
    ) {
        // Weak: what waits in a lane when charon ends must not keep the driver, which has the lanes.
        let driver = Arc::downgrade(self);
        let lane = connection.clone();
        self.lanes.push(&lane, move || {
            let running = |driver: &Arc<Self>| !driver.stopping.load(Ordering::Acquire);
            if let Some(driver) = driver.upgrade().filter(running) {
                work(&driver, &connection);
            }
        });
    }

    /// An initiation that the core decided on.
    fn carry_out(
        self: &Arc<Self>,
        connection: &str,
        gateway: &str,
        first: bool,
        children: &[String],
        attempt: u64,
    ) {
        if !self.lock_core().manager.is_current(connection, attempt) {
            return;
        }
        let begun = self.config_for(connection).and_then(|peer_cfg| {
            if first {
                initiate(&peer_cfg, children)
            } else {
                let clone = create_failover_config(&peer_cfg, gateway);
                self.add_peer_config_and_initiate(clone, children)
            }
        });
        if let Err(error) = &begun {
            log::error!("{connection}: initiating to {gateway} failed: {error}");
        }
        self.with_core(|manager, now| manager.initiated(connection, attempt, begun.is_ok(), now));
    }

    fn config_for(&self, connection: &str) -> Result<PeerCfg> {
        self.connections
            .get(connection)
            .ok_or_else(|| Error::new(ErrorCode::ConfigCreationFailed, "its configuration is gone"))
    }

    /// Registers a clone, in place of an earlier one of its name, and initiates it.
    fn add_peer_config_and_initiate(&self, clone: PeerCfg, children: &[String]) -> Result<()> {
        self.connections.set(clone.clone());
        initiate(&clone, children)
    }

    fn install_trap(self: &Arc<Self>, connection: &str, child: &str) {
        let child = child.to_owned();
        self.defer(connection.to_owned(), move |driver, connection| {
            let Some(peer_cfg) = driver.connections.get(connection) else {
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

    fn uninstall_traps(
        self: &Arc<Self>,
        connection: &str,
        config: &PeerCfg,
        concerned: impl Fn(&str) -> bool,
    ) {
        let children: BTreeSet<String> = config
            .child_cfgs()
            .iter()
            .filter(|child| child.may_trap())
            .map(charon::ChildCfg::name)
            .filter(|child| concerned(child))
            .collect();
        for child in children {
            // One at a time: from charon's shutdown on the call would wait for ever.
            self.defer(connection.to_owned(), move |_, connection| {
                charon::uninstall_trap(connection, &child);
            });
        }
    }

    fn now(&self) -> Now {
        Now {
            monotonic: self.started.elapsed(),
            unix: SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default(),
        }
    }

    fn lock_core(&self) -> MutexGuard<'_, Core> {
        // After a panic in it the core may have lost an event, but holds no broken invariant that
        // another event could not meet as well.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Initiates the CHILD_SAs, or an IKE_SA without one if there are none.
fn initiate(peer_cfg: &PeerCfg, children: &[String]) -> Result<()> {
    let configured = peer_cfg.child_cfgs();
    let mut child_cfgs: Vec<_> = children
        .iter()
        .filter_map(|name| configured.iter().find(|child| child.name() == *name))
        .cloned()
        .map(Some)
        .collect();
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

fn log_event(event: &Event) {
    match event {
        Event::ConfigApplied { connection } => log::info!("{connection}: loaded"),
        Event::FailoverStarted { connection, from, to, reason, attempt } => log::info!(
            "{connection}: gateway {from} failed ({reason}), failing over to {to}, attempt {attempt}"
        ),
        Event::FailoverEstablished { connection, gateway, attempts, outage_ms } => log::info!(
            "{connection}: established to {gateway} after {attempts} failovers and {outage_ms} ms"
        ),
        Event::FailoverExhausted { connection, retries } => {
            log::warn!("{connection}: given up after {retries} failovers");
        }
        // charon logs these itself.
        Event::IkeSaUp { .. }
        | Event::IkeSaDown { .. }
        | Event::TunnelUp(_)
        | Event::TunnelDown(_)
        | Event::IkeRekey { .. }
        | Event::ChildRekey { .. } => {}
    }
}
