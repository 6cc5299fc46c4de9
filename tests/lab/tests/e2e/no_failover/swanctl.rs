// SPDX-License-Identifier: GPL-2.0-or-later

//! swanctl's connection after a failover: its operators need not know on which gateway it lives.

use extsock_lab::{wait, Charon, ClientOptions};

use super::{expect_no_more, expect_settled, prompt, swan, wait_single, Swan};
use crate::policy::{patient, swanctl_conf};

/// Connection `swan` with a second CHILD_SA, to 10.3.0.0/24.
fn with_another_child() -> String {
    let conf = swan();
    let (before, child_and_after) = conf.split_once("data {").expect("a child");
    let (child, _) = child_and_after.split_once('}').expect("its end");
    let more = child.replace("10.2.0.0", "10.3.0.0");
    format!("{before}more {{{more}}}\n data {{{child_and_after}")
}

/// How often charon began to initiate to the gateway.
fn initiations(client: &Charon, gateway: u8) -> usize {
    let lines = format!(" to 192.168.7.{gateway}\n");
    client.log().matches(&lines).count()
}

/// Gateway 2 dies, and the connection goes back to gateway 1.
#[track_caller]
fn expect_back_on_gateway_1(swan: &mut Swan) {
    swan.gateway_1.restart();
    swan.gateway_2.kill();
    let started = swan.control.wait_event("failover_started");
    assert_eq!(started["from"], "192.168.7.12");
    assert_eq!(started["to"], "192.168.7.11");
    assert_eq!(started["reason"], "dpd_timeout");
    swan.control.wait_event("failover_established");
}

#[test]
fn terminate() {
    let swan = Swan::up().fail_over();
    swan.client.swanctl(&["--terminate", "--ike", "swan"]);
    expect_no_more(&swan.control, &swan.client, 1);
}

#[test]
fn terminate_and_initiate() {
    let mut swan = Swan::up().fail_over();
    swan.gateway_1.restart();
    swan.client.swanctl(&["--terminate", "--ike", "swan"]);
    swan.client.swanctl(&["--initiate", "--child", "data"]);
    expect_settled(&swan.control, &swan.client, 1);
    // charon's own way is the first address.
    swan.gateway_1.kill();
    let started = swan.control.wait_event("failover_started");
    assert_eq!(started["from"], "192.168.7.11");
    assert_eq!(started["to"], "192.168.7.12");
    swan.control.wait_event("failover_established");
    wait_single(&swan.client);
}

#[test]
fn initiate_what_is_up() {
    let swan = Swan::up().fail_over();
    let tried = initiations(&swan.client, 11);
    let refused = swan
        .client
        .try_swanctl(&["--initiate", "--child", "data"])
        .expect_err("it is there");
    assert!(refused.contains("existing duplicate"), "{refused}");
    expect_settled(&swan.control, &swan.client, 1);
    assert_eq!(initiations(&swan.client, 11), tried);
}

#[test]
fn initiate_what_is_coming_up() {
    let mut swan = Swan::up_as(&swan(), patient());
    swan.gateway_2.freeze();
    swan.gateway_1.kill();
    swan.control.wait_event("failover_started");
    wait::until("gateway 2 is tried", || {
        (initiations(&swan.client, 12) == 1).then_some(())
    });
    let tried = initiations(&swan.client, 11);
    // Returns before the gateway has answered.
    let _ = swan
        .client
        .try_swanctl(&["--initiate", "--child", "data", "--timeout", "1"]);
    swan.gateway_2.thaw();
    swan.control.wait_event("failover_established");
    expect_settled(&swan.control, &swan.client, 1);
    assert_eq!(initiations(&swan.client, 11), tried);
}

#[test]
fn initiate_what_was_terminated() {
    let mut swan = Swan::up().fail_over();
    let tried = initiations(&swan.client, 11);
    swan.client.swanctl(&["--terminate", "--child", "data"]);
    swan.control.wait_event("tunnel_down");
    swan.client.swanctl(&["--initiate", "--child", "data"]);
    expect_settled(&swan.control, &swan.client, 1);
    assert_eq!(initiations(&swan.client, 11), tried);
    expect_back_on_gateway_1(&mut swan);
    wait_single(&swan.client);
}

