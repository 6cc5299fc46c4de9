// SPDX-License-Identifier: GPL-2.0-or-later

//! CHILD_SAs that are wanted and missing while their IKE_SA is up.

use extsock_lab::{net, wait, ClientOptions, Extsock, GatewayOptions};
use serde_json::{json, Value};

use crate::causes::net_with_two_child_sas;
use crate::{expect_failover, ike_sa, wait_state, Hosts, Tunnel};

/// The CHILD_SA is missing, and then is not any more.
#[track_caller]
fn expect_back(control: &mut Extsock, child: &str) {
    let degraded = control.wait_event("degraded_started");
    assert_eq!(degraded["connection"], "net");
    assert_eq!(degraded["missing"], json!([child]));
    let up = control.wait_event("tunnel_up");
    assert_eq!(up["child_sa_name"], child);
    let ended = control.wait_event("degraded_ended");
    assert_eq!(ended["connection"], "net");
}

/// The gateway deletes the only CHILD_SA and keeps the IKE_SA.
#[track_caller]
fn comes_back(tunnel: &mut Tunnel) {
    let before = ike_sa(&tunnel.client, "net");
    tunnel
        .gateway_1
        .swanctl(&["--terminate", "--child", "net2"]);
    expect_back(&mut tunnel.control, "net2");
    tunnel.client.ping("10.2.0.1");
    assert_eq!(ike_sa(&tunnel.client, "net"), before);
    let listed = wait_state(&mut tunnel.control, "established");
    assert_eq!(listed["wanted"], json!(["net2"]));
    assert_eq!(listed["missing"], json!([]));
    assert_eq!(listed["degraded"], false);
    assert!(tunnel.control.events_named("failover_started").is_empty());
}

#[test]
fn gateway_deletes_the_only_one() {
    comes_back(&mut Tunnel::up());
}

#[test]
fn gateway_deletes_the_only_one_of_ikev1() {
    let mut config = net(&[11, 12]);
    config["connections"]["net"]["version"] = json!(1);
    let gateways = GatewayOptions::ikev1();
    comes_back(&mut Tunnel::up_as(
        &config,
        ClientOptions::default(),
        &gateways,
    ));
}

#[test]
fn gateway_deletes_the_only_one_and_charon_brings_it_back() {
    let mut config = net(&[11, 12]);
    config["connections"]["net"]["children"]["net2"]["close_action"] = json!("start");
    let gateways = GatewayOptions::default();
    let mut tunnel = Tunnel::up_as(&config, ClientOptions::default(), &gateways);
    comes_back(&mut tunnel);
    let log = tunnel.client.log();
    assert_eq!(log.matches("establishing CHILD_SA net2{").count(), 2);
}

#[test]
fn operator_closes_one() {
    let config = net_with_two_child_sas(&[11, 12]);
    let mut tunnel = Tunnel::loaded_at(Hosts::with_two_networks(), &config).initiate();
    tunnel.control.wait_event("tunnel_up");
    tunnel.client.swanctl(&["--terminate", "--child", "net3"]);
    tunnel.control.wait_event("tunnel_down");
    let listed = wait_state(&mut tunnel.control, "established");
    assert_eq!(listed["wanted"], json!(["net2"]));
    assert_eq!(listed["degraded"], false);
    assert!(tunnel.control.events_named("degraded_started").is_empty());
}

/// The gateway closes one of two CHILD_SAs, and refuses to make it again.
#[track_caller]
fn closed_one_of_two() -> Tunnel {
    let config = net_with_two_child_sas(&[11, 12]);
    let mut tunnel = Tunnel::loaded_at(Hosts::with_two_networks(), &config).initiate();
    tunnel.control.wait_event("tunnel_up");
    tunnel
        .gateway_1
        .reconfigure("local_ts = 10.3", "local_ts = 10.33");
    tunnel
        .gateway_1
        .swanctl(&["--terminate", "--child", "net3"]);
    let degraded = tunnel.control.wait_event("degraded_started");
    assert_eq!(degraded["missing"], json!(["net3"]));
    tunnel.client.wait_log("received TS_UNACCEPTABLE notify");
    tunnel
}

#[test]
fn gateway_closes_one_of_two_and_dies() {
    let mut tunnel = closed_one_of_two();
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    tunnel.client.ping("10.2.0.1");
    tunnel.client.ping("10.3.0.1");
    assert_eq!(tunnel.control.connection("net")["missing"], json!([]));
}

