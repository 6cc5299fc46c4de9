// SPDX-License-Identifier: GPL-2.0-or-later

//! An IKE_SA that is up loses its gateway.

use std::time::{Duration, Instant};

use extsock_lab::{net, wait, Gateway, Lab};
use serde_json::{json, Value};

use super::{net_with_two_child_sas, told, with_child};
use crate::ike_sas;
use crate::policy::net_with;
use crate::{ike_sa, wait_state, Hosts, Tunnel};

/// Nothing but what the test does finds out.
fn net_without_dpd() -> Value {
    net_with(&json!({"dpd_delay": 0}), &json!({}))
}

#[test]
fn gateway_dies_with_dpd_action_trap() {
    let config = with_child(net(&[11, 12]), "dpd_action", "trap");
    let mut tunnel = Tunnel::loaded(&config).initiate();
    tunnel.gateway_1.kill();
    tunnel.fails_over("dpd_timeout");
}

#[test]
fn gateway_dies_under_an_ike_sa_with_mobike() {
    let config = net_with(&json!({"mobike": true}), &json!({}));
    let mut tunnel = Tunnel::loaded(&config);
    for gateway in [&tunnel.gateway_1, &tunnel.gateway_2] {
        gateway.reconfigure("mobike = no", "mobike = yes");
    }
    tunnel = tunnel.initiate();
    assert!(tunnel.client.log().contains("peer supports MOBIKE"));
    tunnel.gateway_1.kill();
    tunnel.fails_over("dpd_timeout");
}

/// It answers, but to nobody that it knows.
#[test]
fn gateway_restarts_and_has_forgotten_the_ike_sa() {
    let mut tunnel = Tunnel::up();
    tunnel.gateway_1.kill();
    tunnel.gateway_1.restart();
    tunnel.fails_over("dpd_timeout");
}

#[test]
fn charon_re_establishes_to_a_gateway_that_is_dead_too() {
    let config = with_child(net(&[11, 12, 13]), "dpd_action", "restart");
    re_established_past_a_dead_gateway(&config, "dpd_timeout", |gateway_1| gateway_1.kill());
}

#[test]
fn gateway_shuts_down_with_close_action_start_and_the_next_one_is_dead() {
    let config = with_child(net(&[11, 12, 13]), "close_action", "start");
    re_established_past_a_dead_gateway(&config, "peer_deleted", |gateway_1| {
        gateway_1.stop();
    });
}

fn re_established_past_a_dead_gateway(
    config: &Value,
    reason: &str,
    lose: impl FnOnce(&mut Gateway),
) {
    let lab = Lab::new();
    let mut gateway_1 = lab.gateway(11);
    let gateway_3 = lab.gateway(13);
    let client = lab.client();
    let mut control = client.connect();
    control.apply(config);
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    lose(&mut gateway_1);
    let established = control.wait_event("failover_established");
    assert_eq!(established["gateway"], gateway_3.address());
    assert_eq!(established["attempts"], 2);
    assert_eq!(told(&control), [reason, "peer_unreachable"]);
    client.ping("10.2.0.1");
    wait::until("one IKE_SA is left", || {
        (ike_sas(&client) == 1).then_some(())
    });
}

#[test]
fn dead_gateway_is_noticed_by_a_child_sa_rekeying() {
    for dpd_action in ["none", "trap", "restart"] {
        let config = with_child(net_without_dpd(), "dpd_action", dpd_action);
        let mut tunnel = Tunnel::loaded(&config).initiate();
        tunnel.gateway_1.kill();
        tunnel.client.swanctl(&["--rekey", "--child", "net2"]);
        tunnel.fails_over("dpd_timeout");
    }
}

/// charon does not want to lose the CHILD_SA that it was asked for, and re-establishes the IKE_SA.
#[test]
fn dead_gateway_is_noticed_by_a_second_child_sa() {
    let mut config = net_with_two_child_sas(&[11, 12]);
    config["connections"]["net"]["dpd_delay"] = 0.into();
    let mut tunnel = Tunnel::loaded_at(Hosts::with_two_networks(), &config);
    tunnel.control.ok("INITIATE net net2");
    tunnel.client.ping("10.2.0.1");
    tunnel.gateway_1.kill();
    tunnel.control.ok("INITIATE net net3");
    tunnel.control.wait_event("failover_established");
    tunnel.settles_at("192.168.7.12");
    tunnel.client.ping("10.3.0.1");
    tunnel.has_told(&["dpd_timeout"]);
}

#[test]
fn dead_gateway_is_noticed_by_an_ike_sa_rekeying() {
    dead_gateway_is_noticed_by_an_ike_sa_rekeying_with("none");
}

