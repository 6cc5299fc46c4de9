// SPDX-License-Identifier: GPL-2.0-or-later

//! A charon that does at once what a scenario says, and a plugin that carries all actions out at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use extsock_core::domain::address::AddressList;
use extsock_core::domain::policy::FailoverPolicy;
use extsock_core::domain::Now;
use extsock_core::failover::action::{Action, Begin, ConfigKind, NewPath, Probed, Settings};
use extsock_core::failover::event::Event;
use extsock_core::failover::evidence::{
    Alert, ChildChange, ChildEnd, ChildOrigin, Evidence, IkeSa, IkeSaState, Task, Tasks,
};
use extsock_core::failover::history::Entry;
use extsock_core::failover::manager::{FailoverManager, Options};
use extsock_core::failover::report::ConnectionStatus;
use extsock_core::failover::traffic::{Packets, Sample};
use extsock_fake_charon::situations::{self, DeletedBy};
use extsock_fake_charon::{initiator, IkeSas, Plugin};

/// What the manager asked charon to initiate: CHILD_SAs on an IKE_SA that is there, or a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initiation {
    /// Its address.
    pub gateway: String,
    /// With the connection's own configuration.
    pub own: bool,
    pub children: Vec<String>,
}

/// Of the connections that others loaded.
pub const ADDRESSES: &str = "10.0.0.1,10.0.0.2,10.0.0.3";

#[derive(Default)]
pub struct Charon {
    pub manager: FailoverManager,
    pub now: Now,
    ike_sas: IkeSas,
    /// Not yet looked at by the scenario.
    initiations: Vec<Initiation>,
    /// The initiation before the last one, of which charon has not returned.
    stale: Option<Begin>,
    events: Vec<Event>,
    reports: Vec<&'static str>,
    released: Vec<String>,
    /// All other actions.
    done: Vec<Action>,
    /// The remote addresses of a connection of others, where they are not [`ADDRESSES`]; None if it is
    /// gone.
    pub edited: Option<Option<&'static str>>,
    /// The addresses of names; None does not answer.
    pub names: BTreeMap<&'static str, Option<Vec<IpAddr>>>,
    /// The attempt whose lookup is not answered.
    resolving: Option<(Option<u64>, String)>,
    /// The initiation that was begun last.
    begun: Option<Begin>,
    /// The IKE_SA that was there for the attempt that was begun last.
    pub begun_on: Option<u32>,
    /// To where the host has no route.
    pub unrouted: BTreeSet<&'static str>,
    /// How many packets have come in through the CHILD_SAs, and gone out.
    pub inbound: u64,
    pub outbound: u64,
}

impl extsock_fake_charon::Charon for Charon {
    fn ike_sas(&mut self) -> &mut IkeSas {
        &mut self.ike_sas
    }

    fn report(&mut self, evidence: Evidence) {
        self.step(|manager, now| manager.handle(evidence, now));
    }
}

impl Plugin for Charon {
    fn step(&mut self, call: impl FnOnce(&mut FailoverManager, Now) -> Vec<Action>) {
        for action in call(&mut self.manager, self.now) {
            Plugin::carry_out(self, action);
        }
    }

    /// Which only counts where others loaded it.
    fn configured(&self, _: &str) -> Option<AddressList> {
        let list = self.edited.unwrap_or(Some(ADDRESSES));
        list.map(AddressList::parse)
    }

