// SPDX-License-Identifier: GPL-2.0-or-later

//! The connection is removed, by its owner, while it is up, coming up, or failing over.

use extsock_lab::{net, wait, ClientOptions, Lab};
use serde_json::{json, Value};

use super::{expect_no_more, expect_none, wait_single, Swan, LONG};
use crate::{expect_failover, wait_state, Tunnel};

#[test]
fn established_and_the_gateway_dies() {
    let mut tunnel = Tunnel::up();
    tunnel.control.ok("REMOVE_CONFIG net");
    assert_eq!(tunnel.control.connection("net"), Value::Null);
    tunnel.client.ping("10.2.0.1");
    tunnel.gateway_1.kill();
    tunnel.control.wait_event("ike_sa_down");
    expect_none(&tunnel.control, &tunnel.client);

    // As good as new.
    tunnel.control.apply(&net(&[11, 12]));
    tunnel.control.ok("INITIATE net");
    expect_failover(&mut tunnel.control, 11, 12, "peer_unreachable");
    wait_single(&tunnel.client);
}

#[test]
fn established_and_the_gateway_deletes() {
    let mut tunnel = Tunnel::up();
    tunnel.control.ok("REMOVE_CONFIG net");
    tunnel.gateway_1.stop();
    tunnel.control.wait_event("ike_sa_down");
    expect_none(&tunnel.control, &tunnel.client);
}

#[test]
fn established_rekeyed_and_the_gateway_dies() {
    let mut tunnel = Tunnel::up();
    tunnel.control.ok("REMOVE_CONFIG net");
    tunnel.client.swanctl(&["--rekey", "--ike", "net"]);
    tunnel.control.wait_event("ike_rekey");
    tunnel.gateway_1.kill();
    tunnel.control.wait_event("ike_sa_down");
    expect_none(&tunnel.control, &tunnel.client);
}

#[test]
fn established_where_charon_re_establishes_by_itself() {
    let mut config = net(&[11, 12]);
    config["connections"]["net"]["children"]["net2"]["dpd_action"] = "restart".into();
    let mut tunnel = Tunnel::loaded(&config).initiate();
    tunnel.control.ok("REMOVE_CONFIG net");
    tunnel.gateway_1.kill();
    // charon tries its gateway once more, and nobody leads it to another.
    tunnel
        .client
        .wait_log("initiating IKE_SA net[2] to 192.168.7.11");
    tunnel
        .client
        .wait_log("establishing IKE_SA failed, peer not responding");
    expect_none(&tunnel.control, &tunnel.client);
}

#[test]
fn connecting() {
    let lab = Lab::new();
    let client = lab.client();
    let mut control = client.connect();
    control.apply(&net(&[11, 12]));
    control.ok("INITIATE net");
    client.wait_log("initiating IKE_SA net[1] to 192.168.7.11");
    control.ok("REMOVE_CONFIG net");
    client.wait_log("establishing IKE_SA failed, peer not responding");
    expect_none(&control, &client);
}

#[test]
fn connecting_where_charon_tries_for_ever() {
    let lab = Lab::new();
    let client = lab.client();
    let mut control = client.connect();
    let mut config = net(&[11, 12]);
    config["connections"]["net"]["keyingtries"] = 0.into();
    config["connections"]["net"]["failover"] = json!({"connect_timeout": 0});
    control.apply(&config);
    control.ok("INITIATE net");
    client.wait_log("initiating IKE_SA net[1] to 192.168.7.11");
    control.ok("REMOVE_CONFIG net");
    // charon goes on with what it was told before; that is its own affair.
    client.wait_log("peer not responding, trying again (2/0)");
    wait::holds_for(LONG, "no failover", || {
        let started = control.events_named("failover_started");
        started.first().map(|event| event.line.clone())
    });
    let log = client.log();
    assert!(!log.contains("192.168.7.12"), "{log}");
    client.swanctl(&["--terminate", "--ike", "net"]);
    expect_none(&control, &client);
}

#[test]
fn a_pending_failover() {
    let lab = Lab::new();
    let client = lab.client_with(ClientOptions::with_failover("base_delay = 2"));
    let mut control = client.connect();
    control.apply(&net(&[11, 12]));
    control.ok("INITIATE net");
    wait_state(&mut control, "waiting");
    let conns = client.swanctl(&["--list-conns"]);
    assert!(conns.contains("net: IKEv2"), "{conns}");

    let tried = control.events_named("failover_started").len();
    assert_eq!(control.ok("REMOVE_CONFIG net")["connection"], "net");
    assert_eq!(control.connection("net"), Value::Null);
    let conns = client.swanctl(&["--list-conns"]);
    assert!(!conns.contains("net"), "{conns}");
    expect_no_more(&control, &client, tried);
}

#[test]
fn failing_over() {
    let mut tunnel = Tunnel::up();
    tunnel.gateway_2.kill();
    tunnel.gateway_1.kill();
    tunnel.control.wait_event("failover_started");
    tunnel.control.ok("REMOVE_CONFIG net");
    wait::until("the attempt has ended", || {
        tunnel.client.ike_sas().is_empty().then_some(())
    });
    expect_no_more(&tunnel.control, &tunnel.client, 1);
    let conns = tunnel.client.swanctl(&["--list-conns"]);
    assert!(!conns.contains("net"), "{conns}");
}

/// charon is told to forget the connection, and keeps its tunnel.
fn unload(swan: &Swan) {
    swan.client.load("");
    assert_eq!(swan.client.swanctl(&["--list-conns"]), "");
    swan.client.ping("10.2.0.1");
}

#[test]
fn of_swanctls_and_the_gateway_dies() {
    let mut swan = Swan::up();
    unload(&swan);
    swan.gateway_1.kill();
    swan.control.wait_event("ike_sa_down");
    expect_none(&swan.control, &swan.client);
    assert_eq!(swan.control.ok("LIST")["connections"], json!([]));
}

#[test]
fn of_swanctls_and_the_gateway_deletes() {
    let mut swan = Swan::up();
    unload(&swan);
    swan.gateway_1.stop();
    swan.control.wait_event("ike_sa_down");
    expect_none(&swan.control, &swan.client);
    assert_eq!(swan.control.ok("LIST")["connections"], json!([]));
}
