// SPDX-License-Identifier: GPL-2.0-or-later

//! IKEv1, main mode: what is a failure of the gateway and what is not.

use std::time::Duration;

use extsock_lab::{net, wait, Client, ClientOptions, Extsock, GatewayOptions, Lab};
use serde_json::{json, Value};

use crate::ike_sas;
use crate::no_failover::{expect_down, failover_after};
use crate::{expect_failover, ike_sa, wait_state, Tunnel};

/// Connection `net` over gateways 11 and 12, with options of its own.
fn net_v1(options: &Value) -> Value {
    let mut config = net(&[11, 12]);
    let connection = config["connections"]["net"]
        .as_object_mut()
        .expect("a connection");
    connection.extend([
        ("version".to_owned(), json!(1)),
        // The retransmission does not count for DPD.
        ("dpd_timeout".to_owned(), json!("2s")),
    ]);
    connection.extend(options.as_object().expect("options").clone());
    config
}

fn up(options: &Value) -> Tunnel {
    up_with(options, GatewayOptions::ikev1())
}

fn up_with(options: &Value, gateways: GatewayOptions) -> Tunnel {
    let tunnel = Tunnel::up_as(&net_v1(options), ClientOptions::default(), &gateways);
    let up = ike_sa(&tunnel.client, "net");
    assert!(up.contains("ESTABLISHED, IKEv1"), "{up}");
    tunnel
}

fn with_child(options: &Value) -> Value {
    let mut config = net(&[11, 12]);
    let children = &mut config["connections"]["net"]["children"];
    children["net2"]
        .as_object_mut()
        .expect("a child")
        .extend(options.as_object().expect("options").clone());
    json!({ "children": children })
}

/// One IKE_SA, to gateway 2, with packets through it, after one failover.
#[track_caller]
fn settled_on_gateway_2(client: &Client, control: &mut Extsock) {
    client.ping("10.2.0.1");
    wait::until("one IKE_SA is left", || {
        (ike_sas(client) == 1).then_some(())
    });
    let up = client.swanctl(&["--list-sas"]);
    assert!(up.starts_with("net: "), "{up}");
    assert!(up.contains("ESTABLISHED, IKEv1"), "{up}");
    assert!(up.contains("'segw' @ 192.168.7.12"), "{up}");
    let listed = wait_state(control, "established");
    assert_eq!(listed["active_gateway"], "192.168.7.12");
    assert_eq!(control.events_named("failover_started").len(), 1);
}

#[track_caller]
fn no_failover(control: &Extsock) {
    wait::holds_for(Duration::from_secs(3), "no failover", || {
        failover_after(control, 0)
    });
}

/// Gateway 1, which is edited, is initiated with keyingtries 1 and 0.
fn refused_by_gateway_1(from: &'static str, to: &'static str, sign: &str, reason: &str) {
    for keyingtries in [1, 0] {
        let lab = Lab::new();
        let gateway_1 = lab.gateway_with(11, GatewayOptions::ikev1().edited(&[(from, to)]));
        let _gateway_2 = lab.gateway_with(12, GatewayOptions::ikev1());
        let client = lab.client();
        let mut control = client.connect();
        control.apply(&net_v1(&json!({ "keyingtries": keyingtries })));
        control.ok("INITIATE net");
        gateway_1.wait_log(sign);
        expect_failover(&mut control, 11, 12, reason);
        settled_on_gateway_2(&client, &mut control);
    }
}

#[test]
fn gateway_1_does_not_answer() {
    for keyingtries in [1, 0] {
        let lab = Lab::new();
        let _gateway_2 = lab.gateway_with(12, GatewayOptions::ikev1());
        let client = lab.client();
        let mut control = client.connect();
        control.apply(&net_v1(&json!({ "keyingtries": keyingtries })));
        control.ok("INITIATE net");
        expect_failover(&mut control, 11, 12, "peer_unreachable");
        settled_on_gateway_2(&client, &mut control);
    }
}

/// In main mode such a gateway cannot even read our authentication, nor we its answer.
#[test]
fn gateway_1_has_another_secret() {
    refused_by_gateway_1(
        extsock_lab::PSK,
        "not the client's secret",
        "could not decrypt payloads",
        "peer_unreachable",
    );
}

#[test]
fn gateway_1_has_another_identity() {
    refused_by_gateway_1(
        "id = segw",
        "id = other",
        "received DELETE for IKE_SA segw",
        "auth_failed",
    );
}

#[test]
fn gateway_1_has_no_common_proposal() {
    refused_by_gateway_1(
        "\n proposals = aes128-sha256-modp2048",
        "\n proposals = aes256-sha512-modp3072",
        "no proposal found",
        "rejected",
    );
}

