// SPDX-License-Identifier: GPL-2.0-or-later

//! charon's side of the failover manager: what it would report in each situation
//! (libcharon sa/ike_sa.c, sa/ikev2/), in its order.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use extsock_core::domain::address::AddressList;
use extsock_core::domain::policy::FailoverPolicy;
use extsock_core::domain::Now;
use extsock_core::failover::action::{Action, Begin, ConfigKind, Probed, Settings};
use extsock_core::failover::event::{Event, Tunnel};
use extsock_core::failover::evidence::{
    Alert, ChildChange, ChildEnd, ChildOrigin, Evidence, IkeSa, IkeSaState, IkeSpis, Task, Tasks,
};
use extsock_core::failover::history::Entry;
use extsock_core::failover::manager::{FailoverManager, Options};
use extsock_core::failover::report::ConnectionStatus;

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
    ike_sas: Vec<IkeSa>,
    last_id: u32,
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
        self.last_id += 1;
        let mut new = ike_sa(self.last_id, name, true);
        new.remote = address.parse().ok();
        new.tasks.active = vec![Task::Other];
        self.ike_sas.push(new);
        let id = self.last_id;
        self.moves(id, IkeSaState::Connecting);
        id
    }

    /// As [`Self::begins`], with other remote addresses.
    pub fn begins_with(&mut self, name: &str, addresses: &str) -> u32 {
        self.last_id += 1;
        let mut new = ike_sa(self.last_id, name, true);
        new.remote_addrs = addresses.into();
        new.tasks.active = vec![Task::Other];
        self.ike_sas.push(new);
        let id = self.last_id;
        self.moves(id, IkeSaState::Connecting);
        id
    }

    /// As [`Self::establishes`], with what is initiated then.
    pub fn establishing(&mut self, id: u32) -> Vec<Initiation> {
        self.moving(id, IkeSaState::Established)
    }

    /// A peer initiates.
    pub fn responds(&mut self, name: &str) -> u32 {
        self.adds(name, false, Vec::new())
    }

    pub fn establishes(&mut self, id: u32, children: &[&str]) {
        self.moves(id, IkeSaState::Established);
        let ike_sa = self.ike_sa(id).clone();
        self.reports_evidence(Evidence::IkeUpdown { ike_sa, up: true });
        for child in children {
            self.child_up(id, child);
        }
    }

    pub fn child_up(&mut self, id: u32, child: &str) {
        self.child_comes_up(id, child);
    }

    /// As above, with what is initiated then.
    pub fn child_comes_up(&mut self, id: u32, child: &str) -> Vec<Initiation> {
        let tunnel = self.tunnel(id, child);
        self.reports_evidence(Evidence::ChildUpdown {
            ike_sa: id,
            tunnel,
            change: ChildChange::Up(ChildOrigin::Local),
            more: false,
        })
    }

    /// An operator closes it.
    pub fn child_down(&mut self, id: u32, child: &str) {
        assert_eq!(self.child_ends(id, child, ChildEnd::Local), []);
    }

    /// It goes down, with what is initiated then.
    pub fn child_ends(&mut self, id: u32, child: &str, end: ChildEnd) -> Vec<Initiation> {
        let tunnel = self.tunnel(id, child);
        self.reports_evidence(Evidence::ChildUpdown {
            ike_sa: id,
            tunnel,
            change: ChildChange::Down(end),
            more: false,
        })
    }

    /// It comes up in another way than by being asked for.
    pub fn child_comes_by(&mut self, id: u32, child: &str, origin: ChildOrigin) {
        let tunnel = self.tunnel(id, child);
        let next = self.reports_evidence(Evidence::ChildUpdown {
            ike_sa: id,
            tunnel,
            change: ChildChange::Up(origin),
            more: false,
        });
        assert_eq!(next, []);
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

    /// Its time to answer is over, and no packet came in it.
    pub fn hears_nothing(&mut self, id: u32) -> Vec<Initiation> {
        let asked = Probed::Asked(self.now.monotonic);
        self.probed(id, asked)
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
        self.alerts(id, Alert::RetransmitSendTimeout);
        self.alerts(id, Alert::PeerInitUnreachable);
        self.destroys(id)
    }

    /// The peer's message ends the attempt.
    pub fn refuses(&mut self, id: u32, alert: Option<Alert>) -> Vec<Initiation> {
        if let Some(alert) = alert {
            self.alerts(id, alert);
        }
        self.goes_down(id);
        self.destroys(id)
    }

    /// DPD finds the connection's first established IKE_SA dead, dpd_action none.
    pub fn dies(&mut self, connection: &str) -> Vec<Initiation> {
        let id = self.established(connection);
        self.alerts(id, Alert::RetransmitSendTimeout);
        self.goes_down(id);
        self.destroys(id)
    }

    pub fn peer_deletes(&mut self, connection: &str) -> Vec<Initiation> {
        let id = self.established(connection);
        self.ike_sa_mut(id).tasks.passive = vec![Task::IkeDelete];
        self.moves(id, IkeSaState::Deleting);
        self.goes_down(id);
        self.destroys(id)
    }

    pub fn deletes_locally(&mut self, connection: &str) -> Vec<Initiation> {
        let id = self.established(connection);
        self.deletes(id)
    }

    /// Terminated by others, and not yet gone.
    pub fn begins_deleting(&mut self, connection: &str) -> u32 {
        let id = self.established(connection);
        self.ike_sa_mut(id).tasks.active = vec![Task::IkeDelete];
        self.moves(id, IkeSaState::Deleting);
        id
    }

    pub fn deletes(&mut self, id: u32) -> Vec<Initiation> {
        self.ike_sa_mut(id).tasks.active = vec![Task::IkeDelete];
        self.moves(id, IkeSaState::Deleting);
        self.goes_down(id);
        self.destroys(id)
    }

    pub fn begins_rekeying(&mut self, connection: &str) -> u32 {
        let old = self.established(connection);
        self.ike_sa_mut(old).state = IkeSaState::Rekeying;
        let name = self.ike_sa(old).name.clone();
        self.adds(&name, true, Vec::new())
    }

    pub fn rekeys(&mut self, connection: &str) -> u32 {
        let old = self.established(connection);
        let new = self.begins_rekeying(connection);
        self.moves(new, IkeSaState::Established);
        let (old_sa, new_sa) = (self.ike_sa(old).clone(), self.ike_sa(new).clone());
        self.reports_evidence(Evidence::IkeRekey {
            old: old_sa,
            new: new_sa,
            old_spis: IkeSpis::default(),
            new_spis: IkeSpis::default(),
        });
        self.moves(old, IkeSaState::Rekeyed);
        self.ike_sa_mut(old).tasks.active = vec![Task::IkeRekey];
        self.moves(old, IkeSaState::Deleting);
        assert_eq!(self.destroys(old), []);
        new
    }

    /// No answer while connecting, and charon, which tries for ever, is led to another gateway.
    pub fn led_on(&mut self, id: u32, gateway: &str) -> Vec<Initiation> {
        let ike_sa = self.ike_sa(id).clone();
        let led = self.reports_evidence(Evidence::Steered {
            ike_sa,
            replaces: None,
            gateway: gateway.into(),
        });
        self.alerts(id, Alert::PeerInitUnreachable);
        self.ike_sa_mut(id).remote = gateway.parse().ok();
        self.ike_sa_mut(id).state = IkeSaState::Created;
        self.moves(id, IkeSaState::Connecting);
        led
    }

    /// The CHILD_SAs of an IKEv1 SA move to the one that reauthentication makes, whichever side
    /// initiates it.
    pub fn migrates(&mut self, connection: &str, initiator: bool) -> (u32, u32) {
        let old = self.established(connection);
        self.last_id += 1;
        let new = self.last_id;
        self.ike_sas.push(ike_sa(new, connection, initiator));
        self.ike_sa_mut(new).tasks.active = vec![Task::Other];
        self.reports_evidence(Evidence::Migrated { old, new });
        self.moves(new, IkeSaState::Connecting);
        self.ike_sa_mut(old).state = IkeSaState::Rekeying;
        (old, new)
    }

    /// As the uniqueness policy does it after reauthentication did.
    pub fn migrates_again(&mut self, old: u32, new: u32) {
        self.reports_evidence(Evidence::Migrated { old, new });
        let ike_sa = self.ike_sa(new).clone();
        self.reports_evidence(Evidence::TookOver { ike_sa });
    }

    /// As [`Self::takes_over`], without CHILD_SAs.
    pub fn takes_over_nothing(&mut self, connection: &str) {
        let old = self.established(connection);
        self.last_id += 1;
        let new = self.last_id;
        self.reports_evidence(Evidence::Migrated { old, new });
    }

    /// The peer made an IKE_SA, which is up, and the CHILD_SAs move to it.
    pub fn takes_over(&mut self, connection: &str) {
        let old = self.established(connection);
        self.last_id += 1;
        let mut new = ike_sa(self.last_id, connection, false);
        new.state = IkeSaState::Established;
        self.ike_sas.push(new);
        self.migrates_again(old, self.last_id);
    }

    /// The next try of an IKEv1 SA that has CHILD_SAs: it gets another SPI (charon 5.9.11 and later).
    pub fn retries(&mut self, id: u32) {
        self.reports_evidence(Evidence::Migrated { old: id, new: id });
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
        self.moves(old, IkeSaState::Deleting);
        self.goes_down(old);
        let mut initiations = self.destroys(new);
        initiations.extend(self.destroys(old));
        initiations
    }

    /// charon makes an IKE_SA in place of that one, which goes, and is not led anywhere: redirected during
    /// IKE_AUTH, or by a dpd_action of an IKE_SA that connects (IKEv1).
    pub fn goes_on_with_another(&mut self, old: u32) -> u32 {
        self.last_id += 1;
        let id = self.last_id;
        let mut new = self.ike_sa(old).clone();
        new.id = id;
        new.state = IkeSaState::Created;
        new.tasks.active = vec![Task::Other];
        self.ike_sas.push(new.clone());
        self.reports_evidence(Evidence::Reestablishing { old, new });
        self.moves(id, IkeSaState::Connecting);
        id
    }

    /// charon has begun with what it makes in place of an IKE_SA.
    pub fn reestablished(&mut self, old: u32) {
        self.reports_evidence(Evidence::Reestablished { old });
    }

    /// DPD finds the IKE_SA dead, dpd_action restart, and charon is led to another gateway.
    pub fn led_from(&mut self, connection: &str, gateway: &str) -> u32 {
        let old = self.established(connection);
        self.alerts(old, Alert::RetransmitSendTimeout);
        self.last_id += 1;
        let new = self.last_id;
        let mut new_sa = ike_sa(new, connection, true);
        new_sa.remote = gateway.parse().ok();
        new_sa.remote_addrs = gateway.into();
        new_sa.tasks.active = vec![Task::Other];
        self.ike_sas.push(new_sa.clone());
        let led = self.reports_evidence(Evidence::Steered {
            ike_sa: new_sa,
            replaces: Some(old),
            gateway: gateway.into(),
        });
        assert_eq!(led, []);
        self.moves(new, IkeSaState::Connecting);
        self.reports_evidence(Evidence::Reestablished { old });
        self.goes_down(old);
        assert_eq!(self.destroys(old), []);
        new
    }

    /// As above, but charon cannot begin with the new IKE_SA.
    pub fn led_from_in_vain(&mut self, connection: &str, gateway: &str) -> Vec<Initiation> {
        let old = self.established(connection);
        self.alerts(old, Alert::RetransmitSendTimeout);
        self.last_id += 1;
        let new = self.last_id;
        let mut new_sa = ike_sa(new, connection, true);
        new_sa.remote = gateway.parse().ok();
        self.ike_sas.push(new_sa.clone());
        self.reports_evidence(Evidence::Steered {
            ike_sa: new_sa,
            replaces: Some(old),
            gateway: gateway.into(),
        });
        let mut initiations = self.destroys(new);
        self.goes_down(old);
        initiations.extend(self.destroys(old));
        initiations
    }

    /// Break-before-make reauthentication.
    pub fn reauthenticates(&mut self, connection: &str) -> u32 {
        let old = self.established(connection);
        self.ike_sa_mut(old).tasks.active = vec![Task::IkeReauth];
        self.moves(old, IkeSaState::Deleting);
        self.goes_down(old);
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
        self.reports_evidence(Evidence::Reestablished { old });
        self.goes_down(old);
        assert_eq!(self.destroys(old), []);
        new
    }

    pub fn destroys(&mut self, id: u32) -> Vec<Initiation> {
        let position = self.position(id);
        let ike_sa = self.ike_sas.remove(position);
        self.reports_evidence(Evidence::State {
            ike_sa,
            to: IkeSaState::Destroying,
        })
    }

    /// The attempt's address does not resolve.
    pub fn unresolvable(&mut self, name: &str) -> Vec<Initiation> {
        self.unresolvable_with(name, ADDRESSES)
    }

    /// No address of the connection resolves.
    pub fn unresolvable_with(&mut self, name: &str, addresses: &str) -> Vec<Initiation> {
        self.last_id += 1;
        let id = self.last_id;
        let mut ike_sa = ike_sa(id, name, true);
        ike_sa.remote_addrs = addresses.into();
        ike_sa.remote = None;
        self.ike_sas.push(ike_sa);
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
        let actions = self.manager.initiated(begin, true, &first, self.now);
        self.carry_out(actions)
    }

    fn reports_outcome(&mut self, begin: Begin, begun: bool) -> Vec<Initiation> {
        let asked = begin.children.clone();
        let actions = self.manager.initiated(begin, begun, &asked, self.now);
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
        self.last_id += 1;
        let mut new = ike_sa(self.last_id, name, initiator);
        new.tasks.active = active;
        self.ike_sas.push(new);
        let id = self.last_id;
        self.moves(id, IkeSaState::Connecting);
        id
    }

    /// The change is reported while the IKE_SA is still in its previous state.
    fn moves(&mut self, id: u32, to: IkeSaState) {
        assert_eq!(self.moving(id, to), []);
    }

    fn moving(&mut self, id: u32, to: IkeSaState) -> Vec<Initiation> {
        let before = self.ike_sa(id).clone();
        self.ike_sa_mut(id).state = to;
        if to == IkeSaState::Established {
            self.ike_sa_mut(id).tasks = Tasks::default();
        }
        self.reports_evidence(Evidence::State { ike_sa: before, to })
    }

    fn goes_down(&mut self, id: u32) {
        let ike_sa = self.ike_sa(id).clone();
        self.reports_evidence(Evidence::IkeUpdown { ike_sa, up: false });
    }

    pub fn alerts(&mut self, id: u32, alert: Alert) -> Vec<Initiation> {
        let ike_sa = self.ike_sa(id).clone();
        self.reports_evidence(Evidence::Alert { ike_sa, alert })
    }

    fn reports_evidence(&mut self, evidence: Evidence) -> Vec<Initiation> {
        let actions = self.manager.handle(evidence, self.now);
        self.carry_out(actions)
    }

    fn carry_out(&mut self, actions: Vec<Action>) -> Vec<Initiation> {
        let mut initiations = Vec::new();
        for action in actions {
            match action {
                Action::Initiate {
                    connection,
                    attempt,
                } => {
                    let list = self.list_of_others();
                    let (begin, more) = self.manager.begin(&connection, attempt, list, self.now);
                    initiations.extend(self.carry_out(more));
                    let Some(begin) = begin else {
                        continue;
                    };
                    self.begun_on = begin.ike_sa;
                    initiations.push(Initiation {
                        gateway: begin.to.remote(),
                        own: begin.config == ConfigKind::Own,
                        children: begin.children.clone(),
                    });
                    self.begun = Some(begin);
                }
                Action::Resolve {
                    connection,
                    attempt,
                    gateway,
                } => {
                    let found = self.names.get(gateway.as_str()).cloned();
                    if let Some(addresses) = found.unwrap_or_else(|| Some(Vec::new())) {
                        let now = self.now;
                        let more =
                            self.manager
                                .resolved(&connection, attempt, &gateway, addresses, now);
                        initiations.extend(self.carry_out(more));
                    } else {
                        self.resolving = Some((attempt, gateway));
                    }
                }
                Action::Check { connection } => {
                    let list = self.list_of_others();
                    let more = self.manager.checked(&connection, list, self.now);
                    initiations.extend(self.carry_out(more));
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
                    initiations.push(Initiation {
                        gateway: self.ike_sa(ike_sa).remote.expect("known").to_string(),
                        own: true,
                        children,
                    });
                }
                Action::Adopt { connection, ike_sa } => {
                    self.ike_sa_mut(ike_sa).name.clone_from(&connection);
                }
                Action::ReleaseClone { gateway, .. } => self.released.push(gateway),
                Action::Publish(event) => self.events.push(*event),
                Action::Report { error, .. } => self.reports.push(error.code.name()),
                Action::Unsteer { .. } => {}
                action => self.done.push(action),
            }
        }
        initiations
    }

    /// The remote addresses of the configuration as charon has it, which only counts where others loaded it.
    fn list_of_others(&self) -> Option<AddressList> {
        let list = self.edited.unwrap_or(Some(ADDRESSES));
        list.map(AddressList::parse)
    }

    fn established(&self, connection: &str) -> u32 {
        self.ike_sas
            .iter()
            .filter(|ike_sa| matches!(ike_sa.state, IkeSaState::Established | IkeSaState::Rekeying))
            .find(|ike_sa| {
                let rest = ike_sa.name.strip_prefix(connection);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("-failover-"))
            })
            .expect("an established IKE_SA")
            .id
    }

    fn tunnel(&self, id: u32, child: &str) -> Tunnel {
        Tunnel {
            ike_sa_name: self.ike_sa(id).name.clone(),
            connection: None,
            child_sa_name: child.into(),
            ike_sa_state: "2".into(),
            child_sa_state: "3".into(),
            spi: 1,
            proto: "esp".into(),
            mode: "tunnel".into(),
            enc_alg: "AES_CBC-128".into(),
            integ_alg: "HMAC_SHA2_256_128".into(),
            src: "10.0.0.100".into(),
            dst: "10.0.0.1".into(),
            local_ts: "10.1.0.0/24".into(),
            remote_ts: "10.2.0.0/24".into(),
            direction: "out".into(),
            policy_action: "protect".into(),
            ..Tunnel::default()
        }
    }

    fn position(&self, id: u32) -> usize {
        self.ike_sas
            .iter()
            .position(|ike_sa| ike_sa.id == id)
            .expect("an IKE_SA of that id")
    }

    fn ike_sa(&self, id: u32) -> &IkeSa {
        &self.ike_sas[self.position(id)]
    }

    fn ike_sa_mut(&mut self, id: u32) -> &mut IkeSa {
        let position = self.position(id);
        &mut self.ike_sas[position]
    }
}

fn ike_sa(id: u32, name: &str, initiator: bool) -> IkeSa {
    let remote = name
        .rsplit("-failover-")
        .next()
        .and_then(|address| address.parse().ok());
    IkeSa {
        id,
        name: name.into(),
        remote_addrs: ADDRESSES.into(),
        remote: remote.or_else(|| "10.0.0.1".parse().ok()),
        initiator,
        state: IkeSaState::Created,
        tasks: Tasks::default(),
    }
}
