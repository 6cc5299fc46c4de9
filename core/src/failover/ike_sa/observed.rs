// SPDX-License-Identifier: GPL-2.0-or-later

//! What charon reported of an IKE_SA that decides what its end means.

use crate::domain::reason::Reason;
use crate::failover::evidence::{Alert, IkeSa, IkeSaState, Task, Tasks};

/// What was observed of an IKE_SA before its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::failover) struct Observed {
    pub(super) alert: Option<Alert>,
    pub(super) refused: bool,
    pub(super) deleted_by: Option<Party>,
    pub(super) superseded: bool,
    pub(super) took_over: bool,
    down: bool,
}

/// One of the two peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Party {
    Us,
    Peer,
}

impl Observed {
    /// An alert was raised for it.
    pub fn alert(&mut self, alert: Alert) {
        if matches!(alert, Alert::KeepOnChildSaFailure | Alert::IkeSaExpired) {
            // Not about its gateway, or acted on at once.
            return;
        }
        // PEER_INIT_UNREACHABLE follows the timeout and is the more exact of both.
        self.alert = Some(alert);
    }

    /// It is up, or tried again: what went wrong on the way does not count any more.
    pub fn recovered(&mut self) {
        self.alert = None;
        self.refused = false;
        self.down = false;
    }

    /// What charon lacks of its own credentials cannot be had from another gateway: unlike a refusal
    /// by the peer, it is not reported down.
    pub fn lacks_credentials(&self) -> bool {
        self.alert == Some(Alert::LocalAuthFailed) && !self.refused
    }

    /// It was reported down. Before it ever was up, only a message of the peer's leads to that.
    pub fn down(&mut self, ike_sa: &IkeSa) {
        self.refused |= ike_sa.state == IkeSaState::Connecting;
        self.down = true;
    }

    /// Whether it was reported down: what happens to its CHILD_SAs from then on is a consequence.
    pub fn is_down(&self) -> bool {
        self.down
    }

    /// It is being deleted: by whom, its task queues tell.
    pub fn deleting(&mut self, ike_sa: &IkeSa) {
        // Of two simultaneous deletions the first counts.
        if matches!(ike_sa.state, IkeSaState::Rekeyed | IkeSaState::Deleting) {
            return;
        }
        self.deleted_by = Some(deleted_by(&ike_sa.tasks));
    }

    /// Whether charon has told that it is being deleted.
    pub fn is_being_deleted(&self) -> bool {
        self.deleted_by.is_some()
    }

    /// Whether it is being deleted by us.
    pub fn is_deleted_by_us(&self) -> bool {
        self.deleted_by == Some(Party::Us)
    }

    /// Whether its gateway deletes it.
    pub fn is_deleted_by_peer(&self) -> bool {
        self.deleted_by == Some(Party::Peer)
    }

    /// It has the CHILD_SAs of another one, in whose place it comes up: a tunnel that was up depends on it.
    pub fn takes_over(&mut self) {
        self.took_over = true;
    }

    /// Whether another IKE_SA has taken its place.
    pub fn is_superseded(&self) -> bool {
        self.superseded
    }

    /// Another IKE_SA has taken its place: by rekeying, or because charon itself replaced it.
    pub fn superseded(&mut self) {
        self.superseded = true;
    }

    /// Why the gateway failed, as charon goes on with another IKE_SA before this one has ended.
    pub fn reason_to_go_on(&self, was_up: bool) -> Reason {
        match self.deleted_by {
            Some(Party::Peer) => Reason::PeerDeleted,
            _ if was_up || self.took_over => Reason::DpdTimeout,
            _ => Reason::PeerUnreachable,
        }
    }
}

fn deleted_by(tasks: &Tasks) -> Party {
    let by_peer =
        tasks.passive.contains(&Task::IkeDelete) || tasks.passive.contains(&Task::Informational);
    // Not a rekeying: while our request for one is not answered, the peer's deletion is one of its own
    // (sa/ikev2/tasks/ike_delete.c, process_r).
    let by_us = tasks.active.iter().any(|task| {
        matches!(
            task,
            Task::IkeDelete | Task::IkeReauth | Task::IkeVerifyPeerCert | Task::IsakmpDelete
        )
    });
    if by_peer && !by_us {
        Party::Peer
    } else {
        Party::Us
    }
}
