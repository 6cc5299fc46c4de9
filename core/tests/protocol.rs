// SPDX-License-Identifier: GPL-2.0-or-later

//! The protocol's lines, byte by byte: docs/protocol.md shows what the code writes, of every reply and
//! every event.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use extsock_core::config::{self, Problem, Problems};
use extsock_core::domain::address::AddressList;
use extsock_core::domain::policy::FailoverPolicy;
use extsock_core::domain::Now;
use extsock_core::error::{Error, ErrorCode};
use extsock_core::failover::action::Settings;
use extsock_core::failover::event::{Event, Selector, Tunnel};
use extsock_core::failover::manager::{FailoverManager, Options};
use extsock_core::failover::report::{
    ConnectionDetails, ConnectionState, ConnectionStatus, Counters, GatewayStatus, HistoryEntry,
    PolicyStatus,
};
use extsock_core::protocol::{parse, ClientStats, FileError, Published, Reply, Stats, Verb};
use extsock_core::strongswan::Version;

const DOCUMENT: &str = include_str!("../../docs/protocol.md");

/// The lines in the fenced blocks of that language.
fn examples(language: &str) -> BTreeSet<&'static str> {
    let mut examples = BTreeSet::new();
    let mut inside = false;
    for line in DOCUMENT.lines() {
        match line.strip_prefix("```") {
            Some(kind) => inside = !inside && kind == language,
            None if inside => {
                examples.insert(line);
            }
            None => {}
        }
    }
    examples
}

fn net() -> String {
    "net".to_owned()
}

fn status() -> ConnectionStatus {
    ConnectionStatus {
        name: net(),
        gateways: vec!["192.0.2.1".to_owned(), "192.0.2.2".to_owned()],
        active_gateway: Some("192.0.2.2".to_owned()),
        state: ConnectionState::Established,
        retries: 0,
        next_retry_ms: None,
        ike_sa_name: Some(net()),
        policy: PolicyStatus::from(&FailoverPolicy::default()),
        gateway_status: vec![GatewayStatus {
            gateway: "192.0.2.1".to_owned(),
            last_result: Some("dpd_timeout"),
            last_success: None,
            failures_in_a_row: 1,
            set_aside_ms: None,
        }],
        wanted: vec!["data".to_owned()],
        missing: Vec::new(),
        degraded: false,
    }
}

fn failover() -> HistoryEntry {
    HistoryEntry {
        time_ms: 1_700_000_000_007,
        connection: net(),
        from: "192.0.2.1".to_owned(),
        to: "192.0.2.2".to_owned(),
        reason: "dpd_timeout",
        result: "established",
        attempt: 1,
        outage_ms: Some(1234),
    }
}

fn replies() -> Vec<Reply> {
    let connection = net();
    let gateway = "192.0.2.2".to_owned();
    vec![
        Reply::ApplyConfig {
            connections: vec![net()],
        },
        Reply::RemoveConfig { connection: net() },
        Reply::Initiate {
            connection: net(),
            gateway: gateway.clone(),
        },
        Reply::Terminate { connection: net() },
        Reply::StartDpd { ike_sa_name: net() },
        Reply::Failover {
            connection,
            gateway,
        },
        Reply::History {
            failovers: vec![failover()],
        },
        Reply::List {
            connections: vec![status()],
        },
        Reply::Status {
            connections: vec![ConnectionDetails {
                status: status(),
                ike_sa_uniqueid: Some(3),
                established_ms: Some(60_000),
                child_sas: vec!["data".to_owned()],
                last_failovers: vec![failover()],
            }],
        },
        Reply::Version {
            version: "0.1.0",
            strongswan: "5.9.8",
        },
        Reply::Stats(Stats::new(
            Duration::from_secs(1_700_000_000),
            Counters {
                connections: 1,
                attempts: 2,
                attempts_under_way: 0,
                attempts_queued: 0,
                established: 2,
                exhausted: 0,
                failovers: BTreeMap::from([("dpd_timeout", 1)]),
            },
            8,
            ClientStats {
                clients: 1,
                clients_accepted: 2,
                clients_refused: 0,
                clients_dropped: 0,
                queued_bytes: 0,
            },
        )),
        Reply::Subscribe {
            events: vec!["tunnel_up".to_owned(), "tunnel_down".to_owned()],
            connections: vec![net()],
        },
        Reply::Reload {
            connections: vec![net()],
            removed: vec!["old".to_owned()],
            failed: vec![FileError {
                file: "/etc/extsock.d/20-site.json".to_owned(),
                error: config::parse("{\"connections\": {\n  \"site\": 1\n}}", Version::NEWEST)
                    .unwrap_err(),
            }],
        },
        Reply::help(),
    ]
}

