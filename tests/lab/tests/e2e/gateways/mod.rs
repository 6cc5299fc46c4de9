// SPDX-License-Identifier: GPL-2.0-or-later

//! Gateways of one connection that differ in identity, certificate and port.

mod ikev1;
mod names;
mod operators;
mod redirect;

use extsock_lab::{net, wait, GatewayOptions, Pki, PSK};
use serde_json::{json, Value};

use crate::authentication::{config, gateway};
use crate::causes::net_with_two_child_sas;
use crate::no_failover::{failover_after, wait_single};
use crate::tunnel::two_networks;
use crate::{expect_failover, ike_sa, ike_sas, wait_state, Hosts, Tunnel};

/// Connection `net` over 192.168.7.11, which is `segw`, and 192.168.7.12, which is `other`.
fn differing() -> Value {
    over(json!(["192.168.7.11", {"addr": "192.168.7.12", "id": "other"}]))
}

/// Connection `net` over these, with the secret for whichever identity.
fn over(remote_addrs: Value) -> Value {
    let mut config = net(&[]);
    config["connections"]["net"]["remote_addrs"] = remote_addrs;
    config["secrets"] = json!({"ike": [{"id": "client", "secret": PSK}]});
    config
}

/// A gateway that says it is `other`.
fn other() -> GatewayOptions {
    GatewayOptions::default().edited(&[("id = segw", "id = other")])
}

/// Gateway 2 is `other`.
fn hosts() -> Hosts {
    Hosts {
        gateway_2: other(),
        ..Hosts::default()
    }
}

/// As [`differing`], up on gateway 1.
fn up() -> Tunnel {
    up_at(hosts())
}

fn up_at(hosts: Hosts) -> Tunnel {
    Tunnel::loaded_at(hosts, &differing()).initiate()
}

/// As [`up`], and then on gateway 2, as gateway 1 is dead.
#[track_caller]
fn up_on_the_other() -> Tunnel {
    on_the_other(up())
}

#[track_caller]
fn on_the_other(mut tunnel: Tunnel) -> Tunnel {
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    expect_identity(&tunnel, "other", 12);
    tunnel
}

/// That the only IKE_SA is up with the gateway of that identity.
#[track_caller]
fn expect_identity(tunnel: &Tunnel, id: &str, number: u8) {
    tunnel.client.ping("10.2.0.1");
    wait_single(&tunnel.client);
    let sas = tunnel.client.swanctl(&["--list-sas", "--ike", "net"]);
    let remote = format!("remote '{id}' @ 192.168.7.{number}[");
    assert!(sas.contains(&remote), "{remote}: {sas}");
}

/// Reauthenticates, and waits until another IKE_SA is up, without a failover.
#[track_caller]
fn reauthenticate(tunnel: &Tunnel) {
    let before = ike_sa(&tunnel.client, "net");
    let failovers = tunnel.control.events_named("failover_started").len();
    let reauthenticate = ["--rekey", "--ike", "net", "--reauth"];
    tunnel.client.swanctl(&reauthenticate);
    wait::until("it is another IKE_SA", || {
        let now = ike_sa(&tunnel.client, "net");
        (now != before && now.contains("ESTABLISHED")).then_some(())
    });
    assert_eq!(failover_after(&tunnel.control, failovers), None);
}

#[test]
fn each_is_verified_with_its_own_identity() {
    for make_before_break in ["no", "yes"] {
        let hosts = Hosts {
            gateway_2: other(),
            ..Hosts::with_client(&format!("make_before_break = {make_before_break}"))
        };
        let mut tunnel = Tunnel::loaded_at(hosts, &differing()).initiate();
        expect_identity(&tunnel, "segw", 11);
        tunnel.gateway_1.kill();
        expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
        expect_identity(&tunnel, "other", 12);
        tunnel.gateway_1.restart();

        // By its own configuration charon finds the IKE_SA there.
        tunnel.client.swanctl(&["--terminate", "--child", "net2"]);
        tunnel.client.swanctl(&["--initiate", "--child", "net2"]);
        expect_identity(&tunnel, "other", 12);

        reauthenticate(&tunnel);
        expect_identity(&tunnel, "other", 12);
        tunnel.client.swanctl(&["--rekey", "--ike", "net"]);
        expect_identity(&tunnel, "other", 12);

        tunnel.gateway_2.kill();
        expect_failover(&mut tunnel.control, 12, 11, "dpd_timeout");
        expect_identity(&tunnel, "segw", 11);
    }
}

