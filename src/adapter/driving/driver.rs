// SPDX-License-Identifier: GPL-2.0-or-later

//! Drives the failover core: charon's events, requests and timers go in one at a time, and what the core
//! decides is handed on.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant, SystemTime};

use extsock_core::domain::Now;
use extsock_core::error::Result;
use extsock_core::failover::action::Action;
use extsock_core::failover::event::Event;
use extsock_core::failover::evidence::Evidence;
use extsock_core::failover::manager::{FailoverManager, Options};
use extsock_core::protocol::{ClientStats, Published, Stats};

use super::timers::Timers;
use crate::charon::{self, Priority};

/// Sends events to clients. Must not wait.
pub trait Publisher: Send + Sync {
    /// One event happened.
    fn publish(&self, event: &Published);
    /// What it counts.
    fn stats(&self) -> ClientStats;
}

/// Who carries out the core's actions.
pub(crate) trait HandOn: Send + Sync {
    /// Takes an action, in the order of the decisions. Must not wait: the core's lock is held.
    fn hand_on(self: Arc<Self>, action: Action);
}

/// The failover core, its input and its clock.
pub struct Driver {
    core: Mutex<Core>,
    evidence: Sender<Evidence>,
    /// A job that will read the evidence is queued.
    scheduled: AtomicBool,
    stopping: AtomicBool,
    /// A change of the network was told of and not handled yet: more of them make no difference.
    network_changed: AtomicBool,
    /// Names of configurations whose IKE_SAs are of concern even with one address.
    names: RwLock<HashSet<String>>,
    /// Some connection has its liveness checked, for which the core wants to know of the peers' messages.
    listening: AtomicBool,
    publisher: Box<dyn Publisher>,
    /// Weak: who carries out the actions reports to the driver, and owns it.
    executor: Weak<dyn HandOn>,
    /// How many events were published.
    published: AtomicU64,
    started: Instant,
}

struct Core {
    manager: FailoverManager,
    evidence: Receiver<Evidence>,
    timers: Timers,
}

impl Driver {
    /// A driver without connections.
    pub(crate) fn new(
        publisher: Box<dyn Publisher>,
        executor: Weak<dyn HandOn>,
        options: Options,
    ) -> Self {
        let (sender, receiver) = channel();
        Self {
            core: Mutex::new(Core {
                manager: FailoverManager::new(options),
                evidence: receiver,
                timers: Timers::default(),
            }),
            evidence: sender,
            scheduled: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            network_changed: AtomicBool::new(false),
            names: RwLock::default(),
            listening: AtomicBool::new(false),
            publisher,
            executor,
            published: AtomicU64::new(0),
            started: Instant::now(),
        }
    }

    /// Takes note of what charon did. Never waits: safe in a listener callback.
    pub fn observe(self: &Arc<Self>, evidence: Evidence) {
        // The receiver lives as long as self.
        let _ = self.evidence.send(evidence);
        if !self.scheduled.swap(true, Ordering::AcqRel) {
            let driver = Arc::downgrade(self);
            charon::queue(Priority::High, move || {
                let Some(driver) = driver.upgrade() else {
                    return;
                };
                // Acquires what was sent before by who found it true.
                driver.scheduled.swap(false, Ordering::AcqRel);
                driver.with_core(|_, _| Vec::new());
            });
        }
    }

    /// Takes note of a change of the network. Never waits: safe in a hook of the kernel listener.
    pub fn observe_network(self: &Arc<Self>) {
        if !self.network_changed.swap(true, Ordering::AcqRel) {
            self.observe(Evidence::NetworkChanged);
        }
    }

    /// Whether an IKE_SA of that name is of concern, or may be. Never waits.
    pub fn knows(&self, name: &str) -> bool {
        self.names
            .try_read()
            .map_or(true, |names| names.contains(name))
    }

    /// Whether messages of peers are to be observed. Never waits.
    pub fn is_listening(&self) -> bool {
        self.listening.load(Ordering::Relaxed)
    }

    /// The daemon shuts down: nothing is initiated any more.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether nothing is to be initiated any more.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// What the core knows, after all evidence that came before.
    pub(crate) fn ask<T>(
        self: &Arc<Self>,
        question: impl FnOnce(&mut FailoverManager, Now) -> T,
    ) -> T {
        let answer = self.try_with_core(|manager, now| Ok((question(manager, now), Vec::new())));
        answer.expect("a question cannot fail")
    }

    /// As [`Self::try_with_core`], of a step that cannot fail.
    pub(crate) fn with_core(
        self: &Arc<Self>,
        step: impl FnOnce(&mut FailoverManager, Now) -> Vec<Action>,
    ) {
        let result = self.try_with_core(|manager, now| Ok(((), step(manager, now))));
        debug_assert!(result.is_ok(), "the step cannot fail");
    }

