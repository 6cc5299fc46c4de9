// SPDX-License-Identifier: GPL-2.0-or-later

//! What charon does with its IKE_SAs, and which attempt or connection that concerns.

use std::time::Duration;

use super::{FailoverManager, Orphan, Step};
use crate::domain::address::AddressList;
use crate::domain::reason::Reason;
use crate::error::ErrorCode;
use crate::failover::action::Settings;
use crate::failover::connection::{Attempt, Phase, Sa, State};
use crate::failover::event::{Event, Tunnel};
use crate::failover::evidence::{Alert, IkeSa, IkeSaState, IkeSpis};
use crate::failover::verdict::verdict;

impl FailoverManager {
    pub(super) fn state_changed(&mut self, ike_sa: &IkeSa, to: IkeSaState, step: &mut Step) {
        if let Some(orphan) = self.orphans.get_mut(&ike_sa.id) {
            match to {
                IkeSaState::Established if orphan.sa.phase == Phase::Connecting => {
                    orphan.sa.phase = Phase::Up;
                }
                IkeSaState::Deleting => {
                    orphan.sa.seen.deleting(ike_sa);
                    orphan.sa.phase = Phase::Closing;
                }
                IkeSaState::Destroying => {
                    self.drop_orphan(ike_sa.id);
                }
                _ => {}
            }
            return;
        }
        match to {
            IkeSaState::Connecting => self.connecting(ike_sa, step),
            IkeSaState::Established => {
                let Some(sa) = self.track(ike_sa, step) else {
                    return;
                };
                sa.seen.recovered();
                sa.heard = step.now.monotonic;
                let (phase, cloned) = (sa.phase, sa.cloned);
                if phase == Phase::Connecting {
                    sa.phase = Phase::Up;
                    sa.up_since = step.now.monotonic;
                }
                let owner = self.ike_sas[&ike_sa.id].clone();
                if cloned {
                    // It may not have been found before.
                    self.adopt(&owner, ike_sa.id, step);
                }
                match phase {
                    Phase::Connecting => self.settle(&owner, ike_sa.id, step),
                    // Given up, and come up all the same.
                    Phase::Closing => step.delete(&owner, ike_sa.id),
                    Phase::Successor | Phase::Up => {}
                }
            }
            IkeSaState::Deleting => {
                if let Some(sa) = self.sa(ike_sa.id) {
                    sa.seen.deleting(ike_sa);
                    sa.phase = Phase::Closing;
                    if sa.seen.is_deleted_by_us() {
                        let owner = self.ike_sas[&ike_sa.id].clone();
                        self.hand_over(&owner, ike_sa.id, step);
                    }
                }
            }
            IkeSaState::Destroying => self.handle_connection_failure(ike_sa, step),
            IkeSaState::Created
            | IkeSaState::Passive
            | IkeSaState::Rekeying
            | IkeSaState::Rekeyed => {}
        }
        if let Some(owner) = self.ike_sas.get(&ike_sa.id).cloned() {
            self.conclude_step(&owner, step);
        }
    }

    pub(super) fn connecting(&mut self, ike_sa: &IkeSa, step: &mut Step) {
        let known = self.ike_sas.contains_key(&ike_sa.id);
        if !known {
            if self.follow_orphan(ike_sa, step) {
                return;
            }
            self.take_in(ike_sa, step);
        }
        let Some(sa) = self.track(ike_sa, step) else {
            return;
        };
        if !known && ike_sa.tasks.is_empty() {
            // Only an IKE_SA that the rekeying of another one makes has nothing to do by itself.
            sa.phase = Phase::Successor;
            return;
        }
        sa.created = false;
        if sa.phase != Phase::Connecting {
            return;
        }
        // Another try of the same IKE_SA.
        sa.seen.recovered();
        if known {
            return;
        }
        let gateway = sa.gateway.clone();
        let owner = self.ike_sas[&ike_sa.id].clone();
        if ike_sa.name != owner {
            self.adopt(&owner, ike_sa.id, step);
        }
        self.attribute(&owner, ike_sa, gateway, step);
    }

