// SPDX-License-Identifier: GPL-2.0-or-later

//! What the kernel has of a connection that went from gateway to gateway.

use extsock_lab::{wait, Client};

use super::{loaded, trapped};

/// The SAs and the policies of the kernel, without what differs from one tunnel to the next.
fn kernel(client: &Client) -> [Vec<String>; 2] {
    [client.xfrm_states(), client.xfrm_policies()].map(|lines| {
        let mut shapes: Vec<_> = lines.iter().map(|line| shape(line)).collect();
        shapes.sort();
        shapes
    })
}

/// Without the values of SPI and request ID, and without what follows the mode of an SA: its keys.
fn shape(line: &str) -> String {
    let head = line.split(" replay-window ").next().unwrap_or_default();
    let mut before = "";
    let kept = head.split(' ').filter(|word| {
        let differs = ["spi", "reqid"].contains(&before);
        before = word;
        !differs
    });
    kept.collect::<Vec<_>>().join(" ")
}

#[test]
fn fifty_failovers_with_a_trap_policy() {
    leave_those_of_one_tunnel("trap", 50);
}

#[test]
fn ten_failovers_without_a_trap_policy() {
    leave_those_of_one_tunnel("none", 10);
}

/// Policies and SAs.
#[track_caller]
fn leave_those_of_one_tunnel(start_action: &str, failovers: u8) {
    let mut config = trapped(start_action);
    // One after the other, without the delays between rounds.
    config["connections"]["net"]["failover"]["stable_after"] = 0.into();
    let mut tunnel = loaded(&config);
    if start_action == "trap" {
        tunnel.client.wait_policy();
    }
    let without = kernel(&tunnel.client);
    tunnel = tunnel.initiate();
    tunnel.client.wait_policy();
    let before = kernel(&tunnel.client);
    assert_eq!(before.each_ref().map(Vec::len), [2, 3], "{before:?}");
    tunnel.fail_over_to_and_fro(failovers);
    tunnel.client.ping("10.2.0.1");
    wait::until("policies and SAs are as before", || {
        (kernel(&tunnel.client) == before).then_some(())
    });
    tunnel.control.ok("TERMINATE net");
    wait::until("policies and SAs are as without a tunnel", || {
        (kernel(&tunnel.client) == without).then_some(())
    });
}
