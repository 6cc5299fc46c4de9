// SPDX-License-Identifier: GPL-2.0-or-later

//! Events, which every client receives.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

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
        /// The connection it belongs to, if it is one of ours.
        #[serde(skip_serializing_if = "Option::is_none")]
        connection: Option<String>,
        /// charon's unique id of the replaced IKE_SA.
        old_uniqueid: u32,
        /// charon's unique id of its successor.
        new_uniqueid: u32,
        /// The initiator's SPI of the replaced IKE_SA, 16 hexadecimal digits.
        old_initiator_spi: String,
        /// The responder's.
        old_responder_spi: String,
        /// The initiator's SPI of its successor.
        new_initiator_spi: String,
        /// The responder's.
        new_responder_spi: String,
    },
    /// A CHILD_SA was replaced by rekeying; a `tunnel_up` of the successor follows.
    ChildRekey {
        /// Name of its IKE_SA.
        ike_sa_name: String,
        /// Name of the replaced CHILD_SA.
        old_child_sa_name: String,
        /// Name of its successor.
        new_child_sa_name: String,
        /// The connection it belongs to, if it is one of ours.
        #[serde(skip_serializing_if = "Option::is_none")]
        connection: Option<String>,
        /// charon's unique id of its IKE_SA.
        ike_sa_uniqueid: u32,
        /// charon's unique id of the replaced CHILD_SA.
        old_uniqueid: u32,
        /// charon's unique id of its successor.
        new_uniqueid: u32,
        /// Inbound SPI of the replaced CHILD_SA.
        old_spi_in: u32,
        /// Its outbound SPI.
        old_spi_out: u32,
        /// Inbound SPI of its successor.
        new_spi_in: u32,
        /// Its outbound SPI.
        new_spi_out: u32,
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
    /// A connection failed over as often as is allowed, and is tried at long intervals from now on.
    FailoverExhausted {
        /// Name of the connection.
        connection: String,
        /// Consecutive failovers without an established IKE_SA.
        retries: u32,
    },
    /// A reauthentication was due at once after each of two set-ups in a row.
    ReauthenticationLoop {
        /// Name of the connection.
        connection: String,
        /// How long the gateway lets an IKE_SA live without another authentication (AUTH_LIFETIME), in seconds.
        auth_lifetime: u64,
        /// How long before that the connection has itself reauthenticated, in seconds.
        over_time: u64,
        /// What to change, for people.
        advice: String,
    },
    /// The IKE_SA is up, and CHILD_SAs that are wanted were lost or cannot be had.
    DegradedStarted {
        /// Name of the connection.
        connection: String,
        /// Names of those CHILD_SAs.
        missing: Vec<String>,
    },
    /// They are back or not wanted any more, or the IKE_SA is gone.
    DegradedEnded {
        /// Name of the connection.
        connection: String,
    },
}

impl Event {
    /// The names of all events.
    pub const NAMES: [&'static str; 13] = [
        "config_applied",
        "ike_sa_up",
        "ike_sa_down",
        "tunnel_up",
        "tunnel_down",
        "ike_rekey",
        "child_rekey",
        "failover_started",
        "failover_established",
        "failover_exhausted",
        "reauthentication_loop",
        "degraded_started",
        "degraded_ended",
    ];

    /// The value of its key `event`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ConfigApplied { .. } => "config_applied",
            Self::IkeSaUp { .. } => "ike_sa_up",
            Self::IkeSaDown { .. } => "ike_sa_down",
            Self::TunnelUp(_) => "tunnel_up",
            Self::TunnelDown(_) => "tunnel_down",
            Self::IkeRekey { .. } => "ike_rekey",
            Self::ChildRekey { .. } => "child_rekey",
            Self::FailoverStarted { .. } => "failover_started",
            Self::FailoverEstablished { .. } => "failover_established",
            Self::FailoverExhausted { .. } => "failover_exhausted",
            Self::ReauthenticationLoop { .. } => "reauthentication_loop",
            Self::DegradedStarted { .. } => "degraded_started",
            Self::DegradedEnded { .. } => "degraded_ended",
        }
    }

    /// The connection that it is about, if it is about one of ours.
    pub fn connection(&self) -> Option<&str> {
        match self {
            Self::ConfigApplied { connection }
            | Self::FailoverStarted { connection, .. }
            | Self::FailoverEstablished { connection, .. }
            | Self::FailoverExhausted { connection, .. }
            | Self::ReauthenticationLoop { connection, .. }
            | Self::DegradedStarted { connection, .. }
            | Self::DegradedEnded { connection } => Some(connection),
            Self::IkeSaUp { connection, .. }
            | Self::IkeSaDown { connection, .. }
            | Self::TunnelUp(Tunnel { connection, .. })
            | Self::TunnelDown(Tunnel { connection, .. })
            | Self::IkeRekey { connection, .. }
            | Self::ChildRekey { connection, .. } => connection.as_deref(),
        }
    }
}

/// A CHILD_SA, as much of it as a data plane needs to program the tunnel.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default)]
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
    /// charon's unique id of its IKE_SA.
    pub ike_sa_uniqueid: u32,
    /// charon's unique id of the CHILD_SA.
    pub uniqueid: u32,
    /// Inbound SPI in host byte order.
    pub spi_in: u32,
    /// Outbound SPI in host byte order.
    pub spi_out: u32,
    /// Number that ties the CHILD_SA to its policies.
    pub reqid: u32,
    /// Inbound interface id, 0 for none.
    pub if_id_in: u32,
    /// Outbound interface id, 0 for none.
    pub if_id_out: u32,
    /// Inbound mark; there is none if its mask is 0, too.
    pub mark_in: u32,
    /// Mask of the inbound mark.
    pub mark_mask_in: u32,
    /// Outbound mark; there is none if its mask is 0, too.
    pub mark_out: u32,
    /// Mask of the outbound mark.
    pub mark_mask_out: u32,
    /// Own traffic selectors, exactly; `local_ts` has the subnets that enclose them.
    pub local_selectors: Vec<Selector>,
    /// Traffic selectors of the gateway, exactly.
    pub remote_selectors: Vec<Selector>,
}

/// A traffic selector: everything from `start` to `end`, both included.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// First address.
    pub start: String,
    /// Last address.
    pub end: String,
    /// IP protocol, 0 for any.
    pub protocol: u8,
    /// First port, or type and code of ICMP (`type * 256 + code`).
    pub start_port: u16,
    /// Last port.
    pub end_port: u16,
}
