// SPDX-License-Identifier: GPL-2.0-or-later

//! The client's address goes away, and MOBIKE takes the tunnel to another one of its own.

use extsock_lab::{wait, GatewayOptions};
use serde_json::json;

use super::{loaded_at, net_as};
use crate::{expect_failover, ike_sa, ike_sas, Hosts, Tunnel};

const FIRST: &str = "192.168.7.1";
const OTHER: &str = "192.168.7.2";

/// Up from the client's first address, while it has another one.
fn up() -> Tunnel {
    let gateway = GatewayOptions::default().edited(&[("mobike = no", "mobike = yes")]);
    let config = net_as(&json!({"mobike": true, "local_addrs": "%any"}), &json!({}));
    let mut tunnel = loaded_at(Hosts::with_gateways(gateway), &config);
    // It would go away with the first one.
    tunnel
        .client
        .sysctl("net.ipv4.conf.all.promote_secondaries", "1");
    tunnel.client.ip(&format!("addr add {OTHER}/24 dev eth0"));
    // charon may take the gateway's IPv6 address for the better way.
    tunnel.client.sysctl("net.ipv6.conf.eth0.disable_ipv6", "1");
    tunnel.initiate_untested();
    tunnel.client.ping("10.2.0.1");
    expect_outer(&tunnel, FIRST, "192.168.7.11");
    tunnel
}

/// All SAs of the kernel are between these.
#[track_caller]
fn expect_outer(tunnel: &Tunnel, client: &str, gateway: &str) {
    let heads = [
        format!("src {client} dst {gateway} "),
        format!("src {gateway} dst {client} "),
    ];
    wait::until(
        &format!("the SAs are between {client} and {gateway}"),
        || {
            let states = tunnel.client.xfrm_states();
            let fits = heads
                .iter()
                .all(|head| states.iter().any(|state| state.starts_with(head)));
            (fits && states.len() == 2).then_some(())
        },
    );
}

#[track_caller]
fn lose_address(tunnel: &Tunnel) {
    tunnel.client.ip(&format!("addr del {FIRST}/24 dev eth0"));
}

#[test]
fn tunnel_goes_on_from_another_address() {
    let mut tunnel = up();
    let before = ike_sa(&tunnel.client, "net");
    lose_address(&tunnel);
    expect_outer(&tunnel, OTHER, "192.168.7.11");
    tunnel.client.ping("10.2.0.1");
    // Without MOBIKE charon would reauthenticate.
    assert_eq!(ike_sa(&tunnel.client, "net"), before);
    assert!(tunnel.control.events_named("failover_started").is_empty());
    assert_eq!(ike_sas(&tunnel.client), 1);

    tunnel.lab.unplug(11);
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    tunnel.client.ping("10.2.0.1");
    expect_outer(&tunnel, OTHER, "192.168.7.12");
}

#[test]
fn tunnel_goes_on_or_to_the_next_gateway_without_path_mtu_discovery() {
    let mut tunnel = up();
    tunnel.client.sysctl("net.ipv4.ip_no_pmtu_disc", "1");
    lose_address(&tunnel);
    tunnel.client.ping("10.2.0.1");
    let listed = tunnel.control.connection("net");
    let gateway = listed["active_gateway"].as_str().expect("one is active");
    expect_outer(&tunnel, OTHER, gateway);

    if gateway == "192.168.7.11" {
        tunnel.lab.unplug(11);
        expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
        tunnel.client.ping("10.2.0.1");
        expect_outer(&tunnel, OTHER, "192.168.7.12");
    }
}
