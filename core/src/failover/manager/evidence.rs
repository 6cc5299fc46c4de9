// SPDX-License-Identifier: GPL-2.0-or-later

//! What charon tells of IKE_SAs: noted in their records, and made an event of the connection that it concerns.

use super::orphans::Orphan;
use super::FailoverManager;
use crate::domain::address::AddressList;
use crate::domain::reason::Reason;
use crate::domain::Now;
use crate::error::ErrorCode;
use crate::failover::action::{Action, Settings};
use crate::failover::connection::{Connection, Ended, IkeSaEvent, LedFrom, LedOn};
use crate::failover::event::{Event, Tunnel};
use crate::failover::evidence::{Alert, ChildChange, Evidence, IkeSa, IkeSaState, IkeSpis, Task};
use crate::failover::ike_sa::verdict::verdict;
use crate::failover::ike_sa::{IkeSaRecord, IkeSaStage, Replaced, Up};
use crate::failover::step::Step;

impl FailoverManager {
    /// Takes note of what charon did.
    pub fn handle(&mut self, evidence: Evidence, now: Now) -> Vec<Action> {
        if evidence == Evidence::NetworkChanged {
            return self.network_changed(now);
        }
        let mut step = self.begin_step("", now);
        let concerned = self.note(evidence, &mut step);
        self.conclude(&concerned.unwrap_or_default(), step)
    }

    /// Takes note of it; returns the connection that it concerns, if it concerns one.
    fn note(&mut self, evidence: Evidence, step: &mut Step) -> Option<String> {
        match evidence {
            Evidence::State { ike_sa, to } => self.state_changed(&ike_sa, to, step),
            Evidence::Alert { ike_sa, alert } => self.alerted(&ike_sa, alert, step),
            Evidence::IkeUpdown { ike_sa, up } => self.ike_updown(&ike_sa, up, step),
            Evidence::IkeRekey {
                old,
                new,
                old_spis,
                new_spis,
            } => {
                self.tell_rekeyed(&old, &new, old_spis, new_spis, step);
                self.rekeyed(&old, &new, step)
            }
            Evidence::Migrated { old, new } => self.migrated(old, new, step),
            Evidence::TookOver { ike_sa } => self.took_over(&ike_sa, step),
            Evidence::Reestablishing { old, new } => self.reestablishing(old, &new),
            Evidence::Reestablished { old } => {
                let (owner, record) = self.record(old)?;
                record.observed.superseded();
                Some(owner)
            }
            Evidence::Steered {
                ike_sa,
                replaces: None,
                gateway,
            } => self.led_on(&ike_sa, gateway, step),
            Evidence::Steered {
                ike_sa,
                replaces: Some(old),
                gateway,
            } => self.led_from(old, &ike_sa, gateway, step),
            Evidence::ChildUpdown {
                ike_sa,
                tunnel,
                change,
                more,
            } => self.child_updown(ike_sa, tunnel, change, more, step),
            Evidence::ChildRekey { ike_sa, old, new } => {
                self.child_rekeyed(ike_sa, *old, *new, step);
                None
            }
            Evidence::AuthLifetime {
                ike_sa,
                lifetime,
                over_time,
            } => {
                let (owner, _) = self.record(ike_sa)?;
                let c = &mut self.connections.get_mut(&owner)?.common;
                if c.reauthentications.begins_loop(lifetime, over_time) {
                    step.reauthentication_loop(&c.name, lifetime, over_time);
                }
                Some(owner)
            }
            Evidence::Received { ike_sa } => {
                self.heard(ike_sa, step.now);
                None
            }
            // Of all connections, see handle().
            Evidence::NetworkChanged => None,
            Evidence::Shutdown => {
                self.shutting_down = true;
                self.deadlines.clear();
                None
            }
        }
    }

    fn state_changed(&mut self, ike_sa: &IkeSa, to: IkeSaState, step: &mut Step) -> Option<String> {
        if self.orphans.get_mut(ike_sa.id).is_some() {
            self.orphan_changed(ike_sa, to, step.now);
            return None;
        }
        match to {
            IkeSaState::Connecting => self.connecting(ike_sa, step),
            IkeSaState::Established => self.established(ike_sa, step),
            IkeSaState::Deleting => self.deleting(ike_sa, step),
            IkeSaState::Destroying => self.handle_connection_failure(ike_sa, step),
            IkeSaState::Created
            | IkeSaState::Passive
            | IkeSaState::Rekeying
            | IkeSaState::Rekeyed => None,
        }
    }