#[test]
fn dead_gateway_is_noticed_by_an_ike_sa_rekeying_with_dpd_action_trap() {
    dead_gateway_is_noticed_by_an_ike_sa_rekeying_with("trap");
}

#[test]
fn dead_gateway_is_noticed_by_an_ike_sa_rekeying_with_dpd_action_restart() {
    dead_gateway_is_noticed_by_an_ike_sa_rekeying_with("restart");
}

fn dead_gateway_is_noticed_by_an_ike_sa_rekeying_with(dpd_action: &str) {
    let config = with_child(net_without_dpd(), "dpd_action", dpd_action);
    let mut tunnel = Tunnel::loaded(&config).initiate();
    tunnel.gateway_1.kill();
    tunnel.client.swanctl(&["--rekey", "--ike", "net"]);
    tunnel.client.wait_log("initiating IKE_SA net[2]");
    tunnel.fails_over("dpd_timeout");
    // The half-made successor causes nothing of its own.
    tunnel.stays_so();
}

/// Up, and to lose a gateway 1 that was asked, but did not yet answer.
fn with_delay(settings: &'static str) -> Tunnel {
    Tunnel::loaded_at(Hosts::with_gateway_1(settings), &net_without_dpd()).initiate()
}

#[test]
fn gateway_dies_while_it_answers_an_ike_sa_rekeying() {
    // CREATE_CHILD_SA requests.
    let mut tunnel = with_delay("receive_delay = 10000\n receive_delay_type = 36");
    tunnel.client.swanctl(&["--rekey", "--ike", "net"]);
    tunnel.gateway_1.wait_log("using receive delay");
    tunnel.gateway_1.kill();
    tunnel.fails_over("dpd_timeout");
    tunnel.stays_so();
}

#[test]
fn gateway_dies_before_it_answers_the_deletion_of_the_rekeyed_ike_sa() {
    // INFORMATIONAL requests.
    let mut tunnel = with_delay("receive_delay = 10000\n receive_delay_type = 37");
    tunnel.client.swanctl(&["--rekey", "--ike", "net"]);
    tunnel.control.wait_event("ike_rekey");
    tunnel.gateway_1.wait_log("using receive delay");
    tunnel.gateway_1.kill();
    // What is not answered is about an IKE_SA that has a successor.
    tunnel.client.wait_log("giving up after 2 retransmits");
    wait::until("the rekeyed IKE_SA is gone", || {
        (ike_sas(&tunnel.client) == 1).then_some(())
    });
    tunnel.stays_so();
    let listed = wait_state(&mut tunnel.control, "established");
    assert_eq!(listed["active_gateway"], "192.168.7.11");
    // The successor's own request is.
    tunnel.control.ok("START_DPD net");
    tunnel.fails_over("dpd_timeout");
}

#[test]
fn dead_gateway_is_noticed_by_a_reauthentication() {
    let hosts = Hosts::with_client("make_before_break = no");
    let mut tunnel = Tunnel::loaded_at(hosts, &net_without_dpd()).initiate();
    tunnel.gateway_1.kill();
    let reauthenticate = ["--rekey", "--ike", "net", "--reauth"];
    tunnel.client.swanctl(&reauthenticate);
    // The deletion of the old IKE_SA is not answered.
    tunnel.fails_over("dpd_timeout");
    tunnel.stays_so();
}

#[test]
fn dead_gateway_is_noticed_by_a_reauthentication_that_makes_before_it_breaks() {
    let hosts = Hosts::with_client("make_before_break = yes");
    let mut tunnel = Tunnel::loaded_at(hosts, &net(&[11, 12])).initiate();
    tunnel.gateway_1.kill();
    let reauthenticate = ["--rekey", "--ike", "net", "--reauth"];
    tunnel.client.swanctl(&reauthenticate);
    tunnel.control.wait_event("failover_established");
    tunnel.settles_at("192.168.7.12");
    tunnel.has_told(&["dpd_timeout"]);
    tunnel.stays_so();
}

#[test]
fn the_lifetime_ends_after_a_refused_reauthentication() {
    let tunnel = refused_reauthentication();
    expires(tunnel);
}

#[test]
fn the_lifetime_ends_and_the_deletion_is_not_answered() {
    let tunnel = refused_reauthentication();
    tunnel.gateway_1.freeze();
    expires(tunnel);
}

fn refused_reauthentication() -> Tunnel {
    let times = json!({"dpd_delay": 0, "reauth_time": "2s", "over_time": "3s", "rand_time": 0});
    let hosts = Hosts::with_client("make_before_break = yes");
    let tunnel = Tunnel::loaded_at(hosts, &net_with(&times, &json!({}))).initiate();
    tunnel.gateway_1.refuse_authentication();
    tunnel.client.wait_log("received AUTHENTICATION_FAILED");
    tunnel
}

