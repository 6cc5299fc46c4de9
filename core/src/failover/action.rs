// SPDX-License-Identifier: GPL-2.0-or-later

//! What the failover manager is told to care for, and what it wants done.

use super::address::AddressList;
use super::policy::RetryPolicy;
use crate::error::Error;
use crate::protocol::Event;

/// What the manager has to know of a connection's configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Its remote addresses.
    pub gateways: AddressList,
    /// The names of its CHILD_SA configurations.
    pub children: Vec<String>,
    /// How often and how soon it is tried again.
    pub policy: RetryPolicy,
}

/// What is to be done. Actions of one connection are carried out in their order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Initiate the CHILD_SAs, or an IKE_SA without one if there are none, to the gateway: with the
    /// connection's own configuration if it is the `first`, else with a clone for that gateway. The
    /// outcome is to be reported by [`FailoverManager::initiated`](super::manager::FailoverManager::initiated) with the same number.
    Initiate {
        /// The connection.
        connection: String,
        /// The gateway.
        gateway: String,
        /// Whether it is the connection's first one.
        first: bool,
        /// The CHILD_SA configurations.
        children: Vec<String>,
        /// The attempt; nothing is to be done if it is not current any more.
        attempt: u64,
    },
    /// Unregister the clone for the gateway: nothing uses it any more.
    ReleaseClone {
        /// The connection.
        connection: String,
        /// The gateway.
        gateway: String,
    },
    /// Delete the connection's IKE_SAs ([`FailoverManager::ike_sas`](super::manager::FailoverManager::ike_sas) when it is
    /// carried out).
    Terminate {
        /// The connection.
        connection: String,
    },
    /// Send a DPD request.
    SendDpd {
        /// The connection.
        connection: String,
        /// Unique id of the IKE_SA.
        ike_sa: u32,
    },
    /// Tell every client.
    Publish(Box<Event>),
    /// Tell the log why there is no failover.
    Report {
        /// The connection.
        connection: String,
        /// What is to be said.
        error: Error,
    },
}

impl Action {
    pub(super) fn publish(event: Event) -> Self {
        Self::Publish(Box::new(event))
    }
}
