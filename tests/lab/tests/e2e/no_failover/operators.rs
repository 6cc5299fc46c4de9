// SPDX-License-Identifier: GPL-2.0-or-later

//! Commands in quick succession: the last one counts.

use extsock_lab::{net, wait, ClientOptions, Extsock, GatewayOptions, Lab};

use super::{expect_no_more, expect_settled, not_single, wait_single};
use crate::{wait_state, Tunnel};

/// Sends all commands before the first is answered; each must succeed.
#[track_caller]
fn at_once(control: &mut Extsock, commands: &[&str]) {
    let mut lines = commands.join("\n");
    lines.push('\n');
    control.send(lines.as_bytes());
    for command in commands {
        let reply = control.reply();
        assert_eq!(reply["ok"], true, "{command}: {reply}");
    }
}

fn apply(gateways: &[u8]) -> String {
    format!("APPLY_CONFIG {}", net(gateways))
}

/// Gateways that put up with attempts that are ended at once: of one client's, others ignore the
/// sixth.
fn patient() -> GatewayOptions {
    GatewayOptions {
        settings: "dos_protection = no".to_owned(),
        ..GatewayOptions::default()
    }
}

/// Both gateways are silent, and attempts to them are going on.
fn in_full_flight() -> Tunnel {
    let options =
        ClientOptions::with_failover("max_retries = 0\n base_delay = 0.5\n max_delay = 1");
    let mut tunnel = Tunnel::up_as(&net(&[11, 12]), options, &patient());
    tunnel.gateway_2.kill();
    tunnel.gateway_1.kill();
    for _ in 0..2 {
        tunnel.control.wait_event("failover_started");
    }
    tunnel
}

#[track_caller]
fn revive(tunnel: &mut Tunnel) {
    tunnel.gateway_1.restart();
    tunnel.gateway_2.restart();
}

/// Settles with one tunnel, to that gateway.
#[track_caller]
fn expect_on(tunnel: &mut Tunnel, gateway: u8) {
    let listed = wait_state(&mut tunnel.control, "established");
    assert_eq!(
        listed["active_gateway"],
        format!("192.168.7.{gateway}"),
        "{listed}"
    );
    wait_single(&tunnel.client);
    let tried = tunnel.control.events_named("failover_started").len();
    expect_settled(&tunnel.control, &tunnel.client, tried);
    let listed = wait_state(&mut tunnel.control, "established");
    assert_eq!(listed["active_gateway"], format!("192.168.7.{gateway}"));
}

#[test]
fn terminate_is_last() {
    let mut tunnel = in_full_flight();
    let commands = [
        "INITIATE net",
        "FAILOVER net 192.168.7.12",
        &apply(&[11, 12]),
        "TERMINATE net",
        "INITIATE net",
        "FAILOVER net 192.168.7.11",
        "TERMINATE net",
    ];
    at_once(&mut tunnel.control, &commands);
    let tried = tunnel.control.events_named("failover_started").len();
    revive(&mut tunnel);
    expect_no_more(&tunnel.control, &tunnel.client, tried);
    assert_eq!(tunnel.control.connection("net")["state"], "down");
}

#[test]
fn terminate_is_last_and_the_gateways_stay_dead() {
    let mut tunnel = in_full_flight();
    let commands = [
        "FAILOVER net",
        "TERMINATE net",
        "INITIATE net",
        &apply(&[11, 12]),
        "TERMINATE net",
    ];
    at_once(&mut tunnel.control, &commands);
    let tried = tunnel.control.events_named("failover_started").len();
    expect_no_more(&tunnel.control, &tunnel.client, tried);
    assert_eq!(tunnel.control.connection("net")["state"], "down");
}

#[test]
fn initiate_is_last() {
    let mut tunnel = in_full_flight();
    revive(&mut tunnel);
    let commands = [
        "FAILOVER net 192.168.7.12",
        "TERMINATE net",
        "FAILOVER net 192.168.7.12",
        &apply(&[11, 12]),
        "TERMINATE net",
        "INITIATE net",
    ];
    at_once(&mut tunnel.control, &commands);
    expect_on(&mut tunnel, 11);
}

#[test]
fn initiate_is_last_and_the_gateways_come_back_later() {
    let mut tunnel = in_full_flight();
    let commands = [
        "TERMINATE net",
        "FAILOVER net",
        "TERMINATE net",
        "INITIATE net",
        "INITIATE net net2",
    ];
    at_once(&mut tunnel.control, &commands);
    // A new start: the first gateway fails, then the next one.
    tunnel.control.wait_event("failover_started");
    revive(&mut tunnel);
    wait_state(&mut tunnel.control, "established");
    wait_single(&tunnel.client);
    let tried = tunnel.control.events_named("failover_started").len();
    expect_settled(&tunnel.control, &tunnel.client, tried);
}