fn expires(mut tunnel: Tunnel) {
    // The successor is to stay.
    tunnel.control.wait_event("failover_started");
    tunnel.control.wait_event("failover_established");
    tunnel.has_told(&["ike_sa_expired"]);
    wait::until("the old IKE_SA is gone", || {
        (!tunnel
            .client
            .swanctl(&["--list-sas"])
            .contains("192.168.7.11"))
        .then_some(())
    });
    tunnel.client.ping("10.2.0.1");
}

#[test]
fn liveness_check_while_the_ike_sa_is_rekeyed() {
    let config = net_with(
        &json!({"dpd_delay": 0}),
        &json!({"liveness_interval": "0.5s", "liveness_timeout": "0.5s"}),
    );
    // charon gives up the rekeying much later.
    let patient = Hosts::with_client("retransmit_tries = 10");
    let mut tunnel = Tunnel::loaded_at(patient, &config).initiate();
    tunnel.gateway_1.kill();
    tunnel.client.swanctl(&["--rekey", "--ike", "net"]);
    tunnel.fails_over("liveness_timeout");
    tunnel.stays_so();
}

/// charon restarts one of two CHILD_SAs by itself.
#[test]
fn gateway_dies_with_dpd_action_restart_for_one_child_sa() {
    both_child_sas_come_back("dpd_action", "dpd_timeout", |gateway_1| gateway_1.kill());
}

#[test]
fn gateway_shuts_down_with_close_action_start_for_one_child_sa() {
    both_child_sas_come_back("close_action", "peer_deleted", |gateway_1| {
        gateway_1.stop();
    });
}

fn both_child_sas_come_back(action: &str, reason: &str, lose: impl FnOnce(&mut Gateway)) {
    let mut config = net_with_two_child_sas(&[11, 12]);
    config["connections"]["net"]["children"]["net3"][action] = "start".into();
    let mut tunnel = Tunnel::loaded_at(Hosts::with_two_networks(), &config).initiate();
    tunnel.client.ping("10.3.0.1");
    lose(&mut tunnel.gateway_1);
    tunnel.control.wait_event("failover_established");
    tunnel.client.ping("10.3.0.1");
    tunnel.settles_at("192.168.7.12");
    tunnel.has_told(&[reason]);
}

#[test]
fn gateway_deletes_the_ike_sa() {
    gateway_deletes_the_ike_sa_with("none");
}

#[test]
fn gateway_deletes_the_ike_sa_with_close_action_trap() {
    gateway_deletes_the_ike_sa_with("trap");
}

#[test]
fn gateway_deletes_the_ike_sa_with_close_action_start() {
    gateway_deletes_the_ike_sa_with("start");
}

fn gateway_deletes_the_ike_sa_with(close_action: &str) {
    let config = with_child(net(&[11, 12]), "close_action", close_action);
    let mut tunnel = Tunnel::loaded(&config).initiate();
    tunnel.gateway_1.swanctl(&["--terminate", "--ike", "segw"]);
    tunnel.fails_over("peer_deleted");
    tunnel.stays_so();
}

/// As above: charon brings the IKE_SA up again for the CHILD_SA that it was asked for.
#[test]
fn gateway_deletes_the_ike_sa_while_a_second_child_sa_comes_up() {
    let mut hosts = Hosts::with_two_networks();
    // CREATE_CHILD_SA requests.
    hosts.gateway_1.settings = "receive_delay = 10000\n receive_delay_type = 36".to_owned();
    let mut tunnel = Tunnel::loaded_at(hosts, &net_with_two_child_sas(&[11, 12]));
    tunnel.control.ok("INITIATE net net2");
    tunnel.client.ping("10.2.0.1");
    tunnel.control.ok("INITIATE net net3");
    tunnel.gateway_1.wait_log("using receive delay");
    tunnel.gateway_1.swanctl(&["--terminate", "--ike", "segw"]);
    tunnel.client.wait_log("received DELETE for IKE_SA net[1]");
    tunnel.fails_over("peer_deleted");
    tunnel.client.ping("10.3.0.1");
}

#[test]
fn gateway_shuts_down_with_close_action_trap() {
    gateway_shuts_down_with("trap");
}

#[test]
fn gateway_shuts_down_with_close_action_start() {
    gateway_shuts_down_with("start");
}

fn gateway_shuts_down_with(close_action: &str) {
    let config = with_child(net(&[11, 12]), "close_action", close_action);
    let mut tunnel = Tunnel::loaded(&config).initiate();
    tunnel.gateway_1.stop();
    tunnel.fails_over("peer_deleted");
}