fn refusals() -> Vec<Reply> {
    vec![
        parse(
            "APPLY_CONFIG {\"connections\": {\"net\": 1}}",
            Version::NEWEST,
        )
        .unwrap_err()
        .into(),
        Reply::failed(Verb::ApplyConfig, missing_file()),
        parse("LIST all", Version::NEWEST).unwrap_err().into(),
        Reply::failed(Verb::Initiate, unknown_connection()),
    ]
}

fn unknown_connection() -> Error {
    let now = Now {
        monotonic: Duration::ZERO,
        unix: Duration::ZERO,
        random: 0.0,
    };
    FailoverManager::new(Options::default())
        .initiate("net", None, now)
        .unwrap_err()
}

/// What only the plugin finds out, told where it stands in the document.
fn missing_file() -> Error {
    let document = r#"{"connections": {"net": {
        "local": {"certs": ["a.pem", "b.pem"]}
    }}}"#;
    let mut problems = Problems::default();
    problems.push(Problem {
        path: "connections.net.local.certs[1]".to_owned(),
        why:
            "expected an X.509 certificate in PEM or DER (/etc/swanctl/x509/b.pem: No such file or \
              directory (os error 2)), found \"b.pem\""
                .to_owned(),
    });
    let locations = config::parse(document, Version::NEWEST).unwrap().locations;
    problems.located(&locations).unwrap_err()
}

fn events() -> Vec<Event> {
    let tunnel = Tunnel {
        ike_sa_name: net(),
        connection: Some(net()),
        child_sa_name: "data".to_owned(),
        ike_sa_state: "2".to_owned(),
        child_sa_state: "3".to_owned(),
        spi: 3_240_314_215,
        proto: "esp".to_owned(),
        mode: "tunnel".to_owned(),
        enc_alg: "AES_CBC-128".to_owned(),
        integ_alg: "HMAC_SHA2_256_128".to_owned(),
        src: "192.0.2.10".to_owned(),
        dst: "192.0.2.1".to_owned(),
        local_ts: "10.1.0.0/24".to_owned(),
        remote_ts: "10.2.0.0/28[17/53]".to_owned(),
        direction: "out".to_owned(),
        policy_action: "protect".to_owned(),
        ike_sa_uniqueid: 3,
        uniqueid: 7,
        spi_in: 3_240_314_215,
        spi_out: 3_345_302_305,
        reqid: 1,
        local_selectors: vec![Selector {
            start: "10.1.0.0".to_owned(),
            end: "10.1.0.255".to_owned(),
            protocol: 0,
            start_port: 0,
            end_port: u16::MAX,
        }],
        remote_selectors: vec![Selector {
            start: "10.2.0.1".to_owned(),
            end: "10.2.0.9".to_owned(),
            protocol: 17,
            start_port: 53,
            end_port: 53,
        }],
        ..Tunnel::default()
    };
    vec![
        Event::ConfigApplied { connection: net() },
        Event::IkeSaUp {
            ike_sa_name: net(),
            connection: Some(net()),
            state: "2".to_owned(),
        },
        Event::IkeSaDown {
            ike_sa_name: net(),
            connection: Some(net()),
            state: "2".to_owned(),
        },
        Event::TunnelUp(tunnel.clone()),
        Event::TunnelDown(tunnel),
        Event::IkeRekey {
            old_ike_sa_name: net(),
            new_ike_sa_name: net(),
            connection: Some(net()),
            old_uniqueid: 3,
            new_uniqueid: 4,
            old_initiator_spi: "8a3f0f6e2c1d4b5a".to_owned(),
            old_responder_spi: "0123456789abcdef".to_owned(),
            new_initiator_spi: "fedcba9876543210".to_owned(),
            new_responder_spi: "5a4b1d2c6e0f3f8a".to_owned(),
        },
        Event::ChildRekey {
            ike_sa_name: net(),
            old_child_sa_name: "data".to_owned(),
            new_child_sa_name: "data".to_owned(),
            connection: Some(net()),
            ike_sa_uniqueid: 3,
            old_uniqueid: 7,
            new_uniqueid: 8,
            old_spi_in: 3_240_314_215,
            old_spi_out: 3_345_302_305,
            new_spi_in: 3_240_314_216,
            new_spi_out: 3_345_302_306,
        },
        Event::FailoverStarted {
            connection: net(),
            from: "192.0.2.1".to_owned(),
            to: "192.0.2.2".to_owned(),
            reason: "dpd_timeout".into(),
            attempt: 1,
        },
        Event::FailoverEstablished {
            connection: net(),
            gateway: "192.0.2.2".to_owned(),
            attempts: 1,
            outage_ms: 1234,
        },
        Event::FailoverExhausted {
            connection: net(),
            retries: 5,
        },
        Event::ReauthenticationLoop {
            connection: net(),
            auth_lifetime: 300,
            over_time: 1440,
            advice:
                "set the connection's over_time well below 300 s, or the gateway's reauth_time higher"
                    .into(),
        },
        Event::DegradedStarted {
            connection: net(),
            missing: vec!["data".to_owned()],
        },
        Event::DegradedEnded { connection: net() },
    ]
}

