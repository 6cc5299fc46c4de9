// SPDX-License-Identifier: GPL-2.0-or-later

//! What the failover manager has to know of a connection, and what it wants done.

use std::net::IpAddr;
use std::time::Duration;

use crate::domain::address::AddressList;
use crate::domain::policy::FailoverPolicy;
use crate::error::Error;
use crate::failover::event::Event;
use crate::failover::traffic::Packets;

/// What the manager has to know of a connection's configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Its remote addresses.
    pub gateways: AddressList,
    /// The names of its CHILD_SA configurations.
    pub children: Vec<String>,
    /// When and how it fails over.
    pub policy: FailoverPolicy,
}

/// What is to be done. Actions of one connection are carried out in their order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Look up the gateway's addresses, and report them by
    /// [`FailoverManager::resolved`](super::manager::FailoverManager::resolved).
    Resolve {
        /// The connection.
        connection: String,
        /// The attempt that waits for them; None if they are to be at hand.
        attempt: Option<u64>,
        /// The gateway's name.
        gateway: String,
    },
    /// Look at the configuration, which others may have changed or removed without telling, and report
    /// it by [`FailoverManager::checked`](super::manager::FailoverManager::checked).
    Check {
        /// The connection.
        connection: String,
    },
    /// Make the attempt of that number: have the configuration read, ask
    /// [`FailoverManager::begin`](super::manager::FailoverManager::begin) how, and give what came of it to
    /// [`FailoverManager::initiated`](super::manager::FailoverManager::initiated).
    Initiate {
        /// The connection.
        connection: String,
        /// The attempt.
        attempt: u64,
    },
    /// Bring up CHILD_SAs on an IKE_SA that is there.
    InitiateChildren {
        /// The connection.
        connection: String,
        /// Unique id of the IKE_SA.
        ike_sa: u32,
        /// The CHILD_SA configurations.
        children: Vec<String>,
    },
    /// Bring up CHILD_SAs on an IKE_SA that is there, unless they are up or charon is still making one: it may not
    /// have been answered yet.
    InitiateAgain {
        /// The connection.
        connection: String,
        /// Unique id of the IKE_SA.
        ike_sa: u32,
        /// The CHILD_SA configurations.
        children: Vec<String>,
    },
    /// Give an IKE_SA that was initiated with a clone the connection's own configuration, by which
    /// charon and its operators know it.
    Adopt {
        /// The connection.
        connection: String,
        /// Unique id of the IKE_SA.
        ike_sa: u32,
    },
    /// Prepare what charon is led to when it retries or re-establishes the IKE_SA by itself.
    Steer {
        /// The connection.
        connection: String,
        /// Unique id of the IKE_SA.
        ike_sa: u32,
        /// What charon is led to.
        steering: Steering,
    },
    /// Forget what was prepared for the IKE_SA.
    Unsteer {
        /// The connection.
        connection: String,
        /// Unique id of the IKE_SA.
        ike_sa: u32,
    },
    /// Unregister the clone for the gateway: nothing uses it any more.
    ReleaseClone {
        /// The connection.
        connection: String,
        /// The gateway.
        gateway: String,
    },
    /// Delete the connection's IKE_SAs
    /// ([`FailoverManager::terminating`](super::manager::FailoverManager::terminating) when it is
    /// carried out).
    Terminate {
        /// The connection.
        connection: String,
    },
    /// Delete one IKE_SA, with a notice to its gateway.
    Delete {
        /// The connection.
        connection: String,
        /// Unique id of the IKE_SA.
        ike_sa: u32,
    },
    /// Destroy the IKE_SA to a gateway that failed, without waiting for the gateway.
    Abandon {
        /// The connection.
        connection: String,
        /// The gateway.
        gateway: String,
        /// Unique id of the IKE_SA; None for one that charon has not reported, as its peer's name
        /// does not resolve yet.
        ike_sa: Option<u32>,
    },
    /// Look at the packet counters of the CHILD_SAs; what they are is to be reported by
    /// [`FailoverManager::looked`](super::manager::FailoverManager::looked).
    Look {
        /// The connection.
        connection: String,
        /// Unique id of the IKE_SA.
        ike_sa: u32,
        /// The inbound SAs, as they were at the look before.
        inbound: Packets,
    },
    /// Ask the gateway for a sign of life; what came of it is to be reported by
    /// [`FailoverManager::probed`](super::manager::FailoverManager::probed).
    Probe {
        /// The connection.
        connection: String,
        /// Unique id of the IKE_SA.
        ike_sa: u32,
        /// How.
        question: Question,
    },
    /// Look whether charon would send to the gateway from another address than the IKE_SA does, or is telling it of
    /// one; that is to be reported by [`FailoverManager::path_changed`](super::manager::FailoverManager::path_changed).
    CheckPath {
        /// The connection.
        connection: String,
        /// Unique id of the IKE_SA.
        ike_sa: u32,
    },
    /// Send a DPD request.
    SendDpd {
        /// The connection.
        connection: String,
        /// Unique id of the IKE_SA.
        ike_sa: u32,
    },
    /// Note that this is the connection's last good gateway, for a time after the daemon's end.
    Remember {
        /// The connection.
        connection: String,
        /// The gateway; None to forget it.
        gateway: Option<String>,
    },
    /// Tell every client.
    Publish(Box<Event>),
    /// Tell the log that the connection is wanted and waits: meanwhile charon has nothing of it that its own tools
    /// could terminate.
    Waits {
        /// The connection.
        connection: String,
        /// For how long; None until somebody asks for it.
        delay: Option<Duration>,
    },
    /// Tell the log that the gateway has no route, and that the connection waits for the network if no other gateway
    /// has one.
    NoRoute {
        /// The connection.
        connection: String,
        /// The gateway.
        gateway: String,
        /// For how long it waits at most.
        wait: Option<Duration>,
    },
    /// Tell the log why there is no failover.
    Report {
        /// The connection.
        connection: String,
        /// What is to be said.
        error: Error,
    },
}

