// SPDX-License-Identifier: GPL-2.0-or-later

//! The own check of a gateway's life, and the bound of the outage that follows from it.

use std::time::{Duration, Instant};

use extsock_lab::{net, wait, ClientOptions, GatewayOptions, Lab};
use serde_json::json;

use crate::lossy_links::lose_inbound_esp;
use crate::policy::{net_with, swanctl_conf};
use crate::{expect_failover, Tunnel};

/// charon's own defaults in place of the lab's: it sends a request again after 4 s.
const DEFAULTS: &str = "retransmit_tries = 5\n retransmit_timeout = 4\n retransmit_base = 1.8\n";

fn client(lab: &Lab) -> extsock_lab::Client {
    lab.client_with(ClientOptions {
        settings: DEFAULTS.into(),
        ..ClientOptions::default()
    })
}

#[test]
fn a_lost_packet_is_not_the_gateways_death() {
    let lab = Lab::new();
    let _gateway_1 = lab.gateway(11);
    let _gateway_2 = lab.gateway(12);
    let client = client(&lab);
    let mut control = client.connect();
    control.apply(&net_with(
        &json!({"dpd_delay": 0}),
        &json!({"liveness_interval": "1s", "liveness_timeout": "3s"}),
    ));
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    let sent = || client.log().matches("sending packet: from").count();
    let before = sent();
    lab.unplug(11);
    wait::until("the request is sent, and sent again", || {
        (sent() >= before + 2).then_some(())
    });
    lab.plug(11);
    let answered = client
        .log()
        .matches("parsed INFORMATIONAL response")
        .count();
    wait::until("the repeated request is answered", || {
        let now = client
            .log()
            .matches("parsed INFORMATIONAL response")
            .count();
        (now > answered).then_some(())
    });
    wait::holds_for(Duration::from_secs(3), "no failover", || {
        let started = control.events_named("failover_started");
        (!started.is_empty()).then(|| format!("{started:?}"))
    });
}

/// Connection `net` without a word of DPD and failover, so that only the defaults of the liveness check apply.
fn plain(version: u8) -> serde_json::Value {
    let mut config = net(&[11, 12]);
    let connection = config["connections"]["net"].as_object_mut();
    let connection = connection.expect("a connection");
    connection.remove("dpd_delay");
    connection.insert("version".into(), version.into());
    config
}

/// Up with gateway 11, with charon's own retransmission, which takes minutes.
fn up(config: &serde_json::Value, gateways: &GatewayOptions) -> Tunnel {
    let options = ClientOptions {
        settings: DEFAULTS.into(),
        ..ClientOptions::default()
    };
    Tunnel::up_as(config, options, gateways)
}

#[test]
fn a_gateway_dies_under_traffic_and_nothing_is_configured() {
    let mut tunnel = up(&plain(2), &GatewayOptions::default());
    let pings = tunnel.client.pings("10.2.0.1");
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "liveness_timeout");
    let before = pings.answered();
    wait::until("pings go again", || {
        (pings.answered() >= before + 20).then_some(())
    });
}

#[test]
fn a_gateway_dies_under_an_idle_tunnel_and_nothing_is_configured() {
    let mut tunnel = up(&plain(2), &GatewayOptions::default());
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "liveness_timeout");
    tunnel.client.ping("10.2.0.1");
}

#[test]
fn a_gateway_of_ikev1_dies_and_nothing_is_configured() {
    let mut tunnel = up(&plain(1), &GatewayOptions::ikev1());
    let _pings = tunnel.client.pings("10.2.0.1");
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "liveness_timeout");
}

#[test]
fn a_gateway_of_swanctls_dies_and_nothing_is_configured() {
    let lab = Lab::new();
    let mut gateway_1 = lab.gateway(11);
    let _gateway_2 = lab.gateway(12);
    let client = client(&lab);
    let mut control = client.connect();
    let conf = swanctl_conf("192.168.7.11, 192.168.7.12");
    client.load(&conf.replace(" dpd_delay = 1s\n", ""));
    client.swanctl(&["--initiate", "--child", "data"]);
    let _pings = client.pings("10.2.0.1");
    gateway_1.kill();
    let started = control.wait_event("failover_started");
    assert_eq!(started["connection"], "swan");
    assert_eq!(started["reason"], "liveness_timeout");
    let established = control.wait_event("failover_established");
    assert_eq!(established["gateway"], "192.168.7.12");
}

