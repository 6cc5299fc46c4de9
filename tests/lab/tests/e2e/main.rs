// SPDX-License-Identifier: GPL-2.0-or-later

//! End-to-end tests: real charons, real packets, one test for each situation.

mod authentication;
mod causes;
mod children;
mod config_dir;
mod configuration;
mod equality;
mod events;
mod failover;
mod floods;
mod gateways;
mod ikev1;
mod in_the_clear;
mod kernel;
mod lab;
mod liveness;
mod loading;
mod logs;
mod lossy_links;
mod names;
mod network;
mod no_failover;
mod one_gateway;
mod policy;
mod secrecy;
mod separate_ike_sas;
mod short_lives;
mod shutdown;
mod socket;
mod stroke;
mod tokens;
mod tunnel;

use extsock_lab::{Client, Extsock};
use serde_json::Value;

use tunnel::{Hosts, Tunnel};

/// Waits for the next failover of connection `net` to be complete, and checks where it led.
#[track_caller]
fn expect_failover(control: &mut Extsock, from: u8, to: u8, reason: &str) {
    let started = control.wait_event("failover_started");
    assert_eq!(started["connection"], "net");
    assert_eq!(started["from"], format!("192.168.7.{from}"), "{started:?}");
    assert_eq!(started["to"], format!("192.168.7.{to}"), "{started:?}");
    assert_eq!(started["reason"], reason, "{started:?}");
    assert_eq!(started["attempt"], 1, "{started:?}");
    let established = control.wait_event("failover_established");
    assert_eq!(established["connection"], "net");
    assert_eq!(
        established["gateway"],
        format!("192.168.7.{to}"),
        "{established:?}"
    );
    assert_eq!(established["attempts"], 1, "{established:?}");
}

/// What LIST says about connection `net`, once it is in `state`.
#[track_caller]
fn wait_state(control: &mut Extsock, state: &str) -> Value {
    extsock_lab::wait::until(&format!("connection net is {state}"), || {
        let connection = control.connection("net");
        (connection["state"] == state).then_some(connection)
    })
}

/// How many IKE_SAs charon has.
fn ike_sas(client: &Client) -> usize {
    client.ike_sas().len()
}

/// The line of `swanctl --list-sas` that has a connection's unique id and SPIs.
fn ike_sa(client: &Client, name: &str) -> String {
    let sas = client.swanctl(&["--list-sas", "--ike", name]);
    sas.lines().next().unwrap_or_default().to_owned()
}