    /// One step of the core, after all evidence that came before it; carries out what follows. The
    /// lock is held until the actions are handed on, so that their order is that of the decisions.
    pub(crate) fn try_with_core<T>(
        self: &Arc<Self>,
        step: impl FnOnce(&mut FailoverManager, Now) -> Result<(T, Vec<Action>)>,
    ) -> Result<T> {
        let mut core = self.lock_core();
        let now = self.now();
        let core = &mut *core;
        while let Ok(evidence) = core.evidence.try_recv() {
            #[cfg(feature = "record")]
            super::recorder::evidence(&evidence, now);
            if evidence == Evidence::NetworkChanged {
                // What changes from here on is looked at again.
                self.network_changed.store(false, Ordering::Release);
            }
            let actions = core.manager.handle(evidence, now);
            self.dispatch(actions);
        }
        self.dispatch(core.manager.expire(now));
        let result = step(&mut core.manager, now).map(|(result, actions)| {
            self.dispatch(actions);
            result
        });
        self.listening
            .store(core.manager.is_listening(), Ordering::Relaxed);
        self.publish_names(core.manager.take_name_changes());
        self.arm_timer(core, now);
        result
    }

    fn publish_names(&self, changes: Vec<(String, bool)>) {
        if changes.is_empty() {
            return;
        }
        // A set of names, in no bad state after a panic.
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        for (name, concerned) in changes {
            if concerned {
                names.insert(name);
            } else {
                names.remove(&name);
            }
        }
    }

    fn arm_timer(self: &Arc<Self>, core: &mut Core, now: Now) {
        let Some(next) = core.manager.next_deadline() else {
            return;
        };
        let Some((delay, at)) = core.timers.arm(next, now.monotonic) else {
            return;
        };
        let driver = Arc::downgrade(self);
        charon::schedule(delay, move || {
            if let Some(driver) = driver.upgrade() {
                driver.lock_core().timers.fired(at);
                driver.with_core(|_, _| Vec::new());
            }
        });
    }

    fn dispatch(&self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Publish(event) => {
                    log_event(&event);
                    #[cfg(feature = "record")]
                    super::recorder::event(&event, self.now());
                    // Under the core's lock: numbers and lines have one order.
                    let seq = self.published.fetch_add(1, Ordering::Relaxed) + 1;
                    self.publisher.publish(&Published {
                        event: *event,
                        time: self.now().unix,
                        seq,
                    });
                }
                Action::Waits { connection, delay } => log_wait(&connection, delay),
                Action::NoRoute {
                    connection,
                    gateway,
                    wait,
                } => log_no_route(&connection, &gateway, wait),
                Action::Report { connection, error } => {
                    log::warn!("{connection}: {error}");
                }
                action => {
                    if let Some(executor) = self.executor.upgrade() {
                        executor.hand_on(action);
                    }
                }
            }
        }
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            monotonic: self.started.elapsed(),
            random: fastrand::f64(),
            unix: SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default(),
        }
    }

    pub(crate) fn stats(self: &Arc<Self>) -> Stats {
        let counters = self.ask(|manager, _| manager.counters());
        let now = self.now();
        Stats::new(
            now.unix.saturating_sub(now.monotonic),
            counters,
            self.published.load(Ordering::Relaxed),
            self.publisher.stats(),
        )
    }

    fn lock_core(&self) -> MutexGuard<'_, Core> {
        // After a panic in it the core may have lost an event, but holds no broken invariant that
        // another event could not meet as well.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Between attempts charon knows of nothing that `swanctl --terminate` could end.
fn log_wait(connection: &str, delay: Option<Duration>) {
    match delay.map(|delay| delay.as_secs_f64()) {
        Some(delay) => log::info!(
            "{connection}: tried again in {delay:.1} s, 'extsockctl terminate {connection}' or unloading it ends that"
        ),
        None => log::info!(
            "{connection}: waits for 'extsockctl initiate {connection}', 'extsockctl terminate {connection}' or unloading it ends that"
        ),
    }
}

fn log_no_route(connection: &str, gateway: &str, wait: Option<Duration>) {
    match wait.map(|wait| wait.as_secs_f64()) {
        Some(wait) => log::warn!(
            "{connection}: no gateway has a route, or the own address is missing (no_route): tried again when the network changes, or in {wait:.1} s; 'extsockctl terminate {connection}' or unloading it ends that"
        ),
        None => log::info!("{connection}: no route to gateway {gateway} (no_route), the next one is tried"),
    }
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
            log::warn!("{connection}: not up after {retries} failovers");
        }
        Event::ReauthenticationLoop {
            connection,
            auth_lifetime,
            over_time,
            advice,
        } => log::warn!(
            "{connection}: the gateway lets an IKE_SA live for {auth_lifetime} s, over_time is {over_time} s, \
             so that each one would reauthenticate at once: {advice}"
        ),
        Event::DegradedStarted { connection, missing } => {
            log::warn!("{connection}: established, but missing: {}", missing.join(", "));
        }
        Event::DegradedEnded { connection } => log::info!("{connection}: not degraded any more"),
        // charon logs these itself.
        Event::IkeSaUp { .. }
        | Event::IkeSaDown { .. }
        | Event::TunnelUp(_)
        | Event::TunnelDown(_)
        | Event::IkeRekey { .. }
        | Event::ChildRekey { .. } => {}
    }
}
