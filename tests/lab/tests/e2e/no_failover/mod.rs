// SPDX-License-Identifier: GPL-2.0-or-later

//! What ends an IKE_SA without being a failure of its gateway, and that a failure afterwards still is one.

mod credentials;
mod daemon;
mod operators;
pub(crate) mod peers;
mod reauthentication;
mod rekeying;
mod removal;
mod retries;
mod swanctl;
mod termination;

use std::time::Duration;

use extsock_lab::{wait, Client, ClientOptions, Extsock, Gateway, GatewayOptions, Lab};
use serde_json::{json, Value};

use crate::policy::{net_with, swanctl_conf};
use crate::{wait_state, Tunnel};

/// Longer than charon needs to give a gateway up and the plugin to go to the next one.
const LONG: Duration = Duration::from_secs(3);

/// Connection `net` without DPD.
fn without_dpd() -> Value {
    net_with(&json!({"dpd_delay": 0}), &json!({}))
}

/// A tunnel on which charon sends nothing by itself.
fn silent(client: ClientOptions) -> Tunnel {
    Tunnel::up_as(&without_dpd(), client, &GatewayOptions::default())
}

/// charon's settings to delete a CHILD_SA 1 s after it is rekeyed, not 5 s.
const PROMPT: &str = "delete_rekeyed_delay = 1";

/// As [`PROMPT`].
fn prompt() -> ClientOptions {
    ClientOptions {
        settings: PROMPT.to_owned(),
        ..ClientOptions::default()
    }
}

/// Connection `net` is down, and stays so without a single failover.
#[track_caller]
pub(crate) fn expect_down(control: &mut Extsock, client: &Client) {
    wait_state(control, "down");
    expect_none(control, client);
    assert_eq!(control.connection("net")["state"], "down");
}

/// No IKE_SA is left, and none comes, without a single failover.
#[track_caller]
fn expect_none(control: &Extsock, client: &Client) {
    expect_no_more(control, client, 0);
}

/// No IKE_SA is left, and none comes, after that many failovers.
#[track_caller]
fn expect_no_more(control: &Extsock, client: &Client, failovers: usize) {
    wait::until("no IKE_SA is left", || {
        client.ike_sas().is_empty().then_some(())
    });
    wait::holds_for(LONG, "no IKE_SA comes", || {
        failover_after(control, failovers).or_else(|| client.ike_sas().first().cloned())
    });
}

/// One IKE_SA is up with one CHILD_SA, and stays the only one without a single failover.
#[track_caller]
fn expect_undisturbed(control: &Extsock, client: &Client) {
    expect_settled(control, client, 0);
}

/// One IKE_SA is up with one CHILD_SA, and stays the only one after that many failovers.
#[track_caller]
fn expect_settled(control: &Extsock, client: &Client, failovers: usize) {
    wait_single(client);
    wait::holds_for(LONG, "one IKE_SA with one CHILD_SA", || {
        failover_after(control, failovers).or_else(|| not_single(client))
    });
    client.ping("10.2.0.1");
}

/// Waits until one IKE_SA is up with one CHILD_SA, and nothing else.
#[track_caller]
pub(crate) fn wait_single(client: &Client) {
    wait::until("one IKE_SA with one CHILD_SA", || {
        not_single(client).is_none().then_some(())
    });
}

/// What charon has if that is not one IKE_SA that is up with one CHILD_SA.
fn not_single(client: &Client) -> Option<String> {
    let (ike_sas, child_sas) = (client.ike_sas(), client.child_sas());
    let single = matches!(&ike_sas[..], [ike_sa] if ike_sa.contains("ESTABLISHED"))
        && matches!(&child_sas[..], [child_sa] if child_sa.contains("INSTALLED"));
    (!single).then(|| format!("{ike_sas:?} {child_sas:?}"))
}

/// The first failover after that many.
pub(crate) fn failover_after(control: &Extsock, failovers: usize) -> Option<String> {
    let started = control.events_named("failover_started");
    started.get(failovers).map(|event| event.line.clone())
}

/// A tunnel of swanctl's connection `swan` over gateways 11 and 12, which serve two networks.
struct Swan {
    control: Extsock,
    client: Client,
    gateway_1: Gateway,
    gateway_2: Gateway,
    lab: Lab,
}

impl Swan {
    fn up() -> Self {
        Self::up_as(&swan(), ClientOptions::default())
    }

    fn up_as(conf: &str, client: ClientOptions) -> Self {
        let lab = Lab::new();
        let gateways = GatewayOptions {
            networks: vec![2, 3],
            ..GatewayOptions::default()
        };
        let gateway_1 = lab.gateway_with(11, gateways.clone());
        let gateway_2 = lab.gateway_with(12, gateways);
        let client = lab.client_with(client);
        let mut control = client.connect();
        client.load(conf);
        client.swanctl(&["--initiate", "--child", "data"]);
        control.wait_event("tunnel_up");
        client.ping("10.2.0.1");
        Self {
            control,
            client,
            gateway_1,
            gateway_2,
            lab,
        }
    }

    /// On gateway 2, as gateway 1 is dead.
    #[track_caller]
    fn fail_over(mut self) -> Self {
        self.gateway_1.kill();
        let established = self.control.wait_event("failover_established");
        assert_eq!(established["gateway"], "192.168.7.12");
        self.control.wait_event("tunnel_up");
        wait_single(&self.client);
        self
    }
}

/// Connection `swan` over gateways 11 and 12.
fn swan() -> String {
    swanctl_conf("192.168.7.11, 192.168.7.12")
}
