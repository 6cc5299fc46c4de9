// SPDX-License-Identifier: GPL-2.0-or-later

//! Gateways, operators and time, and between them the manager and its charon.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use extsock_core::domain::address::AddressList;
use extsock_core::domain::child_failure::ChildFailure;
use extsock_core::domain::failover_name;
use extsock_core::domain::policy::FailoverPolicy;
use extsock_core::domain::Now;
use extsock_core::error::ErrorCode;
use extsock_core::failover::action::{Action, Begin, ConfigKind, Probed, Settings, Steering};
use extsock_core::failover::event::Event;
use extsock_core::failover::evidence::{Alert, Evidence, IkeSa, IkeSaState};
use extsock_core::failover::manager::{FailoverManager, Options};
use extsock_core::failover::remembered::Remembered;
use extsock_core::failover::report::ConnectionState;
use extsock_core::failover::traffic::{Packets, Sample};
use extsock_fake_charon::situations::{self, DeletedBy};
use extsock_fake_charon::{initiator, Charon as _, FakeIkeSa, IkeSas, Plugin};
use fastrand::Rng;

use crate::charon::Charon;
use crate::invariants::{settled, Watch};

const MAX_CONCURRENT: usize = 50;
const HISTORY: usize = 500;
/// Of a timer that got lost.
const LATE: Duration = Duration::from_secs(30);
/// charon's retransmission, where nobody ends it before.
const RETRANSMISSION: Duration = Duration::from_secs(40);
const GATEWAYS: usize = 60;
/// Entries of address lists that are names: the numbers that follow those of the gateways.
const NAMES: usize = 20;
/// Until a silent name server is given up.
const LOOKUP: Duration = Duration::from_secs(12);

/// How a gateway treats who initiates to it.
#[derive(Clone, Copy, PartialEq)]
enum Health {
    Up,
    Slow(Duration),
    Refusing,
    Dead,
}

struct Gateway {
    health: Health,
    /// Since when it is up and quick.
    well_since: Option<Duration>,
}

struct Connection {
    name: String,
    gateways: Vec<usize>,
    policy: FailoverPolicy,
    /// Loaded by others.
    foreign: bool,
    loaded: bool,
    /// keyingtries = 0, and dpd_action = restart.
    persistent: bool,
    /// Whether it is wanted, and since when nobody meddled with it.
    wanted: Option<Duration>,
    lane: VecDeque<Action>,
    watch: Watch,
}

enum Happening {
    /// The next action of the connection is carried out.
    Lane(usize),
    /// A lookup for an attempt ends.
    Resolved(usize, Option<u64>, String, Vec<IpAddr>),
    Drain,
    Timer(Duration),
    Answer(u32, u32),
    Timeout(u32, u32),
    DeadPeer(u32, u32),
    Heard(u32),
    Gone(u32),
    Gateway(usize),
    Operator,
    Trap,
    PeerDeletes,
    Rekey(u32),
    Reload(usize),
    Audit,
}

pub struct World {
    rng: Rng,
    now: Duration,
    manager: FailoverManager,
    charon: Charon,
    gateways: Vec<Gateway>,
    connections: Vec<Connection>,
    index: BTreeMap<String, usize>,
    happenings: BTreeMap<u64, Happening>,
    order: BinaryHeap<Reverse<(Duration, u64)>>,
    last: u64,
    timer: Option<Duration>,
    /// Whether evidence is about to be looked at.
    draining: bool,
    /// What the state file has, if there is one.
    remembered: Option<Remembered>,
    /// Connections that charon or an operator initiates without asking how many there are.
    exempt: BTreeSet<usize>,
    quiet: bool,
    failovers: usize,
    reasons: BTreeSet<String>,
    /// Of which connection everything is printed.
    traced: Option<String>,
}

