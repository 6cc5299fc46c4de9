// SPDX-License-Identifier: GPL-2.0-or-later

//! What operators do to connections whose gateways differ.

use extsock_lab::wait;
use serde_json::json;

use super::{
    differing, expect_identity, hosts, on_the_other, reauthenticate, up, up_at, up_on_the_other,
};
use crate::{expect_failover, ike_sas, wait_state, Hosts, Tunnel};

const INITIATE: [&str; 5] = ["--initiate", "--child", "net2", "--timeout", "20"];

#[test]
fn swanctl_terminates_it_on_the_other_gateway_and_begins_anew_with_the_first() {
    let mut tunnel = up_on_the_other();
    tunnel.gateway_1.restart();
    tunnel.client.swanctl(&["--terminate", "--ike", "net"]);
    wait_state(&mut tunnel.control, "down");
    assert_eq!(ike_sas(&tunnel.client), 0);
    tunnel.client.swanctl(&INITIATE);
    expect_identity(&tunnel, "segw", 11);
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    expect_identity(&tunnel, "other", 12);
}

#[test]
fn swanctl_initiates_while_the_first_gateway_is_dead() {
    let mut tunnel = Tunnel::loaded_at(hosts(), &differing());
    tunnel.gateway_1.kill();
    // swanctl is told of the first attempt only.
    let _ = tunnel.client.try_swanctl(&INITIATE);
    expect_failover(&mut tunnel.control, 11, 12, "peer_unreachable");
    expect_identity(&tunnel, "other", 12);
}

#[test]
fn swanctl_initiates_to_a_first_gateway_that_differs() {
    let mut config = differing();
    let gateways = config["connections"]["net"]["remote_addrs"].as_array_mut();
    gateways.expect("a list").reverse();
    let mut tunnel = Tunnel::loaded_at(hosts(), &config);
    tunnel.client.swanctl(&INITIATE);
    expect_identity(&tunnel, "other", 12);
    tunnel.gateway_2.kill();
    expect_failover(&mut tunnel.control, 12, 11, "dpd_timeout");
    expect_identity(&tunnel, "segw", 11);
}

#[test]
fn a_switch_demands_the_other_gateways_identity() {
    let mut tunnel = up();
    tunnel.control.ok("FAILOVER net");
    expect_failover(&mut tunnel.control, 11, 12, "operator");
    expect_identity(&tunnel, "other", 12);
}

#[test]
fn a_changed_identity_counts_from_the_next_authentication_on() {
    let mut tunnel = up_on_the_other();
    tunnel.gateway_1.restart();
    let mut config = differing();
    config["connections"]["net"]["remote_addrs"][1]["id"] = json!("third");
    tunnel.control.apply(&config);
    // What is up stays up.
    expect_identity(&tunnel, "other", 12);

    tunnel.gateway_2.reconfigure("id = other", "id = third");
    reauthenticate(&tunnel);
    expect_identity(&tunnel, "third", 12);
    tunnel.gateway_2.kill();
    expect_failover(&mut tunnel.control, 12, 11, "dpd_timeout");
    expect_identity(&tunnel, "segw", 11);
}

#[test]
fn an_identity_that_is_not_its_own_any_more_is_refused() {
    // Else the IKE_SA that is up would stay, as is the default from strongSwan 6.0.0 on.
    let client = Hosts::with_client("make_before_break = no").client;
    let mut tunnel = on_the_other(up_at(Hosts { client, ..hosts() }));
    tunnel.gateway_1.restart();
    let mut config = differing();
    config["connections"]["net"]["remote_addrs"][1] = json!("192.168.7.12");
    tunnel.control.apply(&config);
    let reauthenticate = ["--rekey", "--ike", "net", "--reauth"];
    tunnel.client.swanctl(&reauthenticate);
    // It is asked for as `segw`.
    tunnel.client.wait_log("received AUTHENTICATION_FAILED");
    expect_identity(&tunnel, "segw", 11);
}

#[test]
fn gateways_are_made_to_differ_while_the_tunnel_is_up() {
    let mut config = differing();
    config["connections"]["net"]["remote_addrs"] = json!("192.168.7.11,192.168.7.12");
    let mut tunnel = Tunnel::loaded_at(hosts(), &config).initiate();
    tunnel.control.apply(&differing());
    expect_identity(&tunnel, "segw", 11);
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    expect_identity(&tunnel, "other", 12);
    tunnel.client.swanctl(&["--terminate", "--ike", "net"]);
    wait::until("the IKE_SA is gone", || {
        (ike_sas(&tunnel.client) == 0).then_some(())
    });
}