/// That charon has one IKE_SA, and `net2` and `net3` are up on it.
#[track_caller]
fn expect_both_children(tunnel: &Tunnel) {
    tunnel.client.ping("10.2.0.1");
    tunnel.client.ping("10.3.0.1");
    wait::until("one IKE_SA with both CHILD_SAs", || {
        let both = tunnel.client.child_sas().len() == 2;
        (both && ike_sas(&tunnel.client) == 1).then_some(())
    });
}

#[test]
fn all_child_sas_come_up_on_each() {
    let other = two_networks().edited(&[("id = segw", "id = other")]);
    let hosts = Hosts {
        gateway_2: other,
        ..Hosts::with_two_networks()
    };
    let mut config = differing();
    let two_child_sas = net_with_two_child_sas(&[]);
    config["connections"]["net"]["children"] =
        two_child_sas["connections"]["net"]["children"].clone();
    let mut tunnel = Tunnel::loaded_at(hosts, &config).initiate();
    expect_both_children(&tunnel);
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    expect_both_children(&tunnel);
    tunnel.gateway_1.restart();
    tunnel.control.ok("FAILOVER net");
    expect_failover(&mut tunnel.control, 12, 11, "operator");
    expect_both_children(&tunnel);

    // One after the other: the second one while the IKE_SA is up.
    tunnel.control.ok("TERMINATE net");
    wait_state(&mut tunnel.control, "down");
    tunnel.control.ok("INITIATE net net3");
    tunnel.client.ping("10.3.0.1");
    tunnel.control.ok("INITIATE net net2");
    expect_both_children(&tunnel);
}

#[test]
fn charon_that_goes_on_by_itself_demands_the_next_ones_identity() {
    let mut config = differing();
    config["connections"]["net"]["keyingtries"] = json!(0);
    config["connections"]["net"]["children"]["net2"]["dpd_action"] = json!("start");
    let mut tunnel = Tunnel::loaded_at(hosts(), &config);
    tunnel.gateway_1.kill();
    tunnel.control.ok("INITIATE net");
    expect_failover(&mut tunnel.control, 11, 12, "peer_unreachable");
    expect_identity(&tunnel, "other", 12);
    tunnel.gateway_1.restart();
    tunnel.gateway_2.kill();
    expect_failover(&mut tunnel.control, 12, 11, "dpd_timeout");
    expect_identity(&tunnel, "segw", 11);
}

#[test]
fn an_ike_sa_that_outlives_its_connection_is_reauthenticated_with_its_gateway() {
    let mut tunnel = up_on_the_other();
    // A secret that does not go with the connection.
    let secrets = json!([{"id": "client", "secret": PSK}]);
    tunnel.control.apply(&json!({"secrets": {"ike": secrets}}));
    tunnel.control.ok("REMOVE_CONFIG net");
    reauthenticate(&tunnel);
}

#[test]
fn one_of_another_identity_is_refused() {
    let mut tunnel = Tunnel::loaded(&over(json!([
        {"addr": "192.168.7.11", "priority": 1},
        {"addr": "192.168.7.12", "id": "other", "priority": 0},
    ])));
    // 192.168.7.12 is the first now, and says that it is segw.
    let initiated = tunnel.control.ok("INITIATE net");
    assert_eq!(initiated["gateway"], "192.168.7.12");
    expect_failover(&mut tunnel.control, 12, 11, "auth_failed");
    tunnel.client.ping("10.2.0.1");
}

