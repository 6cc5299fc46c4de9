// SPDX-License-Identifier: GPL-2.0-or-later

//! What makes a connection go to its next gateway, and what it finds there.

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use extsock_lab::{connection, net, wait, Answered, Client, ClientOptions, GatewayOptions, Lab};

use crate::causes::net_with_two_child_sas;
use crate::{expect_failover, ike_sa, ike_sas, wait_state, Hosts, Tunnel};

#[test]
fn gateway_1_is_down_at_the_first_attempt() {
    let mut tunnel = Tunnel::loaded(&net(&[11, 12]));
    tunnel.gateway_1.kill();
    let initiated = tunnel.control.ok("INITIATE net");
    assert_eq!(initiated["connection"], "net");
    assert_eq!(initiated["gateway"], "192.168.7.11");

    expect_failover(&mut tunnel.control, 11, 12, "peer_unreachable");
    tunnel.client.ping("10.2.0.1");
    let listed = wait_state(&mut tunnel.control, "established");
    assert_eq!(listed["active_gateway"], "192.168.7.12");
    assert_eq!(listed["ike_sa_name"], "net");
    assert_eq!(listed["retries"], 0);
}

#[test]
fn gateway_1_refuses_authentication() {
    let mut tunnel = Tunnel::loaded(&net(&[11, 12]));
    tunnel.gateway_1.refuse_authentication();
    tunnel.control.ok("INITIATE net");
    expect_failover(&mut tunnel.control, 11, 12, "auth_failed");
    tunnel.client.ping("10.2.0.1");
}

#[test]
fn gateway_dies_under_a_running_tunnel() {
    let mut tunnel = Tunnel::up();
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    tunnel.client.ping("10.2.0.1");
}

#[test]
fn gateway_shuts_down_and_deletes_the_sa() {
    let mut tunnel = Tunnel::up();
    tunnel.gateway_1.stop();
    expect_failover(&mut tunnel.control, 11, 12, "peer_deleted");
    tunnel.client.ping("10.2.0.1");
}

#[test]
fn the_way_back_uses_the_connection_itself_and_unregisters_the_clone() {
    let mut tunnel = Tunnel::up();
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    tunnel.client.ping("10.2.0.1");
    let conns = tunnel.client.swanctl(&["--list-conns"]);
    assert!(conns.contains("net: IKEv2"), "{conns}");
    // swanctl shows no version of a connection that has dots in its name.
    assert!(conns.contains("net-failover-192.168.7.12: "), "{conns}");

    tunnel.gateway_1.restart();
    tunnel.gateway_2.kill();
    expect_failover(&mut tunnel.control, 12, 11, "dpd_timeout");
    tunnel.client.ping("10.2.0.1");
    let listed = wait_state(&mut tunnel.control, "established");
    assert_eq!(listed["active_gateway"], "192.168.7.11");
    assert_eq!(listed["ike_sa_name"], "net");
    wait::until("the clone is unregistered", || {
        let conns = tunnel.client.swanctl(&["--list-conns"]);
        (conns.contains("net: IKEv2") && !conns.contains("-failover-")).then_some(())
    });
}

#[test]
fn three_gateways_are_used_in_a_circle() {
    let lab = Lab::new();
    let mut gateways = [11, 12, 13].map(|number| lab.gateway(number));
    let client = lab.client();
    let mut control = client.connect();
    control.apply(&net(&[11, 12, 13]));
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    gateways[0].kill();
    expect_failover(&mut control, 11, 12, "dpd_timeout");
    gateways[1].kill();
    expect_failover(&mut control, 12, 13, "dpd_timeout");
    gateways[0].restart();
    gateways[2].kill();
    expect_failover(&mut control, 13, 11, "dpd_timeout");
    client.ping("10.2.0.1");
}

#[test]
fn dead_gateways_are_tried_five_times_and_then_given_up() {
    let lab = Lab::new();
    let client = lab.client();
    let mut control = client.connect();
    control.apply(&net(&[11, 12]));
    control.ok("INITIATE net");
    let exhausted = control.wait_event("failover_exhausted");
    assert_eq!(exhausted["connection"], "net");
    assert_eq!(exhausted["retries"], 5);
    let attempts: Vec<_> = control
        .events_named("failover_started")
        .iter()
        .map(|event| (event["attempt"].as_u64(), event["to"].to_string()))
        .collect();
    let expected: Vec<_> = (1..=5)
        .map(|attempt| {
            let to = if attempt % 2 == 1 { 12 } else { 11 };
            (Some(attempt), format!("\"192.168.7.{to}\""))
        })
        .collect();
    assert_eq!(attempts, expected);
    wait_state(&mut control, "exhausted");
    wait::holds_for(Duration::from_secs(3), "nothing more is tried", || {
        (control.events_named("failover_started").len() != 5).then(|| "a sixth".to_owned())
    });
    assert_eq!(control.events_named("failover_exhausted").len(), 1);
}

