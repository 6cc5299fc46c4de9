// SPDX-License-Identifier: GPL-2.0-or-later

//! IKE_SAs that charon itself re-establishes or tries again are never doubled.

use extsock_lab::{net, ClientOptions, Extsock, Gateway, GatewayOptions};
use serde_json::{json, Value};

use super::{expect_settled, swan, Swan};
use crate::{wait_state, Tunnel};

/// Never gives up, and has little patience.
fn restless() -> ClientOptions {
    ClientOptions::with_failover("max_retries = 0\n base_delay = 0.5\n max_delay = 1")
}

/// Connection `net` with what has charon go on by itself.
fn going_on(keyingtries: u32, action: &str) -> Value {
    let mut config = net(&[11, 12]);
    let connection = &mut config["connections"]["net"];
    connection["keyingtries"] = keyingtries.into();
    let child = &mut connection["children"]["net2"];
    child["dpd_action"] = action.into();
    child["close_action"] = action.into();
    config
}

/// How the gateway in use goes.
#[derive(Clone, Copy)]
enum End {
    Dies,
    Deletes,
}

impl End {
    fn of(self, gateway: &mut Gateway) {
        match self {
            Self::Dies => gateway.kill(),
            Self::Deletes => drop(gateway.stop()),
        }
    }
}

/// Both gateways were tried, and the first one again.
#[track_caller]
fn wait_rounds(control: &mut Extsock) {
    for _ in 0..3 {
        control.wait_event("failover_started");
    }
}

fn settles(config: &Value, end: End, back: &[u8]) {
    let mut tunnel = Tunnel::up_as(config, restless(), &GatewayOptions::default());
    tunnel.gateway_2.kill();
    end.of(&mut tunnel.gateway_1);
    wait_rounds(&mut tunnel.control);
    for gateway in back {
        match gateway {
            11 => tunnel.gateway_1.restart(),
            _ => tunnel.gateway_2.restart(),
        }
    }
    let listed = wait_state(&mut tunnel.control, "established");
    let active = listed["active_gateway"].as_str().unwrap_or_default();
    assert!(
        back.iter()
            .any(|gateway| active == format!("192.168.7.{gateway}")),
        "{listed}"
    );
    let tried = tunnel.control.events_named("failover_started").len();
    expect_settled(&tunnel.control, &tunnel.client, tried);
    let connection = tunnel.control.connection("net");
    assert_eq!(connection["state"], "established");
    let status = &connection["gateway_status"];
    assert!(
        status
            .as_array()
            .is_some_and(|all| all.iter().any(|gateway| {
                gateway["gateway"] == connection["active_gateway"]
                    && gateway["last_result"] == "established"
            })),
        "{connection}"
    );
}

#[test]
fn dpd_action_restart_and_gateway_1_comes_back() {
    settles(&going_on(1, "restart"), End::Dies, &[11]);
}

#[test]
fn dpd_action_restart_and_gateway_2_comes_back() {
    settles(&going_on(1, "restart"), End::Dies, &[12]);
}

#[test]
fn close_action_start_and_gateway_1_comes_back() {
    settles(&going_on(1, "start"), End::Deletes, &[11]);
}

#[test]
fn close_action_start_and_gateway_2_comes_back() {
    settles(&going_on(1, "start"), End::Deletes, &[12]);
}

#[test]
fn keyingtries_0_and_gateway_1_comes_back() {
    settles(&going_on(0, "none"), End::Dies, &[11]);
}

#[test]
fn keyingtries_0_and_gateway_2_comes_back() {
    settles(&going_on(0, "none"), End::Dies, &[12]);
}

#[test]
fn all_of_it_and_gateway_1_comes_back() {
    settles(&going_on(0, "start"), End::Dies, &[11]);
}

#[test]
fn all_of_it_and_gateway_2_comes_back() {
    settles(&going_on(0, "start"), End::Deletes, &[12]);
}

#[test]
fn all_of_it_and_both_come_back() {
    settles(&going_on(0, "start"), End::Dies, &[11, 12]);
}

/// swanctl's words for the same.
fn swan_going_on() -> String {
    swan()
        .replace("dpd_delay", "keyingtries = 0\n dpd_delay")
        .replace(
            "remote_ts",
            "dpd_action = restart\n close_action = start\n remote_ts",
        )
}

fn swan_settles(end: End, back: u8) {
    let mut swan = Swan::up_as(&swan_going_on(), restless());
    swan.gateway_2.kill();
    end.of(&mut swan.gateway_1);
    wait_rounds(&mut swan.control);
    if back == 11 {
        swan.gateway_1.restart();
    } else {
        swan.gateway_2.restart();
    }
    let established = swan.control.wait_event("failover_established");
    assert_eq!(established["gateway"], format!("192.168.7.{back}"));
    let tried = swan.control.events_named("failover_started").len();
    expect_settled(&swan.control, &swan.client, tried);
    assert_eq!(
        swan.control.connection("swan")["state"],
        json!("established")
    );
}

#[test]
fn of_swanctls_and_gateway_1_comes_back() {
    swan_settles(End::Dies, 11);
}

#[test]
fn of_swanctls_and_gateway_2_comes_back() {
    swan_settles(End::Deletes, 12);
}