#[test]
fn of_equal_priority_they_stay_in_the_order_of_the_document() {
    let mut tunnel = Tunnel::loaded_at(
        hosts(),
        &over(json!([
            {"addr": "192.168.7.13", "priority": 7},
            {"addr": "192.168.7.12", "id": "other", "priority": 5},
            {"addr": "192.168.7.11", "priority": 5},
        ])),
    );
    let listed = tunnel.control.connection("net");
    let expected = json!(["192.168.7.12", "192.168.7.11", "192.168.7.13"]);
    assert_eq!(listed["gateways"], expected);
    let mut tunnel = tunnel.initiate();
    expect_identity(&tunnel, "other", 12);
    tunnel.gateway_2.kill();
    expect_failover(&mut tunnel.control, 12, 11, "dpd_timeout");
    expect_identity(&tunnel, "segw", 11);
}

#[test]
fn each_has_a_port_of_its_own() {
    let hosts = Hosts {
        gateway_1: GatewayOptions::with_settings("port_nat_t = 4711"),
        gateway_2: GatewayOptions::with_settings("port_nat_t = 4712"),
        ..Hosts::default()
    };
    let mut config = over(json!([
        {"addr": "192.168.7.11", "port": 4711},
        {"addr": "192.168.7.12", "port": 4712},
    ]));
    // From port 500 charon would speak as if to port 500.
    config["connections"]["net"]["local_port"] = 4500.into();
    let mut tunnel = Tunnel::loaded_at(hosts, &config).initiate();
    expect_identity(&tunnel, "segw", 11);
    let at = |tunnel: &Tunnel, place: &str| {
        let sas = tunnel.client.swanctl(&["--list-sas"]);
        assert!(sas.contains(place), "{place}: {sas}");
    };
    at(&tunnel, "@ 192.168.7.11[4711]");
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    expect_identity(&tunnel, "segw", 12);
    at(&tunnel, "@ 192.168.7.12[4712]");
    reauthenticate(&tunnel);
    at(&tunnel, "@ 192.168.7.12[4712]");
    tunnel.gateway_1.restart();
    tunnel.gateway_2.kill();
    expect_failover(&mut tunnel.control, 12, 11, "dpd_timeout");
    expect_identity(&tunnel, "segw", 11);
    at(&tunnel, "@ 192.168.7.11[4711]");
}

#[test]
fn each_has_a_certificate_of_its_own_ca() {
    let one = Pki::with_ca("ca");
    one.add_host("segw", "ca");
    one.add_host("client", "ca");
    let two = Pki::with_ca("ca");
    two.add_host("segw", "ca");
    let hosts = Hosts {
        gateway_1: gateway(&one, &one),
        gateway_2: gateway(&two, &one),
        ..Hosts::default()
    };
    let mut config = config(&one);
    config["connections"]["net"]["remote_addrs"] =
        json!(["192.168.7.11", {"addr": "192.168.7.12", "cacerts": two.path("ca.pem")}]);
    let mut tunnel = Tunnel::loaded_at(hosts, &config).initiate();
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    tunnel.client.ping("10.2.0.1");
    tunnel.gateway_1.restart();
    tunnel.gateway_2.kill();
    expect_failover(&mut tunnel.control, 12, 11, "dpd_timeout");
    tunnel.client.ping("10.2.0.1");

    // The CA of one is no CA of the other.
    config["connections"]["net"]["remote_addrs"][1]["cacerts"] = json!(one.path("ca.pem"));
    tunnel.control.apply(&config);
    tunnel.gateway_2.restart();
    let failover = tunnel.control.ok("FAILOVER net 192.168.7.12");
    assert_eq!(failover["gateway"], "192.168.7.12");
    tunnel
        .client
        .wait_log("gateway 192.168.7.12 failed (auth_failed), the present one stays");
}
