// SPDX-License-Identifier: GPL-2.0-or-later

//! What leaves the client while its connection goes from gateway to gateway, and while it is down.

use std::net::IpAddr;
use std::time::Duration;

use extsock_lab::{net, wait, Capture, Packet, Pings};

use crate::{expect_failover, Tunnel};

/// Whether it is from or to a network behind a gateway or the client, as no packet on the wire should be.
fn is_inner(packet: &Packet) -> bool {
    let inner = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(_) => false,
    };
    inner(packet.source) || inner(packet.destination)
}

/// The client has a way to everywhere without IPsec.
fn add_way_in_the_clear(tunnel: &Tunnel) {
    tunnel.client.ip(
        "neigh replace 192.168.7.99 lladdr 02:00:00:00:00:99 dev eth0 nud permanent\n\
         route add default via 192.168.7.99 src 10.1.0.1",
    );
}

/// Pings behind the gateways, and what of it is on the wire.
pub(crate) struct Traffic {
    capture: Capture,
    pings: Pings,
}

impl Traffic {
    pub fn start(tunnel: &Tunnel) -> Self {
        add_way_in_the_clear(tunnel);
        let capture = tunnel.lab.capture();
        let pings = tunnel
            .client
            .unanswered_pings(Duration::from_millis(10), "10.2.0.1");
        Self { capture, pings }
    }

    #[track_caller]
    pub fn arrives(&self) {
        let answered = self.pings.answered();
        wait::until("packets arrive", || {
            (self.pings.answered() > answered + 10).then_some(())
        });
        self.is_not_in_the_clear();
    }

    #[track_caller]
    pub fn is_not_in_the_clear(&self) {
        let inner = self.capture.packets(is_inner);
        assert!(inner.is_empty(), "{} of them: {:?}", inner.len(), inner[0]);
    }

    /// What was seen is not because nothing would be seen.
    #[track_caller]
    pub fn is_in_the_clear_without(&self, what: &str) {
        let esp = |packet: &Packet| packet.is_esp() || packet.is_esp_in_udp();
        assert!(!self.capture.packets(esp).is_empty());
        let seen = format!("an inner packet without {what}");
        self.capture.wait_packet(&seen, is_inner);
    }
}

/// From gateway to gateway: a silent death, a switch by hand, and a deletion by the gateway.
#[track_caller]
pub(crate) fn change_gateways(tunnel: &mut Tunnel, traffic: &Traffic) {
    tunnel.lab.unplug(11);
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    traffic.arrives();
    tunnel.lab.plug(11);
    tunnel.control.ok("FAILOVER net");
    expect_failover(&mut tunnel.control, 12, 11, "operator");
    traffic.arrives();
    tunnel.gateway_1.stop();
    expect_failover(&mut tunnel.control, 11, 12, "peer_deleted");
    traffic.arrives();
}

/// Down and up again, by an operator.
#[track_caller]
pub(crate) fn end_and_begin(tunnel: &mut Tunnel, traffic: &Traffic) {
    tunnel.control.ok("TERMINATE net");
    tunnel.control.wait_event("tunnel_down");
    tunnel.initiate_untested();
    traffic.arrives();
}

/// The route that charon installs with the CHILD_SA is found first, as its table comes before the main one.
#[test]
fn no_inner_packet_in_the_clear_with_a_blackhole_route() {
    let mut tunnel = Tunnel::loaded(&net(&[11, 12]));
    tunnel.client.ip("route add blackhole 10.2.0.0/24");
    tunnel.initiate_untested();
    // ping does not begin without a route.
    let traffic = Traffic::start(&tunnel);
    traffic.arrives();
    change_gateways(&mut tunnel, &traffic);
    end_and_begin(&mut tunnel, &traffic);

    tunnel.control.ok("TERMINATE net");
    tunnel.control.wait_event("tunnel_down");
    tunnel.client.ip("route del blackhole 10.2.0.0/24");
    traffic.is_in_the_clear_without("the route");
}
