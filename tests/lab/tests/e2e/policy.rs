// SPDX-License-Identifier: GPL-2.0-or-later

//! Deadlines, switches by hand, charon's own retries, and connections that others loaded.

use std::time::Duration;

use extsock_lab::{net, wait, Answered, ClientOptions, Lab, PSK};
use serde_json::{json, Value};

use crate::{expect_failover, ike_sa, ike_sas, wait_state, Hosts, Tunnel};

/// Connection `net` over gateways 11 and 12 with options of its own, and with a policy.
pub(crate) fn net_with(options: &Value, policy: &Value) -> Value {
    let mut config = net(&[11, 12]);
    let connection = config["connections"]["net"]
        .as_object_mut()
        .expect("a connection");
    connection.extend(options.as_object().expect("options").clone());
    connection.insert("failover".into(), policy.clone());
    config
}

/// A client whose charon repeats an unanswered request for longer than the connect_timeout of these tests, which is
/// enough for a gateway that lives.
pub(crate) fn patient() -> ClientOptions {
    Hosts::with_client("retransmit_tries = 10").client
}

#[test]
fn an_attempt_takes_too_long() {
    let lab = Lab::new();
    let _gateway_2 = lab.gateway(12);
    let client = lab.client_with(patient());
    let mut control = client.connect();
    control.apply(&net_with(&json!({}), &json!({"connect_timeout": "2s"})));
    control.ok("INITIATE net");
    expect_failover(&mut control, 11, 12, "connect_timeout");
    wait::until("the attempt to gateway 1 is gone", || {
        (ike_sas(&client) == 1).then_some(())
    });
    client.ping("10.2.0.1");
}

#[test]
fn charon_that_tries_for_ever_is_led_to_the_next_gateway() {
    for keyingtries in [0, 3] {
        let lab = Lab::new();
        let _gateway_2 = lab.gateway(12);
        let client = lab.client();
        let mut control = client.connect();
        control.apply(&net_with(
            &json!({ "keyingtries": keyingtries }),
            &json!({"connect_timeout": 0}),
        ));
        control.ok("INITIATE net");
        expect_failover(&mut control, 11, 12, "peer_unreachable");
        client.ping("10.2.0.1");
        assert!(
            ike_sa(&client, "net").starts_with("net: #1,"),
            "the same IKE_SA"
        );
        assert_eq!(ike_sas(&client), 1);
    }
}

#[test]
fn charon_that_re_establishes_is_led_to_the_next_gateway() {
    let mut config = net(&[11, 12]);
    config["connections"]["net"]["children"]["net2"]["dpd_action"] = "restart".into();
    let mut tunnel = Tunnel::loaded(&config).initiate();
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    tunnel.client.ping("10.2.0.1");
    wait::until("one IKE_SA is left", || {
        (ike_sas(&tunnel.client) == 1).then_some(())
    });
}

#[test]
fn a_silent_gateway_is_found_without_charons_dpd() {
    let config = net_with(
        &json!({"dpd_delay": 0}),
        &json!({"liveness_interval": "0.5s", "liveness_timeout": "0.5s"}),
    );
    let mut tunnel = Tunnel::loaded(&config).initiate();
    // Alive for longer than both together.
    wait::holds_for(Duration::from_secs(2), "no failover", || {
        let started = tunnel.control.events_named("failover_started");
        (!started.is_empty()).then(|| format!("{started:?}"))
    });
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "liveness_timeout");
    tunnel.client.ping("10.2.0.1");
}

#[test]
fn an_operator_switches_and_no_packet_is_lost() {
    let mut tunnel = Tunnel::up();
    let pings = tunnel.client.pings("10.2.0.1");
    let reply = tunnel.control.ok("FAILOVER net 192.168.7.12");
    assert_eq!(reply["gateway"], "192.168.7.12");
    expect_failover(&mut tunnel.control, 11, 12, "operator");
    wait::until("the old IKE_SA is gone", || {
        (ike_sas(&tunnel.client) == 1).then_some(())
    });
    tunnel.client.ping("10.2.0.1");
    let Answered { sent, answered, .. } = pings.finish();
    assert!(answered + 1 >= sent, "{answered} of {sent} pings answered");
    let listed = wait_state(&mut tunnel.control, "established");
    assert_eq!(listed["active_gateway"], "192.168.7.12");

    let history = tunnel.control.ok("HISTORY net 1");
    let failover = &history["failovers"][0];
    assert_eq!(failover["reason"], "operator");
    assert_eq!(failover["result"], "established");
}

