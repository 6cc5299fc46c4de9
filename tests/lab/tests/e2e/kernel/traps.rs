// SPDX-License-Identifier: GPL-2.0-or-later

//! Packets that meet a trap policy, and so raise an acquire, before, during and after a failover.

use std::time::Duration;

use extsock_lab::{wait, Client, ClientOptions, Lab, LonePing};

use super::{begun_with, forget_acquires_soon, loaded, trapped, PATIENCE};
use crate::{expect_failover, ike_sa, ike_sas, Tunnel};

const ACTIONS: [&str; 2] = ["trap", "start|trap"];

/// A packet that raises an acquire.
#[derive(Clone, Copy)]
enum Larval {
    /// Is dropped, as by default.
    Dropped,
    /// Is kept until there is an SA.
    Kept,
}

impl Larval {
    const ALL: [Self; 2] = [Self::Dropped, Self::Kept];

    fn set(self, client: &Client) {
        if matches!(self, Self::Kept) {
            client.sysctl("net.core.xfrm_larval_drop", "0");
        }
    }
}

/// The packet that raised an acquire arrives if it was kept; if not, the next one does.
struct Raised {
    packet: LonePing,
    larval: Larval,
}

impl Raised {
    /// The client has no SA for it.
    #[track_caller]
    fn send(client: &Client, larval: Larval) -> Self {
        let raised = "creating acquire job for policy";
        let before = client.log().matches(raised).count();
        wait::until("no earlier acquire is in progress", || {
            let states = client.xfrm_states();
            let larval = states
                .iter()
                .any(|state| state.contains(" spi 0x00000000 "));
            (!larval).then_some(())
        });
        let packet = client.lone_ping("10.2.0.1", &[]);
        wait::until("the packet raises an acquire", || {
            (client.log().matches(raised).count() > before).then_some(())
        });
        Self { packet, larval }
    }

    /// There is an SA now.
    #[track_caller]
    fn arrives(self, client: &Client) {
        match self.larval {
            Larval::Kept => assert!(self.packet.is_answered(), "the packet arrives"),
            Larval::Dropped => assert!(client.ping_once("10.2.0.1"), "the next packet arrives"),
        }
    }
}

/// One IKE_SA is left, which is up, and that many were begun with each gateway.
#[track_caller]
fn one_ike_sa_is_left(client: &Client, begun: [usize; 2]) {
    let gateways = ["192.168.7.11", "192.168.7.12"];
    assert_eq!(gateways.map(|gateway| begun_with(client, gateway)), begun);
    assert_eq!(ike_sas(client), 1);
    assert!(ike_sa(client, "net").contains("ESTABLISHED"));
}

#[test]
fn packet_finds_the_first_gateway_dead() {
    for (action, larval) in ACTIONS.into_iter().zip(Larval::ALL) {
        let lab = Lab::new();
        let _gateway_2 = lab.gateway(12);
        let client = lab.client_with(ClientOptions {
            settings: PATIENCE.to_owned(),
            ..ClientOptions::default()
        });
        larval.set(&client);
        let mut control = client.connect();
        control.apply(&trapped(action));
        client.wait_policy();
        let raised = Raised::send(&client, larval);
        expect_failover(&mut control, 11, 12, "peer_unreachable");
        control.wait_event("tunnel_up");
        raised.arrives(&client);
        one_ike_sa_is_left(&client, [1, 1]);
    }
}

/// Up on gateway 11 by a packet.
fn up(action: &str) -> Tunnel {
    let mut tunnel = loaded(&trapped(action));
    forget_acquires_soon(&tunnel.client);
    tunnel.client.wait_policy();
    tunnel.client.ping("10.2.0.1");
    tunnel.control.wait_event("tunnel_up");
    tunnel
}

#[test]
fn packet_comes_while_the_next_gateway_is_tried() {
    let mut tunnel = up("start|trap");
    let mut begun = [1, 0];
    for (larval, from, to) in [(Larval::Dropped, 11, 12), (Larval::Kept, 12, 11)] {
        larval.set(&tunnel.client);
        tunnel.lab.unplug(from);
        tunnel.lab.unplug(to);
        let gateway = format!("192.168.7.{to}");
        begun[usize::from(to == 12)] += 1;
        wait::until("the next gateway is tried", || {
            let now = begun_with(&tunnel.client, &gateway);
            (now == begun[usize::from(to == 12)]).then_some(())
        });
        wait::until("charon finds it by the connection's name", || {
            let sa = ike_sa(&tunnel.client, "net");
            sa.contains("CONNECTING").then_some(())
        });
        let raised = Raised::send(&tunnel.client, larval);
        tunnel.lab.plug(to);
        expect_failover(&mut tunnel.control, from, to, "dpd_timeout");
        tunnel.control.wait_event("tunnel_up");
        raised.arrives(&tunnel.client);
        one_ike_sa_is_left(&tunnel.client, begun);
    }
}

#[test]
fn packet_comes_after_the_child_sa_on_the_next_gateway_was_closed() {
    let mut tunnel = up("trap");
    tunnel.lab.unplug(11);
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    tunnel.control.wait_event("tunnel_up");
    for larval in Larval::ALL {
        larval.set(&tunnel.client);
        tunnel.client.swanctl(&["--terminate", "--child", "net2"]);
        tunnel.control.wait_event("tunnel_down");
        let raised = Raised::send(&tunnel.client, larval);
        tunnel.control.wait_event("tunnel_up");
        raised.arrives(&tunnel.client);
        one_ike_sa_is_left(&tunnel.client, [1, 1]);
    }
}

#[test]
fn packets_come_all_the_time() {
    let mut tunnel = up("start|trap");
    let pings = tunnel
        .client
        .pings_every(Duration::from_millis(10), "10.2.0.1");
    tunnel.lab.unplug(11);
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    tunnel.control.wait_event("tunnel_up");
    let answered = pings.answered();
    wait::until("packets arrive", || {
        (pings.answered() > answered + 10).then_some(())
    });
    one_lives(&tunnel);
}

/// One IKE_SA is left. Of those that a packet began with the dead gateway just before charon could find the next
/// one's, none lived for as long as a retransmission takes.
#[track_caller]
fn one_lives(tunnel: &Tunnel) {
    wait::until("one IKE_SA is left", || {
        (ike_sas(&tunnel.client) == 1).then_some(())
    });
    let log = tunnel.client.log();
    let begun = log.lines().filter_map(|line| {
        let (_, begun) = line.split_once("initiating IKE_SA net[")?;
        begun.strip_suffix("] to 192.168.7.11")
    });
    for id in begun.skip(1) {
        let again = format!("<net|{id}> retransmit ");
        assert!(!log.contains(&again), "{again}");
    }
    assert_eq!(tunnel.control.events_named("failover_started").len(), 1);
}