    fn orphan_changed(&mut self, ike_sa: &IkeSa, to: IkeSaState, now: Now) {
        let Some(Orphan { record, .. }) = self.orphans.get_mut(ike_sa.id) else {
            return;
        };
        match to {
            IkeSaState::Established if record.stage.is_connecting() => {
                record.stage = IkeSaStage::Up(Up::new(now.monotonic));
            }
            IkeSaState::Deleting => {
                record.observed.deleting(ike_sa);
                record.close();
            }
            IkeSaState::Destroying => {
                self.orphans.remove(ike_sa.id, &mut self.names);
            }
            _ => {}
        }
    }

    fn connecting(&mut self, ike_sa: &IkeSa, step: &mut Step) -> Option<String> {
        let is_known = self.ike_sas.contains_key(&ike_sa.id);
        if !is_known {
            if self.follow_orphan(ike_sa) {
                return None;
            }
            self.take_in(ike_sa, step);
        }
        let (owner, record) = self.track(ike_sa)?;
        if !is_known && ike_sa.tasks.is_empty() {
            // Only an IKE_SA that the rekeying of another one makes has nothing to do by itself.
            record.stage = IkeSaStage::Successor;
            return Some(owner);
        }
        if !record.stage.is_connecting() {
            return Some(owner);
        }
        let is_unannounced = record.is_unannounced();
        record.stage = IkeSaStage::Connecting;
        // Another try of the same IKE_SA, perhaps.
        record.observed.recovered();
        if is_known && !is_unannounced {
            return Some(owner);
        }
        let cloned = ike_sa.name != owner;
        let remote = ike_sa.remote;
        let ike_sa = ike_sa.id;
        self.with_connection(&owner, step, |connection, step| {
            if is_unannounced {
                // Where it leads was not known before.
                connection.locate(ike_sa, remote);
            }
            if cloned {
                connection.common.adopt(ike_sa, step);
            }
            connection.handle(IkeSaEvent::Connecting { ike_sa, cloned }, step);
        });
        Some(owner)
    }

    /// Whether the new IKE_SA replaces one whose connection was removed.
    fn follow_orphan(&mut self, ike_sa: &IkeSa) -> bool {
        if self.names.get(&ike_sa.name).is_some() || !self.names.is_orphaned(&ike_sa.name) {
            return false;
        }
        let Some(connection) = self.orphans.connection_of(&ike_sa.name) else {
            return false;
        };
        let gateway = ike_sa.remote.map_or_else(String::new, |ip| ip.to_string());
        let mut record = IkeSaRecord::new(&ike_sa.name, gateway);
        if ike_sa.tasks.is_empty() {
            record.stage = IkeSaStage::Successor;
        }
        let orphan = Orphan { connection, record };
        self.orphans.insert(ike_sa.id, orphan, &mut self.names);
        true
    }

    /// Takes in a connection that others loaded, when charon initiates it.
    fn take_in(&mut self, ike_sa: &IkeSa, step: &mut Step) {
        let Some(policy) = self.options.foreign else {
            return;
        };
        let known = self.names.get(&ike_sa.name);
        let loaded = known.and_then(|target| self.connections.get(&target.connection));
        let foreign = known.is_none() || loaded.is_some_and(|loaded| loaded.common.foreign);
        if !ike_sa.initiator || !foreign {
            return;
        }
        let gateways = AddressList::parse(&ike_sa.remote_addrs);
        let same = known.is_some_and(|target| {
            let same = |loaded: &Connection| *loaded.common.gateways.list() == gateways;
            target.clone_for.is_some() || loaded.is_some_and(same)
        });
        if gateways.len() < 2 || same {
            return;
        }
        let settings = Settings {
            gateways,
            children: Vec::new(),
            policy,
        };
        self.load(&ike_sa.name, settings, true, step);
    }