    /// Whether the new IKE_SA replaces one whose connection was removed.
    pub(super) fn follow_orphan(&mut self, ike_sa: &IkeSa, step: &mut Step) -> bool {
        if self.names.get(&ike_sa.name).is_some() || !self.names.is_orphaned(&ike_sa.name) {
            return false;
        }
        let connection = self
            .orphans
            .values()
            .find(|orphan| orphan.names().any(|name| name == ike_sa.name))
            .map(|orphan| orphan.connection.clone());
        let Some(connection) = connection else {
            return false;
        };
        let gateway = ike_sa.remote.map_or_else(String::new, |ip| ip.to_string());
        let mut sa = Sa::new(&ike_sa.name, gateway, step.now.monotonic);
        if ike_sa.tasks.is_empty() {
            sa.phase = Phase::Successor;
        }
        self.orphaned(ike_sa.id, &connection, sa);
        true
    }

    /// The IKE_SA lives on without its connection.
    pub(super) fn orphaned(&mut self, ike_sa: u32, connection: &str, sa: Sa) {
        let connection = connection.to_owned();
        let orphan = Orphan { connection, sa };
        for name in orphan.names() {
            self.names.orphaned(&name);
        }
        self.drop_orphan(ike_sa);
        self.orphans.insert(ike_sa, orphan);
    }

    /// It is gone, or its connection is loaded again.
    pub(super) fn drop_orphan(&mut self, ike_sa: u32) -> Option<Orphan> {
        let orphan = self.orphans.remove(&ike_sa)?;
        for name in orphan.names() {
            self.names.orphan_gone(&name);
        }
        Some(orphan)
    }