#[test]
fn initiate_another_child() {
    let mut swan = Swan::up().fail_over();
    swan.client.load(&with_another_child());
    swan.client.swanctl(&["--initiate", "--child", "more"]);
    assert_eq!(swan.client.ike_sas().len(), 1);
    assert_eq!(swan.client.child_sas().len(), 2);
    swan.client.ping("10.2.0.1");
    swan.client.ping("10.3.0.1");

    expect_back_on_gateway_1(&mut swan);
    swan.client.ping("10.2.0.1");
    swan.client.ping("10.3.0.1");
    assert_eq!(swan.client.ike_sas().len(), 1);
    assert_eq!(swan.client.child_sas().len(), 2);
}

#[test]
fn edit_the_list() {
    let mut swan = Swan::up().fail_over();
    let _gateway_3 = swan.lab.gateway(13);
    swan.client
        .load(&swanctl_conf("192.168.7.14, 192.168.7.13"));
    swan.gateway_2.kill();
    let started = swan.control.wait_event("failover_started");
    // One that is not in the list counts as the first.
    assert_eq!(started["from"], "192.168.7.12");
    assert_eq!(started["to"], "192.168.7.13");
    let established = swan.control.wait_event("failover_established");
    assert_eq!(established["gateway"], "192.168.7.13");
    expect_settled(&swan.control, &swan.client, 2);
}

#[test]
fn edit_the_list_after_the_gateway_in_use() {
    let mut swan = Swan::up().fail_over();
    let _gateway_3 = swan.lab.gateway(13);
    swan.client
        .load(&swanctl_conf("192.168.7.11, 192.168.7.12, 192.168.7.13"));
    swan.gateway_2.kill();
    let started = swan.control.wait_event("failover_started");
    assert_eq!(started["to"], "192.168.7.13");
    let established = swan.control.wait_event("failover_established");
    assert_eq!(established["gateway"], "192.168.7.13");
    expect_settled(&swan.control, &swan.client, 2);
}

#[test]
fn edit_the_list_down_to_one_gateway() {
    let mut swan = Swan::up().fail_over();
    swan.client.load(&swanctl_conf("192.168.7.12"));
    swan.gateway_2.kill();
    swan.control.wait_event("ike_sa_down");
    expect_no_more(&swan.control, &swan.client, 1);
}

#[test]
fn rekey() {
    let mut swan = Swan::up_as(&swan(), prompt()).fail_over();
    swan.client.swanctl(&["--rekey", "--child", "data"]);
    swan.control.wait_event("child_rekey");
    swan.client.swanctl(&["--rekey", "--ike", "swan"]);
    swan.control.wait_event("ike_rekey");
    swan.client.swanctl(&["--rekey", "--child", "data"]);
    swan.control.wait_event("child_rekey");
    expect_settled(&swan.control, &swan.client, 1);
    expect_back_on_gateway_1(&mut swan);
    wait_single(&swan.client);
    swan.client.ping("10.2.0.1");
}

#[test]
fn initiate_while_the_next_attempt_is_delayed() {
    let client = ClientOptions::with_failover("base_delay = 60\n max_delay = 60");
    let mut swan = Swan::up_as(&swan(), client);
    swan.gateway_2.kill();
    swan.gateway_1.kill();
    // To the other one at once, and back after the delay.
    let tried = 2;
    wait::until("both gateways have failed", || {
        let connection = swan.control.connection("swan");
        let failed = swan.control.events_named("failover_started").len();
        (failed == tried && connection["state"] == "waiting").then_some(())
    });
    swan.gateway_1.restart();
    swan.client.swanctl(&["--initiate", "--child", "data"]);
    expect_settled(&swan.control, &swan.client, tried);
    let connection = swan.control.connection("swan");
    assert_eq!(connection["state"], "established");
    assert_eq!(connection["active_gateway"], "192.168.7.11");
}