    fn initiate(&mut self, begin: Begin) {
        if begin.needs_route && self.unrouted.contains(begin.to.remote().as_str()) {
            return self.step(|manager, now| manager.no_route(begin, now));
        }
        self.begun_on = begin.ike_sa;
        self.initiations.push(Initiation {
            gateway: begin.to.remote(),
            own: begin.config == ConfigKind::Own,
            children: begin.children.clone(),
        });
        self.begun = Some(begin);
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Resolve {
                connection,
                attempt,
                gateway,
            } => {
                let found = self.names.get(gateway.as_str()).cloned();
                if let Some(addresses) = found.unwrap_or_else(|| Some(Vec::new())) {
                    self.step(|manager, now| {
                        manager.resolved(&connection, attempt, &gateway, addresses, now)
                    });
                } else {
                    self.resolving = Some((attempt, gateway));
                }
            }
            Action::InitiateChildren {
                connection,
                ike_sa,
                children,
            }
            | Action::InitiateAgain {
                connection,
                ike_sa,
                children,
            } => {
                assert!(self.manager.ike_sas(&connection).contains(&ike_sa));
                self.initiations.push(Initiation {
                    gateway: self.ike_sa(ike_sa).remote.expect("known").to_string(),
                    own: true,
                    children,
                });
            }
            Action::Adopt { connection, ike_sa } => {
                self.ike_sa_mut(ike_sa).name.clone_from(&connection);
            }
            Action::Look {
                connection,
                ike_sa,
                inbound: before,
            } => {
                let packets = |spi, count| Packets::from_iter([(spi, count)]);
                let outbound = packets(2, self.outbound);
                let sample = Sample::new(&before, packets(1, self.inbound), || outbound);
                self.step(|manager, now| {
                    manager.looked(&connection, ike_sa, sample, now.monotonic, now)
                });
            }
            Action::ReleaseClone { gateway, .. } => self.released.push(gateway),
            Action::Publish(event) => self.events.push(*event),
            Action::Report { error, .. } => self.reports.push(error.code.name()),
            Action::Unsteer { .. } => {}
            action => self.done.push(action),
        }
    }
}

impl Charon {
    pub fn new(options: Options) -> Self {
        Self {
            manager: FailoverManager::new(options),
            ..Self::default()
        }
    }

    pub fn with(name: &str, addresses: &str, children: &[&str]) -> Self {
        let mut charon = Self::default();
        charon.configure(name, addresses, children);
        charon.take_events();
        charon
    }

    pub fn configure(&mut self, name: &str, addresses: &str, children: &[&str]) -> Vec<Initiation> {
        self.configure_with(name, addresses, children, FailoverPolicy::default())
    }

    pub fn configure_with(
        &mut self,
        name: &str,
        addresses: &str,
        children: &[&str],
        policy: FailoverPolicy,
    ) -> Vec<Initiation> {
        let settings = Settings {
            gateways: AddressList::parse(addresses),
            children: children.iter().map(ToString::to_string).collect(),
            policy,
        };
        let actions = self.manager.configure(name, settings, self.now);
        self.carry_out(actions)
    }

    pub fn initiate(&mut self, name: &str) -> Vec<Initiation> {
        let (_, actions) = self
            .manager
            .initiate(name, None, self.now)
            .expect("a known connection");
        self.carry_out(actions)
    }

    pub fn initiate_child(&mut self, name: &str, child: &str) -> Vec<Initiation> {
        let (_, actions) = self
            .manager
            .initiate(name, Some(child), self.now)
            .expect("a known child");
        self.carry_out(actions)
    }

    pub fn advance(&mut self, time: Duration) -> Vec<Initiation> {
        self.now.monotonic += time;
        self.now.unix += time;
        let actions = self.manager.expire(self.now);
        self.carry_out(actions)
    }

    /// The tunnel was up for long enough to have ended the outage before.
    pub fn lasts(&mut self) {
        let stable_after = FailoverPolicy::default().stable_after;
        assert_eq!(self.advance(stable_after), []);
    }

    /// As [`Self::advance`], with each deadline met that comes meanwhile, up to the first that leads to an
    /// initiation.
    pub fn waits(&mut self, time: Duration) -> Vec<Initiation> {
        let end = self.now.monotonic + time;
        while let Some(next) = self.manager.next_deadline().filter(|next| *next < end) {
            let initiated = self.advance(next.saturating_sub(self.now.monotonic));
            if !initiated.is_empty() {
                return initiated;
            }
        }
        self.advance(end - self.now.monotonic)
    }

    /// An initiation begins: the IKE_SA is connecting.
    pub fn begins(&mut self, name: &str) -> u32 {
        self.adds(name, true, vec![Task::Other])
    }

