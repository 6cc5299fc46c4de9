// SPDX-License-Identifier: GPL-2.0-or-later

//! Gateways that are names.

use std::time::Duration;

use extsock_lab::{net, wait, Client, ClientOptions, Extsock, Lab};
use serde_json::{json, Value};

use crate::ike_sas;

const SEGW: &str = "segw.example";

/// Connection `net` over these gateways.
fn net_over(remote_addrs: &str) -> Value {
    let mut config = net(&[]);
    config["connections"]["net"]["remote_addrs"] = remote_addrs.into();
    config
}

/// A client that may wait for names to resolve by itself.
fn client(lab: &Lab, retry_initiate_interval: u32) -> Client {
    lab.client_with(ClientOptions {
        settings: format!("retry_initiate_interval = {retry_initiate_interval}"),
        ..ClientOptions::default()
    })
}

#[track_caller]
pub(crate) fn expect_failover(control: &mut Extsock, from: &str, to: &str, reason: &str) {
    let started = control.wait_event("failover_started");
    assert_eq!(started["from"], from, "{started:?}");
    assert_eq!(started["to"], to, "{started:?}");
    assert_eq!(started["reason"], reason, "{started:?}");
    let established = control.wait_event("failover_established");
    assert_eq!(established["gateway"], to, "{established:?}");
}

#[track_caller]
fn expect_settled_at(client: &Client, address: &str) {
    wait::until(&format!("one IKE_SA, to {address}"), || {
        let sas = client.swanctl(&["--list-sas"]);
        let at = format!("'segw' @ {address}[");
        (ike_sas(client) == 1 && sas.contains(&at)).then_some(())
    });
}

#[test]
fn the_name_of_the_first_gateway_does_not_resolve() {
    for retry_initiate_interval in [0, 60] {
        let lab = Lab::new();
        let _gateway = lab.gateway(12);
        let client = client(&lab, retry_initiate_interval);
        let mut control = client.connect();
        control.apply(&net_over("segw.example,192.168.7.12"));
        control.ok("INITIATE net");
        expect_failover(&mut control, SEGW, "192.168.7.12", "address_unresolvable");
        client.ping("10.2.0.1");
        expect_settled_at(&client, "192.168.7.12");
    }
}

#[test]
fn the_name_of_the_next_gateway_does_not_resolve() {
    let lab = Lab::new();
    let mut gateway_1 = lab.gateway(11);
    let _gateway_3 = lab.gateway(13);
    let client = lab.client();
    let mut control = client.connect();
    control.apply(&net_over("192.168.7.11,segw.example,192.168.7.13"));
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    gateway_1.kill();
    let started = control.wait_event("failover_started");
    assert_eq!(started["to"], SEGW);
    assert_eq!(started["reason"], "dpd_timeout");
    expect_failover(&mut control, SEGW, "192.168.7.13", "address_unresolvable");
    client.ping("10.2.0.1");
}

#[test]
fn every_address_of_a_name_is_tried_before_the_next_gateway() {
    let lab = Lab::new();
    let mut gateway_2 = lab.gateway(12);
    let _gateway_3 = lab.gateway(13);
    let client = lab.client_with(ClientOptions::with_failover("stable_after = 0"));
    client.set_names("192.168.7.11 segw.example\n192.168.7.12 segw.example\n");
    let mut control = client.connect();
    control.apply(&net_over("segw.example,192.168.7.13"));
    control.ok("INITIATE net");
    expect_failover(&mut control, SEGW, SEGW, "peer_unreachable");
    client.ping("10.2.0.1");
    expect_settled_at(&client, "192.168.7.12");
    assert_eq!(control.connection("net")["active_gateway"], SEGW);

    gateway_2.kill();
    // The other address first, where nobody answers.
    let started = control.wait_event("failover_started");
    assert_eq!(
        (&started["from"], &started["to"]),
        (&json!(SEGW), &json!(SEGW))
    );
    expect_failover(&mut control, SEGW, "192.168.7.13", "peer_unreachable");
    client.ping("10.2.0.1");
    expect_settled_at(&client, "192.168.7.13");
}

