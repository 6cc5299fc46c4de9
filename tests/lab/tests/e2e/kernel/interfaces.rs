// SPDX-License-Identifier: GPL-2.0-or-later

//! Tunnels that packets are routed into by an XFRM interface.

use extsock_lab::{Client, Event};
use serde_json::json;

use super::{loaded, net_as, wait_one_tunnel};
use crate::expect_failover;

/// Makes that interface the way to 10.2.0.0/24, in place of the one that there is.
#[track_caller]
fn set_interface(client: &Client, if_id: u64) {
    client.ip(&format!(
        "link add ipsec{if_id} type xfrm dev eth0 if_id {if_id}\n\
         link set ipsec{if_id} up\n\
         route replace 10.2.0.0/24 dev ipsec{if_id} src 10.1.0.1"
    ));
}

/// All policies and SAs have that interface ID once the old ones are gone, and a ping goes through the
/// interface.
#[track_caller]
fn expect_interface(client: &Client, if_id: u64) {
    wait_one_tunnel(client);
    let name = format!("ipsec{if_id}");
    let received = |client: &Client| {
        let statistics = client.run(&["ip", "-statistics", "link", "show", "dev", &name]);
        let after_head = statistics.lines().skip_while(|line| !line.contains("RX:"));
        let counts = after_head.into_iter().nth(1).unwrap_or_default();
        let packets = counts.split_whitespace().nth(1);
        packets.and_then(|packets| packets.parse::<u64>().ok())
    };
    let before = received(client);
    client.ping("10.2.0.1");
    assert!(received(client) > before, "{before:?} at {name}");
    let text = format!("if_id {if_id:#x}");
    for line in [client.xfrm_states(), client.xfrm_policies()].concat() {
        assert!(
            line.ends_with(&text) || line.contains(&format!("{text} ")),
            "{line}"
        );
    }
}

#[test]
fn fixed_interface_id() {
    let config = net_as(&json!({}), &json!({"if_id_in": 42, "if_id_out": 42}));
    let mut tunnel = loaded(&config);
    set_interface(&tunnel.client, 42);
    tunnel.initiate_untested();
    expect_interface(&tunnel.client, 42);

    tunnel.lab.unplug(11);
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    expect_interface(&tunnel.client, 42);

    tunnel.lab.plug(11);
    tunnel.control.ok("FAILOVER net");
    expect_failover(&mut tunnel.control, 12, 11, "operator");
    expect_interface(&tunnel.client, 42);
}

/// The interface ID of the CHILD_SA that came up.
#[track_caller]
fn interface_id(up: &Event) -> u64 {
    assert_eq!(up["if_id_in"], up["if_id_out"], "{up:?}");
    up["if_id_in"].as_u64().expect("a number")
}

#[test]
fn unique_interface_id_of_each_ike_sa() {
    let config = net_as(
        &json!({"if_id_in": "%unique", "if_id_out": "%unique"}),
        &json!({}),
    );
    let mut tunnel = loaded(&config);
    tunnel.control.ok("INITIATE net");
    let mut ids = Vec::new();
    for step in ["initiation", "failover", "switch"] {
        match step {
            "failover" => {
                tunnel.lab.unplug(11);
                expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
            }
            "switch" => {
                tunnel.lab.plug(11);
                tunnel.control.ok("FAILOVER net");
                expect_failover(&mut tunnel.control, 12, 11, "operator");
            }
            _ => {}
        }
        // As a program does that waits for this event.
        let id = interface_id(&tunnel.control.wait_event("tunnel_up"));
        assert!(id != 0 && !ids.contains(&id), "{id} after {ids:?}");
        ids.push(id);
        set_interface(&tunnel.client, id);
        expect_interface(&tunnel.client, id);
    }
}
