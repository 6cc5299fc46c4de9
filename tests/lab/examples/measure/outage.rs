// SPDX-License-Identifier: GPL-2.0-or-later

//! How long the tunnel is away.

use std::thread;
use std::time::{Duration, Instant};

use extsock_lab::{net, wait, Client, ClientOptions, Extsock, Gateway, Lab};
use serde_json::{json, Value};

/// charon's own defaults in place of the lab's.
const DEFAULTS: &str = "retransmit_tries = 5\n retransmit_timeout = 4\n retransmit_base = 1.8\n";
/// A charon that gives up sooner.
const SHORT: &str = "retransmit_tries = 3\n retransmit_timeout = 2\n retransmit_base = 1.5\n";
/// More labs at a time would measure each other.
const AT_A_TIME: usize = 2;
/// More than dpd_delay and charon's retransmission, 165 s.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long the published bounds of docs/timing.md are kept.
pub fn measure(runs: usize) {
    let quick = json!({
        "liveness_interval": "1s",
        "liveness_timeout": "0.6s",
        "traffic_timeout": "0.3s",
    });
    let seconds = |interval: u32, timeout: u32| {
        json!({
            "liveness_interval": format!("{interval}s"),
            "liveness_timeout": format!("{timeout}s"),
        })
    };
    for (what, policy, traffic) in [
        ("the defaults", json!({}), Traffic::Pings),
        ("the defaults, idle", json!({}), Traffic::None),
        (
            "1 s, 0.6 s and traffic_timeout 0.3 s",
            quick,
            Traffic::Pings,
        ),
        ("1 s and 1 s", seconds(1, 1), Traffic::Pings),
        ("1 s and 2 s", seconds(1, 2), Traffic::Pings),
        ("5 s and 3 s, idle", seconds(5, 3), Traffic::None),
    ] {
        let mut outages = Vec::new();
        while outages.len() < runs {
            let count = AT_A_TIME.min(runs - outages.len());
            outages.extend(together(count, DEFAULTS, "0s", &policy, traffic));
        }
        super::report(&format!("outage, {what}, no DPD"), outages);
    }
    // All at a time: they do nothing for minutes.
    for (what, settings) in [
        ("charon's default retransmission", DEFAULTS),
        ("retransmission of 2 s, base 1.5, 3 tries", SHORT),
    ] {
        super::report(
            &format!("outage, dpd_delay 10 s and {what}"),
            together(
                runs,
                settings,
                "10s",
                &json!({"liveness_interval": 0}),
                Traffic::Pings,
            ),
        );
    }
}

/// What goes through the tunnel when its gateway dies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Traffic {
    Pings,
    None,
}

fn together(
    count: usize,
    settings: &'static str,
    dpd_delay: &'static str,
    policy: &Value,
    traffic: Traffic,
) -> Vec<Duration> {
    let labs: Vec<_> = (0..count)
        .map(|_| {
            let policy = policy.clone();
            thread::spawn(move || outage(settings, dpd_delay, policy, traffic))
        })
        .collect();
    labs.into_iter()
        .map(|lab| lab.join().expect("the tunnel comes back"))
        .collect()
}

fn outage(settings: &str, dpd_delay: &str, policy: Value, traffic: Traffic) -> Duration {
    let lab = Lab::new();
    let mut gateway_1 = lab.gateway(11);
    let _gateway_2 = lab.gateway(12);
    let client = lab.client_with(ClientOptions {
        settings: settings.to_owned(),
        ..ClientOptions::default()
    });
    let mut control = client.connect();
    let mut config = net(&[11, 12]);
    let connection = &mut config["connections"]["net"];
    connection["dpd_delay"] = dpd_delay.into();
    connection["failover"] = policy;
    control.apply(&config);
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    if traffic == Traffic::None {
        return idle_outage(&client, &mut gateway_1, &mut control);
    }
    let pings = client.pings_every(Duration::from_millis(10), "10.2.0.1");
    wait::until("pings go", || (pings.answered() >= 200).then_some(()));
    gateway_1.kill();
    let before = pings.answered();
    wait::within(PATIENCE, "the tunnel is back", || {
        (pings.answered() >= before + 100).then_some(())
    });
    pings.finish().longest_gap
}

/// Until the tunnel is up with the other gateway; pings would make the tunnel a busy one.
fn idle_outage(client: &Client, gateway: &mut Gateway, control: &mut Extsock) -> Duration {
    client.ping("10.2.0.1");
    gateway.kill();
    let killed = Instant::now();
    control.wait_event("failover_established");
    killed.elapsed()
}
