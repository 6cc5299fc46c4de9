// SPDX-License-Identifier: GPL-2.0-or-later

//! How most tests begin.

use extsock_lab::{net, wait, Client, ClientOptions, Extsock, Gateway, GatewayOptions, Lab};
use serde_json::Value;

use crate::expect_failover;

/// Gateways 11 and 12, and a client with the connection `net`.
pub(crate) struct Tunnel {
    // Dropped in this order: the client says last what it saw.
    pub control: Extsock,
    pub client: Client,
    pub gateway_1: Gateway,
    pub gateway_2: Gateway,
    pub lab: Lab,
}

/// How the hosts of a [`Tunnel`] are started.
#[derive(Default)]
pub(crate) struct Hosts {
    pub gateway_1: GatewayOptions,
    pub gateway_2: GatewayOptions,
    pub client: ClientOptions,
}

impl Hosts {
    /// Gateways that are alike.
    pub fn with_gateways(gateways: GatewayOptions) -> Self {
        Self {
            gateway_1: gateways.clone(),
            gateway_2: gateways,
            client: ClientOptions::default(),
        }
    }

    /// Gateway 1 with lines of the section `charon` in strongswan.conf.
    pub fn with_gateway_1(settings: &str) -> Self {
        Self {
            gateway_1: GatewayOptions::with_settings(settings),
            ..Self::default()
        }
    }

    /// The client with lines of the section `charon` in strongswan.conf.
    pub fn with_client(settings: &str) -> Self {
        Self {
            client: ClientOptions {
                settings: settings.to_owned(),
                ..ClientOptions::default()
            },
            ..Self::default()
        }
    }

    /// For connections with CHILD_SAs `net2` and `net3`.
    pub fn with_two_networks() -> Self {
        Self::with_gateways(two_networks())
    }
}

/// A gateway for connections with CHILD_SAs `net2` and `net3`.
pub(crate) fn two_networks() -> GatewayOptions {
    GatewayOptions {
        networks: vec![2, 3],
        ..GatewayOptions::default()
    }
}

impl Tunnel {
    /// The usual start: connection `net` over both gateways, up.
    pub fn up() -> Self {
        Self::up_with(ClientOptions::default())
    }

    pub fn up_with(client: ClientOptions) -> Self {
        Self::up_as(&net(&[11, 12]), client, &GatewayOptions::default())
    }

    /// With a configuration of connection `net` of one's own, and gateways that are alike.
    pub fn up_as(config: &Value, client: ClientOptions, gateways: &GatewayOptions) -> Self {
        let hosts = Hosts {
            client,
            ..Hosts::with_gateways(gateways.clone())
        };
        Self::loaded_at(hosts, config).initiate()
    }

    /// With the configuration loaded, and nothing initiated.
    pub fn loaded(config: &Value) -> Self {
        Self::loaded_at(Hosts::default(), config)
    }

    pub fn loaded_at(hosts: Hosts, config: &Value) -> Self {
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

    /// Until packets go through it.
    pub fn initiate(mut self) -> Self {
        self.initiate_untested();
        self.client.ping("10.2.0.1");
        self
    }

    /// As often as that, the gateway that it is up with deletes the IKE_SA, gateway 1 first.
    #[track_caller]
    pub fn fail_over_to_and_fro(&mut self, failovers: u8) {
        for done in 0..failovers {
            let (gateway, to) = if done % 2 == 0 {
                (&self.gateway_1, 12)
            } else {
                (&self.gateway_2, 11)
            };
            wait::until("the gateway has the IKE_SA", || {
                let terminate = ["--terminate", "--ike", "segw"];
                gateway.try_swanctl(&terminate).ok()
            });
            expect_failover(&mut self.control, 23 - to, to, "peer_deleted");
        }
    }

    /// For one that no ping goes through.
    pub fn initiate_untested(&mut self) {
        self.control.ok("INITIATE net");
        self.control.wait_event("tunnel_up");
    }
}
