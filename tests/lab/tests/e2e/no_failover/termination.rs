// SPDX-License-Identifier: GPL-2.0-or-later

//! Taken down by an operator, whatever the IKE_SA is busy with.

use extsock_lab::{net, wait, Client, ClientOptions, Extsock, Lab};

use super::{expect_down, expect_no_more, failover_after, silent, LONG};
use crate::{wait_state, Tunnel};

/// How the connection is taken down.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Socket,
    Swanctl,
    SwanctlForce,
}

impl By {
    #[track_caller]
    fn take_down(self, control: &mut Extsock, client: &Client) {
        let terminate = ["--terminate", "--ike", "net"];
        match self {
            Self::Socket => assert_eq!(control.ok("TERMINATE net")["connection"], "net"),
            Self::Swanctl => drop(client.swanctl(&terminate)),
            Self::SwanctlForce => drop(client.swanctl(&[&terminate[..], &["--force"]].concat())),
        }
    }
}

/// Gives up later than in the rest of the lab, so that there is time to terminate before.
fn patient() -> ClientOptions {
    ClientOptions {
        settings: "retransmit_timeout = 1".to_owned(),
        ..ClientOptions::default()
    }
}

fn connecting(by: By) {
    let lab = Lab::new();
    let client = lab.client_with(patient());
    let mut control = client.connect();
    control.apply(&net(&[11, 12]));
    control.ok("INITIATE net");
    wait_connecting(&client);
    by.take_down(&mut control, &client);
    expect_down(&mut control, &client);

    let _gateway = lab.gateway(11);
    control.ok("INITIATE net");
    wait_state(&mut control, "established");
}

#[test]
fn connecting_by_socket() {
    connecting(By::Socket);
}

#[test]
fn connecting_by_swanctl() {
    connecting(By::Swanctl);
}

#[test]
fn connecting_by_swanctl_with_force() {
    connecting(By::SwanctlForce);
}

/// The next gateway does not answer either.
fn failing_over(by: By) {
    let mut tunnel = Tunnel::up_with(patient());
    tunnel.gateway_2.kill();
    tunnel.gateway_1.kill();
    let started = tunnel.control.wait_event("failover_started");
    assert_eq!(started["to"], "192.168.7.12");
    wait_connecting(&tunnel.client);
    by.take_down(&mut tunnel.control, &tunnel.client);
    wait_state(&mut tunnel.control, "down");
    expect_no_more(&tunnel.control, &tunnel.client, 1);
}

#[test]
fn failing_over_by_socket() {
    failing_over(By::Socket);
}

#[test]
fn failing_over_by_swanctl() {
    failing_over(By::Swanctl);
}

#[test]
fn failing_over_by_swanctl_with_force() {
    failing_over(By::SwanctlForce);
}

fn established(by: By) {
    let mut tunnel = Tunnel::up();
    by.take_down(&mut tunnel.control, &tunnel.client);
    tunnel.control.wait_event("ike_sa_down");
    expect_down(&mut tunnel.control, &tunnel.client);
}

#[test]
fn established_by_socket() {
    established(By::Socket);
}

#[test]
fn established_by_swanctl() {
    established(By::Swanctl);
}

#[test]
fn established_by_swanctl_with_force() {
    established(By::SwanctlForce);
}

fn gateway_dead(by: By) {
    let mut tunnel = silent(patient());
    tunnel.gateway_1.kill();
    by.take_down(&mut tunnel.control, &tunnel.client);
    tunnel.client.wait_log("sending DELETE for IKE_SA net");
    tunnel.control.wait_event("ike_sa_down");
    expect_down(&mut tunnel.control, &tunnel.client);
    assert_eq!(given_up(&tunnel.client), by != By::SwanctlForce);
}

#[test]
fn gateway_dead_by_socket() {
    gateway_dead(By::Socket);
}

#[test]
fn gateway_dead_by_swanctl() {
    gateway_dead(By::Swanctl);
}

#[test]
fn gateway_dead_by_swanctl_with_force() {
    gateway_dead(By::SwanctlForce);
}

#[test]
fn with_force_while_the_delete_is_not_answered() {
    let mut tunnel = silent(patient());
    tunnel.gateway_1.kill();
    By::Socket.take_down(&mut tunnel.control, &tunnel.client);
    tunnel.client.wait_log("retransmit 1 of request");
    By::SwanctlForce.take_down(&mut tunnel.control, &tunnel.client);
    tunnel.control.wait_event("ike_sa_down");
    expect_down(&mut tunnel.control, &tunnel.client);
}

/// What charon is waiting for an answer to.
#[derive(Clone, Copy)]
enum Exchange {
    Dpd,
    IkeRekey,
    ChildRekey,
}

