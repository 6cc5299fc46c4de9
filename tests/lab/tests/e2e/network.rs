// SPDX-License-Identifier: GPL-2.0-or-later

//! The client's own network fails, and says when it is back.

use extsock_lab::{net, wait, Extsock, Lab};
use serde_json::{json, Value};

use crate::policy::patient;
use crate::{wait_state, Hosts, Tunnel};

/// Connection `net` over gateways 11 and 12. What fails is found soon, and no wait of the failover ends in the time
/// of a test.
fn without_retries() -> Value {
    let mut config = net(&[11, 12]);
    config["connections"]["net"]["failover"] = json!({
        "liveness_interval": "0.5s", "liveness_timeout": "0.5s", "connect_timeout": "4s", "max_retries": 1,
        "base_delay": "10m", "max_delay": "10m", "exhausted_delay": "1h",
    });
    config
}

/// What LIST says once the connection waits, for whatever.
#[track_caller]
fn wait_for_a_wait(control: &mut Extsock) -> Value {
    wait::until("connection net waits", || {
        let connection = control.connection("net");
        let state = connection["state"].as_str();
        matches!(state, Some("waiting" | "exhausted")).then_some(connection)
    })
}

#[test]
fn the_link_is_down_for_longer_than_the_retries_last() {
    let mut tunnel = Tunnel::loaded(&without_retries()).initiate();
    tunnel.client.ip("link set eth0 down");
    wait_for_a_wait(&mut tunnel.control);
    tunnel.client.ip("link set eth0 up");
    wait_state(&mut tunnel.control, "established");
    tunnel.client.ping("10.2.0.1");
}

/// DHCP is late.
#[test]
fn the_own_address_comes_late() {
    let lab = Lab::new();
    let _gateway_1 = lab.gateway(11);
    let client = lab.client();
    let mut control = client.connect();
    client.ip("addr del 192.168.7.1/24 dev eth0");
    control.apply(&without_retries());
    control.ok("INITIATE net");
    let waiting = wait_for_a_wait(&mut control);
    assert_no_route(&waiting);
    client.ip("addr add 192.168.7.1/24 dev eth0");
    wait_state(&mut control, "established");
    client.ping("10.2.0.1");
}

#[test]
fn there_is_no_route_until_one_is_added() {
    let lab = Lab::new();
    let _gateway_1 = lab.gateway(11);
    let client = lab.client();
    let mut control = client.connect();
    client.ip("route del 192.168.7.0/24 dev eth0");
    let mut config = without_retries();
    config["connections"]["net"]["local_addrs"] = "%any".into();
    control.apply(&config);
    control.ok("INITIATE net");
    assert_no_route(&wait_for_a_wait(&mut control));
    client.ip("route add 192.168.7.0/24 dev eth0");
    wait_state(&mut control, "established");
    client.ping("10.2.0.1");
}

/// All its gateways have no route, and none counts as failed.
#[track_caller]
fn assert_no_route(listed: &Value) {
    assert_eq!(listed["state"], "waiting", "{listed}");
    assert_eq!(listed["retries"], 0);
    for gateway in listed["gateway_status"].as_array().expect("a list") {
        assert_eq!(gateway["last_result"], "no_route", "{listed}");
        assert_eq!(gateway["failures_in_a_row"], 0, "{listed}");
    }
}

#[test]
fn a_gateway_without_a_route_is_passed_over() {
    let routes = [
        "blackhole 192.168.7.12/32",
        "unreachable 192.168.7.12/32",
        "prohibit 192.168.7.12/32",
    ];
    for route in routes {
        let lab = Lab::new();
        let _gateway_1 = lab.gateway(11);
        let _gateway_2 = lab.gateway(12);
        let client = lab.client();
        let mut control = client.connect();
        client.ip(&format!("route add {route}"));
        let mut config = without_retries();
        // No route leads to the first one, and one that drops all to the second.
        config["connections"]["net"]["remote_addrs"] = "10.99.0.1,192.168.7.12,192.168.7.11".into();
        control.apply(&config);
        control.ok("INITIATE net");
        let listed = wait_state(&mut control, "established");
        assert_eq!(listed["active_gateway"], "192.168.7.11", "{route}");
        let last_results = |number: usize| listed["gateway_status"][number]["last_result"].clone();
        assert_eq!(last_results(0), "no_route", "{route}");
        assert_eq!(last_results(1), "no_route", "{route}");
        assert_eq!(control.events_named("failover_started").len(), 0);
    }
}

/// The kernel has a route that charon's own lookup does not find: one with several next hops.
#[test]
fn a_route_by_several_next_hops_is_one() {
    let lab = Lab::new();
    let _gateway_1 = lab.gateway(11);
    let client = lab.client();
    let mut control = client.connect();
    client.ip("route del 192.168.7.0/24 dev eth0\n\
         route add 192.168.7.0/24 nexthop dev eth0 weight 1 nexthop dev eth0 weight 2");
    let mut config = without_retries();
    config["connections"]["net"]["local_addrs"] = "%any".into();
    control.apply(&config);
    control.ok("INITIATE net");
    wait_state(&mut control, "established");
    // charon itself, which does not find the route either, gives packets none to the tunnel.
    wait::until("the CHILD_SA is up", || {
        (client.child_sas().len() == 1).then_some(())
    });
}

/// The client's own network does not change, and tells nothing.
#[test]
fn both_gateways_are_away_for_longer_than_the_retries_last() {
    let mut config = without_retries();
    let failover = &mut config["connections"]["net"]["failover"];
    failover["base_delay"] = "0.2s".into();
    failover["exhausted_delay"] = "0.5s".into();
    let mut tunnel = Tunnel::loaded(&config).initiate();
    for number in [11, 12] {
        tunnel.lab.unplug(number);
    }
    tunnel.control.wait_event("failover_exhausted");
    for number in [11, 12] {
        tunnel.lab.plug(number);
    }
    wait_state(&mut tunnel.control, "established");
    tunnel.client.ping("10.2.0.1");
}

/// charon keeps a path from a local address that is configured, also when the address is gone.
#[test]
fn a_tunnel_whose_own_address_goes_away_is_asked_for_a_sign_of_life() {
    let mut config = without_retries();
    let connection = &mut config["connections"]["net"];
    connection["dpd_delay"] = 0.into();
    connection["failover"]["liveness_interval"] = "10m".into();
    connection["failover"]["liveness_timeout"] = "1s".into();
    let hosts = Hosts {
        client: patient(),
        ..Hosts::default()
    };
    let mut tunnel = Tunnel::loaded_at(hosts, &config);
    // Without a ping, which would be a sign of life until the next look at the packets.
    tunnel.initiate_untested();
    tunnel
        .client
        .ip("addr add 192.168.7.2/25 dev eth0\naddr del 192.168.7.1/24 dev eth0");
    let started = tunnel.control.wait_event("failover_started");
    assert_eq!(started["reason"], "liveness_timeout");
    tunnel.client.ip("addr add 192.168.7.1/24 dev eth0");
    tunnel.control.wait_event("failover_established");
    tunnel.client.ping("10.2.0.1");
}