impl World {
    pub fn new(seed: u64, connections: usize) -> Self {
        let mut rng = Rng::with_seed(seed);
        let some: Vec<Connection> = (0..connections)
            .map(|index| some_connection(&mut rng, index))
            .collect();
        let remembered = rng.bool().then(|| some_memory(&mut rng, &some));
        let mut world = Self {
            rng,
            now: Duration::ZERO,
            manager: FailoverManager::new(Options {
                max_concurrent: MAX_CONCURRENT,
                history_size: HISTORY,
                foreign: Some(unwatched()),
                remembered: remembered.clone(),
                ..Options::default()
            }),
            remembered,
            charon: Charon::default(),
            gateways: Vec::new(),
            connections: Vec::new(),
            index: BTreeMap::new(),
            happenings: BTreeMap::new(),
            order: BinaryHeap::new(),
            last: 0,
            timer: None,
            draining: false,
            exempt: BTreeSet::new(),
            quiet: false,
            failovers: 0,
            reasons: BTreeSet::new(),
            traced: std::env::var("EXTSOCK_SIMULATION_TRACE").ok(),
        };
        for gateway in 0..GATEWAYS {
            world.gateways.push(Gateway {
                health: Health::Up,
                well_since: Some(Duration::ZERO),
            });
            let at = world.up_to(Duration::from_secs(4 * 3600));
            world.later(at, Happening::Gateway(gateway));
        }
        for (index, connection) in some.into_iter().enumerate() {
            world.index.insert(connection.name.clone(), index);
            world.connections.push(connection);
            world.load(index);
            world.initiate(index);
        }
        for happening in [
            Happening::Operator,
            Happening::Trap,
            Happening::PeerDeletes,
            Happening::Audit,
        ] {
            world.later(Duration::from_secs(60), happening);
        }
        world
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(Reverse((at, number))) = self.order.peek().copied() {
            if at > end {
                break;
            }
            self.order.pop();
            let Some(happening) = self.happenings.remove(&number) else {
                continue;
            };
            self.now = at;
            self.happens(happening);
        }
        self.now = end;
    }

    /// All gateways come back, nobody meddles any more, and everything has to come to rest.
    pub fn settle(&mut self, time: Duration) {
        self.quiet = true;
        for gateway in 0..GATEWAYS {
            self.set_health(gateway, Health::Up);
        }
        self.run(time);
        if self.manager.half_open() > 0 {
            // An IKE_SA has just reached the end of its life.
            self.run(Duration::from_secs(60));
        }
        self.audit();
        for status in self.manager.list(self.time()) {
            settled(&status, self.charon.ike_sas.of(&status.name).count());
        }
        assert_eq!(self.manager.half_open(), 0);
        for connection in &self.connections {
            let known = self.manager.status(&connection.name, self.time()).is_some();
            let left = self.charon.ike_sas.of(&connection.name).count();
            assert!(
                known || left == 0 || !connection.loaded,
                "{}: {left} IKE_SAs that nobody cares for",
                connection.name
            );
        }
    }

    pub fn failovers(&self) -> usize {
        self.failovers
    }

    /// Why there were any.
    pub fn reasons(&self) -> Vec<&str> {
        self.reasons.iter().map(String::as_str).collect()
    }

    fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::Lane(connection) => self.carry_out_next(connection),
            Happening::Resolved(connection, attempt, gateway, addresses) => {
                let name = self.connections[connection].name.clone();
                self.step(|manager, now| {
                    manager.resolved(&name, attempt, &gateway, addresses, now)
                });
            }
            Happening::Drain => {
                self.draining = false;
                self.step(|_, _| Vec::new());
            }
            Happening::Timer(at) => {
                self.timer = self.timer.filter(|timer| *timer != at);
                self.step(|_, _| Vec::new());
            }
            Happening::Answer(id, round) => self.answers(id, round),
            Happening::Timeout(id, round) => self.times_out(id, round),
            Happening::DeadPeer(id, round) => self.finds_dead(id, round),
            Happening::Heard(id) => {
                if self.charon.ike_sas.get(id).is_some() {
                    self.report(Evidence::Received { ike_sa: id });
                }
            }
            Happening::Gone(id) => {
                if self.charon.ike_sas.get(id).is_some() {
                    situations::ends(self, id);
                }
            }
            Happening::Gateway(gateway) => self.gateway_changes(gateway),
            Happening::Operator => {
                if !self.quiet {
                    self.operator();
                    let busy = 20_000 * 1000 / self.connections.len() as u64;
                    let next = self.up_to(Duration::from_millis(busy));
                    self.later(next, Happening::Operator);
                }
            }
            Happening::Trap => {
                if !self.quiet {
                    let connection = self.rng.usize(0..self.connections.len());
                    self.trap(connection);
                    let next = self.up_to(Duration::from_secs(240));
                    self.later(next, Happening::Trap);
                }
            }
            Happening::PeerDeletes => {
                if !self.quiet {
                    self.peer_deletes();
                    let next = self.up_to(Duration::from_secs(240));
                    self.later(next, Happening::PeerDeletes);
                }
            }
            Happening::Rekey(id) => self.rekeys(id),
            Happening::Reload(connection) => {
                self.load(connection);
                self.initiate(connection);
            }
            Happening::Audit => {
                self.audit();
                self.later(Duration::from_secs(600), Happening::Audit);
            }
        }
    }

    // The manager's side.

    fn dispatch(&mut self, actions: Vec<Action>, touched: &mut BTreeSet<usize>) {
        let now = self.time();
        for action in actions {
            let name = match &action {
                Action::Publish(event) => match &**event {
                    Event::FailoverStarted { connection, .. }
                    | Event::FailoverEstablished { connection, .. }
                    | Event::FailoverExhausted { connection, .. } => connection.clone(),
                    _ => continue,
                },
                other => other.connection().to_owned(),
            };
            self.trace(&name, || format!("{action:?}"));
            let index = self.index[&name];
            touched.insert(index);
            let connection = &mut self.connections[index];
            match action {
                Action::Publish(event) => {
                    let begins = matches!(*event, Event::FailoverStarted { .. });
                    assert!(
                        connection.loaded || connection.foreign && !begins,
                        "after its removal: {event:?}"
                    );
                    if let Some(status) = self.manager.status(&name, now) {
                        connection.watch.event(&event, &status, &connection.policy);
                    }
                    match *event {
                        Event::FailoverStarted { reason, .. } => {
                            self.failovers += 1;
                            self.reasons.insert(reason.into_owned());
                        }
                        Event::FailoverExhausted { .. } => connection.wanted = None,
                        _ => {}
                    }
                }
                // There is no other gateway, or none can help.
                Action::Report { error, .. } => {
                    if error.code != ErrorCode::ConnectionTimeout {
                        connection.wanted = None;
                    }
                }
                Action::Remember { gateway, .. } => {
                    assert!(!connection.foreign, "{name}: charon initiates it itself");
                    let remembered = self.remembered.as_mut().expect("there is a state file");
                    if let Some(gateway) = gateway {
                        let status = self.manager.status(&name, now);
                        let active = status.and_then(|status| status.active_gateway);
                        assert_eq!(active.as_ref(), Some(&gateway), "{name}: it is up");
                        remembered.insert(name, gateway);
                    } else {
                        remembered.remove(&name);
                    }
                }
                action => {
                    connection.lane.push_back(action);
                    let soon = self.up_to(Duration::from_millis(20));
                    self.later(soon, Happening::Lane(index));
                }
            }
        }
    }

    fn trace_evidence(&self, evidence: &Evidence) {
        if let Some(name) = &self.traced {
            let told = format!("{evidence:?}");
            if told.contains(&format!("\"{name}\"")) || told.contains(&format!("\"{name}-")) {
                eprintln!("{:?} {told}", self.now);
            }
        }
    }

    fn arm_timer(&mut self) {
        let Some(next) = self.manager.next_deadline() else {
            return;
        };
        if self.timer.is_some_and(|timer| timer <= next) {
            return;
        }
        self.timer = Some(next);
        let late = if self.rng.u32(0..200) == 0 {
            LATE
        } else {
            Duration::from_millis(1)
        };
        self.later(next.saturating_sub(self.now) + late, Happening::Timer(next));
    }

    fn carry_out_next(&mut self, index: usize) {
        let Some(action) = self.connections[index].lane.pop_front() else {
            return;
        };
        self.carry_out(action);
    }

    /// Whether the IKE_SA is about to be ended, after what is done now.
    fn is_abandoned(&self, index: usize, id: u32) -> bool {
        let mut lane = self.connections[index].lane.iter();
        lane.any(|action| matches!(action, Action::Abandon { ike_sa, .. } if *ike_sa == Some(id)))
    }

    // charon's side.

    fn connects(&mut self, ike_sa: IkeSa) {
        let id = situations::connects(self, ike_sa);
        self.await_answer(id);
    }

    /// The gateway of an IKE_SA that connects answers some time, or never.
    fn await_answer(&mut self, id: u32) {
        let known = self.charon.ike_sas.known(id);
        let round = known.round;
        let after = match self.health(known) {
            Health::Slow(time) => time,
            _ => Duration::from_millis(self.rng.u64(10..200)),
        };
        self.later(after, Happening::Answer(id, round));
        self.later(RETRANSMISSION, Happening::Timeout(id, round));
    }

    /// The IKE_SA, if it is still in that state and in that round.
    fn in_round(&self, id: u32, state: IkeSaState, round: u32) -> Option<&FakeIkeSa> {
        let known = self.charon.ike_sas.get(id)?;
        (known.seen.state == state && known.round == round).then_some(known)
    }

    fn answers(&mut self, id: u32, round: u32) {
        let Some(known) = self.in_round(id, IkeSaState::Connecting, round) else {
            return;
        };
        match self.health(known) {
            Health::Dead => self.later(Duration::from_secs(4), Happening::Answer(id, round)),
            Health::Refusing => {
                let alert = [
                    Some(Alert::LocalAuthFailed),
                    Some(Alert::PeerAuthFailed),
                    Some(Alert::ProposalMismatchIke),
                    None,
                ][self.rng.usize(0..4)];
                situations::refused(self, id, alert);
            }
            Health::Up | Health::Slow(_) => {
                situations::establishes(self, id);
                if self.quiet || self.rng.u32(0..100) > 0 {
                    situations::child_up(self, id, "data");
                } else {
                    situations::alerts(self, id, Alert::KeepOnChildSaFailure);
                    self.disturbed(self.index_of(id));
                }
                let rekey = Duration::from_secs(self.rng.u64(3 * 3600..4 * 3600));
                self.later(rekey, Happening::Rekey(id));
            }
        }
    }

    fn times_out(&mut self, id: u32, round: u32) {
        let Some(known) = self.in_round(id, IkeSaState::Connecting, round) else {
            return;
        };
        let remote = known.seen.remote;
        let persistent = self.connections[self.index_of(id)].persistent;
        match known.steered.clone() {
            Some(Steering::To(to)) => {
                let remote = self.first_of(&to.remote());
                situations::steered(self, id, None, &to.gateway);
                situations::tries_again(self, id, Some(remote));
                self.await_answer(id);
            }
            None if persistent => {
                situations::alerts(self, id, Alert::RetransmitSendTimeout);
                situations::tries_again(self, id, remote);
                self.await_answer(id);
            }
            _ => situations::unreachable(self, id),
        }
    }

    fn finds_dead(&mut self, id: u32, round: u32) {
        let Some(known) = self.in_round(id, IkeSaState::Established, round).cloned() else {
            return;
        };
        if self.answering(&known) {
            return;
        }
        let index = self.index_of(id);
        // Its gateway may have left the list long ago.
        self.disturbed(index);
        situations::alerts(self, id, Alert::RetransmitSendTimeout);
        if !self.connections[index].persistent {
            situations::ends(self, id);
            return;
        }
        let to = known
            .steered
            .as_ref()
            .and_then(Steering::destination)
            .cloned();
        let (addresses, first) = match &to {
            Some(to) => (to.remote(), self.first_of(&to.remote())),
            None => (
                self.addresses(index),
                self.first_of(&known.seen.remote_addrs),
            ),
        };
        let new = initiator(&known.seen.name, &addresses, Some(first));
        let new = situations::reestablishing(self, id, new);
        if let Some(to) = to {
            situations::steered(self, new, Some(id), &to.gateway);
        }
        self.exempt.insert(index);
        situations::moves(self, new, IkeSaState::Connecting);
        self.await_answer(new);
        situations::reestablished(self, id);
    }

    fn terminates(&mut self, id: u32, force: bool) {
        let Some(known) = self.charon.ike_sas.get(id) else {
            return;
        };
        match known.seen.state {
            IkeSaState::Established => {
                let alive = self.answering(known);
                situations::begins_deleting(self, id, DeletedBy::Us);
                if force {
                    situations::ends(self, id);
                } else {
                    let after = if alive { 50 } else { 20_000 };
                    self.later(Duration::from_millis(after), Happening::Gone(id));
                }
            }
            IkeSaState::Deleting if force => situations::ends(self, id),
            IkeSaState::Deleting => {}
            _ => situations::moves(self, id, IkeSaState::Destroying),
        }
    }

    fn rekeys(&mut self, id: u32) {
        let Some(known) = self.charon.ike_sas.get(id) else {
            return;
        };
        if known.seen.state != IkeSaState::Established || !self.answering(known) {
            return;
        }
        let new = match self.rng.u32(0..10) {
            // It was refused until the lifetime's end.
            0 => {
                self.disturbed(self.index_of(id));
                situations::alerts(self, id, Alert::IkeSaExpired);
                self.terminates(id, false);
                return;
            }
            1 => self.reauthenticates(id),
            _ => situations::rekeys(self, id),
        };
        self.later(Duration::from_secs(4 * 3600), Happening::Rekey(new));
    }

    /// Make-before-break.
    fn reauthenticates(&mut self, old: u32) -> u32 {
        let seen = &self.charon.ike_sas.known(old).seen;
        let new = initiator(&seen.name, &seen.remote_addrs, seen.remote);
        let new = situations::connects(self, new);
        situations::establishes(self, new);
        situations::child_up(self, new, "data");
        self.terminates(old, false);
        new
    }

    fn peer_deletes(&mut self) {
        let established: Vec<u32> = self
            .charon
            .ike_sas
            .iter()
            .filter(|known| known.seen.state == IkeSaState::Established && self.answering(known))
            .map(|known| known.seen.id)
            .collect();
        if let Some(id) = self.rng.choice(established) {
            self.disturbed(self.index_of(id));
            situations::begins_deleting(self, id, DeletedBy::Peer);
            situations::ends(self, id);
        }
    }

    /// charon's part of a trap's acquire, or of `swanctl --initiate`.
    fn trap(&mut self, index: usize) {
        let connection = &self.connections[index];
        if !connection.loaded {
            return;
        }
        let name = connection.name.clone();
        if self.charon.ike_sas.with_config(&name).is_none() {
            let addresses = self.addresses(index);
            let first = self.first_of(&addresses);
            self.exempt.insert(index);
            self.connections[index].wanted = Some(self.now);
            self.connects(initiator(&name, &addresses, Some(first)));
        }
    }

    // The operators and the gateways.

    fn operator(&mut self) {
        let index = self.rng.usize(0..self.connections.len());
        let name = self.connections[index].name.clone();
        if !self.connections[index].loaded {
            return;
        }
        let command = self.rng.u32(0..20);
        self.trace(&name, || format!("command {command}"));
        match command {
            0..=5 => self.initiate(index),
            6..=8 => {
                self.connections[index].wanted = None;
                self.attempt(|manager, now| manager.terminate(&name, now).map(|(_, a)| a));
            }
            9..=12 => {
                let gateway = self.rng.choice(&self.connections[index].gateways);
                let gateway = gateway.copied().filter(|_| self.rng.bool()).map(address);
                self.exempt.insert(index);
                if self.attempt(|manager, now| {
                    manager
                        .failover(&name, gateway.as_deref(), now)
                        .map(|(_, actions)| actions)
                }) {
                    self.connections[index].wanted = Some(self.now);
                }
            }
            13..=15 => {
                let foreign = self.connections[index].foreign;
                self.connections[index].gateways = some_gateways(&mut self.rng, foreign);
                self.disturbed(index);
                self.load(index);
            }
            16 => self.unload(index),
            _ => {
                let known = self.charon.ike_sas.of(&name);
                let ids: Vec<u32> = known.map(|known| known.seen.id).collect();
                self.connections[index].wanted = None;
                for id in ids {
                    self.terminates(id, false);
                }
            }
        }
    }

    /// What it takes to come up begins anew.
    fn disturbed(&mut self, index: usize) {
        if let Some(wanted) = &mut self.connections[index].wanted {
            *wanted = self.now;
        }
    }

    fn load(&mut self, index: usize) {
        let list = AddressList::parse(&self.addresses(index));
        let connection = &mut self.connections[index];
        connection.loaded = true;
        connection.watch = Watch::default();
        if connection.foreign {
            return;
        }
        let name = connection.name.clone();
        let settings = Settings {
            gateways: list,
            children: vec!["data".into()],
            policy: connection.policy,
        };
        self.step(|manager, now| manager.configure(&name, settings, now));
    }

    fn unload(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        let name = connection.name.clone();
        connection.wanted = None;
        // The manager finds out by itself of a connection of others.
        if !connection.foreign {
            self.attempt(|manager, now| manager.remove(&name, now));
        }
        self.connections[index].loaded = false;
        let again = self.up_to(Duration::from_secs(600));
        self.later(again, Happening::Reload(index));
    }

    fn initiate(&mut self, index: usize) {
        let name = self.connections[index].name.clone();
        self.connections[index].wanted = Some(self.now);
        let mut begins_with = None;
        if !self.attempt(|manager, now| {
            let rests = manager.status(&name, now).is_some_and(|status| {
                let state = status.state;
                state == ConnectionState::Down || state == ConnectionState::Exhausted
            });
            let (gateway, actions) = manager.initiate(&name, None, now)?;
            begins_with = rests.then_some(gateway);
            Ok(actions)
        }) {
            self.trap(index);
        }
        // The list of others may have changed without telling.
        let is_known = !self.connections[index].foreign;
        if let Some(gateway) = begins_with.filter(|_| is_known) {
            assert_eq!(gateway, self.preferred(index), "{name}");
        }
    }

    /// The last good gateway of a connection that rests, or its first.
    fn preferred(&self, index: usize) -> String {
        let connection = &self.connections[index];
        let mut gateways = connection.gateways.iter().copied().map(address);
        let first = gateways.clone().next().expect("it has gateways");
        let remembered = self.remembered.as_ref();
        let last_good = remembered.and_then(|all| all.get(&connection.name));
        gateways
            .find(|gateway| Some(gateway) == last_good)
            .unwrap_or(first)
    }

    fn attempt(
        &mut self,
        command: impl FnOnce(&mut FailoverManager, Now) -> extsock_core::error::Result<Vec<Action>>,
    ) -> bool {
        let mut done = false;
        self.step(|manager, now| match command(manager, now) {
            Ok(actions) => {
                done = true;
                actions
            }
            Err(_) => Vec::new(),
        });
        done
    }

    fn gateway_changes(&mut self, gateway: usize) {
        if self.quiet {
            return;
        }
        let well = self.gateways[gateway].health == Health::Up;
        let (health, lasts) = match self.rng.u32(0..6) {
            _ if !well => (Health::Up, Duration::from_secs(4 * 3600)),
            0..=3 => (Health::Dead, Duration::from_secs(1200)),
            4 => (Health::Refusing, Duration::from_secs(1200)),
            _ => {
                let time = Duration::from_secs(self.rng.u64(3..30));
                (Health::Slow(time), Duration::from_secs(1200))
            }
        };
        self.set_health(gateway, health);
        let next = self.up_to(lasts);
        self.later(next, Happening::Gateway(gateway));
    }

    fn set_health(&mut self, gateway: usize, health: Health) {
        let known = &mut self.gateways[gateway];
        known.health = health;
        if health != Health::Up {
            known.well_since = None;
        } else if known.well_since.is_none() {
            known.well_since = Some(self.now);
        }
        if health == Health::Dead {
            let established: Vec<(u32, u32)> = self
                .charon
                .ike_sas
                .iter()
                .filter(|known| known.seen.state == IkeSaState::Established)
                .filter(|known| gateway_of(known) == gateway)
                .map(|known| (known.seen.id, known.round))
                .collect();
            for (id, round) in established {
                let found = Duration::from_millis(self.rng.u64(20_000..60_000));
                self.later(found, Happening::DeadPeer(id, round));
            }
        }
    }

    /// What takes too long to be looked at in every step.
    fn audit(&mut self) {
        let live = self.charon.ike_sas.count();
        let bound = 16 * self.connections.len() + 8 * live;
        assert!(
            self.manager.tracked() <= bound,
            "{}",
            self.manager.tracked()
        );
        assert!(self.manager.history().latest(usize::MAX).count() <= HISTORY);

        for connection in &self.connections {
            let Some(wanted) = connection.wanted.filter(|_| connection.gateways.len() >= 2) else {
                continue;
            };
            let well = connection
                .gateways
                .iter()
                .flat_map(|entry| members(*entry))
                .map(|gateway| self.gateways[gateway].well_since)
                .collect::<Option<Vec<Duration>>>();
            let Some(since) = well.and_then(|well| well.into_iter().max()) else {
                continue;
            };
            // The longest delay, a dead attempt that began before, a lost timer, and the queue.
            let round = connection.policy.max_delay + RETRANSMISSION + LATE * 4 + LOOKUP * 3;
            if self.now.saturating_sub(since.max(wanted)) > round {
                let status = self.manager.status(&connection.name, self.time());
                assert!(
                    status
                        .as_ref()
                        .is_some_and(|status| status.state == ConnectionState::Established),
                    "{}: its gateways answer since {since:?}, it is {:?} now: {status:?}",
                    connection.name,
                    self.now
                );
            }
        }
    }

    fn trace(&self, name: &str, what: impl FnOnce() -> String) {
        if self.traced.as_deref() == Some(name) {
            eprintln!("{:?} {}", self.now, what());
        }
    }

    /// The plugin looks at what was reported before long.
    fn drain_soon(&mut self) {
        if std::mem::replace(&mut self.draining, true) {
            return;
        }
        let soon = self.up_to(Duration::from_millis(5));
        self.later(soon, Happening::Drain);
    }

    fn later(&mut self, after: Duration, happening: Happening) {
        self.last += 1;
        self.happenings.insert(self.last, happening);
        self.order.push(Reverse((self.now + after, self.last)));
    }

    fn up_to(&mut self, time: Duration) -> Duration {
        Duration::from_nanos(self.rng.u64(0..=time.as_nanos() as u64))
    }

    fn time(&self) -> Now {
        Now {
            monotonic: self.now,
            unix: self.now,
            random: (self.last % 1000) as f64 / 1000.0,
        }
    }

    fn health(&self, known: &FakeIkeSa) -> Health {
        self.gateways[gateway_of(known)].health
    }

    /// Nothing goes through the tunnels.
    fn idle(before: &Packets) -> Sample {
        Sample::new(before, before.clone(), Packets::default)
    }

    fn answering(&self, known: &FakeIkeSa) -> bool {
        self.health(known) != Health::Dead
    }

    fn index_of(&self, id: u32) -> usize {
        self.index[self.charon.ike_sas.known(id).connection()]
    }

    fn addresses(&self, index: usize) -> String {
        let gateways = &self.connections[index].gateways;
        let addresses: Vec<String> = gateways.iter().copied().map(address).collect();
        addresses.join(",")
    }

    /// The addresses of a name.
    fn records(&self, name: &str) -> Vec<IpAddr> {
        let number = name.trim_matches(|c: char| !c.is_ascii_digit());
        let entry = number.parse::<usize>().expect("a name of ours");
        let texts = members(entry).into_iter().map(address);
        texts
            .map(|text| text.parse().expect("an address"))
            .collect()
    }

    /// What charon makes of a list.
    fn first_of(&self, addresses: &str) -> IpAddr {
        let first = addresses.split(',').next().unwrap_or(addresses);
        first.parse().unwrap_or_else(|_| self.records(first)[0])
    }
}

