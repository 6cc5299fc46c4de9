// SPDX-License-Identifier: GPL-2.0-or-later

//! Events: what every connected client is told.

use std::borrow::Cow;
use std::time::Duration;

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
    /// A connection failed over as often as is allowed and is given up.
    FailoverExhausted {
        /// Name of the connection.
        connection: String,
        /// Consecutive failovers without an established IKE_SA.
        retries: u32,
    },
}

impl Event {
    /// The names of all events.
    pub const NAMES: [&'static str; 10] = [
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
        }
    }

    /// The connection that it is about, if it is about one of ours.
    pub fn connection(&self) -> Option<&str> {
        match self {
            Self::ConfigApplied { connection }
            | Self::FailoverStarted { connection, .. }
            | Self::FailoverEstablished { connection, .. }
            | Self::FailoverExhausted { connection, .. } => Some(connection),
            Self::IkeSaUp { connection, .. }
            | Self::IkeSaDown { connection, .. }
            | Self::TunnelUp(Tunnel { connection, .. })
            | Self::TunnelDown(Tunnel { connection, .. })
            | Self::IkeRekey { connection, .. }
            | Self::ChildRekey { connection, .. } => connection.as_deref(),
        }
    }
}

/// An event with its place among all events.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// What happened.
    pub event: Event,
    /// When, since 1970-01-01 00:00 UTC.
    pub time: Duration,
    /// Grows by one with each event, from 1 on: a reader notices a gap.
    pub seq: u64,
}

impl Published {
    /// The event as one line of JSON with its newline.
    pub fn to_line(&self) -> String {
        super::to_line(&Line {
            event: &self.event,
            time: super::rfc3339(self.time),
            seq: self.seq,
        })
    }
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    event: &'a Event,
    time: String,
    seq: u64,
}

