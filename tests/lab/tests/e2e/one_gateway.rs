// SPDX-License-Identifier: GPL-2.0-or-later

//! A connection with one gateway, which may be an address that moves between machines.

use std::time::Duration;

use extsock_lab::{net, wait, Extsock, Gateway, GatewayOptions, Lab};
use serde_json::{json, Value};

use crate::policy::{patient, swanctl_conf};
const GATEWAY: &str = "192.168.7.11";

/// Connection `net` with gateway 11 alone. Only what is not the same for all is short.
fn alone(version: u8) -> Value {
    let mut config = net(&[11]);
    config["connections"]["net"]["version"] = version.into();
    config["connections"]["net"]["dpd_delay"] = 0.into();
    config["connections"]["net"]["failover"] =
        json!({"liveness_interval": "2s", "liveness_timeout": "1s", "base_delay": "0.5s"});
    config
}

struct OneGateway {
    gateway: Gateway,
    client: extsock_lab::Client,
    control: Extsock,
    _lab: Lab,
}

impl OneGateway {
    fn up(config: &Value, gateway: &GatewayOptions) -> Self {
        let lab = Lab::new();
        let gateway = lab.gateway_with(11, gateway.clone());
        let client = lab.client_with(patient());
        let mut control = client.connect();
        control.apply(config);
        control.ok("INITIATE net");
        control.wait_event("tunnel_up");
        Self {
            gateway,
            client,
            control,
            _lab: lab,
        }
    }

    /// The failure is told, and the tunnel is back with the same gateway.
    fn expect_return(&mut self, reason: &str) {
        let started = self.control.wait_event("failover_started");
        assert_eq!(started["from"], GATEWAY);
        assert_eq!(started["to"], GATEWAY);
        assert_eq!(started["reason"], reason);
        let established = self.control.wait_event("failover_established");
        assert_eq!(established["gateway"], GATEWAY);
        self.control.wait_event("tunnel_up");
        self.client.ping("10.2.0.1");
        let status = &self.control.ok("STATUS net")["connections"][0];
        assert_eq!(status["last_failovers"][0]["result"], "established");
    }
}

/// The row of the address whose holder dies and whose new holder knows nothing.
#[test]
fn its_address_moves_to_a_machine_that_knows_nothing() {
    let mut tunnel = OneGateway::up(&alone(2), &GatewayOptions::default());
    tunnel.gateway.kill();
    tunnel.gateway.restart();
    tunnel.expect_return("liveness_timeout");
}

#[test]
fn its_address_moves_with_ikev1() {
    let mut tunnel = OneGateway::up(&alone(1), &GatewayOptions::ikev1());
    tunnel.gateway.kill();
    tunnel.gateway.restart();
    tunnel.expect_return("liveness_timeout");
}

#[test]
fn it_deletes_the_ike_sa() {
    let mut tunnel = OneGateway::up(&alone(2), &GatewayOptions::default());
    tunnel.gateway.swanctl(&["--terminate", "--ike", "segw"]);
    tunnel.expect_return("peer_deleted");
}

#[test]
fn it_is_away_for_longer_than_the_retries_last() {
    let mut config = alone(2);
    config["connections"]["net"]["failover"]["max_retries"] = 1.into();
    config["connections"]["net"]["failover"]["exhausted_delay"] = "0.5s".into();
    let mut tunnel = OneGateway::up(&config, &GatewayOptions::default());
    tunnel.gateway.refuse_authentication();
    tunnel.gateway.swanctl(&["--terminate", "--ike", "segw"]);
    tunnel.control.wait_event("failover_exhausted");
    tunnel.gateway.accept_authentication();
    let established = tunnel.control.wait_event("failover_established");
    assert_eq!(established["gateway"], GATEWAY);
    tunnel.client.ping("10.2.0.1");
}

/// charon retries by itself with each `dpd_action` but `none`: one of both does.
#[test]
fn charon_restarts_it_and_extsock_does_not_double_it() {
    let mut config = alone(2);
    config["connections"]["net"]["dpd_delay"] = "1s".into();
    config["connections"]["net"]["failover"] = json!({"liveness_interval": 0});
    config["connections"]["net"]["children"]["net2"]["dpd_action"] = "restart".into();
    let lab = Lab::new();
    let mut gateway = lab.gateway(11);
    let client = lab.client();
    let mut control = client.connect();
    control.apply(&config);
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    gateway.kill();
    gateway.restart();
    control.wait_event_where("the tunnel is back", |event| event.name() == "tunnel_up");
    client.ping("10.2.0.1");
    wait::holds_for(Duration::from_secs(3), "one IKE_SA", || {
        let all = client.ike_sas();
        (all.len() != 1).then(|| format!("{all:?}"))
    });
}

#[test]
fn it_is_no_concern_where_swanctl_has_loaded_it() {
    let lab = Lab::new();
    let mut gateway = lab.gateway(11);
    let client = lab.client();
    let mut control = client.connect();
    client.load(&swanctl_conf("192.168.7.11"));
    client.swanctl(&["--initiate", "--child", "data"]);
    gateway.kill();
    wait::until("charon has given the gateway up", || {
        client.ike_sas().is_empty().then_some(())
    });
    assert!(control.events_named("failover_started").is_empty());
    assert_eq!(control.ok("LIST")["connections"], json!([]));
}
