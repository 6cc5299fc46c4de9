// SPDX-License-Identifier: GPL-2.0-or-later

//! The lines of events, which are sent to clients.

use std::time::Duration;

use serde::Serialize;

use crate::failover::event::Event;

/// An event with its time and sequence number.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// What happened.
    pub event: Event,
    /// When, since 1970-01-01 00:00 UTC.
    pub time: Duration,
    /// Grows by one with each event, from 1 on, so that a reader notices lost events.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::failover::event::{Selector, Tunnel};

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
        check(
            &Event::ReauthenticationLoop {
                connection: site(),
                auth_lifetime: 300,
                over_time: 1440,
                advice: "set it".to_owned(),
            },
            concat!(
                r#"{"event":"reauthentication_loop","connection":"site","auth_lifetime":300,"#,
                r#""over_time":1440,"advice":"set it"}"#,
            ),
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