    pub fn begins_to(&mut self, name: &str, gateway: &str) -> u32 {
        match gateway {
            "10.0.0.1" => self.begins(name),
            other => self.begins(&format!("{name}-failover-{other}")),
        }
    }

    /// The lookup ends that was not answered before.
    pub fn looked_up(&mut self, name: &str, found: &[IpAddr]) -> Vec<Initiation> {
        let (attempt, gateway) = self.resolving.take().expect("a lookup");
        let found = found.to_vec();
        let actions = self
            .manager
            .resolved(name, attempt, &gateway, found, self.now);
        self.carry_out(actions)
    }

    /// INITIATE, whose actions wait.
    pub fn asks_to_initiate(&mut self, name: &str) -> Vec<Action> {
        let (_, actions) = self
            .manager
            .initiate(name, None, self.now)
            .expect("a known connection");
        actions
    }

    /// Carries out what waited.
    pub fn carries_out(&mut self, actions: Vec<Action>) -> Vec<Initiation> {
        self.carry_out(actions)
    }

    /// Initiated as it was asked for.
    pub fn begins_after(&mut self, name: &str) -> u32 {
        assert_eq!(self.initiate(name).len(), 1);
        self.begins(name)
    }

    /// As [`Self::begins`], with the gateway at that address.
    pub fn begins_at(&mut self, name: &str, address: &str) -> u32 {
        self.connects(IkeSa {
            remote: address.parse().ok(),
            ..ike_sa(name)
        })
    }

    /// As [`Self::begins`], with other remote addresses.
    pub fn begins_with(&mut self, name: &str, addresses: &str) -> u32 {
        self.connects(IkeSa {
            remote_addrs: addresses.into(),
            ..ike_sa(name)
        })
    }

    /// As [`Self::establishes`], with what is initiated then.
    pub fn establishing(&mut self, id: u32) -> Vec<Initiation> {
        situations::moves(self, id, IkeSaState::Established);
        self.take_initiations()
    }

    /// A peer initiates.
    pub fn responds(&mut self, name: &str) -> u32 {
        self.adds(name, false, Vec::new())
    }

    pub fn establishes(&mut self, id: u32, children: &[&str]) {
        situations::establishes(self, id);
        self.assert_nothing_initiated();
        for child in children {
            self.child_up(id, child);
        }
    }

    pub fn child_up(&mut self, id: u32, child: &str) {
        self.child_comes_up(id, child);
    }

    /// As above, with what is initiated then.
    pub fn child_comes_up(&mut self, id: u32, child: &str) -> Vec<Initiation> {
        let change = ChildChange::Up(ChildOrigin::Local);
        situations::child_changed(self, id, child, change);
        self.take_initiations()
    }

    /// An operator closes it.
    pub fn child_down(&mut self, id: u32, child: &str) {
        assert_eq!(self.child_ends(id, child, ChildEnd::Local), []);
    }

    /// It goes down, with what is initiated then.
    pub fn child_ends(&mut self, id: u32, child: &str, end: ChildEnd) -> Vec<Initiation> {
        situations::child_changed(self, id, child, ChildChange::Down(end));
        self.take_initiations()
    }

    /// It comes up in another way than by being asked for.
    pub fn child_comes_by(&mut self, id: u32, child: &str, origin: ChildOrigin) {
        situations::child_changed(self, id, child, ChildChange::Up(origin));
        self.assert_nothing_initiated();
    }

    /// Another CHILD_SA is to be made after the present one.
    pub fn queues_child(&mut self, id: u32) {
        self.ike_sa_mut(id).tasks.queued.push(Task::ChildCreate);
    }

    /// It is being made.
    pub fn begins_child(&mut self, id: u32) {
        self.ike_sa_mut(id).tasks.queued.clear();
    }

    /// charon has sent its request for a CHILD_SA.
    pub fn is_making_a_child(&mut self, id: u32) {
        self.ike_sa_mut(id).tasks.active = vec![Task::ChildCreate];
    }

