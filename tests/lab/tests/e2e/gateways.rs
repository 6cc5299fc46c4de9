// SPDX-License-Identifier: GPL-2.0-or-later

//! Gateways of one connection that differ in identity, certificate and port.

use extsock_lab::{net, ClientOptions, GatewayOptions, Lab, Pki};
use serde_json::{json, Value};

use crate::authentication::{config, gateway};
use crate::no_failover::wait_single;
use crate::{expect_failover, ike_sa, Tunnel};

/// Connection `net` over 192.168.7.11, `segw`, and 192.168.7.12, which is `id`.
fn differing(mut config: Value, id: &str) -> Value {
    config["connections"]["net"]["remote_addrs"] =
        json!(["192.168.7.11", {"addr": "192.168.7.12", "id": id}]);
    config["secrets"] = json!({"ike": [{"id": "client", "secret": extsock_lab::PSK}]});
    config
}

fn tunnel(client: ClientOptions) -> Tunnel {
    let lab = Lab::new();
    let gateway_1 = lab.gateway(11);
    let other = GatewayOptions::default().edited(&[("id = segw", "id = other")]);
    let gateway_2 = lab.gateway_with(12, other);
    let client = lab.client_with(client);
    let mut control = client.connect();
    control.apply(&differing(net(&[11, 12]), "other"));
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    Tunnel {
        control,
        client,
        gateway_1,
        gateway_2,
        lab,
    }
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

#[test]
fn each_is_verified_with_its_own_identity() {
    for make_before_break in ["no", "yes"] {
        let mut tunnel = tunnel(ClientOptions {
            settings: format!("make_before_break = {make_before_break}"),
            ..ClientOptions::default()
        });
        expect_identity(&tunnel, "segw", 11);
        tunnel.gateway_1.kill();
        expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
        expect_identity(&tunnel, "other", 12);
        tunnel.gateway_1.restart();

        // By its own configuration charon finds the IKE_SA there.
        tunnel.client.swanctl(&["--terminate", "--child", "net2"]);
        tunnel.client.swanctl(&["--initiate", "--child", "net2"]);
        expect_identity(&tunnel, "other", 12);

        let before = ike_sa(&tunnel.client, "net");
        tunnel
            .client
            .swanctl(&["--rekey", "--ike", "net", "--reauth"]);
        extsock_lab::wait::until("it is another IKE_SA", || {
            let now = ike_sa(&tunnel.client, "net");
            (now != before && now.contains("ESTABLISHED")).then_some(())
        });
        expect_identity(&tunnel, "other", 12);
        tunnel.client.swanctl(&["--rekey", "--ike", "net"]);
        expect_identity(&tunnel, "other", 12);

        tunnel.gateway_2.kill();
        expect_failover(&mut tunnel.control, 12, 11, "dpd_timeout");
        expect_identity(&tunnel, "segw", 11);
    }
}

#[test]
fn charon_that_goes_on_by_itself_demands_the_next_ones_identity() {
    let mut config = differing(net(&[11, 12]), "other");
    config["connections"]["net"]["keyingtries"] = json!(0);
    config["connections"]["net"]["children"]["net2"]["dpd_action"] = json!("start");
    let mut tunnel = tunnel(ClientOptions::default());
    tunnel.control.apply(&config);
    tunnel.control.ok("TERMINATE net");
    tunnel.control.wait_event("ike_sa_down");
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
    let mut tunnel = tunnel(ClientOptions::default());
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    expect_identity(&tunnel, "other", 12);
    // A secret that does not go with the connection.
    let secrets = json!([{"id": "client", "secret": extsock_lab::PSK}]);
    tunnel.control.apply(&json!({"secrets": {"ike": secrets}}));
    tunnel.control.ok("REMOVE_CONFIG net");
    let before = ike_sa(&tunnel.client, "net");
    tunnel
        .client
        .swanctl(&["--rekey", "--ike", "net", "--reauth"]);
    extsock_lab::wait::until("it is another IKE_SA", || {
        let now = ike_sa(&tunnel.client, "net");
        (now != before && now.contains("ESTABLISHED")).then_some(())
    });
}

#[test]
fn one_of_another_identity_is_refused() {
    let lab = Lab::new();
    let _gateway_1 = lab.gateway(11);
    let _gateway_2 = lab.gateway(12);
    let client = lab.client();
    let mut control = client.connect();
    let mut config = differing(net(&[11, 12]), "other");
    config["connections"]["net"]["remote_addrs"][1]["priority"] = json!(0);
    config["connections"]["net"]["remote_addrs"][0] =
        json!({"addr": "192.168.7.11", "priority": 1});
    control.apply(&config);
    // 192.168.7.12 is the first now, and says that it is segw.
    let initiated = control.ok("INITIATE net");
    assert_eq!(initiated["gateway"], "192.168.7.12");
    expect_failover(&mut control, 12, 11, "auth_failed");
    client.ping("10.2.0.1");
}

#[test]
fn each_has_a_certificate_of_its_own_ca() {
    let one = Pki::with_ca("ca");
    one.add_host("segw", "ca");
    one.add_host("client", "ca");
    let two = Pki::with_ca("ca");
    two.add_host("segw", "ca");
    let lab = Lab::new();
    let mut gateway_1 = lab.gateway_with(11, gateway(&one, &one));
    let mut gateway_2 = lab.gateway_with(12, gateway(&two, &one));
    let client = lab.client();
    let mut control = client.connect();
    let mut config = config(&one);
    config["connections"]["net"]["remote_addrs"] =
        json!(["192.168.7.11", {"addr": "192.168.7.12", "cacerts": two.path("ca.pem")}]);
    control.apply(&config);
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    gateway_1.kill();
    expect_failover(&mut control, 11, 12, "dpd_timeout");
    client.ping("10.2.0.1");
    gateway_1.restart();
    gateway_2.kill();
    expect_failover(&mut control, 12, 11, "dpd_timeout");
    client.ping("10.2.0.1");

    // The CA of one is no CA of the other.
    config["connections"]["net"]["remote_addrs"][1]["cacerts"] = json!(one.path("ca.pem"));
    control.apply(&config);
    gateway_2.restart();
    let failover = control.ok("FAILOVER net 192.168.7.12");
    assert_eq!(failover["gateway"], "192.168.7.12");
    client.wait_log("gateway 192.168.7.12 failed (auth_failed), the present one stays");
}
