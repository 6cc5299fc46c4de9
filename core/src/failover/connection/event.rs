// SPDX-License-Identifier: GPL-2.0-or-later

//! What charon tells of the IKE_SAs of a connection, as its states see it.

use std::net::IpAddr;

use crate::domain::reason::Reason;
use crate::failover::ike_sa::IkeSaRecord;

/// What happened to one IKE_SA of a connection, given by its unique id.
#[derive(Debug)]
pub(in crate::failover) enum IkeSaEvent {
    /// charon initiates it, and has told nothing of it before; whether with a clone of the configuration.
    Connecting { ike_sa: u32, cloned: bool },
    /// It is up.
    Up { ike_sa: u32 },
    /// We are deleting it.
    Deleting { ike_sa: u32 },
    /// Another one has taken its place, by rekeying or as its CHILD_SAs moved.
    Replaced { old: u32, new: u32 },
    /// charon tries it again at the gateway that was prepared.
    LedOn(LedOn),
    /// charon replaces it by a new one at the gateway that was prepared.
    LedFrom(LedFrom),
    /// A CHILD_SA of it is up.
    ChildUp { ike_sa: u32 },
    /// A CHILD_SA of it failed, and charon makes no other one.
    ChildFailed { ike_sa: u32 },
    /// A CHILD_SA of it came up, and charon makes no other one.
    ChildrenDone { ike_sa: u32 },
    /// Its lifetime is over, and it has no successor.
    Expired { ike_sa: u32 },
    /// Its gateway gave no sign of life in time.
    Silent { ike_sa: u32 },
    /// Its gateway answers, but sends no ESP.
    CarriesNothing { ike_sa: u32 },
    /// It is gone.
    Ended(Box<Ended>),
}

/// An IKE_SA that charon tries again at another gateway.
#[derive(Debug)]
pub(in crate::failover) struct LedOn {
    pub ike_sa: u32,
    /// The gateway that did not answer.
    pub from: String,
    /// Its address.
    pub remote: Option<IpAddr>,
}

/// An IKE_SA that charon replaces by a new one to another gateway.
#[derive(Debug)]
pub(in crate::failover) struct LedFrom {
    pub old: u32,
    pub new: u32,
    /// Whether the new one has the name of a clone of the configuration.
    pub cloned: bool,
    /// The gateway that failed.
    pub from: String,
    /// Its address.
    pub remote: Option<IpAddr>,
    pub reason: Reason,
}

/// An IKE_SA that is gone.
#[derive(Debug)]
pub(in crate::failover) struct Ended {
    pub ike_sa: u32,
    /// What was known of it.
    pub record: IkeSaRecord,
    /// Why its gateway failed; None if it ended for another reason.
    pub reason: Option<Reason>,
    /// It was never initiated, as no address of the peer resolves.
    pub unresolved: bool,
    /// It had the name of a clone of the configuration.
    pub is_clone: bool,
}

impl Ended {
    /// Whether nothing tells why it ended.
    pub fn is_unexplained(&self) -> bool {
        self.reason.is_none() && !self.record.observed.lacks_credentials()
    }
}