    /// Takes in a connection that others loaded, when charon initiates it.
    pub(super) fn take_in(&mut self, ike_sa: &IkeSa, step: &mut Step) {
        let Some(policy) = self.options.foreign else {
            return;
        };
        let known = self.names.get(&ike_sa.name);
        let foreign = known.is_none_or(|target| {
            self.connections
                .get(&target.connection)
                .is_some_and(|connection| connection.foreign)
        });
        if !ike_sa.initiator || !foreign {
            return;
        }
        let gateways = AddressList::parse(&ike_sa.remote_addrs);
        let same = known.is_some_and(|target| {
            target.clone_for.is_some()
                || self
                    .connections
                    .get(&target.connection)
                    .is_some_and(|connection| *connection.gateways.list() == gateways)
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

    /// What the connection's new IKE_SA, which is connecting, is for.
    pub(super) fn attribute(
        &mut self,
        name: &str,
        ike_sa: &IkeSa,
        gateway: String,
        step: &mut Step,
    ) {
        let connection = self.connection(name);
        let cloned = ike_sa.name != name;
        let switch = connection.switch.as_mut().filter(|attempt| {
            attempt.ike_sa.is_none() && attempt.gateway == gateway && attempt.own.is_some()
        });
        if let Some(attempt) = switch {
            attempt.ike_sa = Some(ike_sa.id);
            return;
        }
        match &mut connection.state {
            State::Connecting(attempt) => {
                // With the connection's own configuration, charon takes the first address that resolves.
                let ours = attempt.gateway == gateway || !cloned && attempt.own == Some(true);
                if attempt.ike_sa.is_none() && ours {
                    attempt.ike_sa = Some(ike_sa.id);
                    attempt.gateway.clone_from(&gateway);
                    connection.active = Some(gateway.clone());
                    connection.gateways.trying(&gateway);
                } else {
                    // A second one, of a trap or an operator, does not compete with the attempt.
                    connection.give_up(Some(ike_sa.id));
                    step.abandon_ike_sa(name, &gateway, Some(ike_sa.id));
                }
                return;
            }
            State::Established(_) => return,
            // charon, or an operator by other means, initiates it.
            State::Waiting { .. } | State::Queued { .. } | State::Checking(_) => {}
            // Of an attempt that was terminated before charon told of it.
            State::Down if connection.terminating => return,
            State::Down | State::Exhausted => connection.afresh(step.now),
        }
        self.connecting_to(name, gateway, ike_sa.id, step);
    }

    pub(super) fn adopt(&mut self, name: &str, ike_sa: u32, step: &mut Step) {
        if let Some(sa) = self.sa(ike_sa) {
            name.clone_into(&mut sa.name);
            sa.cloned = true;
        }
        step.adopt(name, ike_sa);
    }

    pub(super) fn tell_rekeyed(
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
            connection: self.connection_of(old),
            old_uniqueid: old.id,
            new_uniqueid: new.id,
            old_initiator_spi: hex(old_spis.initiator),
            old_responder_spi: hex(old_spis.responder),
            new_initiator_spi: hex(new_spis.initiator),
            new_responder_spi: hex(new_spis.responder),
        });
    }

    pub(super) fn rekeyed(&mut self, old: &IkeSa, new: &IkeSa, step: &mut Step) {
        if let Some(orphan) = self.orphans.get_mut(&old.id) {
            orphan.sa.seen.superseded();
            let connection = orphan.connection.clone();
            let mut sa = Sa::new(&new.name, orphan.sa.gateway.clone(), step.now.monotonic);
            sa.children = std::mem::take(&mut orphan.sa.children);
            sa.phase = std::mem::replace(&mut orphan.sa.phase, Phase::Closing);
            self.orphaned(new.id, &connection, sa);
            return;
        }
        let Some((gateway, children, given_up)) = self.sa(old.id).map(|sa| {
            sa.seen.superseded();
            let given_up = std::mem::replace(&mut sa.phase, Phase::Closing) == Phase::Closing;
            (
                sa.gateway.clone(),
                std::mem::take(&mut sa.children),
                given_up,
            )
        }) else {
            return;
        };
        let Some(sa) = self.track(new, step) else {
            return;
        };
        sa.phase = Phase::Up;
        sa.gateway = gateway;
        sa.children = children;
        let owner = self.ike_sas[&new.id].clone();
        if let Some(connection) = self.connections.get_mut(&owner) {
            if given_up {
                // Decided before charon told of it.
                connection.give_up(Some(new.id));
                step.delete(&owner, new.id);
            } else if connection.state == State::Established(old.id) {
                connection.state = State::Established(new.id);
            }
        }
        self.conclude_step(&owner, step);
    }

    /// Its CHILD_SAs make an IKE_SA the connection's.
    pub(super) fn migrated(&mut self, old: u32, new: u32, step: &mut Step) {
        if let Some(orphan) = self.orphans.get_mut(&old) {
            if !orphan.sa.seen.is_superseded() {
                orphan.sa.seen.superseded();
                let connection = orphan.connection.clone();
                let gateway = orphan.sa.gateway.clone();
                let sa = Sa::new(&orphan.sa.name, gateway, step.now.monotonic);
                self.orphaned(new, &connection, sa);
            }
            return;
        }
        let Some(name) = self.ike_sas.get(&old).cloned() else {
            return;
        };
        let connection = self.connection(&name);
        let Some(sa) = connection.ike_sas.get_mut(&old) else {
            return;
        };
        // Told by reauthentication, and again by the uniqueness policy; also where nothing moves.
        let told = sa.seen.is_superseded();
        let nothing = sa.children.is_empty() && !self.ike_sas.contains_key(&new);
        let connection = self.connection(&name);
        let Some(sa) = connection
            .ike_sas
            .get_mut(&old)
            .filter(|_| !told && !nothing)
        else {
            return;
        };
        sa.seen.superseded();
        let given_up = std::mem::replace(&mut sa.phase, Phase::Closing) == Phase::Closing;
        let children = std::mem::take(&mut sa.children);
        let gateway = sa.gateway.clone();
        let mut successor = Sa::new(&sa.name, gateway.clone(), step.now.monotonic);
        successor.remote = sa.remote;
        let successor = connection.ike_sas.entry(new).or_insert(successor);
        successor.children.extend(children);
        successor.seen.takes_over();
        let up = successor.phase == Phase::Up;
        let current = match &connection.state {
            State::Established(id) => *id == old,
            State::Connecting(attempt) => attempt.ike_sa == Some(old),
            _ => false,
        };
        if given_up {
            connection.give_up(Some(new));
            step.delete(&name, new);
        } else if current && up {
            connection.state = State::Established(new);
        } else if current {
            self.connecting_to(&name, gateway, new, step);
        }
        self.ike_sas.insert(new, name.clone());
        self.conclude_step(&name, step);
    }

    /// It may be up already, and never have been told of: the peer initiated it.
    pub(super) fn took_over(&mut self, ike_sa: &IkeSa, step: &mut Step) {
        let established = ike_sa.state == IkeSaState::Established;
        if let Some(orphan) = self.orphans.get_mut(&ike_sa.id) {
            if established && orphan.sa.phase == Phase::Connecting {
                orphan.sa.phase = Phase::Up;
            }
            return;
        }
        let Some(sa) = self.sa(ike_sa.id) else { return };
        if established && sa.phase == Phase::Connecting {
            sa.phase = Phase::Up;
            sa.up_since = step.now.monotonic;
            let owner = self.ike_sas[&ike_sa.id].clone();
            self.settle(&owner, ike_sa.id, step);
            self.conclude_step(&owner, step);
        }
    }

    pub(super) fn ike_updown(&mut self, ike_sa: &IkeSa, up: bool, step: &mut Step) {
        let connection = self.connection_of(ike_sa);
        if let Some(sa) = self.sa(ike_sa.id).filter(|_| !up) {
            sa.seen.down(ike_sa);
            sa.down = true;
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
    }

    pub(super) fn child_updown(&mut self, id: u32, tunnel: Tunnel, up: bool, step: &mut Step) {
        let child = tunnel.child_sa_name.clone();
        if let Some(owner) = self.ike_sas.get(&id).cloned() {
            let connection = self.connections.get_mut(&owner).expect("an owner exists");
            let sa = connection
                .ike_sas
                .get_mut(&id)
                .expect("the index is kept with the table");
            let lives_on = !sa.down && sa.phase != Phase::Closing;
            if up {
                sa.children.insert(child.clone());
                connection.want(&child);
                if connection.needs_child() && connection.state == State::Established(id) {
                    self.recovered(&owner, id, step);
                }
            } else if lives_on {
                // Closed by itself: not to be brought back with the IKE_SA.
                sa.children.remove(&child);
                sa.closed.retain(|(closed, _)| *closed != child);
                sa.closed.push((child.clone(), step.now.monotonic));
                connection.wanted.retain(|wanted| *wanted != child);
            }
        }
        let tunnel = self.with_connection(id, tunnel);
        step.publish(if up {
            Event::TunnelUp(tunnel)
        } else {
            Event::TunnelDown(tunnel)
        });
    }

    pub(super) fn alerted(&mut self, ike_sa: &IkeSa, alert: Alert, step: &mut Step) {
        if alert == Alert::PeerAddrFailed && ike_sa.state != IkeSaState::Created {
            // Of the one that was to replace it, on whose behalf the thread has it.
            return;
        }
        if alert == Alert::PeerAddrFailed && !self.ike_sas.contains_key(&ike_sa.id) {
            // It ends without ever having been told of.
            self.take_in(ike_sa, step);
        }
        let Some(sa) = self.track(ike_sa, step) else {
            return;
        };
        sa.seen.alert(alert);
        let owner = self.ike_sas[&ike_sa.id].clone();
        match alert {
            Alert::KeepOnChildSaFailure if !ike_sa.tasks.more_children() => {
                self.child_failed(&owner, ike_sa.id, step);
                self.complete_children(ike_sa.id, step);
            }
            // It would not tell of its gateway when it ends, and its deletion may not be answered.
            Alert::IkeSaExpired => self.discard(&owner, ike_sa.id, Reason::IkeSaExpired, step),
            _ => return,
        }
        self.conclude_step(&owner, step);
    }

    /// charon is done with the CHILD_SAs that it makes by itself in place of others: the rest of what
    /// is wanted.
    pub(super) fn complete_children(&mut self, ike_sa: u32, step: &mut Step) {
        let Some(sa) = self
            .sa(ike_sa)
            .filter(|sa| sa.replacement && sa.phase == Phase::Up)
        else {
            return;
        };
        sa.replacement = false;
        let present = sa.children.clone();
        let name = self.ike_sas[&ike_sa].clone();
        let wanted = self.connection(&name).wanted.iter();
        let missing: Vec<String> = wanted
            .filter(|child| !present.contains(*child))
            .cloned()
            .collect();
        if !missing.is_empty() {
            step.initiate_children(&name, ike_sa, missing);
        }
    }

    /// A CHILD_SA did not come up. Without any, the IKE_SA may be of no use.
    pub(super) fn child_failed(&mut self, name: &str, ike_sa: u32, step: &mut Step) {
        let Some(sa) = self.sa(ike_sa) else { return };
        let bare = sa.phase == Phase::Up && sa.children.is_empty();
        let connection = self.connection(name);
        let current = connection.state == State::Established(ike_sa);
        if bare && current && connection.policy.on_child_failure {
            step.delete(name, ike_sa);
            self.discard(name, ike_sa, Reason::ChildFailed, step);
        }
    }

    /// The IKE_SA is up, but is not to carry the connection any more.
    fn discard(&mut self, name: &str, ike_sa: u32, reason: Reason, step: &mut Step) {
        let Some(sa) = self.sa(ike_sa) else { return };
        let (gateway, remote) = (sa.gateway.clone(), sa.remote);
        let connection = self.connection(name);
        if connection.state != State::Established(ike_sa) {
            return;
        }
        connection.give_up(Some(ike_sa));
        connection.gateways.failed_at(&gateway, remote);
        self.lost(name, &gateway, reason, step);
    }

    /// An IKE_SA ends. Whether its gateway failed, [`verdict`] tells.
    pub(super) fn handle_connection_failure(&mut self, ike_sa: &IkeSa, step: &mut Step) {
        // An IKE_SA whose peer's name does not resolve ends without ever having been told of.
        self.track(ike_sa, step);
        let Some(name) = self.ike_sas.remove(&ike_sa.id) else {
            return;
        };
        let connection = self.connections.get_mut(&name).expect("an owner exists");
        let sa = connection
            .ike_sas
            .remove(&ike_sa.id)
            .expect("the index is kept with the table");
        step.unsteer(&name, ike_sa.id);
        let unresolved = ike_sa.state == IkeSaState::Created;
        let is_of = |attempt: &Attempt| match attempt.ike_sa {
            Some(id) => id == ike_sa.id,
            None => unresolved && attempt.gateway == sa.gateway,
        };
        let switching = connection.switch.as_ref().is_some_and(is_of);
        let ours = match &connection.state {
            State::Connecting(attempt) => is_of(attempt),
            State::Established(id) => *id == ike_sa.id,
            State::Down | State::Exhausted => unresolved,
            State::Waiting { .. } | State::Queued { .. } | State::Checking(_) => false,
        };
        // charon could not begin with what was to replace another one.
        let begun = || sa.created.then_some(Reason::InitiateFailed);
        let reason = verdict(&sa.seen, ike_sa).or_else(begun);
        if reason.is_some() {
            connection.gateways.failed_at(&sa.gateway, sa.remote);
        }
        let unexplained = reason.is_none() && !sa.seen.lacks_credentials();
        let pending = connection
            .attempts()
            .find(|attempt| attempt.ike_sa == Some(ike_sa.id) && attempt.pending && unexplained);
        if let Some(attempt) = pending {
            // Whether charon refused to begin is about to be reported; what is yet to be begun will be.
            attempt.ike_sa = None;
            attempt.ended = attempt.own.is_some();
            self.conclude_step(&name, step);
            return;
        }
        if sa.seen.lacks_credentials() && !self.shutting_down {
            step.report(
                &name,
                ErrorCode::InvalidParameter,
                format!(
                    "no credentials of our own for gateway {}, which another gateway cannot change",
                    sa.gateway
                ),
            );
        }
        if self.shutting_down {
            // Nothing follows any more.
        } else if switching {
            self.switch_failed(&name, reason.unwrap_or(Reason::Operator), step);
        } else if ours {
            match reason {
                Some(reason) => self.failed_with(&name, ike_sa, &sa, reason, step),
                None if self.connection(&name).state == State::Exhausted => {}
                None => self.ended(&name, step),
            }
        }
        self.repeat_joined(&name, step);
        self.conclude_step(&name, step);
    }

    /// The IKE_SA that carried the connection, or was to, ended because its gateway failed.
    fn failed_with(
        &mut self,
        name: &str,
        ike_sa: &IkeSa,
        sa: &Sa,
        reason: Reason,
        step: &mut Step,
    ) {
        let connection = self.connection(name);
        if reason == Reason::PeerDeleted && sa.children.is_empty() {
            for child in closed_with_the_ike_sa(sa, step.now.monotonic) {
                connection.want(child);
            }
        }
        if matches!(connection.state, State::Down | State::Exhausted) {
            // charon, or an operator by other means, initiated it.
            connection.afresh(step.now);
        }
        let first = connection.gateways.first().filter(|_| {
            let tried = connection.gateways.list().is_first_entry(&sa.gateway);
            reason == Reason::AddressUnresolvable && ike_sa.name == name && !tried
        });
        match first {
            // charon took an entry before it that cannot be initiated to.
            Some(first) => self.start_attempt(name, first, step),
            None => self.lost(name, &sa.gateway, reason, step),
        }
    }

    /// The record of an IKE_SA, made at its first sight; None if it is not one that we initiated
    /// for a known connection.
    pub(super) fn track(&mut self, ike_sa: &IkeSa, step: &mut Step) -> Option<&mut Sa> {
        if !self.ike_sas.contains_key(&ike_sa.id) {
            let target = self.names.get(&ike_sa.name).filter(|_| ike_sa.initiator)?;
            let connection = self.connections.get_mut(&target.connection)?;
            let gateway = match &target.clone_for {
                Some(gateway) => gateway.clone(),
                None => connection.gateway_at(ike_sa.remote)?,
            };
            let sa = Sa::new(&ike_sa.name, gateway, step.now.monotonic);
            connection.ike_sas.insert(ike_sa.id, sa);
            self.ike_sas.insert(ike_sa.id, target.connection.clone());
        }
        let sa = self.sa(ike_sa.id)?;
        sa.remote = ike_sa.remote.or(sa.remote);
        Some(sa)
    }
}

/// An IKEv1 peer that shuts down deletes the CHILD_SAs before the IKE_SA.
fn closed_with_the_ike_sa(sa: &Sa, now: Duration) -> impl Iterator<Item = &str> {
    const SHUTDOWN: Duration = Duration::from_secs(5);

    let lately = move |at: Duration| now.saturating_sub(at) < SHUTDOWN;
    sa.closed
        .iter()
        .filter(move |(_, at)| lately(*at))
        .map(|(child, _)| child.as_str())
}
