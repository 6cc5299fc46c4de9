// SPDX-License-Identifier: GPL-2.0-or-later

//! What gateways do to IKE_SAs for reasons of their own: uniqueness, INITIAL_CONTACT, REDIRECT, and
//! IKE_SAs that they initiate.

use extsock_lab::{net, Client, ClientOptions, Gateway, GatewayOptions};
use serde_json::json;

use super::{expect_undisturbed, wait_single, without_dpd};
use crate::policy::net_with;
use crate::{expect_failover, ike_sa, wait_state, Hosts, Tunnel};

/// Initiates a second IKE_SA of the connection, from another address of the client's.
fn initiate_another(tunnel: &mut Tunnel) {
    tunnel.client.ip("addr add 192.168.7.3/24 dev eth0");
    let from_there = net_with(&json!({"local_addrs": "192.168.7.3"}), &json!({}));
    tunnel.control.apply(&from_there);
    // It fails where the gateway refuses.
    let _ = tunnel
        .client
        .try_swanctl(&["--initiate", "--child", "net2", "--timeout", "5"]);
    tunnel
        .client
        .wait_log("initiating IKE_SA net[2] to 192.168.7.11");
}

fn with_unique(policy: &str) -> Tunnel {
    let gateways = GatewayOptions {
        connection: format!("unique = {policy}"),
        ..GatewayOptions::default()
    };
    Tunnel::up_as(&net(&[11, 12]), ClientOptions::default(), &gateways)
}

#[test]
fn the_gateway_replaces_an_ike_sa_by_another() {
    let mut tunnel = with_unique("replace");
    initiate_another(&mut tunnel);
    tunnel.client.wait_log("received DELETE for IKE_SA net[1]");
    expect_undisturbed(&tunnel.control, &tunnel.client);
    let kept = ike_sa(&tunnel.client, "net");
    assert!(kept.starts_with("net: #2,"), "{kept}");
    let listed = wait_state(&mut tunnel.control, "established");
    assert_eq!(listed["active_gateway"], "192.168.7.11");

    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    wait_single(&tunnel.client);
}

#[test]
fn the_gateway_keeps_an_ike_sa_and_refuses_another() {
    let mut tunnel = with_unique("keep");
    initiate_another(&mut tunnel);
    tunnel.client.wait_log("received AUTHENTICATION_FAILED");
    expect_undisturbed(&tunnel.control, &tunnel.client);
    let kept = ike_sa(&tunnel.client, "net");
    assert!(kept.starts_with("net: #1,"), "{kept}");
    wait_state(&mut tunnel.control, "established");

    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    wait_single(&tunnel.client);
}

#[test]
fn make_before_break_where_the_gateway_replaces() {
    let gateways = GatewayOptions {
        connection: "unique = replace".to_owned(),
        ..GatewayOptions::default()
    };
    let client = ClientOptions {
        settings: "make_before_break = yes".to_owned(),
        ..ClientOptions::default()
    };
    let tunnel = Tunnel::up_as(&net(&[11, 12]), client, &gateways);
    tunnel
        .client
        .swanctl(&["--rekey", "--ike", "net", "--reauth"]);
    tunnel
        .gateway_1
        .wait_log("schedule delete of duplicate IKE_SA");
    expect_undisturbed(&tunnel.control, &tunnel.client);
}

/// Gateways that can initiate to the client.
fn initiating() -> GatewayOptions {
    GatewayOptions {
        connection: "remote_addrs = 192.168.7.1\n remote {\n id = client\n }".to_owned(),
        ..GatewayOptions::default()
    }
}

fn initiate_from(gateway: &Gateway) {
    gateway.swanctl(&["--initiate", "--child", "net2"]);
}

#[test]
fn the_gateway_makes_initial_contact() {
    let mut tunnel = Tunnel::up_as(&without_dpd(), ClientOptions::default(), &initiating());
    tunnel.gateway_1.kill();
    tunnel.gateway_1.restart();
    initiate_from(&tunnel.gateway_1);
    tunnel.client.wait_log("received INITIAL_CONTACT");
    expect_undisturbed(&tunnel.control, &tunnel.client);
    let theirs = ike_sa(&tunnel.client, "net");
    assert!(theirs.starts_with("net: #2,"), "{theirs}");
    assert_eq!(tunnel.control.connection("net")["state"], "down");

    // Theirs is of no use for what we initiate, and in nobody's way.
    tunnel.client.swanctl(&["--terminate", "--ike", "net"]);
    tunnel.control.ok("INITIATE net");
    wait_state(&mut tunnel.control, "established");
    wait_single(&tunnel.client);
    tunnel.gateway_1.kill();
    tunnel.control.ok("START_DPD net");
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
}

