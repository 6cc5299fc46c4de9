// SPDX-License-Identifier: GPL-2.0-or-later

//! Events: what every connected client is told.

use std::borrow::Cow;

use serde::Serialize;

/// One event, the key `event` of its JSON object tells which.
#[derive(Serialize, Clone, Debug, PartialEq)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A connection was loaded or replaced.
    ConfigApplied {
        /// Name of the connection.
        connection: String,
    },
    /// An IKE_SA was established.
    IkeSaUp {
        /// Name of its peer_cfg.
        ike_sa_name: String,
        /// The connection it belongs to, if it is one of ours.
        #[serde(skip_serializing_if = "Option::is_none")]
        connection: Option<String>,
        /// charon's ike_sa_state_t as a number.
        state: String,
    },
    /// An IKE_SA is gone.
    IkeSaDown {
        /// Name of its peer_cfg.
        ike_sa_name: String,
        /// The connection it belongs to, if it is one of ours.
        #[serde(skip_serializing_if = "Option::is_none")]
        connection: Option<String>,
        /// charon's ike_sa_state_t as a number.
        state: String,
    },
    /// A CHILD_SA was installed.
    TunnelUp(Tunnel),
    /// A CHILD_SA was removed.
    TunnelDown(Tunnel),
    /// An IKE_SA was replaced by rekeying.
    IkeRekey {
        /// Name of the replaced IKE_SA.
        old_ike_sa_name: String,
        /// Name of its successor.
        new_ike_sa_name: String,
    },
    /// A CHILD_SA was replaced by rekeying; a `tunnel_up` of the successor follows.
    ChildRekey {
        /// Name of its IKE_SA.
        ike_sa_name: String,
        /// Name of the replaced CHILD_SA.
        old_child_sa_name: String,
        /// Name of its successor.
        new_child_sa_name: String,
    },
    /// The connection's gateway failed and the next one is initiated to.
    FailoverStarted {
        /// Name of the connection.
        connection: String,
        /// The gateway that failed.
        from: String,
        /// The gateway that is tried.
        to: String,
        /// Why the gateway was given up.
        reason: Cow<'static, str>,
        /// Consecutive failovers without an established IKE_SA, counted from 1.
        attempt: u32,
    },
    /// A failover ended with an established IKE_SA.
    FailoverEstablished {
        /// Name of the connection.
        connection: String,
        /// The gateway that is active now.
        gateway: String,
        /// Failovers that it took.
        attempts: u32,
        /// Milliseconds from the first failure to the established IKE_SA.
        outage_ms: u64,
    },
    /// A connection failed over as often as is allowed and is given up.
    FailoverExhausted {
        /// Name of the connection.
        connection: String,
        /// Consecutive failovers without an established IKE_SA.
        retries: u32,
    },
}

impl Event {
    /// The event as one line of JSON with its newline.
    pub fn to_line(&self) -> String {
        super::to_line(self)
    }
}

/// A CHILD_SA, as much of it as a data plane needs to program the tunnel.
#[derive(Serialize, Clone, Debug, PartialEq)]
pub struct Tunnel {
    /// Name of the peer_cfg of its IKE_SA.
    pub ike_sa_name: String,
    /// The connection it belongs to, if it is one of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// Name of its child_cfg.
    pub child_sa_name: String,
    /// charon's ike_sa_state_t as a number.
    pub ike_sa_state: String,
    /// charon's child_sa_state_t as a number.
    pub child_sa_state: String,
    /// Inbound SPI in host byte order.
    pub spi: u32,
    /// `esp` or `ah`
    pub proto: String,
    /// `tunnel`, `transport` or `beet`
    pub mode: String,
    /// Encryption algorithm.
    pub enc_alg: String,
    /// Integrity algorithm.
    pub integ_alg: String,
    /// Own address.
    pub src: String,
    /// Address of the gateway.
    pub dst: String,
    /// Own traffic selectors.
    pub local_ts: String,
    /// Traffic selectors of the gateway.
    pub remote_ts: String,
    /// Always `out`.
    pub direction: String,
    /// Always `protect`.
    pub policy_action: String,
}