#[test]
fn an_established_sa_resets_the_count_of_retries() {
    let mut tunnel = Tunnel::up_with(ClientOptions::with_failover("max_retries = 1"));
    // Each failover would be one too many if the one before it still counted.
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    tunnel.gateway_1.restart();
    tunnel.gateway_2.kill();
    expect_failover(&mut tunnel.control, 12, 11, "dpd_timeout");
}

#[test]
fn other_connections_do_not_notice_a_failover() {
    let lab = Lab::new();
    let mut gateway_1 = lab.gateway(11);
    let _gateway_2 = lab.gateway(12);
    let _other_gateway = lab.gateway_with(
        13,
        GatewayOptions {
            networks: vec![3],
            ..GatewayOptions::default()
        },
    );
    let client = lab.client();
    let mut control = client.connect();
    let mut config = net(&[11, 12]);
    config["connections"]["other"] =
        connection("other", &[13, 14], &[3])["connections"]["other"].clone();
    control.apply(&config);
    for name in ["net", "other"] {
        control.ok(&format!("INITIATE {name}"));
        control.wait_event("tunnel_up");
    }
    client.ping("10.2.0.1");
    client.ping("10.3.0.1");

    let before = ike_sa(&client, "other");
    assert!(before.contains("ESTABLISHED"), "{before}");
    let pings = client.pings("10.3.0.1");
    gateway_1.kill();
    expect_failover(&mut control, 11, 12, "dpd_timeout");
    client.ping("10.2.0.1");
    let Answered { sent, answered, .. } = pings.finish();
    assert!(sent > 20, "{sent} pings");
    // The last one may still be under way.
    assert!(answered + 1 >= sent, "{answered} of {sent} pings answered");
    assert_eq!(ike_sa(&client, "other"), before);
}

#[test]
fn all_child_sas_come_back() {
    let config = net_with_two_child_sas(&[11, 12]);
    let mut tunnel = Tunnel::loaded_at(Hosts::with_two_networks(), &config).initiate();
    tunnel.client.ping("10.3.0.1");
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    tunnel.client.ping("10.2.0.1");
    tunnel.client.ping("10.3.0.1");
}

#[test]
fn only_the_child_sa_that_was_asked_for_comes_back() {
    let config = net_with_two_child_sas(&[11, 12]);
    let mut tunnel = Tunnel::loaded_at(Hosts::with_two_networks(), &config);
    tunnel.control.ok("INITIATE net net3");
    tunnel.client.ping("10.3.0.1");
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    tunnel.client.ping("10.3.0.1");
    let sas = tunnel.client.swanctl(&["--list-sas"]);
    assert!(sas.contains("net3: #"), "{sas}");
    assert!(!sas.contains("net2: #"), "{sas}");
}

#[test]
fn child_sas_have_the_interface_ids_that_charon_drew_for_their_ike_sa() {
    let mut config = net_with_two_child_sas(&[11, 12]);
    for option in ["if_id_in", "if_id_out"] {
        config["connections"]["net"][option] = "%unique".into();
    }
    let mut tunnel = Tunnel::loaded_at(Hosts::with_two_networks(), &config);
    tunnel.gateway_1.kill();
    tunnel.control.ok("INITIATE net net2");
    expect_failover(&mut tunnel.control, 11, 12, "peer_unreachable");
    let first = tunnel.control.wait_event("tunnel_up");
    tunnel.control.ok("INITIATE net net3");
    let second = tunnel.control.wait_event("tunnel_up");
    assert_eq!(second["child_sa_name"], "net3");
    assert_eq!(second["ike_sa_uniqueid"], first["ike_sa_uniqueid"]);
    for id in ["if_id_in", "if_id_out"] {
        assert_ne!(first[id], 0);
        assert_eq!(second[id], first[id], "{id}");
    }
}

#[test]
fn a_virtual_ip_is_asked_for_at_the_next_gateway() {
    let with_pool = GatewayOptions {
        pool: Some("10.9.0.0/24"),
        ..GatewayOptions::default()
    };
    let mut config = net(&[11, 12]);
    let connection = &mut config["connections"]["net"];
    connection["vips"] = "0.0.0.0".into();
    connection["children"]["net2"]["local_ts"] = "dynamic".into();
    let mut tunnel = Tunnel::up_as(&config, ClientOptions::default(), &with_pool);
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    tunnel.client.ping("10.2.0.1");
    let sas = tunnel.client.swanctl(&["--list-sas"]);
    assert!(sas.contains("[10.9.0."), "{sas}");
}

#[test]
fn a_tunnel_that_swanctl_brought_up_fails_over_too() {
    let mut tunnel = Tunnel::loaded(&net(&[11, 12]));
    let initiate = ["--initiate", "--child", "net2", "--timeout", "20"];
    tunnel.client.swanctl(&initiate);
    tunnel.client.ping("10.2.0.1");
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    tunnel.client.ping("10.2.0.1");
}