    fn established(&mut self, ike_sa: &IkeSa, step: &mut Step) -> Option<String> {
        let (owner, record) = self.track(ike_sa)?;
        record.observed.recovered();
        let came_up = record.stage.is_connecting();
        let was_given_up = record.stage.is_closing();
        if came_up {
            record.stage = IkeSaStage::Up(Up::new(step.now.monotonic));
        }
        let cloned = record.cloned;
        let ike_sa = ike_sa.id;
        self.with_connection(&owner, step, |connection, step| {
            if cloned {
                // charon may not have had it in its table yet when it was connecting.
                connection.common.adopt(ike_sa, step);
            }
            if came_up {
                connection.handle(IkeSaEvent::Up { ike_sa }, step);
            } else if was_given_up {
                step.delete(&connection.common.name, ike_sa);
            }
        });
        Some(owner)
    }

    fn deleting(&mut self, ike_sa: &IkeSa, step: &mut Step) -> Option<String> {
        let (owner, record) = self.record(ike_sa.id)?;
        record.observed.deleting(ike_sa);
        record.close();
        if record.observed.is_deleted_by_us() {
            let ike_sa = ike_sa.id;
            self.with_connection(&owner, step, |connection, step| {
                connection.handle(IkeSaEvent::Deleting { ike_sa }, step);
            });
        }
        Some(owner)
    }

    /// An IKE_SA ends. Whether its gateway failed, [`verdict`] tells.
    fn handle_connection_failure(&mut self, ike_sa: &IkeSa, step: &mut Step) -> Option<String> {
        // The end of an IKE_SA whose peer's name does not resolve is the first that charon reports of it.
        self.track(ike_sa);
        let name = self.ike_sas.remove(&ike_sa.id)?;
        let shutting_down = self.shutting_down;
        self.with_connection(&name, step, |connection, step| {
            let Some(record) = connection.common.ike_sas.remove(&ike_sa.id) else {
                return;
            };
            step.unsteer(&name, ike_sa.id);
            if shutting_down {
                // Nothing follows any more.
                return;
            }
            if record.observed.lacks_credentials() {
                step.report(
                    &name,
                    ErrorCode::InvalidParameter,
                    format!(
                        "no credentials of our own for gateway {}, which another gateway cannot change",
                        record.gateway
                    ),
                );
            }
            // charon could not begin with the one that it made in place of another.
            let not_begun = record.stage == IkeSaStage::Prepared && !record.is_unannounced();
            let not_begun = not_begun.then_some(Reason::InitiateFailed);
            let ended = Ended {
                ike_sa: ike_sa.id,
                reason: verdict(&record.observed, ike_sa).or(not_begun),
                unresolved: ike_sa.state == IkeSaState::Created,
                is_clone: ike_sa.name != name,
                record,
            };
            connection.handle(IkeSaEvent::Ended(Box::new(ended)), step);
        });
        Some(name)
    }

    fn tell_rekeyed(
        &self,
        old: &IkeSa,
        new: &IkeSa,
        old_spis: IkeSpis,
        new_spis: IkeSpis,
        step: &mut Step,
    ) {
        let hex = |spi: u64| format!("{spi:016x}");
        step.publish(Event::IkeRekey {
            old_ike_sa_name: old.name.clone(),
            new_ike_sa_name: new.name.clone(),
            connection: self.connection_of(old.id, &old.name),
            old_uniqueid: old.id,
            new_uniqueid: new.id,
            old_initiator_spi: hex(old_spis.initiator),
            old_responder_spi: hex(old_spis.responder),
            new_initiator_spi: hex(new_spis.initiator),
            new_responder_spi: hex(new_spis.responder),
        });
    }

    fn rekeyed(&mut self, old: &IkeSa, new: &IkeSa, step: &mut Step) -> Option<String> {
        if let Some(orphan) = self.orphans.get_mut(old.id) {
            orphan.record.observed.superseded();
            let connection = orphan.connection.clone();
            let mut record = IkeSaRecord::new(&new.name, orphan.record.gateway.clone());
            record.children = std::mem::take(&mut orphan.record.children);
            record.stage = std::mem::replace(&mut orphan.record.stage, IkeSaStage::Closing);
            let orphan = Orphan { connection, record };
            self.orphans.insert(new.id, orphan, &mut self.names);
            return None;
        }
        let now = step.now.monotonic;
        let (_, record) = self.record(old.id)?;
        record.observed.superseded();
        let up = record
            .up()
            .map_or_else(|| Up::new(now), |up| up.rekeyed(now));
        let was_given_up = record.close();
        let gateway = record.gateway.clone();
        let children = std::mem::take(&mut record.children);
        let (owner, record) = self.track(new)?;
        record.stage = IkeSaStage::Up(up);
        record.gateway = gateway;
        record.children = children;
        self.replaced(&owner, old.id, new.id, was_given_up, step);
        Some(owner)
    }

