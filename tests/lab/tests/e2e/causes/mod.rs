// SPDX-License-Identifier: GPL-2.0-or-later

//! The table of causes: where failover is due, which reason is told, and what is left after it.

mod addresses;
mod connecting;
mod established;
mod operator;

use std::time::Duration;

use extsock_lab::{connection, net, wait, ClientOptions, Extsock, GatewayOptions, Lab};
use serde_json::Value;

use crate::ike_sas;
use crate::{expect_failover, ike_sa, wait_state, Tunnel};

/// How the hosts of a [`Tunnel`] are started.
#[derive(Default)]
struct Hosts {
    gateway_1: GatewayOptions,
    gateway_2: GatewayOptions,
    client: ClientOptions,
}

impl Hosts {
    /// Gateway 1 with lines of the section `charon` in strongswan.conf.
    fn with_gateway_1(settings: &str) -> Self {
        Self {
            gateway_1: GatewayOptions::with_settings(settings),
            ..Self::default()
        }
    }

    /// The client with lines of the section `charon` in strongswan.conf.
    fn with_client(settings: &str) -> Self {
        Self {
            client: ClientOptions {
                settings: settings.to_owned(),
                ..ClientOptions::default()
            },
            ..Self::default()
        }
    }

    /// For connections with CHILD_SAs `net2` and `net3`.
    fn with_two_networks() -> Self {
        Self {
            gateway_1: two_networks(),
            gateway_2: two_networks(),
            ..Self::default()
        }
    }
}

fn two_networks() -> GatewayOptions {
    GatewayOptions {
        networks: vec![2, 3],
        ..GatewayOptions::default()
    }
}

impl Tunnel {
    /// With the configuration loaded, and nothing initiated.
    fn loaded(config: &Value) -> Self {
        Self::loaded_at(Hosts::default(), config)
    }

    fn loaded_at(hosts: Hosts, config: &Value) -> Self {
        let lab = Lab::new();
        let gateway_1 = lab.gateway_with(11, hosts.gateway_1);
        let gateway_2 = lab.gateway_with(12, hosts.gateway_2);
        let client = lab.client_with(hosts.client);
        let mut control = client.connect();
        control.apply(config);
        Self {
            control,
            client,
            gateway_1,
            gateway_2,
            lab,
        }
    }

    fn initiate(mut self) -> Self {
        self.control.ok("INITIATE net");
        self.control.wait_event("tunnel_up");
        self.client.ping("10.2.0.1");
        self
    }

    /// The one failover, from gateway 1 to gateway 2.
    #[track_caller]
    fn fails_over(&mut self, reason: &str) {
        expect_failover(&mut self.control, 11, 12, reason);
        self.settles_at("192.168.7.12");
        self.has_told(&[reason]);
    }

    /// One IKE_SA is left, to that gateway, and its tunnel carries packets.
    #[track_caller]
    fn settles_at(&mut self, gateway: &str) {
        wait::until("one IKE_SA is left", || {
            (ike_sas(&self.client) == 1).then_some(())
        });
        self.client.ping("10.2.0.1");
        let sa = ike_sa(&self.client, "net");
        assert!(sa.contains("ESTABLISHED"), "{sa}");
        let listed = wait_state(&mut self.control, "established");
        assert_eq!(listed["active_gateway"], gateway, "{listed}");
        assert_eq!(listed["retries"], 0, "{listed}");
    }

    /// Events and history tell of failovers for these reasons, in this order, and of no other.
    #[track_caller]
    fn has_told(&mut self, reasons: &[&str]) {
        assert_eq!(told(&self.control), reasons);
        let history = self.control.ok("HISTORY net");
        let failovers = history["failovers"].as_array().expect("a list");
        let remembered: Vec<_> = failovers.iter().rev().map(|f| &f["reason"]).collect();
        assert_eq!(remembered, reasons);
        assert_eq!(failovers[0]["result"], "established", "{history}");
    }

    /// For longer than a silent gateway takes to be given up, nothing more is told.
    #[track_caller]
    fn stays_so(&mut self) {
        let told_of = told(&self.control);
        let before = ike_sa(&self.client, "net");
        wait::holds_for(Duration::from_secs(3), "nothing happens", || {
            let sas = self.client.swanctl(&["--list-sas"]);
            (told(&self.control) != told_of || ike_sas(&self.client) != 1).then_some(sas)
        });
        assert_eq!(ike_sa(&self.client, "net"), before);
    }
}

/// The reasons of the failovers that were told of up to now.
fn told(control: &Extsock) -> Vec<String> {
    let started = control.events_named("failover_started");
    let reasons = started.iter().map(|event| event["reason"].as_str());
    reasons.map(|r| r.unwrap_or_default().to_owned()).collect()
}

/// Connection `net` with CHILD_SAs `net2` and `net3`.
fn net_with_two_child_sas(gateways: &[u8]) -> Value {
    let mut config = net(gateways);
    config["connections"] = connection("net", gateways, &[2, 3])["connections"].take();
    config
}

/// Sets an option of CHILD_SA `net2`.
fn with_child(mut config: Value, option: &str, value: &str) -> Value {
    config["connections"]["net"]["children"]["net2"][option] = value.into();
    config
}
