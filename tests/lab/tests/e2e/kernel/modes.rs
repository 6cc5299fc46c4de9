// SPDX-License-Identifier: GPL-2.0-or-later

//! ESP in other forms than IPv4 in IPv4 by UDP, seen on the wire.

use extsock_lab::{Capture, GatewayOptions, Packet};
use serde_json::json;

use super::{loaded, loaded_at, net_as, wait_one_tunnel};
use crate::{expect_failover, Hosts, Tunnel};

const CLIENT: &str = "192.168.7.1";
const ICMP: [u8; 2] = [1, 58];

/// From now on, one of these hosts sends to the other what fits, both ways, and no ping in the clear.
#[track_caller]
fn expect_wire(
    capture: &Capture,
    [one, other]: [&str; 2],
    fits: fn(&Packet) -> bool,
    ping: impl Fn(),
) {
    capture.clear();
    ping();
    let between = |packet: &Packet| packet.is_between(one, other);
    for sender in [one, other] {
        capture.wait_packet(&format!("ESP of {sender}"), |packet| {
            between(packet) && fits(packet) && packet.source.to_string() == sender
        });
    }
    let clear = capture
        .packets(|packet| between(packet) && ICMP.contains(&packet.protocol) && is_echo(packet));
    assert!(clear.is_empty(), "{clear:?}");
    let other_esp = |packet: &Packet| (packet.is_esp() || packet.is_esp_in_udp()) && !fits(packet);
    let other_esp = capture.packets(other_esp);
    assert!(other_esp.is_empty(), "{other_esp:?}");
}

/// Of ICMP for IPv4 or IPv6; not what IPv6 needs to find its neighbours.
fn is_echo(packet: &Packet) -> bool {
    [0, 8, 128, 129].contains(&packet.payload[0])
}

#[test]
fn esp_without_udp_encapsulation() {
    each_gateway_with("no", Packet::is_esp);
}

#[test]
fn esp_with_udp_encapsulation() {
    each_gateway_with("yes", Packet::is_esp_in_udp);
}

#[track_caller]
fn each_gateway_with(encap: &str, fits: fn(&Packet) -> bool) {
    let config = net_as(&json!({ "encap": encap }), &json!({}));
    let mut tunnel = loaded(&config).initiate();
    let capture = tunnel.lab.capture();
    expect_wire(&capture, [CLIENT, "192.168.7.11"], fits, || {
        tunnel.client.ping("10.2.0.1")
    });
    tunnel.lab.unplug(11);
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    expect_wire(&capture, [CLIENT, "192.168.7.12"], fits, || {
        tunnel.client.ping("10.2.0.1")
    });
}

#[test]
fn transport_mode() {
    let gateway = GatewayOptions::default().edited(&[
        (
            "local_ts = 10.2.0.0/24",
            "mode = transport\n local_ts = dynamic",
        ),
        ("remote_ts = 10.1.0.0/24", "remote_ts = dynamic"),
    ]);
    let child = json!({"mode": "transport", "local_ts": "dynamic", "remote_ts": "dynamic"});
    let config = net_as(&json!({}), &child);
    let mut tunnel = loaded_at(Hosts::with_gateways(gateway), &config);
    let capture = tunnel.lab.capture();
    let transport = |gateway: &str, tunnel: &Tunnel| {
        wait_one_tunnel(&tunnel.client);
        for state in tunnel.client.xfrm_states() {
            assert!(state.contains("mode transport"), "{state}");
        }
        expect_wire(&capture, [CLIENT, gateway], Packet::is_esp, || {
            tunnel.client.ping(gateway)
        });
    };
    tunnel.initiate_untested();
    transport("192.168.7.11", &tunnel);
    tunnel.lab.unplug(11);
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    transport("192.168.7.12", &tunnel);
    tunnel.lab.plug(11);
    tunnel.control.ok("FAILOVER net");
    expect_failover(&mut tunnel.control, 12, 11, "operator");
    transport("192.168.7.11", &tunnel);
}

#[test]
fn ipv6_outside_and_inside() {
    let gateway = GatewayOptions::default().edited(&[
        ("local_ts = 10.2.0.0/24", "local_ts = fd00:2::/64"),
        ("remote_ts = 10.1.0.0/24", "remote_ts = fd00:1::/64"),
    ]);
    let (first, second) = ("fd00:7::b", "fd00:7::c");
    let config = net_as(
        &json!({"local_addrs": "fd00:7::1", "remote_addrs": [first, second]}),
        &json!({"local_ts": "fd00:1::/64", "remote_ts": "fd00:2::/64"}),
    );
    let mut tunnel = loaded_at(Hosts::with_gateways(gateway), &config);
    tunnel.client.ip("addr add fd00:1::1/128 dev lo");
    for gateway in [&tunnel.gateway_1, &tunnel.gateway_2] {
        gateway.ip("addr add fd00:2::1/128 dev lo");
    }
    let capture = tunnel.lab.capture();
    let ping = |tunnel: &Tunnel, gateway| {
        expect_wire(&capture, ["fd00:7::1", gateway], Packet::is_esp, || {
            tunnel.client.ping("fd00:2::1");
        });
    };
    tunnel.initiate_untested();
    ping(&tunnel, first);
    for (from, to, reason) in [(first, second, "dpd_timeout"), (second, first, "operator")] {
        match reason {
            "operator" => {
                tunnel.lab.plug(11);
                tunnel.control.ok("FAILOVER net");
            }
            _ => tunnel.lab.unplug(11),
        }
        let started = tunnel.control.wait_event("failover_started");
        assert_eq!(
            (&started["from"], &started["to"]),
            (&json!(from), &json!(to))
        );
        assert_eq!(started["reason"], reason);
        tunnel.control.wait_event("failover_established");
        ping(&tunnel, to);
    }
}