fn in_flight(exchange: Exchange, by: By) {
    let mut tunnel = silent(patient());
    unanswered(&mut tunnel, exchange);
    by.take_down(&mut tunnel.control, &tunnel.client);
    tunnel.control.wait_event("ike_sa_down");
    expect_down(&mut tunnel.control, &tunnel.client);
    // The deletion never had its turn.
    let log = tunnel.client.log();
    assert!(!log.contains("sending DELETE for IKE_SA"), "{log}");
    assert_eq!(given_up(&tunnel.client), by != By::SwanctlForce);

    tunnel.gateway_1.thaw();
    tunnel.control.ok("INITIATE net");
    wait_state(&mut tunnel.control, "established");
    tunnel.client.ping("10.2.0.1");
}

#[test]
fn dpd_in_flight_by_socket() {
    in_flight(Exchange::Dpd, By::Socket);
}

#[test]
fn dpd_in_flight_by_swanctl() {
    in_flight(Exchange::Dpd, By::Swanctl);
}

#[test]
fn dpd_in_flight_by_swanctl_with_force() {
    in_flight(Exchange::Dpd, By::SwanctlForce);
}

#[test]
fn ike_rekey_in_flight_by_socket() {
    in_flight(Exchange::IkeRekey, By::Socket);
}

#[test]
fn ike_rekey_in_flight_by_swanctl() {
    in_flight(Exchange::IkeRekey, By::Swanctl);
}

#[test]
fn ike_rekey_in_flight_by_swanctl_with_force() {
    in_flight(Exchange::IkeRekey, By::SwanctlForce);
}

#[test]
fn child_rekey_in_flight_by_socket() {
    in_flight(Exchange::ChildRekey, By::Socket);
}

#[test]
fn child_rekey_in_flight_by_swanctl() {
    in_flight(Exchange::ChildRekey, By::Swanctl);
}

#[test]
fn child_rekey_in_flight_by_swanctl_with_force() {
    in_flight(Exchange::ChildRekey, By::SwanctlForce);
}

#[test]
fn dpd_in_flight_and_answered_after_all() {
    let mut tunnel = silent(patient());
    unanswered(&mut tunnel, Exchange::Dpd);
    By::Socket.take_down(&mut tunnel.control, &tunnel.client);
    tunnel.gateway_1.thaw();
    tunnel.client.wait_log("sending DELETE for IKE_SA net");
    tunnel.control.wait_event("ike_sa_down");
    expect_down(&mut tunnel.control, &tunnel.client);
    assert!(!given_up(&tunnel.client));
}

#[test]
fn a_pending_failover() {
    let lab = Lab::new();
    let client = lab.client_with(ClientOptions::with_failover("base_delay = 2"));
    let mut control = client.connect();
    control.apply(&net(&[11, 12]));
    control.ok("INITIATE net");
    wait_state(&mut control, "waiting");
    let tried = control.events_named("failover_started").len();
    control.ok("TERMINATE net");
    wait_state(&mut control, "down");
    expect_no_more(&control, &client, tried);
    assert_eq!(control.connection("net")["state"], "down");
}

#[test]
fn a_child_sa_alone() {
    let mut tunnel = Tunnel::up();
    tunnel.client.swanctl(&["--terminate", "--child", "net2"]);
    tunnel.control.wait_event("tunnel_down");
    wait::holds_for(LONG, "no failover, one IKE_SA", || {
        let ike_sas = tunnel.client.ike_sas();
        failover_after(&tunnel.control, 0)
            .or_else(|| (ike_sas.len() != 1).then(|| format!("{ike_sas:?}")))
    });
    tunnel.gateway_1.kill();
    crate::expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
}

/// Waits until the only IKE_SA is one that is connecting.
#[track_caller]
fn wait_connecting(client: &Client) {
    wait::until("an IKE_SA is connecting", || {
        let ike_sas = client.ike_sas();
        let connecting = matches!(&ike_sas[..], [ike_sa] if ike_sa.contains("CONNECTING"));
        connecting.then_some(())
    });
}

/// Has charon send a request that gateway 1 has no answer to.
#[track_caller]
fn unanswered(tunnel: &mut Tunnel, exchange: Exchange) {
    tunnel.gateway_1.freeze();
    match exchange {
        Exchange::Dpd => drop(tunnel.control.ok("START_DPD net")),
        Exchange::IkeRekey => drop(tunnel.client.swanctl(&["--rekey", "--ike", "net"])),
        Exchange::ChildRekey => drop(tunnel.client.swanctl(&["--rekey", "--child", "net2"])),
    }
    tunnel.client.wait_log("retransmit 1 of request");
}

/// Whether charon gave up an exchange for want of an answer.
fn given_up(client: &Client) -> bool {
    client.log().contains("giving up after 2 retransmits")
}
