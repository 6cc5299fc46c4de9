// SPDX-License-Identifier: GPL-2.0-or-later

//! An attempt that fails at its gateway.

use extsock_lab::{net, wait, GatewayOptions, Lab, PSK};
use serde_json::json;

use super::{net_with_two_child_sas, told, with_child};
use crate::ike_sas;
use crate::policy::{net_with, patient};
use crate::tunnel::two_networks;
use crate::{expect_failover, ike_sa, wait_state, Hosts, Tunnel};

#[test]
fn no_answer_to_ike_auth() {
    no_answer_to_ike_auth_with(1);
}

#[test]
fn no_answer_to_ike_auth_with_three_tries() {
    no_answer_to_ike_auth_with(3);
}

#[test]
fn no_answer_to_ike_auth_with_tries_for_ever() {
    no_answer_to_ike_auth_with(0);
}

/// With UDP encapsulation IKE_SA_INIT goes to port 500, and all that follows to port 4500, which gateway 1 does not
/// have.
fn silent_after_ike_sa_init() -> Hosts {
    Hosts::with_gateway_1("port_nat_t = 4711")
}

fn no_answer_to_ike_auth_with(keyingtries: u32) {
    let hosts = silent_after_ike_sa_init();
    let config = net_with(
        &json!({ "keyingtries": keyingtries, "encap": true }),
        &json!({"connect_timeout": 0}),
    );
    let mut tunnel = Tunnel::loaded_at(hosts, &config);
    tunnel.control.ok("INITIATE net");
    tunnel.fails_over("peer_unreachable");
    let log = tunnel.client.log();
    let unanswered = log.split("giving up after").next().unwrap_or_default();
    assert!(unanswered.contains("parsed IKE_SA_INIT response"), "{log}");
    assert!(unanswered.contains("retransmit 2 of request with message ID 1"));
    // charon's own retry is led on; without one there is a new IKE_SA.
    let id = if keyingtries == 1 { 2 } else { 1 };
    let sa = ike_sa(&tunnel.client, "net");
    assert!(sa.starts_with(&format!("net: #{id},")), "{sa}");
}

#[test]
fn ike_auth_takes_too_long() {
    for keyingtries in [1, 0] {
        let hosts = Hosts {
            client: patient(),
            ..silent_after_ike_sa_init()
        };
        let config = net_with(
            &json!({ "keyingtries": keyingtries, "encap": true }),
            &json!({"connect_timeout": "2s"}),
        );
        let mut tunnel = Tunnel::loaded_at(hosts, &config);
        tunnel.control.ok("INITIATE net");
        tunnel.fails_over("connect_timeout");
        let gateway_1 = tunnel.gateway_1.log();
        assert!(gateway_1.contains("generating IKE_SA_INIT response"));
    }
}

#[test]
fn charon_is_led_past_two_dead_gateways() {
    for keyingtries in [1, 3, 0] {
        let lab = Lab::new();
        let _gateway_3 = lab.gateway_with(13, two_networks());
        let client = lab.client();
        let mut control = client.connect();
        let mut config = net_with_two_child_sas(&[11, 12, 13]);
        config["connections"]["net"]["keyingtries"] = keyingtries.into();
        config["connections"]["net"]["failover"] = json!({"connect_timeout": 0});
        control.apply(&config);
        control.ok("INITIATE net");
        let established = control.wait_event("failover_established");
        assert_eq!(established["gateway"], "192.168.7.13");
        assert_eq!(established["attempts"], 2);
        assert_eq!(told(&control), ["peer_unreachable"; 2]);
        client.ping("10.2.0.1");
        client.ping("10.3.0.1");
        assert_eq!(ike_sas(&client), 1);
    }
}

#[test]
fn charon_that_tries_for_ever_is_made_to_give_up() {
    let lab = Lab::new();
    let client = lab.client();
    let mut control = client.connect();
    control.apply(&net_with(
        &json!({"keyingtries": 0}),
        &json!({"connect_timeout": 0, "max_retries": 2}),
    ));
    control.ok("INITIATE net");
    let exhausted = control.wait_event("failover_exhausted");
    assert_eq!(exhausted["retries"], 3, "the second round is finished");
    assert_eq!(told(&control), ["peer_unreachable"; 3]);
    wait::until("no IKE_SA is left", || {
        (ike_sas(&client) == 0).then_some(())
    });
}