fn gateway_dies(dpd_action: &str) {
    let mut tunnel = up(&with_child(&json!({ "dpd_action": dpd_action })));
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    settled_on_gateway_2(&tunnel.client, &mut tunnel.control);
}

#[test]
fn gateway_dies_with_dpd_action_none() {
    gateway_dies("none");
}

#[test]
fn gateway_dies_with_dpd_action_trap() {
    gateway_dies("trap");
}

#[test]
fn gateway_dies_with_dpd_action_restart() {
    gateway_dies("restart");
}

/// Nothing else would find out.
fn not_answered(options: &Value, request: &[&str]) {
    let mut connection = options.clone();
    connection["dpd_delay"] = "0s".into();
    let mut tunnel = up(&connection);
    tunnel.gateway_1.kill();
    tunnel.client.swanctl(request);
    tunnel.client.wait_log("giving up after 2 retransmits");
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    settled_on_gateway_2(&tunnel.client, &mut tunnel.control);
}

#[test]
fn a_rekeying_of_the_child_sa_is_not_answered() {
    not_answered(&json!({}), &["--rekey", "--child", "net2"]);
}

#[test]
fn a_rekeying_of_the_child_sa_is_not_answered_with_dpd_action_restart() {
    not_answered(
        &with_child(&json!({"dpd_action": "restart"})),
        &["--rekey", "--child", "net2"],
    );
}

#[test]
fn start_dpd_finds_a_dead_gateway() {
    let mut tunnel = up(&json!({"dpd_delay": "0s"}));
    tunnel.gateway_1.kill();
    // charon counts whole seconds: what came in the same one would be a sign of life.
    wait::until("the last packet was received two seconds ago", || {
        let sas = tunnel.client.swanctl(&["--list-sas"]);
        let received = sas.lines().find(|line| line.starts_with("    in "))?;
        received.ends_with(" 2s ago").then_some(())
    });
    tunnel.control.ok("START_DPD net");
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    settled_on_gateway_2(&tunnel.client, &mut tunnel.control);
}

#[test]
fn a_silent_gateway_is_found_without_charons_dpd() {
    let mut tunnel = up(&json!({
        "dpd_delay": "0s",
        "failover": {"liveness_interval": "0.5s", "liveness_timeout": "0.5s"},
    }));
    // Alive for longer than both together.
    no_failover(&tunnel.control);
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "liveness_timeout");
    settled_on_gateway_2(&tunnel.client, &mut tunnel.control);
}

fn gateway_deletes(close_action: &str) {
    let mut tunnel = up(&with_child(&json!({ "close_action": close_action })));
    tunnel.gateway_1.swanctl(&["--terminate", "--ike", "segw"]);
    expect_failover(&mut tunnel.control, 11, 12, "peer_deleted");
    settled_on_gateway_2(&tunnel.client, &mut tunnel.control);
}

#[test]
fn gateway_deletes_the_isakmp_sa_with_close_action_none() {
    gateway_deletes("none");
}

#[test]
fn gateway_deletes_the_isakmp_sa_with_close_action_trap() {
    gateway_deletes("trap");
}

#[test]
fn gateway_deletes_the_isakmp_sa_with_close_action_start() {
    gateway_deletes("start");
}

/// An IKEv1 peer deletes the CHILD_SAs first.
#[test]
fn gateway_shuts_down_and_the_child_sa_that_was_asked_for_comes_back() {
    let two_networks = GatewayOptions {
        networks: vec![2, 3],
        ..GatewayOptions::ikev1()
    };
    let mut tunnel = up_with(&json!({}), two_networks);
    let mut config = net_v1(&json!({}));
    let net3 = extsock_lab::connection("net", &[11], &[3]);
    config["connections"]["net"]["children"]["net3"] =
        net3["connections"]["net"]["children"]["net3"].clone();
    tunnel.control.apply(&config);

    tunnel.gateway_1.stop();
    expect_failover(&mut tunnel.control, 11, 12, "peer_deleted");
    settled_on_gateway_2(&tunnel.client, &mut tunnel.control);
    wait::holds_for(Duration::from_secs(1), "no other CHILD_SA", || {
        let sas = tunnel.client.swanctl(&["--list-sas"]);
        sas.contains("net3: #").then_some(sas)
    });
}

