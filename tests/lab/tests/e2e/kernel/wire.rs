// SPDX-License-Identifier: GPL-2.0-or-later

//! What leaves the client while policies keep its packets within the tunnel.

use extsock_lab::wait;
use serde_json::json;

use super::{forget_acquires_soon, loaded, net_as, trapped};
use crate::in_the_clear::{change_gateways, end_and_begin, Traffic};
use crate::lossy_links::nft;
use crate::Tunnel;

#[test]
fn no_inner_packet_in_the_clear() {
    let mut tunnel = loaded(&trapped("start|trap"));
    forget_acquires_soon(&tunnel.client);
    tunnel.client.wait_policy();
    let traffic = Traffic::start(&tunnel);
    tunnel.control.wait_event("tunnel_up");
    traffic.arrives();
    change_gateways(&mut tunnel, &traffic);
    tunnel.client.swanctl(&["--terminate", "--ike", "net"]);
    tunnel.control.wait_event("tunnel_down");
    // The trap policy gets it up again.
    traffic.arrives();

    tunnel.control.ok("TERMINATE net");
    tunnel.control.ok("REMOVE_CONFIG net");
    traffic.is_in_the_clear_without("a policy");
}

/// A whole life of the tunnel, which was asked for.
#[track_caller]
fn stays_within(tunnel: &mut Tunnel, traffic: &Traffic) {
    traffic.arrives();
    change_gateways(tunnel, traffic);
    end_and_begin(tunnel, traffic);
}

#[test]
fn no_inner_packet_in_the_clear_with_a_drop_policy() {
    let mut config = net_as(&json!({}), &json!({}));
    config["connections"]["net"]["children"]["outside"] = json!({
        "mode": "drop",
        "start_action": "trap",
        "local_ts": "10.1.0.0/24",
        "remote_ts": "10.2.0.0/24",
    });
    let mut tunnel = loaded(&config);
    wait::until("the drop policy is there", || {
        let policies = tunnel.client.xfrm_policies();
        let drops = |policy: &String| policy.contains("dst 10.2.0.0/24 dir out action block");
        policies.iter().any(drops).then_some(())
    });
    tunnel.initiate_untested();
    // Under the drop policy alone ping would not even begin.
    let traffic = Traffic::start(&tunnel);
    stays_within(&mut tunnel, &traffic);

    tunnel.control.ok("TERMINATE net");
    tunnel.control.ok("REMOVE_CONFIG net");
    traffic.is_in_the_clear_without("a policy");
}

#[test]
fn no_inner_packet_in_the_clear_with_a_rule_of_the_firewall() {
    let mut tunnel = loaded(&net_as(&json!({}), &json!({})));
    nft(
        &tunnel.client,
        "table inet tunnel_only {\n chain output {\n type filter hook output priority 0;\n \
         ip daddr 10.2.0.0/24 rt ipsec missing drop\n }\n }",
    );
    let traffic = Traffic::start(&tunnel);
    tunnel.initiate_untested();
    stays_within(&mut tunnel, &traffic);

    tunnel.control.ok("TERMINATE net");
    tunnel.control.wait_event("tunnel_down");
    nft(&tunnel.client, "delete table inet tunnel_only");
    traffic.is_in_the_clear_without("the rule");
}