impl extsock_fake_charon::Charon for World {
    fn ike_sas(&mut self) -> &mut IkeSas {
        &mut self.charon.ike_sas
    }

    fn report(&mut self, evidence: Evidence) {
        self.charon.report(evidence);
        self.drain_soon();
    }
}

impl Plugin for World {
    /// As the plugin does it: all evidence, then what is due, then the call.
    fn step(&mut self, call: impl FnOnce(&mut FailoverManager, Now) -> Vec<Action>) {
        let now = self.time();
        let mut touched = BTreeSet::new();
        if self.rng.u32(0..20) == 0 {
            self.charon.reorder(&mut self.rng);
        }
        while let Some(evidence) = self.charon.next_report() {
            self.trace_evidence(&evidence);
            let twice = matches!(
                evidence,
                Evidence::IkeUpdown { .. } | Evidence::Alert { .. }
            ) && self.rng.u32(0..50) == 0;
            if twice {
                let actions = self.manager.handle(evidence.clone(), now);
                self.dispatch(actions, &mut touched);
            }
            let actions = self.manager.handle(evidence, now);
            self.dispatch(actions, &mut touched);
        }
        let actions = self.manager.expire(now);
        self.dispatch(actions, &mut touched);
        let actions = call(&mut self.manager, now);
        self.dispatch(actions, &mut touched);
        self.arm_timer();
        for index in touched {
            let connection = &mut self.connections[index];
            if let Some(status) = self.manager.status(&connection.name, now) {
                if status.state == ConnectionState::Established {
                    self.exempt.remove(&index);
                }
                connection.watch.status(&status, &connection.policy);
            }
        }
        let exempt = self.exempt.len();
        assert!(self.manager.half_open() <= MAX_CONCURRENT + exempt);
    }