#[test]
fn an_operators_switch_to_a_dead_gateway_changes_nothing() {
    let mut tunnel = Tunnel::up();
    tunnel.gateway_2.kill();
    let before = ike_sa(&tunnel.client, "net");
    tunnel.control.ok("FAILOVER net");
    wait::until("the switch failed", || {
        let history = tunnel.control.ok("HISTORY net");
        (history["failovers"][0]["result"] == "peer_unreachable").then_some(())
    });
    assert_eq!(ike_sa(&tunnel.client, "net"), before);
    tunnel.client.ping("10.2.0.1");
    assert_eq!(
        wait_state(&mut tunnel.control, "established")["active_gateway"],
        "192.168.7.11"
    );
}

#[test]
fn swanctl_means_the_connection_on_whichever_gateway_it_is() {
    let mut tunnel = Tunnel::up();
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    wait::until("charon knows it by the connection's name", || {
        ike_sa(&tunnel.client, "net")
            .starts_with("net:")
            .then_some(())
    });
    // The CHILD_SA is up; the IKE_SA is found and no second one made.
    let _ = tunnel
        .client
        .try_swanctl(&["--initiate", "--child", "net2", "--timeout", "2"]);
    assert_eq!(ike_sas(&tunnel.client), 1);
    tunnel.client.swanctl(&["--terminate", "--ike", "net"]);
    wait_state(&mut tunnel.control, "down");
}

/// A connection of swanctl's over the gateways.
pub(crate) fn swanctl_conf(gateways: &str) -> String {
    format!(
        "connections {{\n swan {{\n version = 2\n mobike = no\n local_addrs = 192.168.7.1\n \
         remote_addrs = {gateways}\n dpd_delay = 1s\n proposals = aes128-sha256-modp2048\n \
         local {{\n auth = psk\n id = client\n }}\n remote {{\n auth = psk\n id = segw\n }}\n \
         children {{\n data {{\n local_ts = 10.1.0.0/24\n remote_ts = 10.2.0.0/24\n \
         esp_proposals = aes128-sha256-modp2048\n }}\n }}\n }}\n }}\n\
         secrets {{\n ike-segw {{\n id = segw\n secret = {PSK}\n }}\n }}\n"
    )
}

#[test]
fn a_connection_of_swanctls_fails_over_and_back() {
    let lab = Lab::new();
    let mut gateway_1 = lab.gateway(11);
    let mut gateway_2 = lab.gateway(12);
    let client = lab.client();
    let mut control = client.connect();
    client.load(&swanctl_conf("192.168.7.11, 192.168.7.12"));
    client.swanctl(&["--initiate", "--child", "data"]);
    client.ping("10.2.0.1");

    gateway_1.kill();
    let established = control.wait_event("failover_established");
    assert_eq!(established["connection"], "swan");
    assert_eq!(established["gateway"], "192.168.7.12");
    client.ping("10.2.0.1");

    gateway_1.restart();
    gateway_2.kill();
    let established = control.wait_event("failover_established");
    assert_eq!(established["gateway"], "192.168.7.11");
    client.ping("10.2.0.1");
    client.swanctl(&["--terminate", "--ike", "swan"]);
    wait::until("it is known no more", || {
        (control.ok("LIST")["connections"] == json!([])).then_some(())
    });
}

