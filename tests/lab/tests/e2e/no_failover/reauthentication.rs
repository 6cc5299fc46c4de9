// SPDX-License-Identifier: GPL-2.0-or-later

//! Reauthentication, break-before-make (charon's default before strongSwan 6) and make-before-break.

use extsock_lab::{ClientOptions, GatewayOptions};
use serde_json::json;

use super::{expect_undisturbed, silent, wait_single};
use crate::policy::net_with;
use crate::{expect_failover, ike_sa, wait_state, Hosts, Tunnel};

fn make_before_break() -> ClientOptions {
    with_settings("make_before_break = yes")
}

fn break_before_make() -> ClientOptions {
    with_settings("make_before_break = no")
}

fn with_settings(settings: &str) -> ClientOptions {
    ClientOptions {
        settings: settings.to_owned(),
        ..ClientOptions::default()
    }
}

fn reauthenticate(tunnel: &Tunnel) {
    let swanctl = ["--rekey", "--ike", "net", "--reauth"];
    tunnel.client.swanctl(&swanctl);
    tunnel.client.wait_log("reauthenticating IKE_SA net");
}

fn succeeds(client: ClientOptions) {
    let mut tunnel = Tunnel::up_with(client);
    reauthenticate(&tunnel);
    tunnel.control.wait_event("tunnel_up");
    expect_undisturbed(&tunnel.control, &tunnel.client);
    let now = ike_sa(&tunnel.client, "net");
    assert!(now.starts_with("net: #2,"), "{now}");
    let listed = wait_state(&mut tunnel.control, "established");
    assert_eq!(listed["active_gateway"], "192.168.7.11");

    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    wait_single(&tunnel.client);
    tunnel.client.ping("10.2.0.1");
}

#[test]
fn break_before_make_in_time() {
    succeeds(break_before_make());
}

#[test]
fn break_before_make_on_the_second_gateway() {
    on_the_second_gateway(break_before_make());
}

#[test]
fn make_before_break_in_time() {
    succeeds(make_before_break());
}

#[test]
fn make_before_break_on_the_second_gateway() {
    on_the_second_gateway(make_before_break());
}

fn on_the_second_gateway(client: ClientOptions) {
    let mut tunnel = Tunnel::up_with(client);
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    wait_single(&tunnel.client);
    tunnel.gateway_1.restart();
    let before = ike_sa(&tunnel.client, "net");
    tunnel.control.wait_event("tunnel_up");
    reauthenticate(&tunnel);
    tunnel.control.wait_event("tunnel_up");
    wait_single(&tunnel.client);
    assert_ne!(ike_sa(&tunnel.client, "net"), before);
    let listed = wait_state(&mut tunnel.control, "established");
    assert_eq!(listed["active_gateway"], "192.168.7.12");

    tunnel.gateway_2.kill();
    expect_failover(&mut tunnel.control, 12, 11, "dpd_timeout");
    wait_single(&tunnel.client);
}

fn by_time(client: ClientOptions) {
    let times = json!({"reauth_time": "2s", "over_time": "30s", "rand_time": 0});
    let config = net_with(&times, &json!({}));
    let mut tunnel = Tunnel::up_as(&config, client, &GatewayOptions::default());
    for _ in 0..2 {
        tunnel.control.wait_event("ike_sa_up");
    }
    tunnel.control.wait_event("tunnel_up");
    wait_single(&tunnel.client);
    assert!(tunnel.control.events_named("failover_started").is_empty());
    tunnel.client.ping("10.2.0.1");
}

#[test]
fn break_before_make_by_time() {
    by_time(break_before_make());
}

#[test]
fn make_before_break_by_time() {
    by_time(make_before_break());
}

#[test]
fn break_before_make_and_the_deletion_is_not_answered() {
    let mut tunnel = silent(break_before_make());
    tunnel.gateway_1.kill();
    reauthenticate(&tunnel);
    let started = tunnel.control.wait_event("failover_started");
    assert_eq!(started["from"], "192.168.7.11");
    assert_eq!(started["to"], "192.168.7.12");
    tunnel.control.wait_event("failover_established");
    wait_single(&tunnel.client);
    tunnel.client.ping("10.2.0.1");
    assert_eq!(tunnel.control.events_named("failover_started").len(), 1);
}

#[test]
fn make_before_break_fails_and_dpd_goes_on() {
    let mut tunnel = Tunnel::up_with(make_before_break());
    tunnel.gateway_1.kill();
    reauthenticate(&tunnel);
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    wait_single(&tunnel.client);
    tunnel.client.ping("10.2.0.1");
}

#[test]
fn make_before_break_fails_and_the_gateway_dies_later() {
    let mut tunnel = silent(make_before_break());
    tunnel.gateway_1.freeze();
    reauthenticate(&tunnel);
    tunnel.client.wait_log("giving up after 2 retransmits");
    tunnel.gateway_1.thaw();
    expect_undisturbed(&tunnel.control, &tunnel.client);

    tunnel.gateway_1.kill();
    tunnel.control.ok("START_DPD net");
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    wait_single(&tunnel.client);
    tunnel.client.ping("10.2.0.1");
}

#[test]
fn make_before_break_is_refused() {
    let mut tunnel = Tunnel::up_with(make_before_break());
    tunnel.gateway_1.refuse_authentication();
    reauthenticate(&tunnel);
    tunnel.client.wait_log("received AUTHENTICATION_FAILED");
    expect_undisturbed(&tunnel.control, &tunnel.client);
    assert_eq!(tunnel.control.connection("net")["state"], "established");
}

/// A gateway that cannot reauthenticate the client, which has a virtual IP, has it do so (AUTH_LIFETIME): within
/// 20 s, of which the client's over_time leaves nothing.
fn loops(client: ClientOptions) {
    let gateways = GatewayOptions {
        pool: Some("10.9.0.0/24"),
        connection: "reauth_time = 20s\n over_time = 2s\n rand_time = 0".into(),
        ..GatewayOptions::default()
    };
    let times = json!({"vips": "0.0.0.0", "over_time": "60s"});
    let mut config = net_with(&times, &json!({}));
    let child = &mut config["connections"]["net"]["children"]["net2"];
    child["local_ts"] = "dynamic".into();
    let mut tunnel = Tunnel::loaded_at(
        Hosts {
            client,
            ..Hosts::with_gateways(gateways)
        },
        &config,
    );
    tunnel.control.ok("INITIATE net");
    tunnel
        .client
        .wait_log("s, scheduling reauthentication in 1");
    tunnel.client.ping("10.2.0.1");
    reauthenticate(&tunnel);
    let told = tunnel.control.wait_event("reauthentication_loop");
    assert_eq!(told["connection"], "net");
    // In whole seconds of which one may have begun.
    let lifetime = told["auth_lifetime"].as_u64().expect("a number");
    assert!((19..=20).contains(&lifetime), "{lifetime}");
    assert_eq!(told["over_time"], 60);
    wait_single(&tunnel.client);
    tunnel.client.ping("10.2.0.1");
    assert_eq!(tunnel.control.events_named("ike_sa_up").len(), 2);
    assert!(tunnel.control.events_named("failover_started").is_empty());
}

#[test]
fn break_before_make_that_is_due_at_once() {
    loops(break_before_make());
}

#[test]
fn make_before_break_that_is_due_at_once() {
    loops(make_before_break());
}