    /// Another IKE_SA has taken the place of one. If that was given up, the other one is as well: it was
    /// decided before charon reported it.
    fn replaced(&mut self, owner: &str, old: u32, new: u32, was_given_up: bool, step: &mut Step) {
        self.with_connection(owner, step, |connection, step| {
            if was_given_up {
                connection.common.give_up(Some(new));
                step.delete(&connection.common.name, new);
            } else {
                connection.handle(IkeSaEvent::Replaced { old, new }, step);
            }
        });
    }

    /// Its CHILD_SAs make an IKE_SA the connection's.
    fn migrated(&mut self, old: u32, new: u32, step: &mut Step) -> Option<String> {
        if old == new {
            // An IKE_SA with CHILD_SAs begins its next try with another SPI (sa/ike_sa_manager.c,
            // new_initiator_spi, from 5.9.11 on).
            return None;
        }
        if let Some(orphan) = self.orphans.get_mut(old) {
            if !orphan.record.observed.is_superseded() {
                orphan.record.observed.superseded();
                let connection = orphan.connection.clone();
                let gateway = orphan.record.gateway.clone();
                let record = IkeSaRecord::new(&orphan.record.name, gateway);
                let orphan = Orphan { connection, record };
                self.orphans.insert(new, orphan, &mut self.names);
            }
            return None;
        }
        let new_is_known = self.ike_sas.contains_key(&new);
        let (owner, record) = self.record(old)?;
        // Told by reauthentication, and again by the uniqueness policy; also where nothing moves.
        let told = record.observed.is_superseded();
        let nothing = record.children.is_empty() && !new_is_known;
        if told || nothing {
            return None;
        }
        record.observed.superseded();
        let was_given_up = record.close();
        let children = std::mem::take(&mut record.children);
        let mut successor = IkeSaRecord::new(&record.name, record.gateway.clone());
        successor.remote = record.remote;
        self.with_connection(&owner, step, |connection, _| {
            let successor = connection.common.ike_sas.entry(new).or_insert(successor);
            successor.children.extend(children);
            successor.observed.takes_over();
        });
        self.ike_sas.insert(new, owner.clone());
        self.replaced(&owner, old, new, was_given_up, step);
        Some(owner)
    }

    /// It may be up already without having been reported, as the peer initiated it.
    fn took_over(&mut self, ike_sa: &IkeSa, step: &mut Step) -> Option<String> {
        if ike_sa.state != IkeSaState::Established {
            return None;
        }
        let up = || IkeSaStage::Up(Up::new(step.now.monotonic));
        if let Some(orphan) = self.orphans.get_mut(ike_sa.id) {
            if orphan.record.stage.is_connecting() {
                orphan.record.stage = up();
            }
            return None;
        }
        let (owner, record) = self.record(ike_sa.id)?;
        if record.stage.is_connecting() {
            record.stage = up();
            let ike_sa = ike_sa.id;
            self.with_connection(&owner, step, |connection, step| {
                connection.handle(IkeSaEvent::Up { ike_sa }, step);
            });
        }
        Some(owner)
    }

    /// charon tries the IKE_SA again, at the gateway that was prepared.
    fn led_on(&mut self, ike_sa: &IkeSa, gateway: String, step: &mut Step) -> Option<String> {
        let (owner, record) = self.record(ike_sa.id)?;
        let from = std::mem::replace(&mut record.gateway, gateway);
        let remote = record.remote.take();
        record.observed.recovered();
        record.steering = None;
        let ike_sa = ike_sa.id;
        let led = LedOn {
            ike_sa,
            from,
            remote,
        };
        self.with_connection(&owner, step, |connection, step| {
            connection.handle(IkeSaEvent::LedOn(led), step);
            connection.common.adopt(ike_sa, step);
        });
        Some(owner)
    }

