// SPDX-License-Identifier: GPL-2.0-or-later

//! From the evidence of a failure to the next IKE_SA_INIT.

use std::time::Duration;

use extsock_lab::{net, Client, ClientOptions, Extsock, Gateway, Lab};
use serde_json::json;

/// Only the log that is evaluated.
const LOG: &str = "filelog {\n all {\n default = -1\n }\n }";

/// How a gateway fails, and the line of charon's log that tells of it.
struct Cause {
    reason: &'static str,
    line: &'static str,
    /// Before the connection is initiated.
    before: fn(&mut Gateway),
    /// When it is up.
    after: Option<fn(&mut Gateway)>,
    policy: &'static str,
}

const CAUSES: [Cause; 7] = [
    Cause {
        reason: "peer_unreachable",
        line: "giving up after",
        before: |gateway| gateway.kill(),
        after: None,
        policy: "{}",
    },
    Cause {
        reason: "connect_timeout",
        line: "failed (connect_timeout)",
        before: |gateway| gateway.kill(),
        after: None,
        policy: r#"{"connect_timeout": "0.3s"}"#,
    },
    Cause {
        reason: "auth_failed",
        line: "received AUTHENTICATION_FAILED",
        before: |gateway| gateway.refuse_authentication(),
        after: None,
        policy: "{}",
    },
    Cause {
        reason: "no_proposal_chosen",
        line: "received NO_PROPOSAL_CHOSEN",
        before: |gateway| gateway.load(""),
        after: None,
        policy: "{}",
    },
    Cause {
        reason: "dpd_timeout",
        line: "giving up after",
        before: |_| (),
        after: Some(|gateway| gateway.kill()),
        policy: "{}",
    },
    Cause {
        reason: "peer_deleted",
        line: "received DELETE for IKE_SA",
        before: |_| (),
        after: Some(|gateway| {
            gateway.stop();
        }),
        policy: "{}",
    },
    Cause {
        reason: "liveness_timeout",
        line: "failed (liveness_timeout)",
        before: |_| (),
        after: Some(|gateway| gateway.kill()),
        policy: r#"{"liveness_interval": "0.5s", "liveness_timeout": "0.3s"}"#,
    },
];

pub fn measure(runs: usize) {
    for cause in &CAUSES {
        let times = (0..runs).map(|_| time(cause)).collect();
        super::report(&format!("{} to the next IKE_SA_INIT", cause.reason), times);
    }
}

fn time(cause: &Cause) -> Duration {
    let lab = Lab::new();
    let mut gateway_1 = lab.gateway(11);
    let _gateway_2 = lab.gateway(12);
    (cause.before)(&mut gateway_1);
    let client = lab.client_with(ClientOptions {
        settings: LOG.to_owned(),
        ..ClientOptions::default()
    });
    let mut control = client.connect();
    let mut config = net(&[11, 12]);
    let policy: serde_json::Value = serde_json::from_str(cause.policy).expect("JSON");
    config["connections"]["net"]["failover"] = policy;
    if cause.reason == "liveness_timeout" {
        config["connections"]["net"]["dpd_delay"] = json!("0s");
    }
    control.apply(&config);
    control.ok("INITIATE net");
    if let Some(fail) = cause.after {
        control.wait_event("tunnel_up");
        fail(&mut gateway_1);
    }
    expect(&mut control, cause.reason);
    between(&client, cause.line)
}

fn expect(control: &mut Extsock, reason: &str) {
    let started = control.wait_event("failover_started");
    assert_eq!(started["reason"], reason, "{started:?}");
    control.wait_event("failover_established");
}

/// From the line to the packet to the second gateway.
fn between(client: &Client, line: &str) -> Duration {
    let log = client.log();
    let mut lines = log.lines().skip_while(|text| !text.contains(line));
    let evidence = lines
        .next()
        .unwrap_or_else(|| panic!("no `{line}` in the log"));
    let packet = lines
        .find(|text| text.contains("sending packet: ") && text.contains("to 192.168.7.12[500]"))
        .expect("a packet to the second gateway");
    time_of_day(packet).saturating_sub(time_of_day(evidence))
}

/// Of a log line, "03:24:29.140 09[CFG] ...".
fn time_of_day(line: &str) -> Duration {
    let time = line.split(' ').next().unwrap_or_default();
    let numbers: Vec<u64> = time
        .split([':', '.'])
        .map(|part| part.parse().expect("the log has timestamps"))
        .collect();
    Duration::from_millis(((numbers[0] * 60 + numbers[1]) * 60 + numbers[2]) * 1000 + numbers[3])
}
