// SPDX-License-Identifier: GPL-2.0-or-later

//! IKE_SAs and CHILD_SAs replaced by rekeying, whoever begins it.

use extsock_lab::{net, wait, Charon, ClientOptions, GatewayOptions};

use super::{expect_no_more, expect_undisturbed, prompt, wait_single, without_dpd, PROMPT};
use crate::{expect_failover, ike_sa, wait_state, Tunnel};

/// Rekeys the IKE_SA and waits until the replaced one is gone.
#[track_caller]
fn rekey_ike_sa(tunnel: &mut Tunnel, by_us: bool) {
    let before = ike_sa(&tunnel.client, "net");
    rekey(tunnel, by_us, "--ike");
    let rekeyed = tunnel.control.wait_event("ike_rekey");
    assert_eq!(rekeyed["old_ike_sa_name"], "net");
    assert_eq!(rekeyed["new_ike_sa_name"], "net");
    wait_single(&tunnel.client);
    assert_ne!(ike_sa(&tunnel.client, "net"), before);
}

/// Rekeys the CHILD_SA and waits until the replaced one is gone.
#[track_caller]
fn rekey_child_sa(tunnel: &mut Tunnel, by_us: bool) {
    rekey(tunnel, by_us, "--child");
    let rekeyed = tunnel.control.wait_event("child_rekey");
    assert_eq!(rekeyed["old_child_sa_name"], "net2");
    assert_eq!(rekeyed["new_child_sa_name"], "net2");
    tunnel.control.wait_event("tunnel_up");
    wait_single(&tunnel.client);
}

fn rekey(tunnel: &Tunnel, by_us: bool, what: &str) {
    let (charon, ike_sa): (&Charon, _) = if by_us {
        (&tunnel.client, "net")
    } else {
        (&tunnel.gateway_1, "segw")
    };
    let name = if what == "--ike" { ike_sa } else { "net2" };
    charon.swanctl(&["--rekey", what, name]);
}

/// Undisturbed by what was done to it, and its gateway's death is noticed as ever.
#[track_caller]
fn expect_watched(tunnel: &mut Tunnel) {
    expect_undisturbed(&tunnel.control, &tunnel.client);
    let listed = wait_state(&mut tunnel.control, "established");
    assert_eq!(listed["active_gateway"], "192.168.7.11");
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    wait_single(&tunnel.client);
    tunnel.client.ping("10.2.0.1");
}

#[test]
fn both_sas_by_us() {
    let mut tunnel = Tunnel::up_with(prompt());
    rekey_ike_sa(&mut tunnel, true);
    rekey_child_sa(&mut tunnel, true);
    expect_watched(&mut tunnel);
}

#[test]
fn the_ike_sa_by_the_gateway() {
    let mut tunnel = Tunnel::up_with(prompt());
    rekey_ike_sa(&mut tunnel, false);
    expect_watched(&mut tunnel);
}

#[test]
fn the_child_sa_by_the_gateway() {
    let mut tunnel = Tunnel::up_with(prompt());
    rekey_child_sa(&mut tunnel, false);
    expect_watched(&mut tunnel);
}

#[test]
fn the_ike_sa_by_turns() {
    let mut tunnel = Tunnel::up_with(prompt());
    for by_us in [false, true, false, false, true, true] {
        rekey_ike_sa(&mut tunnel, by_us);
        rekey_child_sa(&mut tunnel, !by_us);
    }
    expect_watched(&mut tunnel);
}

#[test]
fn on_the_second_gateway() {
    let mut tunnel = Tunnel::up_with(prompt());
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    wait_single(&tunnel.client);
    rekey_ike_sa(&mut tunnel, true);
    tunnel.gateway_2.swanctl(&["--rekey", "--ike", "segw"]);
    tunnel.control.wait_event("ike_rekey");
    rekey_child_sa(&mut tunnel, true);
    let listed = wait_state(&mut tunnel.control, "established");
    assert_eq!(listed["active_gateway"], "192.168.7.12");
    tunnel.gateway_1.restart();
    tunnel.gateway_2.kill();
    expect_failover(&mut tunnel.control, 12, 11, "dpd_timeout");
    wait_single(&tunnel.client);
    tunnel.client.ping("10.2.0.1");
}

/// The exchange type of what charons are told to be slow with.
const INFORMATIONAL: u8 = 37;

/// Both sides begin before either has the other's request.
fn at_once(what: &str) {
    let slow = format!("receive_delay = 200\n retransmit_timeout = 1\n {PROMPT}");
    let gateways = GatewayOptions {
        settings: slow.clone(),
        ..GatewayOptions::default()
    };
    let client = ClientOptions {
        settings: slow,
        ..ClientOptions::default()
    };
    let mut tunnel = Tunnel::up_as(&net(&[11, 12]), client, &gateways);
    // Who wins is decided by nonces.
    for _ in 0..3 {
        let requests = tunnel.client.log().matches(REQUEST).count();
        rekey(&tunnel, true, what);
        rekey(&tunnel, false, what);
        wait::until("the other's request", || {
            (tunnel.client.log().matches(REQUEST).count() > requests).then_some(())
        });
        wait_single(&tunnel.client);
    }
    let log = tunnel.client.log();
    assert!(log.contains("collision"), "{log}");
    expect_watched(&mut tunnel);
}

const REQUEST: &str = "parsed CREATE_CHILD_SA request";

#[test]
fn the_ike_sa_by_both_at_once() {
    at_once("--ike");
}

#[test]
fn the_child_sa_by_both_at_once() {
    at_once("--child");
}

#[test]
fn our_deletion_of_the_rekeyed_ike_sa_is_not_answered() {
    let gateways = GatewayOptions {
        // Longer than we ask for an answer.
        settings: format!(
            "receive_delay = 60000\n receive_delay_type = {INFORMATIONAL}\n \
             receive_delay_response = no"
        ),
        ..GatewayOptions::default()
    };
    let mut tunnel = Tunnel::up_as(&without_dpd(), ClientOptions::default(), &gateways);
    rekey_ike_sa(&mut tunnel, true);
    tunnel.client.wait_log("giving up after 2 retransmits");
    expect_undisturbed(&tunnel.control, &tunnel.client);

    tunnel.gateway_1.kill();
    tunnel.control.ok("START_DPD net");
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    wait_single(&tunnel.client);
}

#[test]
fn the_gateway_dies_before_it_deletes_what_it_rekeyed() {
    let gateways = GatewayOptions {
        settings: format!(
            "send_delay = 60000\n send_delay_type = {INFORMATIONAL}\n send_delay_response = no"
        ),
        ..GatewayOptions::default()
    };
    let mut tunnel = Tunnel::up_as(&net(&[11, 12]), ClientOptions::default(), &gateways);
    rekey(&tunnel, false, "--ike");
    tunnel.control.wait_event("ike_rekey");
    wait::until("the replaced IKE_SA is left", || {
        let ike_sas = tunnel.client.ike_sas();
        ike_sas
            .iter()
            .any(|line| line.contains("REKEYED"))
            .then_some(())
    });
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    tunnel.client.ping("10.2.0.1");
    // charon would keep it for 90 s.
    wait_single(&tunnel.client);
    tunnel.control.ok("TERMINATE net");
    wait_state(&mut tunnel.control, "down");
    expect_no_more(&tunnel.control, &tunnel.client, 1);
}
