// SPDX-License-Identifier: GPL-2.0-or-later

//! What charon reports in each situation, in its order (libcharon sa/ike_sa.c, sa/ikev1/, sa/ikev2/).

use std::net::IpAddr;

use extsock_core::failover::event::Tunnel;
use extsock_core::failover::evidence::{
    Alert, ChildChange, ChildEnd, ChildOrigin, Evidence, IkeSa, IkeSaState, IkeSpis, Task, Tasks,
};

use crate::Charon;

/// Who deletes an IKE_SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletedBy {
    /// We do.
    Us,
    /// The peer does.
    Peer,
}

/// An IKE_SA changes its state. This is reported with the IKE_SA as it was before.
pub fn moves(charon: &mut impl Charon, id: u32, to: IkeSaState) {
    let ike_sa = charon.ike_sas().known_mut(id);
    let before = ike_sa.seen.clone();
    ike_sa.seen.state = to;
    match to {
        IkeSaState::Established => ike_sa.seen.tasks = Tasks::default(),
        IkeSaState::Destroying => drop(charon.ike_sas().remove(id)),
        _ => {}
    }
    charon.report(Evidence::State { ike_sa: before, to });
}

/// charon raises an alert.
pub fn alerts(charon: &mut impl Charon, id: u32, alert: Alert) {
    let ike_sa = seen(charon, id);
    charon.report(Evidence::Alert { ike_sa, alert });
}

/// An IKE_SA is reported down, and each of its CHILD_SAs with it.
pub fn goes_down(charon: &mut impl Charon, id: u32) {
    let ike_sa = seen(charon, id);
    charon.report(Evidence::IkeUpdown { ike_sa, up: false });
    for child in charon.ike_sas().known(id).children.clone() {
        let change = ChildChange::Down(ChildEnd::Local);
        child_changed(charon, id, &child, change);
    }
}

/// A CHILD_SA comes up that was asked for.
pub fn child_up(charon: &mut impl Charon, id: u32, child: &str) {
    child_changed(charon, id, child, ChildChange::Up(ChildOrigin::Local));
}

/// A CHILD_SA is reported up or down.
pub fn child_changed(charon: &mut impl Charon, id: u32, child: &str, change: ChildChange) {
    let ike_sa = charon.ike_sas().known_mut(id);
    ike_sa.children.retain(|known| known != child);
    if matches!(change, ChildChange::Up(_)) {
        ike_sa.children.push(child.into());
    }
    let tunnel = tunnel(&ike_sa.seen, child);
    charon.report(Evidence::ChildUpdown {
        ike_sa: id,
        tunnel,
        change,
        more: false,
    });
}

/// charon begins with an IKE_SA; its id.
pub fn connects(charon: &mut impl Charon, ike_sa: IkeSa) -> u32 {
    let id = charon.ike_sas().add(ike_sa);
    moves(charon, id, IkeSaState::Connecting);
    id
}

/// An IKE_SA is established.
pub fn establishes(charon: &mut impl Charon, id: u32) {
    moves(charon, id, IkeSaState::Established);
    let ike_sa = seen(charon, id);
    charon.report(Evidence::IkeUpdown { ike_sa, up: true });
}

/// A gateway does not answer, and charon does not try again (keyingtries 1).
pub fn unreachable(charon: &mut impl Charon, id: u32) {
    alerts(charon, id, Alert::RetransmitSendTimeout);
    alerts(charon, id, Alert::PeerInitUnreachable);
    moves(charon, id, IkeSaState::Destroying);
}

/// A message of the gateway ends the attempt.
pub fn refused(charon: &mut impl Charon, id: u32, alert: Option<Alert>) {
    if let Some(alert) = alert {
        alerts(charon, id, alert);
    }
    ends(charon, id);
}

/// An IKE_SA goes down and is destroyed.
pub fn ends(charon: &mut impl Charon, id: u32) {
    goes_down(charon, id);
    moves(charon, id, IkeSaState::Destroying);
}

