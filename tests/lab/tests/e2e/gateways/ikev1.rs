// SPDX-License-Identifier: GPL-2.0-or-later

//! IKEv1, main mode, where gateways differ.

use extsock_lab::{GatewayOptions, Pki};
use serde_json::{json, Value};

use super::{differing, expect_identity, reauthenticate};
use crate::authentication::{config, gateway};
use crate::{expect_failover, Hosts, Tunnel};

const V1: (&str, &str) = ("version = 2", "version = 1");

fn v1(mut config: Value) -> Value {
    config["connections"]["net"]["version"] = json!(1);
    // The retransmission does not count for DPD.
    config["connections"]["net"]["dpd_timeout"] = json!("2s");
    config
}

/// There, reauthenticated, and back.
fn each_is_verified(hosts: Hosts, config: &Value) {
    let mut tunnel = Tunnel::loaded_at(hosts, config).initiate();
    expect_identity(&tunnel, "segw", 11);
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    expect_identity(&tunnel, "other", 12);
    tunnel.gateway_1.restart();
    reauthenticate(&tunnel);
    // The one that is replaced lives on for a while.
    expect_identity(&tunnel, "other", 12);
    tunnel.gateway_2.kill();
    expect_failover(&mut tunnel.control, 12, 11, "dpd_timeout");
    expect_identity(&tunnel, "segw", 11);
}

#[test]
fn each_is_verified_with_its_own_identity() {
    let hosts = Hosts {
        gateway_1: GatewayOptions::ikev1(),
        gateway_2: GatewayOptions::ikev1().edited(&[("id = segw", "id = other")]),
        ..Hosts::default()
    };
    each_is_verified(hosts, &v1(differing()));
}

#[test]
fn each_has_a_certificate_of_its_own_ca() {
    let one = Pki::with_ca("ca");
    one.add_host("segw", "ca");
    one.add_host("client", "ca");
    let two = Pki::with_ca("ca");
    two.add_host("other", "ca");
    two.write("segw.pem", &two.read("other.pem"));
    two.write("segw.key", &two.read("other.key"));
    let hosts = Hosts {
        gateway_1: gateway(&one, &one).edited(&[V1]),
        gateway_2: gateway(&two, &one).edited(&[V1, ("id = segw", "id = other")]),
        ..Hosts::default()
    };
    let mut config = v1(config(&one));
    config["connections"]["net"]["remote_addrs"] = json!([
        "192.168.7.11",
        {"addr": "192.168.7.12", "id": "other", "cacerts": two.path("ca.pem")},
    ]);
    each_is_verified(hosts, &config);
}

#[test]
fn one_of_another_identity_is_refused() {
    let hosts = Hosts {
        gateway_1: GatewayOptions::ikev1(),
        gateway_2: GatewayOptions::ikev1(),
        ..Hosts::default()
    };
    let mut config = v1(differing());
    config["connections"]["net"]["remote_addrs"][1]["priority"] = json!(0);
    config["connections"]["net"]["remote_addrs"][0] =
        json!({"addr": "192.168.7.11", "priority": 1});
    let mut tunnel = Tunnel::loaded_at(hosts, &config);
    tunnel.control.ok("INITIATE net");
    let refused = "IDir 'segw' does not match to 'other'";
    tunnel.client.wait_log(refused);
    expect_failover(&mut tunnel.control, 12, 11, "auth_failed");
    expect_identity(&tunnel, "segw", 11);
}
