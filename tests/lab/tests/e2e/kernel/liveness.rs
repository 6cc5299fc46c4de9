// SPDX-License-Identifier: GPL-2.0-or-later

//! What counts as a sign of life of a gateway.

use std::time::Duration;

use serde_json::json;

use super::{loaded, net_as};
use crate::expect_failover;

/// Packets in the clear that have the addresses of those in the tunnel. The kernel drops them, and takes them for
/// use of the policy by which it does.
#[test]
fn packets_in_the_clear_are_none() {
    let config = net_as(
        &json!({"dpd_delay": 0, "failover": {"liveness_interval": "1s", "liveness_timeout": "4s"}}),
        &json!({}),
    );
    let mut tunnel = loaded(&config).initiate();
    tunnel
        .gateway_2
        .ip("route add 10.1.0.0/24 via 192.168.7.1 src 10.2.0.1");
    let _pings = tunnel
        .gateway_2
        .unanswered_pings(Duration::from_millis(200), "10.1.0.1");
    tunnel.lab.unplug(11);
    expect_failover(&mut tunnel.control, 11, 12, "liveness_timeout");
}