    /// charon is about to make an IKE_SA in place of another one.
    fn reestablishing(&mut self, old: u32, new: &IkeSa) -> Option<String> {
        let (_, record) = self.record(old)?;
        let gateway = record.gateway.clone();
        let (owner, record) = self.track(new)?;
        // Where it leads is known when it connects.
        record.gateway = gateway;
        record.stage = IkeSaStage::Prepared;
        record.replaces = Some(Replaced {
            ike_sa: old,
            led: false,
        });
        Some(owner)
    }

    /// charon replaces an IKE_SA by a new one, to the gateway that was prepared.
    fn led_from(
        &mut self,
        old: u32,
        new: &IkeSa,
        gateway: String,
        step: &mut Step,
    ) -> Option<String> {
        self.record(old)?;
        let (_, record) = self.track(new)?;
        record.gateway = gateway;
        record.stage = IkeSaStage::Prepared;
        record.replaces = Some(Replaced {
            ike_sa: old,
            led: true,
        });
        let (owner, record) = self.record(old)?;
        let led = LedFrom {
            old,
            new: new.id,
            cloned: new.name != owner,
            from: record.gateway.clone(),
            remote: record.remote,
            reason: record
                .observed
                .reason_to_go_on(!record.stage.is_connecting()),
        };
        self.with_connection(&owner, step, |connection, step| {
            connection.handle(IkeSaEvent::LedFrom(led), step);
        });
        Some(owner)
    }

    fn ike_updown(&mut self, ike_sa: &IkeSa, up: bool, step: &mut Step) -> Option<String> {
        let connection = self.connection_of(ike_sa.id, &ike_sa.name);
        if !up {
            if let Some((_, record)) = self.record(ike_sa.id) {
                record.observed.down(ike_sa);
            }
        }
        let ike_sa_name = ike_sa.name.clone();
        let state = ike_sa.state.number();
        self.established += u64::from(up && connection.is_some());
        step.publish(if up {
            Event::IkeSaUp {
                ike_sa_name,
                connection,
                state,
            }
        } else {
            Event::IkeSaDown {
                ike_sa_name,
                connection,
                state,
            }
        });
        None
    }

    fn child_updown(
        &mut self,
        ike_sa: u32,
        tunnel: Tunnel,
        change: ChildChange,
        more: bool,
        step: &mut Step,
    ) -> Option<String> {
        let child = tunnel.child_sa_name.clone();
        let owner = self.ike_sas.get(&ike_sa).cloned();
        if let Some(owner) = &owner {
            self.with_connection(owner, step, |connection, step| match change {
                ChildChange::Up(origin) => connection.child_up(ike_sa, &child, origin, step),
                ChildChange::Down(end) => connection.child_down(ike_sa, &child, end, step.now),
            });
        }
        let tunnel = self.of_connection(ike_sa, tunnel);
        let up = matches!(change, ChildChange::Up(_));
        step.publish(if up {
            Event::TunnelUp(tunnel)
        } else {
            Event::TunnelDown(tunnel)
        });
        if let Some(owner) = owner.as_ref().filter(|_| up && !more) {
            self.with_connection(owner, step, |connection, step| {
                connection.handle(IkeSaEvent::ChildrenDone { ike_sa }, step);
                connection.common.complete_children(ike_sa, step);
            });
        }
        owner
    }

    fn child_rekeyed(&mut self, ike_sa: u32, old: Tunnel, new: Tunnel, step: &mut Step) {
        let new = self.of_connection(ike_sa, new);
        step.publish(Event::ChildRekey {
            ike_sa_name: new.ike_sa_name.clone(),
            old_child_sa_name: old.child_sa_name,
            new_child_sa_name: new.child_sa_name.clone(),
            connection: new.connection.clone(),
            ike_sa_uniqueid: ike_sa,
            old_uniqueid: old.uniqueid,
            new_uniqueid: new.uniqueid,
            old_spi_in: old.spi_in,
            old_spi_out: old.spi_out,
            new_spi_in: new.spi_in,
            new_spi_out: new.spi_out,
        });
        step.publish(Event::TunnelUp(new));
    }

