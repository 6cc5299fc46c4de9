// SPDX-License-Identifier: GPL-2.0-or-later

//! Links with delay, jitter, loss and reordering, which tc's netem makes. Needs tc of iproute2.

use std::time::Duration;

use extsock_lab::{wait, Charon};

use serde_json::json;

use super::{loaded, net_as};
use crate::{expect_failover, Tunnel};

/// What this host sends is late, in another order, and lost at times.
#[track_caller]
fn spoil(host: &Charon) {
    let netem = "delay 75ms 15ms loss 5% reorder 20% 50%";
    let mut command = "tc qdisc replace dev eth0 root netem"
        .split(' ')
        .collect::<Vec<_>>();
    command.extend(netem.split(' '));
    host.run(&command);
}

#[test]
fn bad_link_is_no_failure_and_a_dead_gateway_on_it_is_one() {
    let config = net_as(&json!({}), &json!({"replay_window": 128}));
    let mut tunnel = loaded(&config);
    spoil(&tunnel.client);
    spoil(&tunnel.gateway_1);
    spoil(&tunnel.gateway_2);
    tunnel.initiate_untested();
    bears_it(&tunnel, 0);

    tunnel.lab.unplug(11);
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    bears_it(&tunnel, 1);
}

/// Packets go on, some are lost, and there are no more failovers than that many.
#[track_caller]
fn bears_it(tunnel: &Tunnel, failovers: usize) {
    let pings = tunnel
        .client
        .pings_every(Duration::from_millis(20), "10.2.0.1");
    wait::until("300 pings are answered", || {
        (pings.answered() >= 300).then_some(())
    });
    let result = pings.finish();
    // One in ten is lost, there or on the way back.
    assert!(result.sent > result.answered + 5, "{result:?}");
    assert!(result.answered * 2 > result.sent, "{result:?}");
    let started = tunnel.control.events_named("failover_started");
    assert_eq!(started.len(), failovers, "{started:?}");
}
