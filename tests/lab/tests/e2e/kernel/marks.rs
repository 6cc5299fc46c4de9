// SPDX-License-Identifier: GPL-2.0-or-later

//! Tunnels for packets with a mark.

use extsock_lab::Client;
use serde_json::json;

use super::{loaded, net_as, wait_one_tunnel};
use crate::expect_failover;

/// A packet with the mark is answered; one with another mark and one without are not.
#[track_caller]
fn expect_mark(client: &Client) {
    wait_one_tunnel(client);
    let answered = |options: &[&str]| client.lone_ping("10.2.0.1", options).is_answered();
    assert!(answered(&["-m", "42"]), "with the mark");
    assert!(!answered(&["-m", "43", "-W", "1"]), "with another mark");
    assert!(!answered(&["-W", "1"]), "without a mark");
}

#[test]
fn packets_with_a_mark() {
    // What comes out of the inbound SA has to have the mark that the inbound policy is for.
    let marks = json!({"mark_in": "42", "mark_out": "42", "set_mark_in": "42"});
    let mut tunnel = loaded(&net_as(&json!({}), &marks));
    tunnel.initiate_untested();
    expect_mark(&tunnel.client);

    tunnel.lab.unplug(11);
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    expect_mark(&tunnel.client);

    tunnel.lab.plug(11);
    tunnel.control.ok("FAILOVER net");
    expect_failover(&mut tunnel.control, 12, 11, "operator");
    expect_mark(&tunnel.client);
}

#[test]
fn unique_mark_of_each_child_sa() {
    let marks = json!({"mark_in": "%unique", "mark_out": "%unique"});
    let mut tunnel = loaded(&net_as(&json!({}), &marks));
    tunnel.control.ok("INITIATE net");
    let first = tunnel.control.wait_event("tunnel_up");
    tunnel.lab.unplug(11);
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    let second = tunnel.control.wait_event("tunnel_up");
    assert_ne!(second["mark_out"], first["mark_out"]);
    wait_one_tunnel(&tunnel.client);
    let mark = second["mark_out"].as_u64().expect("a number");
    let text = format!("mark {mark:#x}/0xffffffff");
    for policy in tunnel.client.xfrm_policies() {
        assert!(policy.contains(&text), "{policy}");
    }
    // The answer comes out of an SA without a mark, and no policy lets it in: that it was sent
    // and answered shows in the SAs.
    let mark = mark.to_string();
    let ping = tunnel
        .client
        .lone_ping("10.2.0.1", &["-m", &mark, "-W", "1"]);
    assert!(!ping.is_answered());
    let sas = tunnel.client.swanctl(&["--list-sas"]);
    assert_eq!(sas.matches("1 packets").count(), 2, "{sas}");
}
