// SPDX-License-Identifier: GPL-2.0-or-later

//! REDIRECT (RFC 5685) where gateways differ.

use extsock_core::strongswan::Version;
use extsock_lab::{net, GatewayOptions};

use super::{expect_identity, other, up, up_on_the_other};
use crate::no_failover::peers::redirect;
use crate::no_failover::{failover_after, wait_single};
use crate::{expect_failover, ike_sa, wait_state, Hosts, Tunnel};

/// Waits until the IKE_SA to the gateway that it was redirected to is the only one.
#[track_caller]
fn expect_redirected(tunnel: &mut Tunnel, id: &str, number: u8) {
    tunnel.control.wait_event("tunnel_up");
    let there = format!("redirected to 192.168.7.{number}");
    tunnel.client.wait_log(&there);
    expect_identity(tunnel, id, number);
    let sa = ike_sa(&tunnel.client, "net");
    assert!(sa.contains("ESTABLISHED"), "{sa}");
}

#[test]
fn to_a_gateway_of_the_list_demands_that_ones_identity() {
    let mut tunnel = up();
    redirect(&tunnel.gateway_1, &tunnel.client, "192.168.7.12");
    expect_redirected(&mut tunnel, "other", 12);
    // And back, while it is up with the connection's own configuration.
    redirect(&tunnel.gateway_2, &tunnel.client, "192.168.7.11");
    expect_redirected(&mut tunnel, "segw", 11);
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    expect_identity(&tunnel, "other", 12);
}

#[test]
fn to_a_gateway_outside_of_the_list_demands_the_first_ones_identity() {
    let mut tunnel = up_on_the_other();
    let _gateway_3 = tunnel.lab.gateway(13);
    redirect(&tunnel.gateway_2, &tunnel.client, "192.168.7.13");
    expect_redirected(&mut tunnel, "segw", 13);
}

#[test]
fn to_a_gateway_outside_of_the_list_of_another_identity_is_refused() {
    let tunnel = up();
    let _gateway_3 = tunnel.lab.gateway_with(13, other());
    redirect(&tunnel.gateway_1, &tunnel.client, "192.168.7.13");
    // It is asked for as `segw`.
    tunnel.client.wait_log("received AUTHENTICATION_FAILED");
    expect_identity(&tunnel, "segw", 11);
    assert!(tunnel.control.events_named("failover_started").is_empty());
}

/// Gateway 1 sends the client on in its answer to IKE_AUTH.
#[test]
fn during_ike_auth() {
    let hosts = Hosts {
        gateway_1: GatewayOptions {
            redirect_to: Some("192.168.7.12".to_owned()),
            ..GatewayOptions::default()
        },
        ..Hosts::default()
    };
    let mut tunnel = Tunnel::loaded_at(hosts, &net(&[11, 12, 13]));
    if tunnel.control.strongswan_version() < Version([5, 9, 12]) {
        // Such a charon frees its ike-auth task twice and ends, with the plugin and without it.
        return;
    }
    let _gateway_3 = tunnel.lab.gateway(13);
    tunnel.control.ok("INITIATE net");
    tunnel.client.wait_log("redirected to 192.168.7.12");
    let listed = wait_state(&mut tunnel.control, "established");
    assert_eq!(listed["active_gateway"], "192.168.7.12");
    wait_single(&tunnel.client);
    tunnel.client.ping("10.2.0.1");
    assert_eq!(failover_after(&tunnel.control, 0), None);
    assert_eq!(tunnel.gateway_2.ike_sas().len(), 1);

    tunnel.gateway_2.kill();
    expect_failover(&mut tunnel.control, 12, 13, "dpd_timeout");
    wait_single(&tunnel.client);
}
