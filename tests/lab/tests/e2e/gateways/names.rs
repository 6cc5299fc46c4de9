// SPDX-License-Identifier: GPL-2.0-or-later

//! Gateways that differ and are names.

use serde_json::{json, Value};

use super::{expect_identity, hosts, other, over, reauthenticate};
use crate::names::expect_failover;
use crate::{Hosts, Tunnel};

const OTHER: &str = "other.example";
const ONE: &str = "192.168.7.11";

/// Gateway 1 is `segw`; the name, at first that of gateway 2, is of `other`.
fn by_name() -> Value {
    over(json!([ONE, {"addr": OTHER, "id": "other"}]))
}

fn loaded(config: &Value) -> Tunnel {
    let tunnel = Tunnel::loaded_at(hosts(), config);
    tunnel.client.set_names("192.168.7.12 other.example\n");
    tunnel
}

#[track_caller]
fn up_by_name() -> Tunnel {
    let mut tunnel = loaded(&by_name()).initiate();
    expect_identity(&tunnel, "segw", 11);
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, ONE, OTHER, "dpd_timeout");
    expect_identity(&tunnel, "other", 12);
    tunnel
}

#[test]
fn the_address_of_a_name_changes() {
    let mut tunnel = up_by_name();
    reauthenticate(&tunnel);
    expect_identity(&tunnel, "other", 12);
    tunnel.gateway_1.restart();
    tunnel.gateway_2.kill();
    expect_failover(&mut tunnel.control, OTHER, ONE, "dpd_timeout");
    expect_identity(&tunnel, "segw", 11);

    let _gateway_3 = tunnel.lab.gateway_with(13, other());
    tunnel.client.set_names("192.168.7.13 other.example\n");
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, ONE, OTHER, "dpd_timeout");
    expect_identity(&tunnel, "other", 13);
    reauthenticate(&tunnel);
    expect_identity(&tunnel, "other", 13);
}

#[test]
fn all_addresses_of_a_name_are_of_its_identity() {
    let hosts = Hosts {
        gateway_1: other(),
        gateway_2: other(),
        ..Hosts::default()
    };
    let config = over(json!(["192.168.7.13", {"addr": OTHER, "id": "other"}]));
    let mut tunnel = Tunnel::loaded_at(hosts, &config);
    let both = "192.168.7.11 other.example\n192.168.7.12 other.example\n";
    tunnel.client.set_names(both);
    tunnel.control.ok("INITIATE net");
    expect_failover(
        &mut tunnel.control,
        "192.168.7.13",
        OTHER,
        "peer_unreachable",
    );
    expect_identity(&tunnel, "other", 11);
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, OTHER, OTHER, "dpd_timeout");
    expect_identity(&tunnel, "other", 12);
}

#[test]
fn charon_that_goes_on_by_itself_demands_the_names_identity() {
    let mut config = by_name();
    let connection = &mut config["connections"]["net"];
    connection["children"]["net2"]["dpd_action"] = json!("start");
    let mut tunnel = loaded(&config).initiate();
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, ONE, OTHER, "dpd_timeout");
    expect_identity(&tunnel, "other", 12);
}

#[test]
fn an_address_that_was_found_is_known_after_a_change_of_the_configuration() {
    let mut tunnel = up_by_name();
    let mut config = by_name();
    config["connections"]["net"]["dpd_delay"] = json!("3s");
    tunnel.control.apply(&config);
    reauthenticate(&tunnel);
    expect_identity(&tunnel, "other", 12);
}

#[test]
fn two_names_of_one_address_keep_their_identities() {
    // As behind one address that is translated, where the port decides.
    let config = over(json!([
        {"addr": "segw.example", "id": "segw"},
        {"addr": OTHER, "id": "other"},
    ]));
    let mut tunnel = Tunnel::loaded_at(hosts(), &config);
    let same = "192.168.7.12 segw.example\n192.168.7.12 other.example\n";
    tunnel.client.set_names(same);
    tunnel.control.ok("INITIATE net");
    expect_failover(&mut tunnel.control, "segw.example", OTHER, "auth_failed");
    expect_identity(&tunnel, "other", 12);
}