    /// The IKE_SA stays, but its CHILD_SA failed.
    pub fn child_fails(&mut self, id: u32) -> Vec<Initiation> {
        self.alerts(id, Alert::KeepOnChildSaFailure)
    }

    /// charon reauthenticates, and the gateway gives the new IKE_SA that lifetime, in seconds.
    pub fn reauthenticates_for(&mut self, lifetime: u64, over_time: u64) -> u32 {
        let id = self.reauthenticates("net");
        self.reports_evidence(Evidence::AuthLifetime {
            ike_sa: id,
            lifetime: Duration::from_secs(lifetime),
            over_time: Duration::from_secs(over_time),
        });
        id
    }

    /// An authenticated message of the gateway.
    pub fn receives(&mut self, id: u32) {
        self.reports_evidence(Evidence::Received { ike_sa: id });
    }

    pub fn probed(&mut self, id: u32, probed: Probed) -> Vec<Initiation> {
        let actions = self.manager.probed("net", id, probed, self.now);
        self.carry_out(actions)
    }

    /// The gateway is asked for a sign of life now.
    pub fn asks(&mut self, id: u32) {
        let asked = Probed::Asked(self.now.monotonic);
        assert_eq!(self.probed(id, asked), []);
    }

    pub fn switches(&mut self, name: &str, gateway: Option<&str>) -> Vec<Initiation> {
        let (_, actions) = self
            .manager
            .failover(name, gateway, self.now)
            .expect("a known gateway");
        self.carry_out(actions)
    }

    pub fn terminate(&mut self, name: &str) -> Vec<Initiation> {
        let (_, actions) = self
            .manager
            .terminate(name, self.now)
            .expect("a known connection");
        self.carry_out(actions)
    }

    pub fn remove(&mut self, name: &str) {
        let actions = self
            .manager
            .remove(name, self.now)
            .expect("a known connection");
        assert_eq!(self.carry_out(actions), []);
    }

    /// No answer while connecting, keyingtries 1.
    pub fn unreachable(&mut self, id: u32) -> Vec<Initiation> {
        situations::unreachable(self, id);
        self.take_initiations()
    }

    /// The peer's message ends the attempt.
    pub fn refuses(&mut self, id: u32, alert: Option<Alert>) -> Vec<Initiation> {
        situations::refused(self, id, alert);
        self.take_initiations()
    }

    /// DPD finds the connection's first established IKE_SA dead, dpd_action none.
    pub fn dies(&mut self, connection: &str) -> Vec<Initiation> {
        let id = self.established(connection);
        situations::alerts(self, id, Alert::RetransmitSendTimeout);
        situations::ends(self, id);
        self.take_initiations()
    }

    pub fn peer_deletes(&mut self, connection: &str) -> Vec<Initiation> {
        let id = self.established(connection);
        situations::begins_deleting(self, id, DeletedBy::Peer);
        situations::ends(self, id);
        self.take_initiations()
    }

    pub fn deletes_locally(&mut self, connection: &str) -> Vec<Initiation> {
        let id = self.established(connection);
        self.deletes(id)
    }

    /// Terminated by others, and not yet gone.
    pub fn begins_deleting(&mut self, connection: &str) -> u32 {
        let id = self.established(connection);
        situations::begins_deleting(self, id, DeletedBy::Us);
        self.assert_nothing_initiated();
        id
    }

    pub fn deletes(&mut self, id: u32) -> Vec<Initiation> {
        situations::begins_deleting(self, id, DeletedBy::Us);
        situations::ends(self, id);
        self.take_initiations()
    }

    pub fn begins_rekeying(&mut self, connection: &str) -> u32 {
        let old = self.established(connection);
        let new = situations::begins_rekeying(self, old);
        self.assert_nothing_initiated();
        new
    }

    pub fn rekeys(&mut self, connection: &str) -> u32 {
        let old = self.established(connection);
        let new = situations::rekeys(self, old);
        self.assert_nothing_initiated();
        new
    }

