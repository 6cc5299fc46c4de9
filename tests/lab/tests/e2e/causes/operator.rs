// SPDX-License-Identifier: GPL-2.0-or-later

//! Switches at an operator's command.

use extsock_lab::{net, wait, Answered, Lab};
use serde_json::json;

use super::connecting::OTHER_NETWORK;
use super::told;
use crate::ike_sas;
use crate::policy::{net_with, patient};
use crate::{expect_failover, ike_sa, wait_state, Hosts, Tunnel};

#[test]
fn an_operator_switches_to_the_next_gateway() {
    let mut tunnel = Tunnel::up();
    let reply = tunnel.control.ok("FAILOVER net");
    assert_eq!(reply["gateway"], "192.168.7.12");
    tunnel.fails_over("operator");
    // And from there to the next one again.
    let reply = tunnel.control.ok("FAILOVER net");
    assert_eq!(reply["gateway"], "192.168.7.11");
    expect_failover(&mut tunnel.control, 12, 11, "operator");
    tunnel.settles_at("192.168.7.11");
    tunnel.has_told(&["operator", "operator"]);
}

#[test]
fn an_operators_switch_that_is_refused_changes_nothing() {
    let mut tunnel = Tunnel::up();
    tunnel.gateway_2.refuse_authentication();
    switch_fails(&mut tunnel, "auth_failed");
    // It can be made as soon as it is possible.
    tunnel.gateway_2.accept_authentication();
    tunnel.control.ok("FAILOVER net");
    tunnel.control.wait_event("failover_established");
    tunnel.settles_at("192.168.7.12");
    tunnel.has_told(&["operator", "operator"]);
}

#[test]
fn an_operators_switch_that_takes_too_long_changes_nothing() {
    let config = net_with(&json!({}), &json!({"connect_timeout": "2s"}));
    let hosts = Hosts {
        client: patient(),
        ..Hosts::default()
    };
    let mut tunnel = Tunnel::loaded_at(hosts, &config).initiate();
    tunnel.gateway_2.kill();
    switch_fails(&mut tunnel, "connect_timeout");
}

fn switch_fails(tunnel: &mut Tunnel, result: &str) {
    let before = ike_sa(&tunnel.client, "net");
    let pings = tunnel.client.pings("10.2.0.1");
    tunnel.control.ok("FAILOVER net");
    wait::until("the switch failed", || {
        let history = tunnel.control.ok("HISTORY net");
        (history["failovers"][0]["result"] == result).then_some(())
    });
    tunnel.settles_at("192.168.7.11");
    tunnel.stays_so();
    let Answered { sent, answered, .. } = pings.finish();
    assert!(answered + 1 >= sent, "{answered} of {sent} pings answered");
    assert_eq!(ike_sa(&tunnel.client, "net"), before);
    assert_eq!(told(&tunnel.control), ["operator"]);
}

#[test]
fn an_operators_switch_to_a_gateway_without_child_sa_is_taken_back() {
    let config = net_with(&json!({}), &json!({"on_child_failure": true}));
    let mut tunnel = Tunnel::loaded(&config).initiate();
    let (text, by) = OTHER_NETWORK;
    tunnel.gateway_2.reconfigure(text, by);
    tunnel.control.ok("FAILOVER net");
    tunnel.control.wait_event("failover_established");
    tunnel.settles_at("192.168.7.11");
    tunnel.has_told(&["operator", "child_failed"]);
}

#[test]
fn an_operator_switches_while_connecting() {
    for keyingtries in [1, 0] {
        let lab = Lab::new();
        let _gateway_2 = lab.gateway(12);
        let client = lab.client();
        let mut control = client.connect();
        control.apply(&net_with(
            &json!({ "keyingtries": keyingtries }),
            &json!({}),
        ));
        control.ok("INITIATE net");
        client.wait_log("initiating IKE_SA net[1] to 192.168.7.11");
        let reply = control.ok("FAILOVER net");
        assert_eq!(reply["gateway"], "192.168.7.12");
        expect_failover(&mut control, 11, 12, "operator");
        wait::until("the attempt to gateway 1 is gone", || {
            (ike_sas(&client) == 1).then_some(())
        });
        client.ping("10.2.0.1");
        assert_eq!(told(&control), ["operator"]);
        let history = control.ok("HISTORY net");
        assert_eq!(history["failovers"][0]["reason"], "operator");
        assert_eq!(history["failovers"][0]["result"], "established");
    }
}

#[test]
fn an_operator_changes_a_switch_that_is_under_way() {
    let lab = Lab::new();
    let _gateway_1 = lab.gateway(11);
    let _gateway_3 = lab.gateway(13);
    let client = lab.client();
    let mut control = client.connect();
    control.apply(&net(&[11, 12, 13]));
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    // There is no gateway 12.
    control.ok("FAILOVER net 192.168.7.12");
    client.wait_log("initiating IKE_SA net-failover-192.168.7.12");
    control.ok("FAILOVER net 192.168.7.13");
    let established = control.wait_event("failover_established");
    assert_eq!(established["gateway"], "192.168.7.13");
    wait::until("one IKE_SA is left", || {
        (ike_sas(&client) == 1).then_some(())
    });
    client.ping("10.2.0.1");
    assert_eq!(told(&control), ["operator", "operator"]);
    let history = control.ok("HISTORY net");
    assert_eq!(history["failovers"][0]["result"], "established");
    assert_eq!(history["failovers"][1]["result"], "abandoned");
}

#[test]
fn an_operator_switches_after_all_was_given_up() {
    let lab = Lab::new();
    let gateway_2 = lab.gateway(12);
    gateway_2.refuse_authentication();
    let client = lab.client_with(patient());
    let mut control = client.connect();
    control.apply(&net_with(
        &json!({}),
        &json!({"connect_timeout": "2s", "max_retries": 1}),
    ));
    control.ok("INITIATE net");
    control.wait_event("failover_exhausted");
    gateway_2.accept_authentication();
    control.ok("FAILOVER net 192.168.7.12");
    wait_state(&mut control, "established");
    client.ping("10.2.0.1");
    assert_eq!(ike_sas(&client), 1);
    // It is where the last attempt was made, so that nothing was switched.
    assert_eq!(told(&control), ["connect_timeout"]);
}