impl Action {
    /// The connection; empty for an event, which is everybody's.
    pub fn connection(&self) -> &str {
        match self {
            Self::Resolve { connection, .. }
            | Self::Check { connection }
            | Self::Initiate { connection, .. }
            | Self::InitiateChildren { connection, .. }
            | Self::InitiateAgain { connection, .. }
            | Self::Adopt { connection, .. }
            | Self::Steer { connection, .. }
            | Self::Unsteer { connection, .. }
            | Self::ReleaseClone { connection, .. }
            | Self::Terminate { connection }
            | Self::Delete { connection, .. }
            | Self::Abandon { connection, .. }
            | Self::Look { connection, .. }
            | Self::Probe { connection, .. }
            | Self::CheckPath { connection, .. }
            | Self::SendDpd { connection, .. }
            | Self::Remember { connection, .. }
            | Self::Waits { connection, .. }
            | Self::NoRoute { connection, .. }
            | Self::Report { connection, .. } => connection,
            Self::Publish(_) => "",
        }
    }
}

/// How a gateway is asked for a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// By a request.
    First,
    /// By the repetition of the request that was not answered.
    Again,
}

/// What an [`Action::CheckPath`] found, if the path is not what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewPath {
    /// charon would send from another address.
    Found,
    /// charon is telling the gateway of other addresses (MOBIKE), at that time (monotonic).
    Announced(Duration),
}

/// What came of an [`Action::Probe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    /// It was asked at that time (monotonic).
    Asked(Duration),
    /// It cannot be asked: an IKEv1 peer without DPD.
    Impossible,
}

/// Where an attempt leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The gateway, as it is written in the connection's list.
    pub gateway: String,
    /// Its address; None leaves it to charon to look up a name.
    pub address: Option<IpAddr>,
}

/// What charon is to do if it goes on with an IKE_SA by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Steering {
    /// End its retries.
    Stop,
    /// Try the IKE_SA again, or put another one in its place, at this gateway.
    To(Destination),
    /// End its retries, and put another one in its place at this gateway, if it does.
    Replace(Destination),
}

impl Steering {
    /// The gateway that it leads to.
    pub fn destination(&self) -> Option<&Destination> {
        match self {
            Self::Stop => None,
            Self::To(to) | Self::Replace(to) => Some(to),
        }
    }
}

impl Destination {
    /// The remote address of a configuration that leads there.
    pub fn remote(&self) -> String {
        match self.address {
            Some(address) => address.to_string(),
            None => self.gateway.clone(),
        }
    }
}

/// One attempt as it is to be made. It is given back with its outcome, and cannot be made twice.
#[derive(Debug, PartialEq, Eq)]
pub struct Begin {
    /// The connection.
    pub connection: String,
    /// The number of the attempt.
    pub(super) attempt: u64,
    /// Where to.
    pub to: Destination,
    /// With which configuration.
    pub config: ConfigKind,
    /// Unique id of the IKE_SA that charon has for it already, if it has one.
    pub ike_sa: Option<u32>,
    /// The CHILD_SA configurations; all that there are if it is empty.
    pub children: Vec<String>,
    /// Whether it is not to be made if the host has no route to the gateway, or not its own address
    /// ([`FailoverManager::no_route`](super::manager::FailoverManager::no_route)).
    pub needs_route: bool,
}

/// The configuration that an attempt is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigKind {
    /// The connection's own, which leads there.
    Own,
    /// A clone for the gateway.
    Clone,
}