    /// No answer while connecting, and charon, which tries for ever, is led to another gateway.
    pub fn led_on(&mut self, id: u32, gateway: &str) -> Vec<Initiation> {
        situations::steered(self, id, None, gateway);
        situations::tries_again(self, id, gateway.parse().ok());
        self.take_initiations()
    }

    /// The CHILD_SAs of an IKEv1 SA move to the one that reauthentication makes, whichever side
    /// initiates it.
    pub fn migrates(&mut self, connection: &str, initiator: bool) -> (u32, u32) {
        let old = self.established(connection);
        let new = self.ike_sas.add(IkeSa {
            initiator,
            ..ike_sa(connection)
        });
        situations::migrates(self, old, new);
        self.moves(new, IkeSaState::Connecting);
        self.ike_sa_mut(old).state = IkeSaState::Rekeying;
        (old, new)
    }

    /// As the uniqueness policy does it after reauthentication did.
    pub fn migrates_again(&mut self, old: u32, new: u32) {
        situations::migrates(self, old, new);
        let ike_sa = self.ike_sa(new).clone();
        self.reports_evidence(Evidence::TookOver { ike_sa });
    }

    /// As [`Self::takes_over`], without CHILD_SAs.
    pub fn takes_over_nothing(&mut self, connection: &str) {
        let old = self.established(connection);
        let new = self.ike_sas.next_id();
        self.reports_evidence(Evidence::Migrated { old, new });
    }

    /// The peer made an IKE_SA, which is up, and the CHILD_SAs move to it.
    pub fn takes_over(&mut self, connection: &str) {
        let old = self.established(connection);
        let new = self.ike_sas.add(IkeSa {
            initiator: false,
            state: IkeSaState::Established,
            tasks: Tasks::default(),
            ..ike_sa(connection)
        });
        self.migrates_again(old, new);
    }

    /// The next try of an IKEv1 SA that has CHILD_SAs: it gets another SPI (charon 5.9.11 and later).
    pub fn retries(&mut self, id: u32) {
        situations::migrates(self, id, id);
        let ike_sa = self.ike_sa(id).clone();
        self.reports_evidence(Evidence::TookOver { ike_sa });
        self.ike_sa_mut(id).state = IkeSaState::Created;
        self.moves(id, IkeSaState::Connecting);
    }

    /// The peer deletes an IKE_SA while our request to rekey it is not answered.
    pub fn peer_deletes_while_rekeying(&mut self, connection: &str) -> Vec<Initiation> {
        let old = self.established(connection);
        let new = self.begins_rekeying(connection);
        self.ike_sa_mut(old).tasks = Tasks {
            active: vec![Task::IkeRekey],
            passive: vec![Task::IkeDelete],
            queued: Vec::new(),
        };
        situations::moves(self, old, IkeSaState::Deleting);
        situations::goes_down(self, old);
        situations::moves(self, new, IkeSaState::Destroying);
        situations::moves(self, old, IkeSaState::Destroying);
        self.take_initiations()
    }

    /// charon makes an IKE_SA in place of that one, which goes, and is not led anywhere: redirected during
    /// IKE_AUTH, or by a dpd_action of an IKE_SA that connects (IKEv1).
    pub fn goes_on_with_another(&mut self, old: u32) -> u32 {
        let replaced = self.ike_sa(old);
        let new = initiator(&replaced.name, &replaced.remote_addrs, replaced.remote);
        let new = situations::reestablishing(self, old, new);
        self.moves(new, IkeSaState::Connecting);
        new
    }

    /// charon has begun with what it makes in place of an IKE_SA.
    pub fn reestablished(&mut self, old: u32) {
        self.reports_evidence(Evidence::Reestablished { old });
    }

    /// DPD finds the IKE_SA dead, dpd_action restart, and charon is led to another gateway.
    pub fn led_from(&mut self, connection: &str, gateway: &str) -> u32 {
        let old = self.established(connection);
        self.replaces(old, gateway)
    }