fn failover_is_last(gateway: u8) {
    let mut tunnel = in_full_flight();
    revive(&mut tunnel);
    let commands = [
        "INITIATE net",
        "FAILOVER net 192.168.7.11",
        "TERMINATE net",
        &apply(&[11, 12]),
        "INITIATE net",
        &format!("FAILOVER net 192.168.7.{gateway}"),
    ];
    at_once(&mut tunnel.control, &commands);
    expect_on(&mut tunnel, gateway);
}

#[test]
fn failover_to_the_first_gateway_is_last() {
    failover_is_last(11);
}

#[test]
fn failover_to_the_second_gateway_is_last() {
    failover_is_last(12);
}

#[test]
fn a_new_list_is_last() {
    let mut tunnel = in_full_flight();
    let gateway_3 = tunnel.lab.gateway(13);
    let commands = [
        "TERMINATE net",
        "INITIATE net",
        "FAILOVER net 192.168.7.12",
        &apply(&[13, 14]),
    ];
    at_once(&mut tunnel.control, &commands);
    expect_on(&mut tunnel, 13);
    let ike_sas = gateway_3.ike_sas();
    assert_eq!(ike_sas.len(), 1, "{ike_sas:?}");
}

#[test]
fn initiate_follows_terminate_at_once() {
    let lab = Lab::new();
    let _gateway = lab.gateway_with(11, patient());
    let client = lab.client();
    let mut control = client.connect();
    control.apply(&net(&[11, 12]));
    // It depends on how far the first attempt has come.
    for _ in 0..20 {
        let commands = ["INITIATE net", "TERMINATE net", "INITIATE net"];
        at_once(&mut control, &commands);
        wait_state(&mut control, "established");
        wait_single(&client);
        control.ok("TERMINATE net");
        wait::until("no IKE_SA is left", || {
            client.ike_sas().is_empty().then_some(())
        });
    }
}

/// The old IKE_SA is up until charon can delete it, which it does after the connection is wanted again.
#[test]
fn the_deletion_waits_for_the_answer_to_another_request() {
    let mut config = net(&[11, 12]);
    config["connections"]["net"]["dpd_delay"] = 0.into();
    let client = crate::policy::patient();
    let mut tunnel = Tunnel::up_as(&config, client, &GatewayOptions::default());
    let count = |text: &str| tunnel.client.log().matches(text).count();
    let requests = count("generating INFORMATIONAL request");
    tunnel.lab.unplug(11);
    tunnel.control.ok("START_DPD net");
    wait::until("a request is not answered", || {
        (count("generating INFORMATIONAL request") > requests).then_some(())
    });
    let apply = format!("APPLY_CONFIG {config}");
    let commands = ["TERMINATE net", "REMOVE_CONFIG net", &apply, "INITIATE net"];
    at_once(&mut tunnel.control, &commands);
    wait::until("another IKE_SA is initiated", || {
        (count("initiating IKE_SA") == 2).then_some(())
    });
    tunnel.lab.plug(11);
    wait_state(&mut tunnel.control, "established");
    expect_settled(&tunnel.control, &tunnel.client, 0);
}

#[test]
fn in_any_order() {
    let mut tunnel = Tunnel::up_as(&net(&[11, 12]), ClientOptions::default(), &patient());
    let commands = [
        "INITIATE net".to_owned(),
        "TERMINATE net".to_owned(),
        "FAILOVER net 192.168.7.12".to_owned(),
        apply(&[11, 12]),
    ];
    for order in permutations(4) {
        let ordered: Vec<&str> = order.iter().map(|at| commands[*at].as_str()).collect();
        // Where each of the first three stands: the configuration changes nothing.
        let place = |command: usize| order.iter().position(|at| *at == command);
        let (initiate, terminate, failover) = (place(0), place(1), place(2));
        let gateway = if failover > terminate {
            Some("192.168.7.12")
        } else if initiate > terminate {
            Some("192.168.7.11")
        } else {
            None
        };
        at_once(&mut tunnel.control, &ordered);
        let what = format!("{order:?} settles with {gateway:?}");
        wait::until(&what, || {
            let listed = tunnel.control.connection("net");
            let settled = match gateway {
                Some(gateway) => {
                    listed["state"] == "established"
                        && listed["active_gateway"] == gateway
                        && not_single(&tunnel.client).is_none()
                }
                None => listed["state"] == "down" && tunnel.client.ike_sas().is_empty(),
            };
            settled.then_some(())
        });

        tunnel.control.ok("FAILOVER net 192.168.7.11");
        wait::until("back on gateway 1", || {
            let listed = tunnel.control.connection("net");
            let back = listed["state"] == "established"
                && listed["active_gateway"] == "192.168.7.11"
                && not_single(&tunnel.client).is_none();
            back.then_some(())
        });
    }
}

/// All orders of the first `count` numbers.
fn permutations(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else {
        return vec![Vec::new()];
    };
    let insert_last = |shorter: Vec<usize>| {
        (0..count).map(move |at| {
            let mut longer = shorter.clone();
            longer.insert(at, last);
            longer
        })
    };
    permutations(last)
        .into_iter()
        .flat_map(insert_last)
        .collect()
}
