// SPDX-License-Identifier: GPL-2.0-or-later

//! CHILD_SAs that the kernel tells to rekey after so many packets or bytes.

use std::time::Duration;

use extsock_lab::{wait, Client};
use serde_json::{json, Value};

use super::{loaded, net_as};
use crate::{expect_failover, Tunnel};

/// How often charon rekeyed since its kernel said that it is time.
fn rekeyed(client: &Client) -> usize {
    let log = client.log();
    let expired = log.matches("creating rekey job for CHILD_SA ESP").count();
    let closed = log.matches("closing CHILD_SA net2").count();
    expired.min(closed)
}

/// Twice on each gateway, and no packet of those that go on is lost.
#[track_caller]
fn rekeys(lifetime: &Value) {
    let mut config = net_as(&json!({"dpd_delay": "1s"}), lifetime);
    config["connections"]["net"]["children"]["net2"]["rekey_time"] = json!(0);
    let mut tunnel = loaded(&config).initiate();
    rekeys_twice(&tunnel);
    tunnel.lab.unplug(11);
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    tunnel.client.ping("10.2.0.1");
    rekeys_twice(&tunnel);
    assert_eq!(tunnel.control.events_named("failover_started").len(), 1);
}

#[track_caller]
fn rekeys_twice(tunnel: &Tunnel) {
    let before = rekeyed(&tunnel.client);
    let pings = tunnel
        .client
        .pings_every(Duration::from_millis(20), "10.2.0.1");
    wait::until("the kernel has the CHILD_SA rekeyed twice", || {
        (rekeyed(&tunnel.client) >= before + 2).then_some(())
    });
    let result = pings.finish();
    // The last one may still be under way.
    assert!(result.answered + 1 >= result.sent, "{result:?}");
}

#[test]
fn packets() {
    rekeys(&json!({"rekey_packets": 100, "life_packets": 100_000, "rand_packets": 0}));
}

#[test]
fn bytes() {
    rekeys(&json!({"rekey_bytes": 10_000, "life_bytes": 10_000_000, "rand_bytes": 0}));
}

#[test]
fn hard_lifetime_ends_a_child_sa_that_could_not_be_rekeyed() {
    let lifetime =
        json!({"rekey_packets": 0, "life_packets": 50, "rand_packets": 0, "start_action": "trap"});
    let mut tunnel = loaded(&net_as(&json!({}), &lifetime));
    tunnel.client.wait_policy();
    let pings = tunnel
        .client
        .unanswered_pings(Duration::from_millis(20), "10.2.0.1");
    for _ in 0..2 {
        tunnel.control.wait_event("tunnel_up");
        tunnel.control.wait_event("tunnel_down");
    }
    let answered = pings.answered();
    wait::until("a packet raises an acquire for the next one", || {
        (pings.answered() > answered + 10).then_some(())
    });
    assert!(tunnel.control.events_named("failover_started").is_empty());
}