#[test]
fn gateway_deletes_one_of_two_ike_sas() {
    let mut tunnel =
        Tunnel::loaded_at(Hosts::with_client("reuse_ikesa = no"), &net(&[11, 12])).initiate();
    tunnel.client.swanctl(&["--initiate", "--child", "net2"]);
    assert_eq!(ike_sas(&tunnel.client), 2);
    tunnel.gateway_1.swanctl(&["--terminate", "--ike-id", "1"]);
    tunnel.client.wait_log("received DELETE for IKE_SA net[1]");
    wait::until("the other one is left", || {
        (ike_sas(&tunnel.client) == 1).then_some(())
    });
    tunnel.stays_so();
    tunnel.settles_at("192.168.7.11");
    // Which is watched like the first.
    tunnel.gateway_1.kill();
    tunnel.fails_over("dpd_timeout");
}

#[test]
fn gateway_deletes_the_ike_sa_while_another_one_comes_up() {
    // IKE_AUTH takes its time, for which charon is patient enough.
    let slow = "reuse_ikesa = no\n retransmit_tries = 10\n \
                receive_delay = 2000\n receive_delay_type = 35";
    let mut tunnel = Tunnel::loaded_at(Hosts::with_client(slow), &net_without_dpd()).initiate();
    let detached = ["--initiate", "--child", "net2", "--timeout", "-1"];
    tunnel.client.swanctl(&detached);
    wait::until("gateway 1 has answered both", || {
        let sas = tunnel.gateway_1.swanctl(&["--list-sas"]);
        (sas.matches("ESTABLISHED").count() == 2).then_some(())
    });
    tunnel.gateway_1.swanctl(&["--terminate", "--ike-id", "1"]);
    tunnel.control.wait_event("ike_sa_down");
    wait::until("the other one is left", || {
        (ike_sas(&tunnel.client) == 1).then_some(())
    });
    let other = ike_sa(&tunnel.client, "net");
    assert!(other.contains("CONNECTING"), "{other}");
    tunnel.control.wait_event("ike_sa_up");
    tunnel.settles_at("192.168.7.11");
    tunnel.stays_so();
    assert!(told(&tunnel.control).is_empty());
}

#[test]
fn gateway_deletes_the_ike_sa_while_an_operator_switches() {
    let lab = Lab::new();
    let gateway_1 = lab.gateway(11);
    let gateway_3 = lab.gateway(13);
    let client = lab.client();
    let mut control = client.connect();
    control.apply(&net(&[11, 12, 13]));
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    // There is no gateway 12.
    control.ok("FAILOVER net 192.168.7.12");
    client.wait_log("initiating IKE_SA net-failover-192.168.7.12");
    gateway_1.swanctl(&["--terminate", "--ike", "segw"]);
    client.wait_log("received DELETE for IKE_SA net[1]");
    control.wait_event("ike_sa_down");
    assert_eq!(told(&control), ["operator"]);
    // The switch goes on, and its failure is one like any other.
    let established = control.wait_event("failover_established");
    assert_eq!(established["gateway"], gateway_3.address());
    client.ping("10.2.0.1");
    assert_eq!(told(&control), ["operator", "peer_unreachable"]);
    wait::until("one IKE_SA is left", || {
        (ike_sas(&client) == 1).then_some(())
    });
}

/// Every probe is one: nothing else makes charon send INFORMATIONAL requests here.
fn probes(tunnel: &Tunnel) -> usize {
    let log = tunnel.client.log();
    log.matches("generating INFORMATIONAL request").count()
}

#[test]
fn traffic_is_a_sign_of_life_and_its_end_is_noticed() {
    let config = net_with(
        &json!({"dpd_delay": 0}),
        &json!({"liveness_interval": "2s", "liveness_timeout": "1s"}),
    );
    let mut tunnel = Tunnel::loaded(&config).initiate();
    let pings = tunnel.client.pings("10.2.0.1");
    wait::holds_for(Duration::from_secs(4), "no probe", || {
        (probes(&tunnel) > 0).then(|| tunnel.client.log())
    });
    pings.finish();
    wait::within(Duration::from_secs(4), "a probe of the silence", || {
        (probes(&tunnel) > 0).then_some(())
    });
    // It was answered.
    let _pings = tunnel.client.pings("10.2.0.1");
    assert!(told(&tunnel.control).is_empty());

    let killed = Instant::now();
    tunnel.gateway_1.kill();
    tunnel.fails_over("liveness_timeout");
    // Interval and timeout, a second because charon counts whole ones, and one for a busy machine.
    let took = tunnel.control.events_named("failover_started")[0].at - killed;
    assert!(took < Duration::from_secs(5), "{took:?}");
}