#[test]
fn gateway_refuses_the_child_sa_where_that_is_a_failure() {
    let lab = Lab::new();
    let no_such_network = [("local_ts = 10.2.0.0/24", "local_ts = 10.4.0.0/24")];
    let gateway_1 = lab.gateway_with(11, GatewayOptions::ikev1().edited(&no_such_network));
    let _gateway_2 = lab.gateway_with(12, GatewayOptions::ikev1());
    let client = lab.client();
    let mut control = client.connect();
    control.apply(&net_v1(&json!({"failover": {"on_child_failure": true}})));
    control.ok("INITIATE net");
    gateway_1.wait_log("no matching CHILD_SA config found");
    expect_failover(&mut control, 11, 12, "child_failed");
    settled_on_gateway_2(&client, &mut control);
}

#[test]
fn an_operator_switches() {
    let mut tunnel = up(&json!({}));
    tunnel.control.ok("FAILOVER net");
    expect_failover(&mut tunnel.control, 11, 12, "operator");
    settled_on_gateway_2(&tunnel.client, &mut tunnel.control);
}

#[test]
fn an_operator_switches_where_identities_are_unique() {
    let mut tunnel = up(&json!({"unique": "replace"}));
    tunnel.control.ok("FAILOVER net");
    expect_failover(&mut tunnel.control, 11, 12, "operator");
    settled_on_gateway_2(&tunnel.client, &mut tunnel.control);
}

#[test]
fn terminate() {
    let mut tunnel = up(&json!({}));
    tunnel.control.ok("TERMINATE net");
    expect_down(&mut tunnel.control, &tunnel.client);
    assert_eq!(ike_sas(&tunnel.client), 0);
}

#[test]
fn terminate_by_swanctl() {
    let mut tunnel = up(&json!({}));
    tunnel.client.swanctl(&["--terminate", "--ike", "net"]);
    expect_down(&mut tunnel.control, &tunnel.client);
    assert_eq!(ike_sas(&tunnel.client), 0);
}

#[test]
fn terminate_when_the_gateway_is_dead() {
    for by_swanctl in [false, true] {
        let mut tunnel = up(&json!({}));
        tunnel.gateway_1.kill();
        if by_swanctl {
            tunnel.client.swanctl(&["--terminate", "--ike", "net"]);
        } else {
            tunnel.control.ok("TERMINATE net");
        }
        expect_down(&mut tunnel.control, &tunnel.client);
        assert_eq!(ike_sas(&tunnel.client), 0);
    }
}

#[test]
fn terminate_with_another_exchange_in_flight() {
    let mut tunnel = up(&json!({"dpd_delay": "0s"}));
    tunnel.gateway_1.kill();
    tunnel.client.swanctl(&["--rekey", "--child", "net2"]);
    tunnel.client.wait_log("sending retransmit 1");
    tunnel.client.swanctl(&["--terminate", "--ike", "net"]);
    expect_down(&mut tunnel.control, &tunnel.client);
    assert_eq!(ike_sas(&tunnel.client), 0);
}

#[test]
fn terminate_while_connecting() {
    let lab = Lab::new();
    let client = lab.client();
    let mut control = client.connect();
    control.apply(&net_v1(&json!({})));
    control.ok("INITIATE net");
    client.wait_log("sending retransmit 1");
    client.swanctl(&["--terminate", "--ike", "net", "--force"]);
    wait_state(&mut control, "down");
    no_failover(&control);
    assert_eq!(ike_sas(&client), 0);
}

/// Reauthenticates and waits until the new IKE_SA is up; returns its line.
fn reauthenticate(tunnel: &Tunnel) -> String {
    let before = ike_sa(&tunnel.client, "net");
    tunnel
        .client
        .swanctl(&["--rekey", "--ike", "net", "--reauth"]);
    tunnel
        .client
        .wait_log("IKE_SA net[2] established between 192.168.7.1");
    let sas = tunnel.client.swanctl(&["--list-sas", "--ike-id", "2"]);
    let after = sas.lines().next().unwrap_or_default().to_owned();
    assert!(after.contains("ESTABLISHED, IKEv1"), "{after}");
    assert_ne!(after, before);
    after
}

fn reauthenticates(unique: &str, sign: &str) {
    let mut tunnel = up(&json!({ "unique": unique }));
    reauthenticate(&tunnel);
    tunnel.client.wait_log(sign);
    no_failover(&tunnel.control);
    tunnel.client.ping("10.2.0.1");

    // A gateway keeps the old one for a while.
    let sas = tunnel.client.swanctl(&["--list-sas"]);
    assert!(sas.contains("#1, REKEYING"), "{sas}");
    tunnel.gateway_1.swanctl(&["--terminate", "--ike-id", "1"]);
    wait::until("the old IKE_SA is gone", || {
        (ike_sas(&tunnel.client) == 1).then_some(())
    });
    no_failover(&tunnel.control);
    tunnel.client.ping("10.2.0.1");
    let listed = wait_state(&mut tunnel.control, "established");
    assert_eq!(listed["active_gateway"], "192.168.7.11");

    // The new one is watched like the old one.
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    settled_on_gateway_2(&tunnel.client, &mut tunnel.control);
}

