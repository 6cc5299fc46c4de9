// SPDX-License-Identifier: GPL-2.0-or-later

//! What ends an IKE_SA without being a failure of its gateway.

use std::time::Duration;

use extsock_lab::{net, wait, ClientOptions, Extsock, Lab};

use crate::{ike_sa, wait_state, Tunnel};

#[test]
fn terminate_over_the_socket() {
    let mut tunnel = Tunnel::up();
    let reply = tunnel.control.ok("TERMINATE net");
    assert_eq!(reply["connection"], "net");
    expect_none(&mut tunnel.control);
}

#[test]
fn terminate_by_swanctl() {
    let mut tunnel = Tunnel::up();
    tunnel.client.swanctl(&["--terminate", "--ike", "net"]);
    expect_none(&mut tunnel.control);
}

#[test]
fn terminate_by_swanctl_when_the_gateway_is_dead() {
    let mut tunnel = Tunnel::up();
    tunnel.gateway_1.kill();
    tunnel
        .client
        .swanctl(&["--terminate", "--ike", "net", "--force"]);
    expect_none(&mut tunnel.control);
}

#[test]
fn rekeying_of_ike_and_child_sa() {
    let mut tunnel = Tunnel::up();
    let before = ike_sa(&tunnel.client, "net");
    tunnel.client.swanctl(&["--rekey", "--ike", "net"]);
    let rekeyed = tunnel.control.wait_event("ike_rekey");
    assert_eq!(rekeyed["old_ike_sa_name"], "net");
    assert_eq!(rekeyed["new_ike_sa_name"], "net");
    assert_ne!(ike_sa(&tunnel.client, "net"), before);

    tunnel.client.swanctl(&["--rekey", "--child", "net2"]);
    let rekeyed = tunnel.control.wait_event("child_rekey");
    assert_eq!(rekeyed["old_child_sa_name"], "net2");
    assert_eq!(rekeyed["new_child_sa_name"], "net2");
    tunnel.control.wait_event("tunnel_up");

    wait::holds_for(Duration::from_secs(3), "no failover", || {
        first_failover(&tunnel.control)
    });
    tunnel.client.ping("10.2.0.1");
    let listed = wait_state(&mut tunnel.control, "established");
    assert_eq!(listed["active_gateway"], "192.168.7.11");

    // The successor is watched like the original.
    tunnel.gateway_1.kill();
    crate::expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    tunnel.client.ping("10.2.0.1");
}

#[test]
fn terminate_ends_a_pending_failover() {
    let lab = Lab::new();
    let client = lab.client_with(ClientOptions::with_failover("base_delay = 2"));
    let mut control = client.connect();
    control.apply(&net(&[11, 12]));
    control.ok("INITIATE net");
    wait_state(&mut control, "waiting");
    let tried = control.events_named("failover_started").len();
    control.ok("TERMINATE net");
    wait_state(&mut control, "down");
    wait::holds_for(Duration::from_secs(4), "nothing more is tried", || {
        (control.events_named("failover_started").len() != tried).then(|| "a failover".to_owned())
    });
    assert_eq!(control.connection("net")["state"], "down");
}

#[test]
fn a_second_initiate_makes_no_second_tunnel() {
    let mut tunnel = Tunnel::up();
    let before = ike_sa(&tunnel.client, "net");
    tunnel.control.ok("INITIATE net");
    wait::holds_for(Duration::from_secs(2), "one IKE_SA, one CHILD_SA", || {
        let sas = tunnel.client.swanctl(&["--list-sas"]);
        let lines = sas.lines().filter(|line| line.contains(": #")).count();
        (lines != 2).then_some(sas)
    });
    assert_eq!(ike_sa(&tunnel.client, "net"), before);
}

#[test]
fn removing_the_connection_ends_a_pending_failover() {
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
    assert_eq!(control.connection("net"), serde_json::Value::Null);
    let conns = client.swanctl(&["--list-conns"]);
    assert!(!conns.contains("net"), "{conns}");
    wait::holds_for(Duration::from_secs(4), "nothing more is tried", || {
        (control.events_named("failover_started").len() != tried).then(|| "a failover".to_owned())
    });
    let sas = client.swanctl(&["--list-sas"]);
    assert_eq!(sas, "");
}

#[track_caller]
pub fn expect_none(control: &mut Extsock) {
    control.wait_event("ike_sa_down");
    wait_state(control, "down");
    wait::holds_for(Duration::from_secs(3), "no failover", || {
        first_failover(control)
    });
}

pub fn first_failover(control: &Extsock) -> Option<String> {
    let failovers = control.events_named("failover_started");
    failovers.first().map(|event| event.line.clone())
}
