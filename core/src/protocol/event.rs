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
        }
    }

    const TUNNEL: &str = concat!(
        r#""child_sa_name":"net","ike_sa_state":"2","child_sa_state":"4","spi":3240314215,"#,
        r#""proto":"esp","mode":"tunnel","enc_alg":"AES_CBC-128","integ_alg":"HMAC_SHA2_256_128","#,
        r#""src":"192.0.2.10","dst":"10.0.0.2","local_ts":"10.1.0.0/24","#,
        r#""remote_ts":"10.2.0.0/24","direction":"out","policy_action":"protect"}"#,
    );

    fn check(event: &Event, line: &str) {
        assert_eq!(event.to_line(), format!("{line}\n"));
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
            },
            r#"{"event":"ike_rekey","old_ike_sa_name":"site","new_ike_sa_name":"site"}"#,
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
            },
            concat!(
                r#"{"event":"child_rekey","ike_sa_name":"site","old_child_sa_name":"net","#,
                r#""new_child_sa_name":"net"}"#,
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
        let line = Event::ConfigApplied {
            connection: name.to_owned(),
        }
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
