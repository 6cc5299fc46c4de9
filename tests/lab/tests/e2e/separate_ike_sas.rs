// SPDX-License-Identifier: GPL-2.0-or-later

//! `charon.reuse_ikesa = no`: charon makes an IKE_SA for each CHILD_SA of a connection.

use extsock_lab::{wait, Client};
use serde_json::Value;

use crate::causes::net_with_two_child_sas;
use crate::policy::swanctl_conf;
use crate::tunnel::two_networks;
use crate::{expect_failover, ike_sas, Hosts, Tunnel};

fn hosts() -> Hosts {
    let gateways = two_networks().edited(&[("mobike = no", "mobike = no\n unique = never")]);
    Hosts {
        client: Hosts::with_client("reuse_ikesa = no").client,
        ..Hosts::with_gateways(gateways)
    }
}

/// Connection `net` with two CHILD_SAs. Without `unique = never`, charon sends INITIAL_CONTACT with each of its
/// IKE_SAs, and the gateway forgets the other one.
fn two_child_sas() -> Value {
    let mut config = net_with_two_child_sas(&[11, 12]);
    config["connections"]["net"]["unique"] = "never".into();
    config
}

/// Two IKE_SAs are up, with packets through the CHILD_SA of each.
#[track_caller]
fn expect_both(client: &Client) {
    for address in ["10.2.0.1", "10.3.0.1"] {
        client.ping(address);
    }
    wait::until("there are two IKE_SAs", || {
        let up = client
            .swanctl(&["--list-sas"])
            .matches("ESTABLISHED")
            .count();
        (up == 2 && ike_sas(client) == 2).then_some(())
    });
}

#[test]
fn all_come_up_and_fail_over() {
    let mut tunnel = Tunnel::loaded_at(hosts(), &two_child_sas()).initiate();
    expect_both(&tunnel.client);
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    expect_both(&tunnel.client);
    assert_eq!(tunnel.control.events_named("failover_started").len(), 1);
}

#[test]
fn those_of_a_connection_that_swanctl_loaded_do_as_well() {
    let mut tunnel = Tunnel::loaded_at(hosts(), &two_child_sas());
    tunnel.control.ok("REMOVE_CONFIG net");
    tunnel
        .client
        .load(&two_children(&swanctl_conf("192.168.7.11, 192.168.7.12")));
    expect_both(&tunnel.client);
    tunnel.gateway_1.kill();
    let started = tunnel.control.wait_event("failover_started");
    assert_eq!(started["to"], "192.168.7.12", "{started:?}");
    tunnel.control.wait_event("failover_established");
    expect_both(&tunnel.client);
}

/// The same connection with a second CHILD_SA, and both of them initiated when they are loaded.
fn two_children(conf: &str) -> String {
    let conf = conf.replace("mobike = no", "mobike = no\n unique = never");
    let (before, child_and_after) = conf.split_once("data {").expect("a child");
    let child_and_after = format!("\n start_action = start{child_and_after}");
    let (child, _) = child_and_after.split_once('}').expect("its end");
    let more = child.replace("10.2.0.0", "10.3.0.0");
    format!("{before}more {{{more}}}\n data {{{child_and_after}")
}