#[test]
fn reauthentication() {
    reauthenticates("no", "reauthenticating IKE_SA net[1]");
}

#[test]
fn reauthentication_where_identities_are_unique() {
    reauthenticates(
        "replace",
        "schedule delete of duplicate IKE_SA for peer 'segw' due to uniqueness policy",
    );
}

#[test]
fn reauthentication_when_its_time_has_come() {
    let mut tunnel = up(&json!({
        "reauth_time": "2s", "over_time": "1s", "rand_time": "0s",
    }));
    tunnel.client.wait_log("IKE_SA net[3] established between");
    no_failover(&tunnel.control);
    tunnel.client.ping("10.2.0.1");
    // The one that is replaced lives on for a second.
    let count = ike_sas(&tunnel.client);
    assert!((1..=2).contains(&count), "{count}");
    assert_eq!(
        wait_state(&mut tunnel.control, "established")["active_gateway"],
        "192.168.7.11"
    );
}

#[test]
fn gateway_dies_right_after_a_reauthentication() {
    for dpd_action in ["none", "restart"] {
        let mut tunnel = up(&with_child(&json!({ "dpd_action": dpd_action })));
        reauthenticate(&tunnel);
        tunnel.gateway_1.kill();
        expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
        settled_on_gateway_2(&tunnel.client, &mut tunnel.control);
    }
}

#[test]
fn a_reauthentication_is_not_answered() {
    not_answered(&json!({}), &["--rekey", "--ike", "net", "--reauth"]);
}

/// At another gateway the CHILD_SAs, which the IKE_SA has already, would be of no use.
#[test]
fn a_reauthentication_is_not_answered_with_three_tries() {
    for dpd_action in ["none", "restart"] {
        let mut options = with_child(&json!({ "dpd_action": dpd_action }));
        options["keyingtries"] = json!(3);
        not_answered(&options, &["--rekey", "--ike", "net", "--reauth"]);
    }
}

#[test]
fn a_reauthentication_is_answered_at_its_second_try() {
    let mut tunnel = up(&json!({
        "remote_addrs": "192.168.7.11", "keyingtries": 3, "dpd_delay": "0s",
    }));
    tunnel.lab.unplug(11);
    let reauthenticate = ["--rekey", "--ike", "net", "--reauth"];
    tunnel.client.swanctl(&reauthenticate);
    tunnel.client.wait_log("trying again (2/3)");
    tunnel.lab.plug(11);
    tunnel.client.wait_log("IKE_SA net[2] established between");
    wait::holds_for(
        Duration::from_secs(2),
        "the new IKE_SA is left alone",
        || {
            let sas = tunnel.client.swanctl(&["--list-sas", "--ike-id", "2"]);
            (!sas.contains("ESTABLISHED")).then_some(sas)
        },
    );
    tunnel.client.ping("10.2.0.1");
    wait_state(&mut tunnel.control, "established");
    no_failover(&tunnel.control);
}

#[test]
fn no_second_tunnel_after_a_reauthentication() {
    let mut tunnel = up(&json!({}));
    reauthenticate(&tunnel);
    tunnel.gateway_1.swanctl(&["--terminate", "--ike-id", "1"]);
    wait::until("the old IKE_SA is gone", || {
        (ike_sas(&tunnel.client) == 1).then_some(())
    });
    tunnel.control.ok("INITIATE net");
    wait::holds_for(Duration::from_secs(2), "one CHILD_SA", || {
        let sas = tunnel.client.swanctl(&["--list-sas"]);
        (sas.matches("net2: #").count() != 1).then_some(sas)
    });
}

/// The gateway reauthenticates an IKE_SA that we initiated: in the new one we are the responder.
fn gateway_reauthenticates() -> Tunnel {
    let tunnel = up(&json!({}));
    tunnel
        .gateway_1
        .swanctl(&["--rekey", "--ike", "segw", "--reauth"]);
    tunnel.client.wait_log("IKE_SA net[2] established between");
    tunnel
}

#[test]
fn the_gateway_reauthenticates_and_deletes_the_old_ike_sa() {
    let tunnel = gateway_reauthenticates();
    tunnel.gateway_1.swanctl(&["--terminate", "--ike-id", "1"]);
    tunnel.client.wait_log("received DELETE for IKE_SA net[1]");
    no_failover(&tunnel.control);
    assert_eq!(ike_sas(&tunnel.client), 1);
    tunnel.client.ping("10.2.0.1");
}

