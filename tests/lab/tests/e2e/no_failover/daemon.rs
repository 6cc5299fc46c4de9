// SPDX-License-Identifier: GPL-2.0-or-later

//! charon reads strongswan.conf again, or ends.

use extsock_lab::{net, wait, Client, ClientOptions, Lab};

use super::{expect_undisturbed, failover_after, silent, wait_single, LONG};
use crate::{expect_failover, ike_sa, wait_state, Tunnel};

#[derive(Clone, Copy)]
enum By {
    Signal,
    Swanctl,
}

impl By {
    #[track_caller]
    fn reload(self, client: &Client) {
        match self {
            Self::Signal => {
                client.reload();
                client.wait_log("SIGHUP received");
            }
            Self::Swanctl => drop(client.swanctl(&["--reload-settings"])),
        }
    }
}

fn with_a_tunnel_up(by: By) {
    let mut tunnel = Tunnel::up();
    let before = ike_sa(&tunnel.client, "net");
    by.reload(&tunnel.client);
    expect_undisturbed(&tunnel.control, &tunnel.client);
    assert_eq!(ike_sa(&tunnel.client, "net"), before);
    wait_state(&mut tunnel.control, "established");

    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    wait_single(&tunnel.client);
    tunnel.client.ping("10.2.0.1");
}

#[test]
fn reload_by_signal_with_a_tunnel_up() {
    with_a_tunnel_up(By::Signal);
}

#[test]
fn reload_by_swanctl_with_a_tunnel_up() {
    with_a_tunnel_up(By::Swanctl);
}

/// The round of both gateways failed, and the next one is waited for.
fn while_the_next_attempt_is_delayed(by: By) {
    let lab = Lab::new();
    let client = lab.client_with(ClientOptions::with_failover("base_delay = 4"));
    let mut control = client.connect();
    control.apply(&net(&[11, 12]));
    control.ok("INITIATE net");
    wait_state(&mut control, "waiting");
    let tried = control.events_named("failover_started").len();
    by.reload(&client);
    let waiting = control.connection("net");
    assert_eq!(waiting["state"], "waiting");
    let _gateway = lab.gateway(11);
    let established = control.wait_event("failover_established");
    assert_eq!(established["gateway"], "192.168.7.11");
    wait_single(&client);
    client.ping("10.2.0.1");
    assert_eq!(control.events_named("failover_started").len(), tried);
}

#[test]
fn reload_by_signal_while_the_next_attempt_is_delayed() {
    while_the_next_attempt_is_delayed(By::Signal);
}

#[test]
fn reload_by_swanctl_while_the_next_attempt_is_delayed() {
    while_the_next_attempt_is_delayed(By::Swanctl);
}

/// Gateway 2 does not answer yet.
fn while_the_next_gateway_is_tried(by: By) {
    let mut tunnel = Tunnel::up();
    tunnel.gateway_2.freeze();
    tunnel.gateway_1.kill();
    tunnel.control.wait_event("failover_started");
    wait::until("gateway 2 is tried", || {
        let ike_sas = tunnel.client.ike_sas();
        ike_sas
            .iter()
            .any(|line| line.contains("CONNECTING"))
            .then_some(())
    });
    by.reload(&tunnel.client);
    tunnel.gateway_2.thaw();
    let established = tunnel.control.wait_event("failover_established");
    assert_eq!(established["gateway"], "192.168.7.12");
    wait_single(&tunnel.client);
    wait::holds_for(LONG, "one failover", || {
        let failovers = tunnel.control.events_named("failover_started");
        (failovers.len() != 1).then(|| format!("{failovers:?}"))
    });
    tunnel.client.ping("10.2.0.1");
}

#[test]
fn reload_by_signal_while_the_next_gateway_is_tried() {
    while_the_next_gateway_is_tried(By::Signal);
}

#[test]
fn reload_by_swanctl_while_the_next_gateway_is_tried() {
    while_the_next_gateway_is_tried(By::Swanctl);
}

#[test]
fn end_while_a_request_is_not_answered() {
    let mut tunnel = silent(ClientOptions::default());
    tunnel.gateway_1.freeze();
    tunnel.control.ok("START_DPD net");
    tunnel.client.wait_log("retransmit 1 of request");
    let (status, _) = tunnel.client.stop();
    assert!(status.success(), "{status}");
    tunnel.control.wait_closed();
    assert_eq!(failover_after(&tunnel.control, 0), None);
}

#[test]
fn end_while_a_deletion_is_not_answered() {
    let mut tunnel = silent(ClientOptions::default());
    tunnel.gateway_1.kill();
    tunnel.control.ok("TERMINATE net");
    tunnel.client.wait_log("retransmit 1 of request");
    let (status, _) = tunnel.client.stop();
    assert!(status.success(), "{status}");
    tunnel.control.wait_closed();
    assert_eq!(failover_after(&tunnel.control, 0), None);
}
