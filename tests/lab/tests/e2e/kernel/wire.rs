// SPDX-License-Identifier: GPL-2.0-or-later

//! What leaves the client while its connection goes from gateway to gateway.

use std::net::IpAddr;
use std::time::Duration;

use extsock_lab::{wait, Packet};

use super::{forget_acquires_soon, loaded, trapped};
use crate::{expect_failover, Tunnel};

/// Whether it is from or to a network behind a gateway or the client, as no packet on the wire should be.
fn is_inner(packet: &Packet) -> bool {
    let inner = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(_) => false,
    };
    inner(packet.source) || inner(packet.destination)
}

/// The client has a way to 10.2.0.0/24 without IPsec.
fn add_way_in_the_clear(tunnel: &Tunnel) {
    tunnel.client.ip(
        "neigh replace 192.168.7.99 lladdr 02:00:00:00:00:99 dev eth0 nud permanent\n\
         route add 10.2.0.0/24 via 192.168.7.99 src 10.1.0.1",
    );
}

#[test]
fn no_inner_packet_in_the_clear() {
    let mut tunnel = loaded(&trapped("start|trap"));
    forget_acquires_soon(&tunnel.client);
    tunnel.client.wait_policy();
    add_way_in_the_clear(&tunnel);
    let capture = tunnel.lab.capture();
    let pings = tunnel
        .client
        .unanswered_pings(Duration::from_millis(10), "10.2.0.1");
    let goes_on = || {
        let answered = pings.answered();
        wait::until("packets arrive", || {
            (pings.answered() > answered + 10).then_some(())
        });
        let inner = capture.packets(is_inner);
        assert!(inner.is_empty(), "{} of them: {:?}", inner.len(), inner[0]);
    };
    tunnel.control.wait_event("tunnel_up");
    goes_on();
    tunnel.lab.unplug(11);
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    goes_on();
    tunnel.lab.plug(11);
    tunnel.control.ok("FAILOVER net");
    expect_failover(&mut tunnel.control, 12, 11, "operator");
    goes_on();
    tunnel.gateway_1.stop();
    expect_failover(&mut tunnel.control, 11, 12, "peer_deleted");
    goes_on();
    tunnel.client.swanctl(&["--terminate", "--ike", "net"]);
    tunnel.control.wait_event("tunnel_down");
    // The trap policy gets it up again.
    goes_on();
    assert!(!capture.packets(Packet::is_esp).is_empty());

    // Not because nothing would be seen.
    tunnel.control.ok("TERMINATE net");
    tunnel.control.ok("REMOVE_CONFIG net");
    capture.wait_packet("an inner packet without a policy", is_inner);
}