#[test]
fn the_gateway_reauthenticates_and_dies_later() {
    let mut tunnel = gateway_reauthenticates();
    // charon itself deletes it after 10 s.
    wait::until("the old IKE_SA is gone", || {
        (ike_sas(&tunnel.client) == 1).then_some(())
    });
    assert_eq!(failover_after(&tunnel.control, 0), None);
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    settled_on_gateway_2(&tunnel.client, &mut tunnel.control);
}

#[test]
fn rekeying_of_the_child_sa() {
    let mut tunnel = up(&json!({}));
    tunnel.client.swanctl(&["--rekey", "--child", "net2"]);
    let rekeyed = tunnel.control.wait_event("child_rekey");
    assert_eq!(rekeyed["old_child_sa_name"], "net2");
    assert_eq!(rekeyed["new_child_sa_name"], "net2");
    no_failover(&tunnel.control);
    tunnel.client.ping("10.2.0.1");
    assert_eq!(ike_sas(&tunnel.client), 1);

    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    settled_on_gateway_2(&tunnel.client, &mut tunnel.control);
}

#[test]
fn an_ike_sa_of_the_same_identities_replaces_it() {
    let mut tunnel = up(&json!({"unique": "replace"}));
    // Equal to `net` in all that charon compares there.
    let mut config = net_v1(&json!({"unique": "replace"}));
    let mut other = config["connections"]["net"].take();
    other["remote_addrs"] = "192.168.7.12,192.168.7.13".into();
    other["children"] = json!({"net2": other["children"]["net2"].clone()});
    tunnel
        .control
        .apply(&json!({"connections": {"other": other}}));
    tunnel.control.ok("INITIATE other");
    tunnel
        .client
        .wait_log("deleting duplicate IKE_SA for peer 'segw' due to uniqueness policy");
    wait_state(&mut tunnel.control, "down");
    wait::holds_for(Duration::from_secs(3), "only the other's IKE_SA", || {
        let sas = tunnel.client.ike_sas();
        let other = matches!(&sas[..], [sa] if sa.starts_with("other: "));
        failover_after(&tunnel.control, 0).or_else(|| (!other).then(|| format!("{sas:?}")))
    });
}

/// A gateway that initiates as well.
fn initiating_gateway() -> GatewayOptions {
    GatewayOptions::ikev1().edited(&[
        (
            "local_addrs =",
            "remote_addrs = 192.168.7.1\n local_addrs =",
        ),
        (
            "remote {\n auth = psk\n",
            "remote {\n auth = psk\n id = client\n",
        ),
    ])
}

#[test]
fn an_ike_sa_of_the_gateways_ends() {
    for killed in [true, false] {
        let lab = Lab::new();
        let mut gateway_1 = lab.gateway_with(11, initiating_gateway());
        let _gateway_2 = lab.gateway_with(12, GatewayOptions::ikev1());
        let client = lab.client();
        let mut control = client.connect();
        control.apply(&net_v1(&json!({})));
        gateway_1.swanctl(&["--initiate", "--child", "net2"]);
        client.ping("10.2.0.1");
        assert_eq!(ike_sas(&client), 1);
        if killed {
            gateway_1.kill();
        } else {
            gateway_1.stop();
        }
        control.wait_event("ike_sa_down");
        no_failover(&control);
        assert_eq!(ike_sas(&client), 0);
        assert_eq!(control.connection("net")["state"], "down");
    }
}

#[test]
fn the_gateway_has_restarted_and_makes_initial_contact() {
    let mut tunnel = up_with(
        &json!({"dpd_delay": "20s", "dpd_timeout": "20s"}),
        initiating_gateway(),
    );
    tunnel.gateway_1.kill();
    tunnel.gateway_1.restart();
    tunnel.gateway_1.swanctl(&["--initiate", "--child", "net2"]);
    tunnel.client.wait_log("received INITIAL_CONTACT");
    wait::until("the IKE_SA of before is gone", || {
        (ike_sas(&tunnel.client) == 1).then_some(())
    });
    no_failover(&tunnel.control);
    tunnel.client.ping("10.2.0.1");
}

#[test]
fn shutdown() {
    for dead in [false, true] {
        let mut tunnel = up(&json!({}));
        if dead {
            tunnel.gateway_1.kill();
        }
        let (status, _) = tunnel.client.stop();
        assert!(status.success(), "{status}");
        tunnel.control.wait_closed();
        assert_eq!(failover_after(&tunnel.control, 0), None);
    }
}