    /// charon gives an IKE_SA up that is not answered, and is led to another gateway with the one that it makes in
    /// its place.
    pub fn replaces(&mut self, old: u32, gateway: &str) -> u32 {
        let was_connecting = self.ike_sa_mut(old).state == IkeSaState::Connecting;
        let new = self.is_led_from(old, gateway);
        self.moves(new, IkeSaState::Connecting);
        if was_connecting {
            self.reestablished(old);
            situations::moves(self, old, IkeSaState::Destroying);
        } else {
            situations::reestablished(self, old);
        }
        self.assert_nothing_initiated();
        new
    }

    /// As [`Self::led_from`], but charon cannot begin with the new IKE_SA.
    pub fn led_from_in_vain(&mut self, connection: &str, gateway: &str) -> Vec<Initiation> {
        let old = self.established(connection);
        let new = self.is_led_from(old, gateway);
        situations::moves(self, new, IkeSaState::Destroying);
        situations::ends(self, old);
        self.take_initiations()
    }

    /// charon makes an IKE_SA to that gateway in place of one that is not answered.
    fn is_led_from(&mut self, old: u32, gateway: &str) -> u32 {
        let name = self.ike_sa_mut(old).name.clone();
        situations::alerts(self, old, Alert::RetransmitSendTimeout);
        let new = initiator(&name, gateway, gateway.parse().ok());
        let new = situations::reestablishing(self, old, new);
        situations::steered(self, new, Some(old), gateway);
        self.assert_nothing_initiated();
        new
    }

    /// Break-before-make reauthentication.
    pub fn reauthenticates(&mut self, connection: &str) -> u32 {
        let old = self.established(connection);
        self.ike_sa_mut(old).tasks.active = vec![Task::IkeReauth];
        situations::moves(self, old, IkeSaState::Deleting);
        situations::goes_down(self, old);
        let new = self.begins(connection);
        self.reports_evidence(Evidence::Reestablished { old });
        assert_eq!(self.destroys(old), []);
        new
    }

    /// DPD finds the IKE_SA dead, dpd_action restart: charon begins the new one itself.
    pub fn reestablishes(&mut self, connection: &str) -> u32 {
        let old = self.established(connection);
        let name = self.ike_sa(old).name.clone();
        self.alerts(old, Alert::RetransmitSendTimeout);
        let new = self.begins(&name);
        situations::reestablished(self, old);
        self.assert_nothing_initiated();
        new
    }

    pub fn destroys(&mut self, id: u32) -> Vec<Initiation> {
        situations::moves(self, id, IkeSaState::Destroying);
        self.take_initiations()
    }

    /// The attempt's address does not resolve.
    pub fn unresolvable(&mut self, name: &str) -> Vec<Initiation> {
        self.unresolvable_with(name, ADDRESSES)
    }

    /// No address of the connection resolves.
    pub fn unresolvable_with(&mut self, name: &str, addresses: &str) -> Vec<Initiation> {
        let id = self.ike_sas.add(initiator(name, addresses, None));
        self.alerts(id, Alert::PeerAddrFailed);
        self.stale = self.begun.take();
        self.destroys(id)
    }

    pub fn cannot_begin(&mut self, name: &str) -> Vec<Initiation> {
        let begin = self.begun.take().expect("an initiation");
        assert_eq!(begin.connection, name);
        self.reports_outcome(begin, false)
    }

    pub fn cannot_begin_stale(&mut self, name: &str) -> Vec<Initiation> {
        let begin = self.stale.take().expect("an initiation");
        assert_eq!(begin.connection, name);
        self.reports_outcome(begin, false)
    }

    /// The outcome of the initiation that was begun last.
    pub fn begun(&mut self, name: &str) -> Vec<Initiation> {
        let begin = self.begun.take().expect("an initiation");
        assert_eq!(begin.connection, name);
        self.reports_outcome(begin, true)
    }

    /// As [`Self::begun`], but charon was called for the first CHILD_SA only.
    pub fn begun_with_the_first(&mut self) -> Vec<Initiation> {
        let begin = self.begun.take().expect("an initiation");
        let first = begin.children[..1].to_vec();
        self.initiated(begin, true, &first);
        self.take_initiations()
    }

