// SPDX-License-Identifier: GPL-2.0-or-later

//! What operators write into `remote_addrs`.

use extsock_lab::{net, GatewayOptions};
use serde_json::{json, Value};

use crate::{Hosts, Tunnel};

/// Connection `net` with another list.
fn net_to(remote_addrs: &str) -> Value {
    let mut config = net(&[11, 12]);
    let connection = &mut config["connections"]["net"];
    connection["remote_addrs"] = remote_addrs.into();
    connection["local_addrs"] = "%any".into();
    config
}

/// The gateways are called as they are written.
#[track_caller]
fn expect_failover(tunnel: &mut Tunnel, from: &str, to: &str) {
    let started = tunnel.control.wait_event("failover_started");
    assert_eq!(started["from"], from);
    assert_eq!(started["to"], to);
    assert_eq!(started["reason"], "dpd_timeout");
    let established = tunnel.control.wait_event("failover_established");
    assert_eq!(established["gateway"], to);
    assert_eq!(established["attempts"], 1);
    tunnel.settles_at(to);
}

#[track_caller]
fn expect_remote(tunnel: &Tunnel, address: &str) {
    let sas = tunnel.client.swanctl(&["--list-sas"]);
    let remote = sas.lines().find(|line| line.contains("remote 'segw'"));
    assert!(remote.is_some_and(|line| line.contains(address)), "{sas}");
}

fn there_and_back(remote_addrs: &str, first: &str, second: &str) -> Tunnel {
    let mut tunnel = Tunnel::loaded(&net_to(remote_addrs)).initiate();
    tunnel.settles_at(first);
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel, first, second);
    tunnel.gateway_1.restart();
    tunnel.gateway_2.kill();
    expect_failover(&mut tunnel, second, first);
    tunnel
}

#[test]
fn gateways_with_ipv6_addresses() {
    let tunnel = there_and_back("fd00:7::b, fd00:7::c", "fd00:7::b", "fd00:7::c");
    assert_eq!(tunnel.gateway_1.address_v6(), "fd00:7::b");
    expect_remote(&tunnel, "@ fd00:7::b[");
}

#[test]
fn ipv6_addresses_in_other_spellings() {
    let (first, second) = ("FD00:7:0::B", "fd00:0007::000c");
    let mut tunnel = there_and_back(&format!("{first},{second}"), first, second);
    expect_remote(&tunnel, "@ fd00:7::b[");
    tunnel.gateway_2.restart();
    let reply = tunnel.control.ok("FAILOVER net fd00:7::C");
    assert_eq!(reply["gateway"], second);
    tunnel.control.wait_event("failover_established");
    tunnel.settles_at(second);
}

#[test]
fn one_gateway_with_an_ipv4_and_one_with_an_ipv6_address() {
    let tunnel = there_and_back("192.168.7.11, fd00:7::c", "192.168.7.11", "fd00:7::c");
    expect_remote(&tunnel, "@ 192.168.7.11[");
}

#[test]
fn ranges_subnets_and_any_are_never_chosen() {
    never_chosen(
        "192.168.7.0/24, fd00:7::20-fd00:7::30, 192.168.7.11, %any, 192.168.7.20-192.168.7.30, \
         ::, 192.168.7.12, 0.0.0.0",
    );
}

#[test]
fn any_before_the_gateways_is_never_chosen() {
    never_chosen("%any, 192.168.7.11, 192.168.7.12");
}

fn never_chosen(remote_addrs: &str) {
    let mut tunnel = there_and_back(remote_addrs, "192.168.7.11", "192.168.7.12");
    let listed = tunnel.control.connection("net");
    assert_eq!(listed["gateways"], json!(["192.168.7.11", "192.168.7.12"]));
}

#[test]
fn a_port_of_its_own_is_kept() {
    let gateway = || GatewayOptions::with_settings("port_nat_t = 4711");
    let hosts = Hosts {
        gateway_1: gateway(),
        gateway_2: gateway(),
        ..Hosts::default()
    };
    let mut config = net(&[11, 12]);
    // From port 500 charon would speak as if to port 500.
    config["connections"]["net"]["local_port"] = 4500.into();
    config["connections"]["net"]["remote_port"] = 4711.into();
    let mut tunnel = Tunnel::loaded_at(hosts, &config).initiate();
    expect_remote(&tunnel, "@ 192.168.7.11[4711]");
    tunnel.gateway_1.kill();
    tunnel.fails_over("dpd_timeout");
    expect_remote(&tunnel, "@ 192.168.7.12[4711]");
}