    fn configured(&self, connection: &str) -> Option<AddressList> {
        let index = self.index[connection];
        let loaded = self.connections[index].loaded;
        loaded.then(|| AddressList::parse(&self.addresses(index)))
    }

    fn initiate(&mut self, begin: Begin) {
        let name = begin.connection.clone();
        let config = match begin.config {
            ConfigKind::Own => name.clone(),
            ConfigKind::Clone => failover_name(&name, &begin.to.gateway),
        };
        let remote = begin.to.remote();
        if self.charon.ike_sas.with_config(&config).is_none() {
            let index = self.index[&name];
            let competing = self
                .charon
                .ike_sas
                .of(&name)
                .filter(|known| !self.is_abandoned(index, known.seen.id))
                .find(|known| known.seen.state == IkeSaState::Connecting);
            assert!(competing.is_none(), "{name}: {competing:?} beside {remote}");
            let addresses = match begin.config {
                ConfigKind::Own => self.addresses(index),
                ConfigKind::Clone => remote.clone(),
            };
            self.connects(initiator(&config, &addresses, remote.parse().ok()));
        }
        let asked = begin.children.clone();
        self.initiated(begin, true, &asked);
    }

    fn perform(&mut self, action: Action) {
        let index = self.index[action.connection()];
        match action {
            Action::Resolve {
                attempt, gateway, ..
            } => {
                let silent = !self.quiet && self.rng.u32(0..30) == 0;
                let (after, found) = match silent {
                    true => (LOOKUP, Vec::new()),
                    false => (Duration::from_millis(30), self.records(&gateway)),
                };
                self.later(after, Happening::Resolved(index, attempt, gateway, found));
            }
            Action::InitiateChildren { ike_sa, .. } | Action::InitiateAgain { ike_sa, .. } => {
                let up = |known: &FakeIkeSa| known.seen.state == IkeSaState::Established;
                if self.charon.ike_sas.get(ike_sa).is_some_and(up) {
                    situations::child_up(self, ike_sa, "data");
                }
            }
            Action::Adopt { connection, ike_sa } => {
                let addresses = self.addresses(index);
                if let Some(known) = self.charon.ike_sas.get_mut(ike_sa) {
                    known.seen.name = connection;
                    known.seen.remote_addrs = addresses;
                }
            }
            Action::Steer {
                ike_sa, steering, ..
            } => {
                let persistent = self.connections[index].persistent;
                if let Some(known) = self.charon.ike_sas.get_mut(ike_sa) {
                    known.steered = persistent.then_some(steering);
                }
            }
            Action::Unsteer { ike_sa, .. } => {
                if let Some(known) = self.charon.ike_sas.get_mut(ike_sa) {
                    known.steered = None;
                }
            }
            Action::Terminate { connection } => {
                self.step(|_, _| Vec::new());
                for ike_sa in self.manager.terminating(&connection) {
                    self.terminates(ike_sa, false);
                }
            }
            Action::Delete { ike_sa, .. } => self.terminates(ike_sa, false),
            Action::Abandon { ike_sa, .. } => {
                if let Some(ike_sa) = ike_sa {
                    self.terminates(ike_sa, true);
                }
            }
            Action::Look {
                connection,
                ike_sa,
                inbound: before,
            } => {
                let sample = Self::idle(&before);
                self.step(|manager, now| {
                    manager.looked(&connection, ike_sa, sample, now.monotonic, now)
                });
            }
            Action::Probe {
                connection, ike_sa, ..
            } => {
                let Some(known) = self.charon.ike_sas.get(ike_sa) else {
                    return;
                };
                if self.answering(known) {
                    self.later(Duration::from_millis(20), Happening::Heard(ike_sa));
                }
                self.step(|manager, now| {
                    manager.probed(&connection, ike_sa, Probed::Asked(now.monotonic), now)
                });
            }
            Action::Check { .. }
            | Action::Initiate { .. }
            | Action::ReleaseClone { .. }
            | Action::CheckPath { .. }
            | Action::SendDpd { .. }
            | Action::Remember { .. }
            | Action::Publish(_)
            | Action::Waits { .. }
            | Action::NoRoute { .. }
            | Action::Report { .. } => {}
        }
    }
}