#[test]
fn the_gateways_secret_is_a_wrong_one() {
    let tunnel = Tunnel::loaded(&net(&[11, 12]));
    // It checks ours with all secrets that it has, and proves itself with the one that fits best.
    let secret = format!("secret = \"{PSK}\"");
    let another = "ike-client {\n id = client\n secret = \"wrong\"";
    tunnel
        .gateway_1
        .reconfigure(&secret, &format!("{secret}\n }}\n {another}"));
    we_reject(
        tunnel,
        "tried 1 shared key for 'client' - 'segw', but MAC mismatched",
    );
}

#[test]
fn the_gateways_identity_is_a_wrong_one() {
    let mut config = net(&[11, 12]);
    // With a pattern we do not say beforehand whom we expect.
    config["connections"]["net"]["remote_auth"]["id"] = "*.segw".into();
    config["secrets"]["ike"][0]["id"] = "client".into();
    let tunnel = Tunnel::loaded(&config);
    tunnel.gateway_1.reconfigure("id = segw", "id = a.other");
    tunnel.gateway_2.reconfigure("id = segw", "id = b.segw");
    we_reject(tunnel, "constraint check failed: identity '*.segw'");
}

fn we_reject(mut tunnel: Tunnel, log: &str) {
    tunnel.control.ok("INITIATE net");
    tunnel.fails_over("auth_failed");
    tunnel.client.wait_log(log);
}

#[test]
fn the_gateway_rejects_ike_auth_with_another_error() {
    let mut tunnel = Tunnel::loaded(&net(&[11, 12]));
    // It wants no CHILD_SA in there, and calls it INVALID_SYNTAX.
    tunnel
        .gateway_1
        .reconfigure("mobike = no", "mobike = no\n childless = force");
    tunnel.control.ok("INITIATE net");
    tunnel.fails_over("auth_failed");
    tunnel.client.wait_log("received INVALID_SYNTAX");
}

#[test]
fn no_common_ike_proposal() {
    no_common_ike_proposal_with(1);
}

#[test]
fn no_common_ike_proposal_with_tries_for_ever() {
    no_common_ike_proposal_with(0);
}

fn no_common_ike_proposal_with(keyingtries: u32) {
    let config = net_with(
        &json!({ "keyingtries": keyingtries, "encap": true }),
        &json!({}),
    );
    let mut tunnel = Tunnel::loaded(&config);
    let (ours, theirs) = (
        "proposals = aes128-sha256-modp2048\n ",
        "proposals = aes256-sha384-modp3072\n ",
    );
    tunnel.gateway_1.reconfigure(ours, theirs);
    tunnel.control.ok("INITIATE net");
    tunnel.fails_over("no_proposal_chosen");
}

#[test]
fn another_error_in_ike_sa_init() {
    let (invalid_major_version, invalid_syntax, unassigned) = (5, 7, 8191);
    for notify in [invalid_major_version, invalid_syntax, unassigned] {
        let lab = Lab::new();
        let _responder = lab.responder(11, notify);
        let _gateway_2 = lab.gateway(12);
        let client = lab.client();
        let mut control = client.connect();
        control.apply(&net(&[11, 12]));
        control.ok("INITIATE net");
        expect_failover(&mut control, 11, 12, "rejected");
        assert_eq!(ike_sas(&client), 1);
        client.ping("10.2.0.1");
        let history = control.ok("HISTORY net");
        assert_eq!(history["failovers"][0]["reason"], "rejected");
        assert!(client.log().contains("notify error"), "{notify}");
    }
}

#[test]
fn the_gateways_name_does_not_resolve() {
    let mut config = net(&[11, 12]);
    config["connections"]["net"]["remote_addrs"] =
        "192.168.7.11,gateway.invalid,192.168.7.12".into();
    let mut tunnel = Tunnel::loaded(&config).initiate();
    tunnel.gateway_1.kill();
    let resolving = tunnel.control.wait_event("failover_started");
    assert_eq!(resolving["to"], "gateway.invalid");
    let started = tunnel.control.wait_event("failover_started");
    assert_eq!(started["from"], "gateway.invalid");
    assert_eq!(started["to"], "192.168.7.12");
    tunnel.control.wait_event("failover_established");
    tunnel.settles_at("192.168.7.12");
    tunnel.has_told(&["dpd_timeout", "address_unresolvable"]);
}

#[test]
fn charon_cannot_begin() {
    let mut config = net(&[11, 12]);
    // A key exchange that charon has for tests, and no plugin provides.
    config["connections"]["net"]["proposals"] = json!(["aes128-sha256-modpnull"]);
    let mut tunnel = Tunnel::loaded(&config);
    tunnel.control.request("INITIATE net");
    tunnel.client.wait_log("not supported");
    let started = tunnel.control.wait_event("failover_started");
    assert_eq!(started["reason"], "initiate_failed");
    let history = tunnel.control.ok("HISTORY net");
    let failovers = history["failovers"].as_array().expect("a list");
    let first = failovers.last().expect("an entry");
    assert_eq!(first["reason"], "initiate_failed");
}