#[test]
fn a_name_is_looked_up_anew_at_every_attempt() {
    let lab = Lab::new();
    let mut gateway_1 = lab.gateway(11);
    let mut gateway_2 = lab.gateway(12);
    let client = lab.client();
    client.set_names("192.168.7.12 segw.example\n");
    let mut control = client.connect();
    control.apply(&net_over("192.168.7.11,segw.example"));
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    gateway_1.kill();
    expect_failover(&mut control, "192.168.7.11", SEGW, "dpd_timeout");
    expect_settled_at(&client, "192.168.7.12");

    gateway_1.restart();
    gateway_2.kill();
    expect_failover(&mut control, SEGW, "192.168.7.11", "dpd_timeout");
    let _gateway_3 = lab.gateway(13);
    client.set_names("192.168.7.13 segw.example\n");
    gateway_1.kill();
    expect_failover(&mut control, "192.168.7.11", SEGW, "dpd_timeout");
    expect_settled_at(&client, "192.168.7.13");
}

#[test]
fn charon_that_retries_by_itself_goes_on_at_a_name() {
    for option in ["keyingtries", "dpd_action"] {
        let lab = Lab::new();
        let mut gateway_1 = lab.gateway(11);
        let _gateway_2 = lab.gateway(12);
        let client = lab.client();
        client.set_names("192.168.7.12 segw.example\n");
        let mut control = client.connect();
        let mut config = net_over("192.168.7.11,segw.example");
        let connection = &mut config["connections"]["net"];
        let reason = if option == "keyingtries" {
            connection["keyingtries"] = 0.into();
            gateway_1.kill();
            "peer_unreachable"
        } else {
            connection["children"]["net2"]["dpd_action"] = "restart".into();
            "dpd_timeout"
        };
        control.apply(&config);
        control.ok("INITIATE net");
        if option == "dpd_action" {
            control.wait_event("tunnel_up");
            gateway_1.kill();
        }
        expect_failover(&mut control, "192.168.7.11", SEGW, reason);
        client.ping("10.2.0.1");
        expect_settled_at(&client, "192.168.7.12");
    }
}

#[test]
fn a_silent_name_server_holds_up_nobody_else() {
    let lab = Lab::new();
    let mut gateway_1 = lab.gateway(11);
    let _gateway_2 = lab.gateway(12);
    let client = lab.client();
    client.set_name_server("192.168.7.99");
    let mut control = client.connect();
    let mut config = net(&[11, 12]);
    // More than charon has threads.
    for number in 0..20 {
        let name = format!("other{number}");
        let mut other = extsock_lab::connection(&name, &[], &[3])["connections"][&name].clone();
        other["remote_addrs"] = format!("segw{number}.example,segw{number}.example.org").into();
        config["connections"][&name] = other;
    }
    control.apply(&config);
    for number in 0..20 {
        control.ok(&format!("INITIATE other{number}"));
    }
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    let swanctl = wait::within(Duration::from_secs(2), "swanctl is answered", || {
        client.try_swanctl(&["--list-sas"]).ok()
    });
    assert!(swanctl.contains("net: #"), "{swanctl}");
    gateway_1.kill();
    let established = control.wait_event_where("failover_established of net", |event| {
        event.name() == "failover_established" && event["connection"] == "net"
    });
    assert_eq!(established["gateway"], "192.168.7.12");
    // And charon ends in time, with lookups under way.
    let state = control.connection("other0")["state"].clone();
    assert!(
        ["connecting", "waiting"]
            .iter()
            .any(|waits| state == *waits),
        "{state}"
    );
    drop(control);
    let mut client = client;
    let (status, took) = client.stop();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn names_of_swanctls_connection_none_of_which_resolves_at_first() {
    let lab = Lab::new();
    let _gateway_2 = lab.gateway(12);
    let client = lab.client();
    client.load(&crate::policy::swanctl_conf(
        "segw-1.example, segw-2.example",
    ));
    let mut control = client.connect();
    let refused = client.try_swanctl(&["--initiate", "--child", "data", "--timeout", "5"]);
    assert!(refused.is_err(), "{refused:?}");
    let started = control.wait_event("failover_started");
    assert_eq!(started["connection"], "swan");
    assert_eq!(started["reason"], "address_unresolvable");
    client.set_names("192.168.7.12 segw-2.example\n");
    let established = control.wait_event("failover_established");
    assert_eq!(established["gateway"], "segw-2.example");
    client.ping("10.2.0.1");
    expect_settled_at(&client, "192.168.7.12");
}