/// With the interval alone it would take a minute.
#[test]
fn packets_without_answer_are_reason_to_ask_at_once() {
    let policy =
        json!({"liveness_interval": "60s", "liveness_timeout": "1s", "traffic_timeout": "0.5s"});
    let config = net_with(&json!({"dpd_delay": 0}), &policy);
    let mut tunnel = up(&config, &GatewayOptions::default());
    let _pings = tunnel.client.pings("10.2.0.1");
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "liveness_timeout");
}

#[test]
fn a_gateway_that_answers_ike_and_sends_no_esp() {
    let policy = json!({"liveness_interval": "1s", "data_timeout": "2s"});
    let config = net_with(&json!({"dpd_delay": 0}), &policy);
    let mut tunnel = up(&config, &GatewayOptions::default());
    let _pings = tunnel.client.pings("10.2.0.1");
    lose_inbound_esp(&tunnel.client);
    let started = tunnel.control.wait_event("failover_started");
    assert_eq!(started["reason"], "data_path");
    let established = tunnel.control.wait_event("failover_established");
    assert_eq!(established["gateway"], "192.168.7.12");
    wait::until("the gateway has deleted the IKE_SA", || {
        let left = tunnel.gateway_1.swanctl(&["--list-sas"]);
        left.is_empty().then_some(())
    });
}

#[test]
fn a_gateway_that_sends_no_esp_is_kept_by_default() {
    let policy = json!({"liveness_interval": "1s", "traffic_timeout": "0.3s"});
    let config = net_with(&json!({"dpd_delay": 0}), &policy);
    let tunnel = up(&config, &GatewayOptions::default());
    let _pings = tunnel.client.pings("10.2.0.1");
    lose_inbound_esp(&tunnel.client);
    let answers = || {
        let log = tunnel.client.log();
        log.matches("parsed INFORMATIONAL response").count()
    };
    let before = answers();
    wait::until("it is asked again and again", || {
        (answers() >= before + 5).then_some(())
    });
    let started = tunnel.control.events_named("failover_started");
    assert!(started.is_empty(), "{started:?}");
}

/// docs/timing.md: liveness_interval + liveness_timeout + dead gateways before a live one *
/// connect_timeout + one IKE set-up.
#[test]
fn the_outage_has_the_bound_that_the_guide_gives() {
    let lab = Lab::new();
    let mut gateway_1 = lab.gateway(11);
    let _gateway_4 = lab.gateway(14);
    let client = client(&lab);
    let mut control = client.connect();
    let mut config = net_with(
        &json!({"dpd_delay": 0}),
        &json!({"liveness_interval": "1s", "liveness_timeout": "1s", "connect_timeout": "2s"}),
    );
    config["connections"]["net"]["remote_addrs"] =
        "192.168.7.11,192.168.7.12,192.168.7.13,192.168.7.14".into();
    control.apply(&config);
    let initiated = Instant::now();
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    let set_up = initiated.elapsed();
    let pings = client.pings("10.2.0.1");
    wait::until("pings go", || (pings.answered() >= 20).then_some(()));

    gateway_1.kill();
    let established = control.wait_event("failover_established");
    assert_eq!(established["gateway"], "192.168.7.14");
    let before = pings.answered();
    wait::until("pings go again", || {
        (pings.answered() >= before + 20).then_some(())
    });
    let outage = pings.finish().longest_gap;
    let dead_gateways = 2;
    let bound = Duration::from_secs(1 + 1 + dead_gateways * 2) + set_up;
    // What this machine needs for a second look at the same things, while other tests run.
    let busy = Duration::from_secs(1);
    assert!(outage <= bound + busy, "{outage:?}, the bound is {bound:?}");
    assert!(
        outage >= Duration::from_secs(dead_gateways * 2),
        "{outage:?}"
    );
}

#[test]
fn a_default_of_0_turns_off_what_a_connection_sets_half_of() {
    let lab = Lab::new();
    let client = lab.client_with(ClientOptions::with_failover("liveness_timeout = 0"));
    let mut control = client.connect();
    let line =
        "net: liveness_interval is above 0, but failover.liveness_timeout is 0 in strongswan.conf";
    let both = json!({"liveness_interval": "1s", "liveness_timeout": "1s"});
    control.apply(&net_with(&json!({}), &both));
    assert!(!client.log().contains(line), "{}", client.log());
    control.apply(&net_with(&json!({}), &json!({"liveness_interval": "1s"})));
    client.wait_log(line);
}
