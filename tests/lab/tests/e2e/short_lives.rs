// SPDX-License-Identifier: GPL-2.0-or-later

//! Tunnels that do not last: gateways that accept an IKE_SA and delete it at once.

use std::time::Duration;

use extsock_lab::{net, swanctl, wait, ClientOptions, GatewayOptions, Lab};
use serde_json::{json, Value};

/// Deletes each IKE_SA as soon as its CHILD_SA is up: charon waits for what has its output, and swanctl for charon.
fn throws_out() -> GatewayOptions {
    let proposals = "esp_proposals = aes128-sha256-modp2048,aes128-sha256";
    let terminate = format!(
        "updown = {} --terminate --ike segw --timeout -1 >/dev/null 2>/dev/null &\n {proposals}",
        swanctl().display()
    );
    GatewayOptions::default().edited(&[(proposals, &terminate)])
}

/// In the time in which two gateways that throw out were initiated to 250 times before, they get at most `most`
/// initiations, the first ones at once.
fn expect_sane_pace(config: &Value, gateways: &[u8], most: usize) {
    let lab = Lab::new();
    let _gateways: Vec<_> = gateways
        .iter()
        .map(|number| lab.gateway_with(*number, throws_out()))
        .collect();
    let client = lab.client_with(ClientOptions::default());
    let mut control = client.connect();
    control.apply(config);
    control.ok("INITIATE net");
    let initiations = || client.log().matches("initiating IKE_SA").count();
    wait::until("the connection is tried again", || {
        (initiations() >= 3).then_some(())
    });
    wait::holds_for(Duration::from_secs(10), "a sane pace", || {
        let all = initiations();
        (all > most).then(|| format!("{all} initiations"))
    });
    let status = control.ok("STATUS net")["connections"][0].clone();
    let failovers = status["last_failovers"].as_array();
    let thrown_out = failovers.is_some_and(|all| {
        let mut reasons = all.iter().map(|failover| &failover["reason"]);
        reasons.all(|reason| reason == "peer_deleted")
    });
    assert!(thrown_out, "{status}");
    assert!(
        !control.events_named("failover_established").is_empty(),
        "each success is told"
    );
}

#[test]
fn both_gateways_delete_the_ike_sa_as_soon_as_it_is_up() {
    expect_sane_pace(&net(&[11, 12]), &[11, 12], 9);
}

#[test]
fn the_only_gateway_deletes_the_ike_sa_as_soon_as_it_is_up() {
    expect_sane_pace(&net(&[11]), &[11], 6);
}

/// charon's own initiation begins before it is ended.
#[test]
fn charon_would_make_it_again_at_once_by_itself() {
    let mut config = net(&[11, 12]);
    config["connections"]["net"]["children"]["net2"]["close_action"] = json!("start");
    expect_sane_pace(&config, &[11, 12], 2 * 9);
}

/// The first gateway throws out, and the second one is as it should be.
#[test]
fn a_gateway_that_throws_out_is_left() {
    let lab = Lab::new();
    let _gateway_1 = lab.gateway_with(11, throws_out());
    let _gateway_2 = lab.gateway(12);
    let client = lab.client();
    let mut control = client.connect();
    control.apply(&net(&[11, 12]));
    control.ok("INITIATE net");
    let established = control.wait_event("failover_established");
    assert_eq!(established["gateway"], "192.168.7.12");
    client.ping("10.2.0.1");
    let status = control.connection("net");
    let set_aside = &status["gateway_status"][0]["set_aside_ms"];
    assert!(set_aside.is_u64(), "{status}");
}
