// SPDX-License-Identifier: GPL-2.0-or-later

//! End-to-end tests: real charons, real packets, one test for each situation.

mod authentication;
mod causes;
mod config_dir;
mod configuration;
mod equality;
mod events;
mod failover;
mod floods;
mod gateways;
mod ikev1;
mod lab;
mod liveness;
mod loading;
mod logs;
mod names;
mod no_failover;
mod policy;
mod secrecy;
mod shutdown;
mod socket;
mod stroke;
mod tokens;

use extsock_lab::{net, Client, ClientOptions, Extsock, Gateway, GatewayOptions, Lab};
use serde_json::Value;

/// The usual start: gateways 11 and 12, and the connection `net` over them, up.
struct Tunnel {
    // Dropped in this order: the client says last what it saw.
    control: Extsock,
    client: Client,
    gateway_1: Gateway,
    gateway_2: Gateway,
    lab: Lab,
}

impl Tunnel {
    fn up() -> Self {
        Self::up_with(ClientOptions::default())
    }

    fn up_with(options: ClientOptions) -> Self {
        Self::up_as(&net(&[11, 12]), options, &GatewayOptions::default())
    }

    /// With a configuration of connection `net` of one's own, and gateways that are alike.
    fn up_as(config: &Value, client: ClientOptions, gateways: &GatewayOptions) -> Self {
        let tunnel = Self::up_untested(config, client, gateways);
        tunnel.client.ping("10.2.0.1");
        tunnel
    }

    /// As [`Self::up_as`], for a tunnel that no ping goes through.
    fn up_untested(config: &Value, client: ClientOptions, gateways: &GatewayOptions) -> Self {
        let lab = Lab::new();
        let gateway_1 = lab.gateway_with(11, gateways.clone());
        let gateway_2 = lab.gateway_with(12, gateways.clone());
        let client = lab.client_with(client);
        let mut control = client.connect();
        control.apply(config);
        control.ok("INITIATE net");
        control.wait_event("tunnel_up");
        Self {
            control,
            client,
            gateway_1,
            gateway_2,
            lab,
        }
    }
}

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