/// A CHILD_SA, as much of it as a data plane needs to program the tunnel.
#[derive(Serialize, Clone, Debug, Default, PartialEq)]
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
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn site() -> String {
        "site".to_owned()
    }

    fn tunnel() -> Tunnel {
        Tunnel {
            ike_sa_name: "site-failover-10.0.0.2".to_owned(),
            connection: Some(site()),
            child_sa_name: "net".to_owned(),
            ike_sa_state: "2".to_owned(),
            child_sa_state: "4".to_owned(),
            spi: 0xc123_4567,
            proto: "esp".to_owned(),
            mode: "tunnel".to_owned(),
            enc_alg: "AES_CBC-128".to_owned(),
            integ_alg: "HMAC_SHA2_256_128".to_owned(),
            src: "192.0.2.10".to_owned(),
            dst: "10.0.0.2".to_owned(),
            local_ts: "10.1.0.0/24".to_owned(),
            remote_ts: "10.2.0.0/24".to_owned(),
            direction: "out".to_owned(),
            policy_action: "protect".to_owned(),
            ike_sa_uniqueid: 3,
            uniqueid: 7,
            spi_in: 0xc123_4567,
            spi_out: 0xc765_4321,
            reqid: 1,
            if_id_in: 42,
            if_id_out: 43,
            mark_in: 16,
            mark_mask_in: u32::MAX,
            mark_out: 0,
            mark_mask_out: 0,
            local_selectors: vec![Selector {
                start: "10.1.0.0".to_owned(),
                end: "10.1.0.255".to_owned(),
                protocol: 0,
                start_port: 0,
                end_port: u16::MAX,
            }],
            remote_selectors: vec![Selector {
                start: "10.2.0.5".to_owned(),
                end: "10.2.0.9".to_owned(),
                protocol: 17,
                start_port: 53,
                end_port: 53,
            }],
        }
    }

    const TUNNEL: &str = concat!(
        r#""child_sa_name":"net","ike_sa_state":"2","child_sa_state":"4","spi":3240314215,"#,
        r#""proto":"esp","mode":"tunnel","enc_alg":"AES_CBC-128","integ_alg":"HMAC_SHA2_256_128","#,
        r#""src":"192.0.2.10","dst":"10.0.0.2","local_ts":"10.1.0.0/24","#,
        r#""remote_ts":"10.2.0.0/24","direction":"out","policy_action":"protect","#,
        r#""ike_sa_uniqueid":3,"uniqueid":7,"spi_in":3240314215,"spi_out":3345302305,"reqid":1,"#,
        r#""if_id_in":42,"if_id_out":43,"mark_in":16,"mark_mask_in":4294967295,"mark_out":0,"#,
        r#""mark_mask_out":0,"local_selectors":[{"start":"10.1.0.0","end":"10.1.0.255","#,
        r#""protocol":0,"start_port":0,"end_port":65535}],"remote_selectors":[{"start":"10.2.0.5","#,
        r#""end":"10.2.0.9","protocol":17,"start_port":53,"end_port":53}]}"#,
    );

    fn published(event: Event) -> Published {
        Published {
            event,
            time: Duration::from_millis(1_700_000_000_007),
            seq: 12,
        }
    }

    /// Time and sequence number come last.
    fn check(event: &Event, line: &str) {
        assert!(line.starts_with(&format!("{{\"event\":\"{}\",", event.name())));
        assert!(Event::NAMES.contains(&event.name()));
        let event = line.strip_suffix('}').map(|event_text| {
            assert_eq!(
                published(event.clone()).to_line(),
                format!("{event_text},\"time\":\"2023-11-14T22:13:20.007Z\",\"seq\":12}}\n")
            );
        });
        assert!(event.is_some(), "{line}");
    }

    #[test]
    fn events_of_configurations_and_ike_sas_have_the_documented_lines() {
        check(
            &Event::ConfigApplied { connection: site() },
            r#"{"event":"config_applied","connection":"site"}"#,
        );
        check(
            &Event::IkeSaUp {
                ike_sa_name: site(),
                connection: Some(site()),
                state: "2".to_owned(),
            },
            r#"{"event":"ike_sa_up","ike_sa_name":"site","connection":"site","state":"2"}"#,
        );
        check(
            &Event::IkeSaDown {
                ike_sa_name: site(),
                connection: None,
                state: "6".to_owned(),
            },
            r#"{"event":"ike_sa_down","ike_sa_name":"site","state":"6"}"#,
        );
        check(
            &Event::IkeRekey {
                old_ike_sa_name: site(),
                new_ike_sa_name: site(),
                connection: Some(site()),
                old_uniqueid: 1,
                new_uniqueid: 2,
                old_initiator_spi: "0123456789abcdef".to_owned(),
                old_responder_spi: "1123456789abcdef".to_owned(),
                new_initiator_spi: "2123456789abcdef".to_owned(),
                new_responder_spi: "3123456789abcdef".to_owned(),
            },
            concat!(
                r#"{"event":"ike_rekey","old_ike_sa_name":"site","new_ike_sa_name":"site","#,
                r#""connection":"site","old_uniqueid":1,"new_uniqueid":2,"#,
                r#""old_initiator_spi":"0123456789abcdef","old_responder_spi":"1123456789abcdef","#,
                r#""new_initiator_spi":"2123456789abcdef","new_responder_spi":"3123456789abcdef"}"#,
            ),
        );
    }

    #[test]
    fn events_of_tunnels_have_the_documented_lines() {
        let names = r#""ike_sa_name":"site-failover-10.0.0.2","connection":"site","#;
        check(
            &Event::TunnelUp(tunnel()),
            &format!(r#"{{"event":"tunnel_up",{names}{TUNNEL}"#),
        );
        let foreign = Tunnel {
            connection: None,
            ..tunnel()
        };
        check(
            &Event::TunnelDown(foreign),
            &format!(r#"{{"event":"tunnel_down","ike_sa_name":"site-failover-10.0.0.2",{TUNNEL}"#),
        );
        check(
            &Event::ChildRekey {
                ike_sa_name: site(),
                old_child_sa_name: "net".to_owned(),
                new_child_sa_name: "net".to_owned(),
                connection: None,
                ike_sa_uniqueid: 3,
                old_uniqueid: 7,
                new_uniqueid: 8,
                old_spi_in: 1,
                old_spi_out: 2,
                new_spi_in: 3,
                new_spi_out: 4,
            },
            concat!(
                r#"{"event":"child_rekey","ike_sa_name":"site","old_child_sa_name":"net","#,
                r#""new_child_sa_name":"net","ike_sa_uniqueid":3,"old_uniqueid":7,"#,
                r#""new_uniqueid":8,"old_spi_in":1,"old_spi_out":2,"new_spi_in":3,"#,
                r#""new_spi_out":4}"#,
            ),
        );
    }

    #[test]
    fn events_of_failovers_have_the_documented_lines() {
        check(
            &Event::FailoverStarted {
                connection: site(),
                from: "10.0.0.1".to_owned(),
                to: "10.0.0.2".to_owned(),
                reason: "no answer".into(),
                attempt: 1,
            },
            concat!(
                r#"{"event":"failover_started","connection":"site","from":"10.0.0.1","#,
                r#""to":"10.0.0.2","reason":"no answer","attempt":1}"#,
            ),
        );
        check(
            &Event::FailoverEstablished {
                connection: site(),
                gateway: "10.0.0.2".to_owned(),
                attempts: 1,
                outage_ms: 1234,
            },
            concat!(
                r#"{"event":"failover_established","connection":"site","gateway":"10.0.0.2","#,
                r#""attempts":1,"outage_ms":1234}"#,
            ),
        );
        check(
            &Event::FailoverExhausted {
                connection: site(),
                retries: 5,
            },
            r#"{"event":"failover_exhausted","connection":"site","retries":5}"#,
        );
    }

    fn is_read_back_from_one_line(name: &str) {
        let line = published(Event::ConfigApplied {
            connection: name.to_owned(),
        })
        .to_line();
        assert_eq!(line.find('\n'), Some(line.len() - 1));
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["connection"], name);
    }

    #[test]
    fn long_strings_and_those_with_quotes_and_newlines_are_escaped() {
        is_read_back_from_one_line(&"x".repeat(100_000));
        is_read_back_from_one_line(&"\"\n\r\\\u{2028}\0".repeat(20_000));
    }

    proptest! {
        #[test]
        fn any_string_is_escaped(name in any::<String>()) {
            is_read_back_from_one_line(&name);
        }
    }
}
