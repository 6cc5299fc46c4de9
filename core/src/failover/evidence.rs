// SPDX-License-Identifier: GPL-2.0-or-later

//! What charon's listener hooks tell, as plain data. It can be recorded, and replayed in tests.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::failover::event::Tunnel;

/// One observation.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub enum Evidence {
    /// The IKE_SA, still in its previous state, goes into another (`ike_state_change`).
    State {
        /// The IKE_SA before the change.
        ike_sa: IkeSa,
        /// The state that it goes into.
        to: IkeSaState,
    },
    /// Something went wrong with the IKE_SA.
    Alert {
        /// The IKE_SA.
        ike_sa: IkeSa,
        /// What.
        alert: Alert,
    },
    /// The IKE_SA came up, or went down or did not come up (`ike_updown`).
    IkeUpdown {
        /// The IKE_SA.
        ike_sa: IkeSa,
        /// Whether it came up.
        up: bool,
    },
    /// The old IKE_SA was replaced by rekeying (`ike_rekey`).
    IkeRekey {
        /// The replaced IKE_SA.
        old: IkeSa,
        /// Its successor.
        new: IkeSa,
        /// The SPIs of the replaced IKE_SA.
        old_spis: IkeSpis,
        /// The SPIs of its successor.
        new_spis: IkeSpis,
    },
    /// The CHILD_SAs of an IKEv1 SA moved to the one that takes its place, whichever side initiated that
    /// (`children_migrate`).
    Migrated {
        /// Unique id of the replaced IKE_SA.
        old: u32,
        /// Unique id of its successor, of which nothing may have been told before.
        new: u32,
    },
    /// The IKE_SA has taken the CHILD_SAs over that moved to it.
    TookOver {
        /// The IKE_SA.
        ike_sa: IkeSa,
    },
    /// charon is about to make an IKE_SA in place of another one (`ike_reestablish_pre`): a reauthentication, a
    /// redirection, or as the gateway of the old one does not answer.
    Reestablishing {
        /// Unique id of the IKE_SA that is to be replaced.
        old: u32,
        /// The new one, of which nothing was told before.
        new: IkeSa,
    },
    /// charon itself initiated a replacement (`ike_reestablish_post`).
    Reestablished {
        /// Unique id of the replaced IKE_SA.
        old: u32,
    },
    /// charon goes on by itself and was led to another gateway, as was prepared: it tries the IKE_SA
    /// again (after a timeout for which no alert is raised), or replaces another one by it.
    Steered {
        /// The IKE_SA; a new one was not reported before.
        ike_sa: IkeSa,
        /// Unique id of the IKE_SA that it replaces.
        replaces: Option<u32>,
        /// The gateway.
        gateway: String,
    },
    /// The gateway tells how long an IKE_SA that it is about to establish may live until it authenticates again
    /// (AUTH_LIFETIME, RFC 4478).
    AuthLifetime {
        /// Unique id of the IKE_SA.
        ike_sa: u32,
        /// That time.
        lifetime: Duration,
        /// How long before its end charon begins to reauthenticate (`over_time`).
        over_time: Duration,
    },
    /// An authenticated message of the peer's came.
    Received {
        /// Unique id of the IKE_SA.
        ike_sa: u32,
    },
    /// A CHILD_SA came up or went down (`child_updown`).
    ChildUpdown {
        /// Unique id of its IKE_SA.
        ike_sa: u32,
        /// What there is to tell of it.
        tunnel: Tunnel,
        /// Which of both, and why.
        #[serde(rename = "up")]
        change: ChildChange,
        /// Whether more CHILD_SAs are to be made on the IKE_SA.
        more: bool,
    },
    /// A CHILD_SA was replaced by rekeying (`child_rekey`).
    ChildRekey {
        /// Unique id of its IKE_SA.
        ike_sa: u32,
        /// The replaced CHILD_SA.
        old: Box<Tunnel>,
        /// Its successor.
        new: Box<Tunnel>,
    },
    /// Addresses, interfaces or routes of this host changed (`roam` of charon's `kernel_listener_t`).
    NetworkChanged,
    /// The daemon shuts down (ALERT_SHUTDOWN_SIGNAL): nothing is a failure from here on.
    Shutdown,
}

/// What happened to a CHILD_SA.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(from = "RecordedChange")]
pub enum ChildChange {
    /// It came up.
    Up(ChildOrigin),
    /// It went down.
    Down(ChildEnd),
}

/// A change as recordings have it: those of before there were reasons only have whether it came up.
#[derive(Deserialize)]
#[serde(untagged)]
enum RecordedChange {
    Plain(bool),
    Change(Reasoned),
}

#[derive(Deserialize)]
enum Reasoned {
    Up(ChildOrigin),
    Down(ChildEnd),
}