#[test]
fn an_edited_list_of_swanctls_counts_at_the_next_failover() {
    let lab = Lab::new();
    let mut gateway_1 = lab.gateway(11);
    let _gateway_3 = lab.gateway(13);
    let client = lab.client();
    let mut control = client.connect();
    client.load(&swanctl_conf("192.168.7.11, 192.168.7.12"));
    client.swanctl(&["--initiate", "--child", "data"]);
    client.load(&swanctl_conf("192.168.7.13, 192.168.7.14"));
    gateway_1.kill();
    let established = control.wait_event("failover_established");
    assert_eq!(established["gateway"], "192.168.7.13");
    client.ping("10.2.0.1");
}

#[test]
fn connections_of_others_can_be_left_alone() {
    let lab = Lab::new();
    let mut gateway_1 = lab.gateway(11);
    let _gateway_2 = lab.gateway(12);
    let client = lab.client_with(ClientOptions::with_failover("scope = extsock"));
    let mut control = client.connect();
    client.load(&swanctl_conf("192.168.7.11, 192.168.7.12"));
    client.swanctl(&["--initiate", "--child", "data"]);
    gateway_1.kill();
    control.wait_event("ike_sa_down");
    assert_eq!(control.ok("LIST")["connections"], json!([]));
    wait::holds_for(Duration::from_secs(1), "no failover", || {
        (ike_sas(&client) > 0).then(|| client.swanctl(&["--list-sas"]))
    });
}

#[test]
fn a_gateway_that_refused_is_passed_over() {
    let lab = Lab::new();
    let mut gateway_1 = lab.gateway(11);
    let gateway_2 = lab.gateway(12);
    let _gateway_3 = lab.gateway(13);
    gateway_2.refuse_authentication();
    let client = lab.client();
    let mut control = client.connect();
    control.apply(&net(&[11, 12, 13]));
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    gateway_1.kill();
    let established = control.wait_event("failover_established");
    assert_eq!(established["gateway"], "192.168.7.13");
    assert_eq!(established["attempts"], 2);
    let refused = control.connection("net")["gateway_status"][1].clone();
    assert_eq!(refused["last_result"], "auth_failed");
    assert!(refused["set_aside_ms"].as_u64() > Some(0), "{refused}");

    // The next one in the circle after 13 and 11 would be 12.
    control.ok("FAILOVER net 192.168.7.13");
    assert_eq!(control.connection("net")["active_gateway"], "192.168.7.13");
}

#[test]
fn retries_without_limit_wait_longer_with_each_round() {
    let lab = Lab::new();
    let client = lab.client();
    let mut control = client.connect();
    control.apply(&net_with(
        &json!({}),
        &json!({
            "connect_timeout": "0.2s", "max_retries": 0,
            "base_delay": "0.5s", "jitter": 0, "multiplier": 3, "max_delay": "10m",
        }),
    ));
    control.ok("INITIATE net");
    let mut longest = 0;
    // The third round begins after 1.5 s, the fourth after 4.5 s.
    wait::until("a wait of more than 2 s", || {
        let wait = control.connection("net")["next_retry_ms"].as_u64();
        longest = longest.max(wait.unwrap_or(0));
        (longest > 2000).then_some(())
    });
    assert!(longest <= 4500, "{longest}");
    assert!(control.events_named("failover_exhausted").is_empty());
}

#[test]
fn attempts_are_made_one_at_a_time_where_that_is_asked_for() {
    let lab = Lab::new();
    let gateway_1 = lab.gateway(11);
    let client = lab.client_with(ClientOptions::with_failover("max_concurrent = 1"));
    let mut control = client.connect();
    let mut config = net(&[12, 11]);
    let second = extsock_lab::connection("second", &[12, 11], &[3]);
    config["connections"]["second"] = second["connections"]["second"].clone();
    control.apply(&config);
    control.ok("INITIATE net");
    control.ok("INITIATE second");
    assert_eq!(control.connection("net")["state"], "connecting");
    assert_eq!(control.connection("second")["state"], "waiting");
    wait_state(&mut control, "established");
    wait::until("the second has its turn", || {
        (control.connection("second")["state"] != "waiting").then_some(())
    });
    drop(gateway_1);
}