/// Without liveness check, most steps of which lead to nothing.
fn unwatched() -> FailoverPolicy {
    FailoverPolicy {
        liveness_interval: Duration::ZERO,
        // So that everything is quiet at the end.
        exhausted_delay: Duration::ZERO,
        ..FailoverPolicy::default()
    }
}

fn some_connection(rng: &mut Rng, index: usize) -> Connection {
    let seconds = Duration::from_secs;
    let mut policy = unwatched();
    let foreign = rng.u32(0..10) == 0;
    if !foreign {
        policy.connect_timeout = seconds(rng.u64(0..4) * 5);
        policy.cool_down = seconds(rng.u64(0..3) * 300);
        policy.on_child_failure = match rng.u8(..4) {
            0 => ChildFailure::Failover,
            1 => ChildFailure::Retry,
            2 => ChildFailure::No,
            _ => ChildFailure::Yes,
        };
        policy.base_delay = Duration::from_millis(rng.u64(0..4) * 500);
        policy.max_delay = seconds(30);
        policy.multiplier = 1.0 + rng.f64();
        policy.jitter = rng.f64();
        policy.max_retries = rng.u32(0..12);
        if rng.u32(0..50) == 0 {
            policy.liveness_interval = seconds(60);
            policy.liveness_timeout = seconds(2);
            policy.traffic_timeout = Duration::ZERO;
        }
    }
    Connection {
        name: format!("c{index}"),
        gateways: some_gateways(rng, foreign),
        policy,
        foreign,
        loaded: false,
        persistent: rng.bool(),
        wanted: None,
        lane: VecDeque::new(),
        watch: Watch::default(),
    }
}