pub(super) const OTHER_NETWORK: (&str, &str) =
    ("local_ts = 10.2.0.0/24", "local_ts = 10.22.0.0/24");
const OTHER_ESP: (&str, &str) = (
    "esp_proposals = aes128-sha256-modp2048,aes128-sha256",
    "esp_proposals = aes256-sha384",
);

#[test]
fn no_child_sa_for_the_traffic_selectors() {
    no_child_sa(OTHER_NETWORK, "received TS_UNACCEPTABLE notify");
}

#[test]
fn no_child_sa_for_the_esp_proposals() {
    no_child_sa(OTHER_ESP, "received NO_PROPOSAL_CHOSEN notify");
}

fn no_child_sa((text, by): (&str, &str), log: &str) {
    let config = net_with(&json!({}), &json!({"on_child_failure": true}));
    let mut tunnel = Tunnel::loaded(&config);
    tunnel.gateway_1.reconfigure(text, by);
    tunnel.control.ok("INITIATE net");
    tunnel.fails_over("child_failed");
    tunnel.client.wait_log(log);
}

#[test]
fn no_child_sa_in_three_tries_by_default() {
    for ((text, by), log) in [
        (OTHER_NETWORK, "received TS_UNACCEPTABLE notify"),
        (OTHER_ESP, "received NO_PROPOSAL_CHOSEN notify"),
    ] {
        let mut tunnel = Tunnel::loaded(&net(&[11, 12]));
        tunnel.gateway_1.reconfigure(text, by);
        tunnel.control.ok("INITIATE net");
        tunnel.fails_over("child_failed");
        assert_eq!(tunnel.client.log().matches(log).count(), 3);
    }
}

#[test]
fn no_child_sa_is_no_failure_where_that_is_configured() {
    for ((text, by), log) in [
        (OTHER_NETWORK, "received TS_UNACCEPTABLE notify"),
        (OTHER_ESP, "received NO_PROPOSAL_CHOSEN notify"),
    ] {
        let config = net_with(&json!({}), &json!({"on_child_failure": "no"}));
        let mut tunnel = Tunnel::loaded(&config);
        tunnel.gateway_1.reconfigure(text, by);
        tunnel.control.ok("INITIATE net");
        tunnel.client.wait_log(log);
        tunnel.stays_so();
        let listed = wait_state(&mut tunnel.control, "established");
        assert_eq!(listed["active_gateway"], "192.168.7.11");
    }
}

#[test]
fn no_child_sa_for_lack_of_a_virtual_ip() {
    let hosts = Hosts {
        gateway_2: GatewayOptions {
            pool: Some("10.9.0.0/24"),
            ..GatewayOptions::default()
        },
        ..Hosts::default()
    };
    let config = with_child(
        net_with(
            &json!({"vips": "0.0.0.0"}),
            &json!({"on_child_failure": true}),
        ),
        "local_ts",
        "dynamic",
    );
    let mut tunnel = Tunnel::loaded_at(hosts, &config);
    tunnel.control.ok("INITIATE net");
    tunnel.fails_over("child_failed");
}

/// Connection `net` has two CHILD_SAs, and gateway 1 refuses those whose network in its
/// configuration begins like that.
fn with_two_child_sas(refused: &str) -> Tunnel {
    let mut config = net_with_two_child_sas(&[11, 12]);
    config["connections"]["net"]["failover"] = json!({"on_child_failure": true});
    let mut tunnel = Tunnel::loaded_at(Hosts::with_two_networks(), &config);
    tunnel
        .gateway_1
        .reconfigure(&format!("local_ts = {refused}"), "local_ts = 10.1");
    tunnel.control.ok("INITIATE net");
    tunnel.client.wait_log("received TS_UNACCEPTABLE notify");
    tunnel
}

#[test]
fn both_child_sas_are_refused() {
    let mut tunnel = with_two_child_sas("10.");
    tunnel.fails_over("child_failed");
    tunnel.client.ping("10.3.0.1");
}

#[test]
fn the_second_of_two_child_sas_is_refused() {
    let mut tunnel = with_two_child_sas("10.3");
    tunnel.stays_so();
    tunnel.settles_at("192.168.7.11");
}

#[test]
fn the_first_of_two_child_sas_is_refused() {
    let mut tunnel = with_two_child_sas("10.2");
    tunnel.client.ping("10.3.0.1");
    tunnel.stays_so();
    let listed = wait_state(&mut tunnel.control, "established");
    assert_eq!(listed["active_gateway"], "192.168.7.11");
}