#[test]
fn the_other_gateway_makes_initial_contact() {
    let mut tunnel = Tunnel::up_as(&without_dpd(), ClientOptions::default(), &initiating());
    initiate_from(&tunnel.gateway_2);
    tunnel.client.wait_log("received INITIAL_CONTACT");
    expect_undisturbed(&tunnel.control, &tunnel.client);
    assert_eq!(tunnel.control.connection("net")["state"], "down");
}

#[test]
fn the_gateway_initiated_and_dies() {
    let hosts = Hosts {
        gateway_1: initiating(),
        ..Hosts::default()
    };
    let mut tunnel = Tunnel::loaded_at(hosts, &net(&[11, 12]));
    initiate_from(&tunnel.gateway_1);
    tunnel.control.wait_event("tunnel_up");
    tunnel.client.ping("10.2.0.1");
    assert_eq!(tunnel.control.connection("net")["state"], "down");

    tunnel.gateway_1.kill();
    tunnel.control.wait_event("ike_sa_down");
    tunnel.client.wait_log("giving up after 2 retransmits");
    super::expect_down(&mut tunnel.control, &tunnel.client);

    tunnel.control.ok("INITIATE net");
    expect_failover(&mut tunnel.control, 11, 12, "peer_unreachable");
    tunnel.client.ping("10.2.0.1");
}

#[test]
fn the_gateway_initiated_and_deletes() {
    let hosts = Hosts {
        gateway_1: initiating(),
        ..Hosts::default()
    };
    let mut tunnel = Tunnel::loaded_at(hosts, &net(&[11, 12]));
    initiate_from(&tunnel.gateway_1);
    tunnel.control.wait_event("tunnel_up");
    tunnel.gateway_1.swanctl(&["--terminate", "--ike", "segw"]);
    tunnel.control.wait_event("ike_sa_down");
    super::expect_down(&mut tunnel.control, &tunnel.client);
}

/// Has the gateway send the client to another.
pub(crate) fn redirect(from: &Gateway, client: &Client, to: &str) {
    from.swanctl(&["--redirect", "--ike", "segw", "--gateway", to]);
    client.wait_log(&format!("redirected to {to}"));
}

#[test]
fn redirected_to_the_other_gateway() {
    let mut tunnel = Tunnel::up();
    redirect(&tunnel.gateway_1, &tunnel.client, "192.168.7.12");
    tunnel.control.wait_event("tunnel_up");
    expect_undisturbed(&tunnel.control, &tunnel.client);
    let gateway = tunnel.gateway_2.ike_sas();
    assert_eq!(gateway.len(), 1, "{gateway:?}");
    let listed = wait_state(&mut tunnel.control, "established");
    assert_eq!(listed["active_gateway"], "192.168.7.12");

    tunnel.gateway_2.kill();
    expect_failover(&mut tunnel.control, 12, 11, "dpd_timeout");
    wait_single(&tunnel.client);
    tunnel.client.ping("10.2.0.1");
}

#[test]
fn redirected_to_a_gateway_that_is_not_in_the_list() {
    let mut tunnel = Tunnel::up();
    let mut gateway_3 = tunnel.lab.gateway(13);
    redirect(&tunnel.gateway_1, &tunnel.client, "192.168.7.13");
    tunnel.control.wait_event("tunnel_up");
    expect_undisturbed(&tunnel.control, &tunnel.client);
    let gateway = gateway_3.ike_sas();
    assert_eq!(gateway.len(), 1, "{gateway:?}");

    gateway_3.kill();
    let started = tunnel.control.wait_event("failover_started");
    assert_eq!(started["reason"], "dpd_timeout");
    tunnel.control.wait_event("failover_established");
    wait_single(&tunnel.client);
    tunnel.client.ping("10.2.0.1");
}

#[test]
fn redirected_to_a_dead_gateway() {
    let mut tunnel = Tunnel::up();
    tunnel.gateway_2.kill();
    redirect(&tunnel.gateway_1, &tunnel.client, "192.168.7.12");
    tunnel.client.wait_log("giving up after 2 retransmits");
    expect_undisturbed(&tunnel.control, &tunnel.client);

    tunnel.gateway_2.restart();
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    wait_single(&tunnel.client);
}