#[test]
fn a_dpd_action_of_charon_does_not_bind_the_connection_to_a_dead_gateway() {
    let mut config = net(&[11, 12]);
    let child = &mut config["connections"]["net"]["children"]["net2"];
    child["start_action"] = "start".into();
    child["dpd_action"] = "restart".into();
    // Applied is initiated.
    let mut tunnel = Tunnel::loaded(&config);
    tunnel.control.wait_event("tunnel_up");
    tunnel.client.ping("10.2.0.1");
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    tunnel.client.ping("10.2.0.1");
    let sas = tunnel.client.swanctl(&["--list-sas"]);
    assert_eq!(sas.matches("ESTABLISHED").count(), 1, "{sas}");
    assert!(!sas.contains("CONNECTING"), "{sas}");
}

#[test]
fn start_dpd_finds_a_dead_gateway_at_once() {
    let mut config = net(&[11, 12]);
    // Without it nothing but the command would find out.
    config["connections"]["net"]["dpd_delay"] = "0s".into();
    let mut tunnel = Tunnel::loaded(&config).initiate();
    tunnel.gateway_1.kill();
    assert_eq!(tunnel.control.ok("START_DPD net")["ike_sa_name"], "net");
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    // The connection's name means it on every gateway, and that of the clone does as well.
    let clone = "net-failover-192.168.7.12";
    assert_eq!(tunnel.control.ok("START_DPD net")["ike_sa_name"], "net");
    tunnel.gateway_1.restart();
    tunnel.gateway_2.kill();
    tunnel.control.ok(&format!("START_DPD {clone}"));
    expect_failover(&mut tunnel.control, 12, 11, "dpd_timeout");
}

#[test]
fn a_hundred_failovers_in_a_row_leave_nothing_behind() {
    let mut tunnel = Tunnel::up_with(ClientOptions::with_failover("stable_after = 0"));
    let held = |client: &Client| {
        let count = |of: &str| {
            let directory = format!("/proc/{}/{of}", client.pid());
            std::fs::read_dir(directory).expect("charon runs").count()
        };
        (count("fd"), count("task"))
    };
    let before = held(&tunnel.client);
    tunnel.fail_over_to_and_fro(100);
    tunnel.client.ping("10.2.0.1");
    wait::until("only the last IKE_SA is left", || {
        (ike_sas(&tunnel.client) == 1).then_some(())
    });
    wait::until("descriptors and threads are as before", || {
        (held(&tunnel.client) == before).then_some(())
    });
    let history = tunnel.control.ok("HISTORY net");
    assert_eq!(history["failovers"].as_array().map(Vec::len), Some(100));
}

#[test]
fn charon_answers_while_clients_do_not_read_and_failovers_run() {
    let lab = Lab::new();
    let client = lab.client_with(ClientOptions::with_failover("max_retries = 1000"));
    let silent: Vec<_> = (0..10)
        .map(|_| UnixStream::connect(client.socket_path()).expect("the plugin listens"))
        .collect();
    let mut control = client.connect();
    let config = net(&[11, 12]);
    control.apply(&config);
    control.ok("INITIATE net");
    let mut answers = Vec::new();
    while control.events_named("failover_started").len() < 4 {
        // Each gives every silent client one more event to leave unread.
        for _ in 0..50 {
            control.apply(&config);
        }
        let asked = Instant::now();
        client.swanctl(&["--list-sas"]);
        answers.push(asked.elapsed());
    }
    // The median: the other tests may keep the machine busy for one of them.
    answers.sort();
    assert!(
        answers[answers.len() / 2] < Duration::from_secs(1),
        "{answers:?}"
    );
    drop(silent);
}

#[test]
fn a_restarted_charon_begins_with_the_last_good_gateway() {
    let mut tunnel = Tunnel::up_with(ClientOptions {
        settings: "plugins {\n extsock {\n state_file = /run/lab/gateways\n }\n }".to_owned(),
        ..ClientOptions::default()
    });
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    tunnel.client.ping("10.2.0.1");
    let path = tunnel.client.socket_path().with_file_name("lab/gateways");
    wait::until("it is written", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        (text == "net\t192.168.7.12\n").then_some(())
    });

    tunnel.client.kill();
    tunnel.client.start();
    let mut control = tunnel.client.connect();
    control.apply(&net(&[11, 12]));
    assert_eq!(control.ok("INITIATE net")["gateway"], "192.168.7.12");
    control.wait_event("tunnel_up");
    tunnel.client.ping("10.2.0.1");
    assert!(control.events_named("failover_started").is_empty());
    control.ok("REMOVE_CONFIG net");
    wait::until("it is forgotten", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.is_empty().then_some(())
    });
}