/// Every line that the samples make, in the order of the document.
fn lines() -> Vec<String> {
    let replies = replies().into_iter().chain(refusals());
    let events = events().into_iter().zip(1..).map(|(event, seq)| {
        let published = Published {
            event,
            time: Duration::from_millis(1_700_000_000_000 + seq),
            seq,
        };
        published.to_line()
    });
    replies
        .map(|reply| reply.to_line())
        .chain(events)
        .map(|line| line.trim_end().to_owned())
        .collect()
}

#[test]
fn the_document_shows_every_reply_and_event_as_the_code_writes_it() {
    let lines = lines();
    let written: BTreeSet<&str> = lines.iter().map(String::as_str).collect();
    let shown = examples("json");
    for line in shown.difference(&written) {
        println!("only in the document: {line}");
    }
    for line in written.difference(&shown) {
        println!("only in the code:     {line}");
    }
    assert!(shown == written, "docs/protocol.md and the code differ");
}

#[test]
fn connections_are_listed_in_the_order_of_their_names() {
    let now = Now::default();
    let mut manager = FailoverManager::default();
    for name in ["net-2", "b", "a"] {
        let settings = Settings {
            gateways: AddressList::parse("192.0.2.1,192.0.2.2"),
            children: Vec::new(),
            policy: FailoverPolicy::default(),
        };
        manager.configure(name, settings, now);
    }
    let listed = manager.list(now);
    let listed: Vec<_> = listed.iter().map(|status| &status.name).collect();
    assert_eq!(listed, ["a", "b", "net-2"]);
    let details = manager.details(None, now).unwrap();
    let details: Vec<_> = details.iter().map(|d| &d.status.name).collect();
    assert_eq!(details, listed);
}

#[test]
fn samples_are_complete() {
    let events: Vec<_> = events().iter().map(Event::name).collect();
    assert_eq!(events, Event::NAMES);
    let lines = lines();
    for verb in Verb::ALL {
        let start = format!("{{\"reply\":\"{}\",\"ok\":true", verb.name());
        assert!(lines.iter().any(|line| line.starts_with(&start)), "{start}");
    }
}

#[test]
fn the_requests_in_the_document_are_read() {
    let requests = examples("text");
    let verbs: BTreeSet<&str> = requests
        .iter()
        .map(|text| {
            parse(text, Version::NEWEST).unwrap_or_else(|refused| panic!("{text}: {refused:?}"))
        })
        .map(|request| request.verb().name())
        .collect();
    assert_eq!(verbs, Verb::ALL.map(Verb::name).into());
}

#[test]
fn the_document_names_every_error_code() {
    for code in [
        ErrorCode::InvalidParameter,
        ErrorCode::ConfigCreationFailed,
        ErrorCode::NoAlternativeSegw,
        ErrorCode::MaxRetryExceeded,
        ErrorCode::MemoryAllocationFailed,
        ErrorCode::StrongswanApiFailed,
        ErrorCode::ParsingFailed,
        ErrorCode::ConnectionTimeout,
    ] {
        let row = format!("| {} | `{}` |", code as i32, code.name());
        assert!(DOCUMENT.contains(&row), "{row}");
    }
}