impl From<RecordedChange> for ChildChange {
    fn from(recorded: RecordedChange) -> Self {
        match recorded {
            RecordedChange::Plain(true) => Self::Up(ChildOrigin::Local),
            RecordedChange::Plain(false) => Self::Down(ChildEnd::Local),
            RecordedChange::Change(Reasoned::Up(origin)) => Self::Up(origin),
            RecordedChange::Change(Reasoned::Down(end)) => Self::Down(end),
        }
    }
}

/// Who wanted a CHILD_SA.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildOrigin {
    /// A client, its start action, or others on this host.
    Local,
    /// Traffic that met its trap policy.
    Trap,
    /// The gateway, which initiated it.
    Gateway,
}

/// Why a CHILD_SA went down.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildEnd {
    /// It was closed on this host: by an operator, or for inactivity. Also if its IKE_SA goes down.
    Local,
    /// The gateway deleted it.
    Gateway,
    /// The gateway deleted it, and charon initiates it again (close_action start).
    Restarted,
    /// Its lifetime is over, and it was not rekeyed.
    Expired,
}

/// An IKE_SA as it was when it was looked at.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct IkeSa {
    /// charon's unique id, never used again for another.
    pub id: u32,
    /// The name of its configuration.
    pub name: String,
    /// The remote addresses of its configuration.
    pub remote_addrs: String,
    /// The peer's address, where it is known.
    pub remote: Option<IpAddr>,
    /// Whether we initiated it, or the IKE_SA that it replaced by rekeying.
    pub initiator: bool,
    /// Its state.
    pub state: IkeSaState,
    /// What it is busy with.
    pub tasks: Tasks,
}

/// The SPIs of an IKE_SA, for events.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IkeSpis {
    /// The initiator's, in host byte order.
    pub initiator: u64,
    /// The responder's.
    pub responder: u64,
}

/// charon's ike_sa_state_t (libcharon sa/ike_sa.h), with its numbers.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum IkeSaState {
    /// Just created.
    Created = 0,
    /// Initiating or responding.
    Connecting = 1,
    /// Up.
    Established = 2,
    /// Managed by another daemon (high availability).
    Passive = 3,
    /// Being rekeyed.
    Rekeying = 4,
    /// Replaced by rekeying.
    Rekeyed = 5,
    /// Being deleted.
    Deleting = 6,
    /// About to be freed.
    Destroying = 7,
}

impl IkeSaState {
    /// charon's number, as the events carry it.
    pub fn number(self) -> String {
        (self as u8).to_string()
    }
}

/// The alerts (libcharon bus/bus.h) that tell why an IKE_SA fails.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alert {
    /// A request was not answered after all retransmissions.
    RetransmitSendTimeout,
    /// The initiation was not answered; follows the former.
    PeerInitUnreachable,
    /// The peer's name does not resolve.
    PeerAddrFailed,
    /// The peer rejects our authentication.
    LocalAuthFailed,
    /// We reject the peer's authentication.
    PeerAuthFailed,
    /// No common IKE proposal.
    ProposalMismatchIke,
    /// The IKE_SA stays although its CHILD_SA failed.
    KeepOnChildSaFailure,
    /// Its lifetime is over without a successor, and it is about to be deleted.
    IkeSaExpired,
}

/// The task queues of an IKE_SA (libcharon sa/task_manager.h).
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Tasks {
    /// Of our exchange in flight.
    pub active: Vec<Task>,
    /// Of the peer's exchange.
    pub passive: Vec<Task>,
    /// Of our exchanges to come.
    pub queued: Vec<Task>,
}

impl Tasks {
    /// Whether CHILD_SAs are to be made after the one that is being made.
    pub fn more_children(&self) -> bool {
        self.queued.contains(&Task::ChildCreate)
    }

    /// Whether it does nothing and has nothing to do.
    pub fn is_empty(&self) -> bool {
        self.active.is_empty() && self.passive.is_empty() && self.queued.is_empty()
    }
}

/// The tasks (libcharon sa/task.h) that tell who ends an IKE_SA.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Delete the IKE_SA.
    IkeDelete,
    /// Reauthenticate, break-before-make.
    IkeReauth,
    /// Rekey.
    IkeRekey,
    /// MOBIKE, also as liveness check.
    IkeMobike,
    /// Verify the peer's certificate, which can end in a deletion.
    IkeVerifyPeerCert,
    /// Delete an IKEv1 SA.
    IsakmpDelete,
    /// An IKEv1 informational exchange.
    Informational,
    /// Make a CHILD_SA; IKEv1's quick mode.
    ChildCreate,
    /// Rekey a CHILD_SA.
    ChildRekey,
    /// Delete a CHILD_SA.
    ChildDelete,
    /// Anything else.
    Other,
}