fn some_gateways(rng: &mut Rng, foreign: bool) -> Vec<usize> {
    let count = rng.usize(if foreign { 2..5 } else { 1..5 });
    let mut gateways: Vec<usize> = Vec::new();
    while gateways.len() < count {
        let gateway = rng.usize(0..GATEWAYS + NAMES);
        if !gateways.contains(&gateway) {
            gateways.push(gateway);
        }
    }
    gateways
}

/// What another life of the daemon left: for some a gateway of theirs, for some one that is gone.
fn some_memory(rng: &mut Rng, connections: &[Connection]) -> Remembered {
    let mut remembered = Remembered::new();
    for connection in connections {
        let gateway = match rng.u32(0..3) {
            0 => rng.choice(&connection.gateways).copied(),
            1 => Some(rng.usize(0..GATEWAYS + NAMES)),
            _ => None,
        };
        if let Some(gateway) = gateway {
            remembered.insert(connection.name.clone(), address(gateway));
        }
    }
    remembered
}

/// An entry of an address list.
fn address(entry: usize) -> String {
    if entry < GATEWAYS {
        format!("10.0.0.{}", entry + 1)
    } else {
        format!("segw-{entry}.example")
    }
}

/// The gateways behind an entry: names have one to three.
fn members(entry: usize) -> Vec<usize> {
    match entry.checked_sub(GATEWAYS) {
        None => vec![entry],
        Some(name) => (0..=name % 3)
            .map(|n| (name * 7 + n * 11) % GATEWAYS)
            .collect(),
    }
}

/// The number of the gateway that an IKE_SA is with.
fn gateway_of(known: &FakeIkeSa) -> usize {
    match known.seen.remote {
        Some(IpAddr::V4(remote)) => usize::from(remote.octets()[3]) - 1,
        remote => panic!("a gateway of ours: {remote:?}"),
    }
}