    fn alerted(&mut self, ike_sa: &IkeSa, alert: Alert, step: &mut Step) -> Option<String> {
        if alert == Alert::PeerAddrFailed {
            if ike_sa.state != IkeSaState::Created {
                // Of the one that was to replace it, on whose behalf the thread has it.
                return None;
            }
            if !self.ike_sas.contains_key(&ike_sa.id) {
                // Nothing else is reported of it before its end.
                self.take_in(ike_sa, step);
            }
        }
        let (owner, record) = self.track(ike_sa)?;
        record.observed.alert(alert);
        let more = ike_sa.tasks.more_children();
        let was_up = matches!(ike_sa.state, IkeSaState::Established | IkeSaState::Rekeying);
        let makes_child = was_up && ike_sa.tasks.active.contains(&Task::ChildCreate);
        let ike_sa = ike_sa.id;
        match alert {
            Alert::KeepOnChildSaFailure if !more => {
                self.with_connection(&owner, step, |connection, step| {
                    connection.handle(IkeSaEvent::ChildFailed { ike_sa }, step);
                    connection.common.complete_children(ike_sa, step);
                });
            }
            Alert::KeepOnChildSaFailure => self.with_connection(&owner, step, |connection, _| {
                connection.common.wanted.refused_one();
            }),
            // Of the requests that are not answered, that for a CHILD_SA may be the only one.
            Alert::RetransmitSendTimeout if makes_child => {
                self.with_connection(&owner, step, |connection, step| {
                    let c = &mut connection.common;
                    c.wanted.unanswered(&c.policy, step.now);
                });
            }
            Alert::IkeSaExpired => self.with_connection(&owner, step, |connection, step| {
                connection.handle(IkeSaEvent::Expired { ike_sa }, step);
            }),
            _ => {}
        }
        Some(owner)
    }

    /// An authenticated message of the gateway's came.
    fn heard(&mut self, ike_sa: u32, now: Now) {
        let Some((owner, record)) = self.record(ike_sa) else {
            return;
        };
        if let Some(up) = record.up_mut() {
            up.liveness.heard(now.monotonic);
            self.set_deadlines(&owner);
        }
    }

    /// The record of an IKE_SA that is known, and the connection that it belongs to.
    fn record(&mut self, ike_sa: u32) -> Option<(String, &mut IkeSaRecord)> {
        let owner = self.ike_sas.get(&ike_sa)?;
        let connection = self.connections.get_mut(owner)?;
        let record = connection.common.ike_sas.get_mut(&ike_sa)?;
        Some((owner.clone(), record))
    }

    /// As [`Self::record`], made at the first sight of the IKE_SA; None if it is not one that we initiated
    /// for a known connection.
    fn track(&mut self, ike_sa: &IkeSa) -> Option<(String, &mut IkeSaRecord)> {
        if !self.ike_sas.contains_key(&ike_sa.id) {
            let target = self.names.get(&ike_sa.name).filter(|_| ike_sa.initiator)?;
            let connection = self.connections.get_mut(&target.connection)?;
            let gateway = match &target.clone_for {
                Some(gateway) => gateway.clone(),
                None => connection.gateway_at(ike_sa.remote)?,
            };
            let record = IkeSaRecord::new(&ike_sa.name, gateway);
            connection.common.ike_sas.insert(ike_sa.id, record);
            self.ike_sas.insert(ike_sa.id, target.connection.clone());
        }
        let (owner, record) = self.record(ike_sa.id)?;
        record.remote = ike_sa.remote.or(record.remote);
        Some((owner, record))
    }

    /// The connection that an IKE_SA belongs to, by its id or its name.
    fn connection_of(&self, ike_sa: u32, name: &str) -> Option<String> {
        let by_name = || self.names.get(name).map(|target| &target.connection);
        self.ike_sas.get(&ike_sa).or_else(by_name).cloned()
    }

    fn of_connection(&self, ike_sa: u32, mut tunnel: Tunnel) -> Tunnel {
        tunnel.connection = self.connection_of(ike_sa, &tunnel.ike_sa_name);
        tunnel
    }
}