#[test]
fn gateway_closes_one_of_two_and_takes_it_again_later() {
    let mut tunnel = closed_one_of_two();
    let before = ike_sa(&tunnel.client, "net");
    let listed = tunnel.control.connection("net");
    assert_eq!(listed["state"], "established");
    assert_eq!(listed["degraded"], true);
    assert_eq!(listed["missing"], json!(["net3"]));
    tunnel.gateway_1.accept_authentication();
    tunnel.control.wait_event("degraded_ended");
    tunnel.client.ping("10.3.0.1");
    assert_eq!(ike_sa(&tunnel.client, "net"), before);
    assert!(tunnel.control.events_named("failover_started").is_empty());
}

/// Connection `net` whose CHILD_SA is rekeyed soon, and then ends.
fn short_lived() -> Value {
    let mut config = net(&[11, 12]);
    let child = &mut config["connections"]["net"]["children"]["net2"];
    for (option, value) in [("rekey_time", 2), ("life_time", 4), ("rand_time", 0)] {
        child[option] = json!(value);
    }
    config
}

/// The group of its proposal differs, which does not matter for a CHILD_SA that is made with the IKE_SA.
const OTHER_GROUP: (&str, &str) = (
    "esp_proposals = aes128-sha256-modp2048,aes128-sha256",
    "esp_proposals = aes128-sha256-modp3072",
);

#[test]
fn gateway_refuses_the_rekeying_until_it_expires() {
    let (from, to) = OTHER_GROUP;
    let hosts = Hosts {
        gateway_1: GatewayOptions::default().edited(&[(from, to)]),
        ..Hosts::default()
    };
    let mut tunnel = Tunnel::loaded_at(hosts, &short_lived()).initiate();
    tunnel.client.wait_log("closing expired CHILD_SA net2");
    let degraded = tunnel.control.wait_event("degraded_started");
    assert_eq!(degraded["missing"], json!(["net2"]));
    expect_failover(&mut tunnel.control, 11, 12, "child_failed");
    tunnel.client.ping("10.2.0.1");
}

#[test]
fn no_gateway_but_one_and_it_refuses_three_times() {
    let (from, to) = OTHER_GROUP;
    let hosts = Hosts {
        gateway_1: GatewayOptions::default().edited(&[(from, to)]),
        ..Hosts::default()
    };
    let mut tunnel = Tunnel::loaded_at(hosts, &net(&[11])).initiate();
    tunnel
        .gateway_1
        .swanctl(&["--terminate", "--child", "net2"]);
    // With the IKE_SA, the gateway takes it.
    let started = tunnel.control.wait_event("failover_started");
    assert_eq!(started["from"], started["to"]);
    assert_eq!(started["reason"], "child_failed");
    tunnel.control.wait_event("tunnel_up");
    tunnel.client.ping("10.2.0.1");
}

#[test]
fn operator_asks_for_one_before_the_gateways_death_is_noticed() {
    let config = net_with_two_child_sas(&[11, 12]);
    let mut tunnel = Tunnel::loaded_at(Hosts::with_two_networks(), &config);
    tunnel.control.ok("INITIATE net net2");
    tunnel.control.wait_event("tunnel_up");
    tunnel.gateway_1.kill();
    let initiate = ["--initiate", "--child", "net3", "--timeout", "1"];
    assert!(tunnel.client.try_swanctl(&initiate).is_err(), "no answer");
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    tunnel.client.ping("10.2.0.1");
    tunnel.client.ping("10.3.0.1");
}

#[test]
fn gateways_do_not_answer_the_request_for_the_second() {
    let config = net_with_two_child_sas(&[11, 12]);
    // CREATE_CHILD_SA
    let slow = "receive_delay = 3600000\n receive_delay_type = 36\n";
    let gateways = GatewayOptions {
        settings: slow.to_owned(),
        ..crate::tunnel::two_networks()
    };
    let mut tunnel = Tunnel::loaded_at(Hosts::with_gateways(gateways), &config);
    tunnel.control.ok("INITIATE net");
    // charon itself takes the request that was not answered to the next gateway, with the new IKE_SA, and the other
    // CHILD_SA is the second one then.
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    tunnel.client.ping("10.3.0.1");
    expect_failover(&mut tunnel.control, 12, 11, "dpd_timeout");
    wait::until("one is up, and the other waits for its turn", || {
        let listed = tunnel.control.connection("net");
        let waits = listed["degraded"] == true && listed["missing"] == json!(["net3"]);
        waits.then_some(())
    });
    tunnel.client.ping("10.2.0.1");
}