    fn reports_outcome(&mut self, begin: Begin, begun: bool) -> Vec<Initiation> {
        let asked = begin.children.clone();
        self.initiated(begin, begun, &asked);
        self.take_initiations()
    }

    /// Addresses or routes of the host change.
    pub fn network_changes(&mut self) -> Vec<Initiation> {
        self.reports_evidence(Evidence::NetworkChanged);
        self.advance(Duration::ZERO)
    }

    /// What a look at the path of the IKE_SA has found.
    pub fn path_changes(&mut self, id: u32, path: NewPath) -> Vec<Initiation> {
        let actions = self.manager.path_changed("net", id, path, self.now);
        self.carry_out(actions)
    }

    pub fn shuts_down(&mut self) {
        self.reports_evidence(Evidence::Shutdown);
    }

    pub fn status(&self, name: &str) -> ConnectionStatus {
        self.manager
            .list(self.now)
            .into_iter()
            .find(|status| status.name == name)
            .expect("a known connection")
    }

    /// Newest first.
    pub fn history(&self) -> Vec<Entry> {
        self.manager.history().latest(usize::MAX).cloned().collect()
    }

    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub fn reports(&self) -> &[&'static str] {
        &self.reports
    }

    /// What was done besides initiating, telling and releasing clones.
    pub fn take_done(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.done)
    }

    /// Whether that IKE_SA is to be destroyed, among what was done; that is forgotten.
    pub fn abandons(&mut self, id: u32) -> bool {
        let mut done = self.take_done().into_iter();
        done.any(|action| matches!(action, Action::Abandon { ike_sa, .. } if ike_sa == Some(id)))
    }

    pub fn released(&mut self) -> Vec<String> {
        std::mem::take(&mut self.released)
    }

    fn adds(&mut self, name: &str, initiator: bool, active: Vec<Task>) -> u32 {
        let mut new = IkeSa {
            initiator,
            ..ike_sa(name)
        };
        new.tasks.active = active;
        self.connects(new)
    }

    fn connects(&mut self, new: IkeSa) -> u32 {
        let id = situations::connects(self, new);
        self.assert_nothing_initiated();
        id
    }

    fn moves(&mut self, id: u32, to: IkeSaState) {
        situations::moves(self, id, to);
        self.assert_nothing_initiated();
    }

    pub fn alerts(&mut self, id: u32, alert: Alert) -> Vec<Initiation> {
        situations::alerts(self, id, alert);
        self.take_initiations()
    }

    fn reports_evidence(&mut self, evidence: Evidence) -> Vec<Initiation> {
        let actions = self.manager.handle(evidence, self.now);
        self.carry_out(actions)
    }

    fn carry_out(&mut self, actions: Vec<Action>) -> Vec<Initiation> {
        self.step(|_, _| actions);
        self.take_initiations()
    }

    fn take_initiations(&mut self) -> Vec<Initiation> {
        std::mem::take(&mut self.initiations)
    }

    fn assert_nothing_initiated(&self) {
        assert_eq!(self.initiations, []);
    }

    fn established(&self, connection: &str) -> u32 {
        let up = |state| matches!(state, IkeSaState::Established | IkeSaState::Rekeying);
        self.ike_sas
            .of(connection)
            .find(|ike_sa| up(ike_sa.seen.state))
            .expect("an established IKE_SA")
            .seen
            .id
    }

    fn ike_sa(&self, id: u32) -> &IkeSa {
        &self.ike_sas.known(id).seen
    }

    fn ike_sa_mut(&mut self, id: u32) -> &mut IkeSa {
        &mut self.ike_sas.known_mut(id).seen
    }
}

/// An IKE_SA to the gateway that a clone's name says, else to the first.
fn ike_sa(name: &str) -> IkeSa {
    let remote = name
        .rsplit("-failover-")
        .next()
        .and_then(|address| address.parse().ok());
    initiator(name, ADDRESSES, remote.or_else(|| "10.0.0.1".parse().ok()))
}
