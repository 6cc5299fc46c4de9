// SPDX-License-Identifier: GPL-2.0-or-later

//! Packets under way both ways while a connection goes to another gateway.

use std::time::Duration;

use extsock_lab::{wait, Pings};
use serde_json::json;

use super::{loaded, net_as, wait_one_tunnel};
use crate::{expect_failover, Tunnel};

const INTERVAL: Duration = Duration::from_millis(10);

/// Pings from the client to the network behind the gateways, and from each gateway to the client's.
struct BothWays {
    client: Pings,
    gateway_1: Pings,
    gateway_2: Pings,
}

/// What became of them.
#[derive(Debug)]
struct Lost {
    /// Pings of the client.
    client: usize,
    /// Pings of gateway 1 while it had the tunnel.
    gateway_1: usize,
    /// The longest time between two answers to the client.
    gap: Duration,
    /// From the last answer to gateway 1 until the first one to gateway 2.
    silence: Duration,
}

impl BothWays {
    /// The connection is up on gateway 1.
    fn start(tunnel: &Tunnel) -> Self {
        // Without a tunnel it sends to nobody. The client would drop what came in the clear, but its kernel would
        // take that for use of the policy, and charon for a sign of life.
        tunnel.gateway_2.ip(
            "neigh replace 192.168.7.99 lladdr 02:00:00:00:00:99 dev eth0 nud permanent\n\
             route add 10.1.0.0/24 via 192.168.7.99 src 10.2.0.1",
        );
        let both = Self {
            client: tunnel.client.pings_every(INTERVAL, "10.2.0.1"),
            gateway_1: tunnel.gateway_1.unanswered_pings(INTERVAL, "10.1.0.1"),
            gateway_2: tunnel.gateway_2.unanswered_pings(INTERVAL, "10.1.0.1"),
        };
        wait::until("pings of gateway 1 are answered", || {
            (both.gateway_1.answered() > 20).then_some(())
        });
        assert_eq!(both.gateway_2.answered(), 0);
        both
    }

    /// The connection is up on gateway 2.
    #[track_caller]
    fn finish(self, tunnel: &Tunnel) -> Lost {
        wait_one_tunnel(&tunnel.client);
        let answered = self.client.answered();
        wait::until("packets go both ways", || {
            (self.client.answered() > answered + 20 && self.gateway_2.answered() > 20).then_some(())
        });
        let last = self.gateway_1.answer_times().pop().expect("it was up");
        let first = self.gateway_2.answer_times()[0];
        Lost {
            client: self.client.lost(),
            gateway_1: self.gateway_1.lost(),
            gap: self.client.finish().longest_gap,
            silence: first.saturating_sub(last),
        }
    }
}

#[test]
fn switch_by_hand_loses_no_more_than_what_is_under_way() {
    let mut tunnel = loaded(&net_as(&json!({}), &json!({}))).initiate();
    let pings = BothWays::start(&tunnel);
    tunnel.control.ok("FAILOVER net");
    expect_failover(&mut tunnel.control, 11, 12, "operator");
    let lost = pings.finish(&tunnel);
    // charon deletes the SAs with gateway 1 as soon as those with gateway 2 are there, and what gateway 1 is about
    // to answer then is lost.
    assert!(lost.client <= 2 && lost.gateway_1 <= 1, "{lost:?}");
    assert!(lost.silence < Duration::from_millis(50), "{lost:?}");
}

#[test]
fn failover_loses_what_is_sent_until_the_gateway_is_given_up() {
    let mut tunnel = loaded(&net_as(&json!({}), &json!({}))).initiate();
    let pings = BothWays::start(&tunnel);
    tunnel.lab.unplug(11);
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    let lost = pings.finish(&tunnel);
    // DPD begins after one to two seconds of silence, and takes eight.
    assert!(lost.gap > Duration::from_secs(8), "{lost:?}");
    assert!(lost.silence < lost.gap + Duration::from_secs(2), "{lost:?}");
    assert!(lost.client > 100, "{lost:?}");
}