/// An IKE_SA begins to be deleted.
pub fn begins_deleting(charon: &mut impl Charon, id: u32, by: DeletedBy) {
    let ike_sa = charon.ike_sas().known_mut(id);
    ike_sa.round += 1;
    let tasks = &mut ike_sa.seen.tasks;
    match by {
        DeletedBy::Us => tasks.active = vec![Task::IkeDelete],
        DeletedBy::Peer => tasks.passive = vec![Task::IkeDelete],
    }
    moves(charon, id, IkeSaState::Deleting);
}

/// charon begins to rekey an IKE_SA; the id of the new one.
pub fn begins_rekeying(charon: &mut impl Charon, old: u32) -> u32 {
    let ike_sa = &mut charon.ike_sas().known_mut(old).seen;
    ike_sa.state = IkeSaState::Rekeying;
    let successor = IkeSa {
        state: IkeSaState::Created,
        tasks: Tasks::default(),
        ..ike_sa.clone()
    };
    let new = charon.ike_sas().add(successor);
    charon.ike_sas().known_mut(new).rekeyed = true;
    moves(charon, new, IkeSaState::Connecting);
    new
}

/// charon rekeys an IKE_SA; the id of the new one.
pub fn rekeys(charon: &mut impl Charon, old: u32) -> u32 {
    let new = begins_rekeying(charon, old);
    moves(charon, new, IkeSaState::Established);
    hands_over_children(charon, old, new);
    let (old_sa, new_sa) = (seen(charon, old), seen(charon, new));
    charon.report(Evidence::IkeRekey {
        old: old_sa,
        new: new_sa,
        old_spis: IkeSpis::default(),
        new_spis: IkeSpis::default(),
    });
    moves(charon, old, IkeSaState::Rekeyed);
    charon.ike_sas().known_mut(old).seen.tasks.active = vec![Task::IkeRekey];
    moves(charon, old, IkeSaState::Deleting);
    moves(charon, old, IkeSaState::Destroying);
    new
}

/// The CHILD_SAs of an IKEv1 SA move to another one, or to itself under another SPI.
pub fn migrates(charon: &mut impl Charon, old: u32, new: u32) {
    hands_over_children(charon, old, new);
    charon.report(Evidence::Migrated { old, new });
}

fn hands_over_children(charon: &mut impl Charon, old: u32, new: u32) {
    let children = std::mem::take(&mut charon.ike_sas().known_mut(old).children);
    charon.ike_sas().known_mut(new).children.extend(children);
}

/// charon tries an IKE_SA again that was not answered (keyingtries), led to the gateway at that address.
pub fn tries_again(charon: &mut impl Charon, id: u32, remote: Option<IpAddr>) {
    alerts(charon, id, Alert::PeerInitUnreachable);
    let ike_sa = charon.ike_sas().known_mut(id);
    ike_sa.round += 1;
    ike_sa.seen.remote = remote;
    ike_sa.seen.state = IkeSaState::Created;
    moves(charon, id, IkeSaState::Connecting);
}

/// charon is led to another gateway, with an IKE_SA that it tries again or makes in place of another one.
pub fn steered(charon: &mut impl Charon, id: u32, replaces: Option<u32>, gateway: &str) {
    let ike_sa = seen(charon, id);
    charon.report(Evidence::Steered {
        ike_sa,
        replaces,
        gateway: gateway.into(),
    });
}

/// charon is about to make an IKE_SA in place of another one; its id.
pub fn reestablishing(charon: &mut impl Charon, old: u32, new: IkeSa) -> u32 {
    let id = charon.ike_sas().add(new);
    let new = seen(charon, id);
    charon.report(Evidence::Reestablishing { old, new });
    id
}

/// charon has begun with what it makes in place of an IKE_SA, and ends that one.
pub fn reestablished(charon: &mut impl Charon, old: u32) {
    charon.report(Evidence::Reestablished { old });
    ends(charon, old);
}

fn seen(charon: &mut impl Charon, id: u32) -> IkeSa {
    charon.ike_sas().known(id).seen.clone()
}

fn tunnel(ike_sa: &IkeSa, child: &str) -> Tunnel {
    Tunnel {
        ike_sa_name: ike_sa.name.clone(),
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
