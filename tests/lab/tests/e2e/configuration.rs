// SPDX-License-Identifier: GPL-2.0-or-later

//! What APPLY_CONFIG makes of its argument.

use extsock_lab::{net, wait, Answered, Lab, PSK};
use serde_json::{json, Value};

use crate::{expect_failover, ike_sa, Tunnel};

#[test]
fn an_error_names_its_field_and_nothing_is_applied() {
    let lab = Lab::new();
    let client = lab.client();
    let mut control = client.connect();
    let mut config = net(&[11, 12]);
    config["connections"]["bad"] = config["connections"]["net"].clone();
    for (field, value) in [
        ("remote_addrs", json!({"not": "a list"})),
        ("proposals", json!(["aes128-no-such-algorithm"])),
        ("version", json!(3)),
        ("remote_adrs", json!("10.0.0.1")),
    ] {
        let mut faulty = config.clone();
        faulty["connections"]["bad"][field] = value;
        let error = control.error(&format!("APPLY_CONFIG {faulty}"));
        assert_eq!(error["code"], 7, "{error}");
        assert_eq!(error["name"], "PARSING_FAILED", "{error}");
        let message = error["message"].as_str().unwrap_or_default();
        let path = format!("connections.bad.{field}");
        assert!(message.contains(&path), "{error}");
        assert_eq!(control.ok("LIST")["connections"], json!([]));
    }
    // What only charon can tell, of both connections at once.
    config["connections"]["bad"]["proposals"] = json!(["aes128-no-such-algorithm"]);
    config["connections"]["net"]["remote"]["cacerts"] = json!("/none.pem");
    let document = config.to_string();
    let error = control.error(&format!("APPLY_CONFIG {document}"));
    let message = error["message"].as_str().unwrap_or_default();
    let mut lines = message.lines();
    for (path, found) in [
        (
            "connections.bad.proposals[0]",
            r#""aes128-no-such-algorithm""#,
        ),
        ("connections.net.remote.cacerts", r#""cacerts""#),
    ] {
        let line = lines.next().unwrap_or_default();
        let column = document.find(found).unwrap() + 1;
        assert!(line.starts_with(&format!("{path}: expected ")), "{message}");
        let place = format!(" at line 1 column {column}");
        assert!(line.ends_with(&place), "{message}");
    }
    assert_eq!(lines.next(), None);
    assert_eq!(control.ok("LIST")["connections"], json!([]));
    assert_eq!(client.swanctl(&["--list-conns"]), "");
    control.error("INITIATE net");
    assert!(control.events_named("config_applied").is_empty());
}

#[test]
fn version_1_is_refused_where_charon_cannot_do_it() {
    let lab = Lab::new();
    let client = lab.client();
    let mut control = client.connect();
    let mut config = net(&[11, 12]);
    config["connections"]["net"]["version"] = json!(1);
    let reply = control.request(&format!("APPLY_CONFIG {config}"));
    if extsock_lab::has_ikev1() {
        assert_eq!(reply["ok"], true, "{reply}");
    } else {
        let message = reply["error"]["message"].as_str().unwrap_or_default();
        let why = "connections.net.version: expected 2, as charon is built without IKEv1";
        assert!(message.starts_with(why), "{reply}");
        assert_eq!(control.ok("LIST")["connections"], json!([]));
    }
}

#[test]
fn applying_a_name_again_leaves_its_running_sa_alone() {
    let mut tunnel = Tunnel::up();
    let before = ike_sa(&tunnel.client, "net");
    let pings = tunnel.client.pings("10.2.0.1");
    tunnel.control.apply(&net(&[11, 12]));
    tunnel.client.ping("10.2.0.1");
    let Answered { sent, answered, .. } = pings.finish();
    assert!(answered + 1 >= sent, "{answered} of {sent} pings answered");
    assert_eq!(ike_sa(&tunnel.client, "net"), before);

    // The SA still belongs to the connection.
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    tunnel.client.ping("10.2.0.1");
}

#[test]
fn gateways_can_be_replaced_under_a_running_sa() {
    let mut tunnel = Tunnel::up();
    let before = ike_sa(&tunnel.client, "net");
    tunnel.control.apply(&net(&[11, 13, 12]));
    assert_eq!(ike_sa(&tunnel.client, "net"), before);
    tunnel.gateway_1.kill();
    // There is no gateway 13.
    let started = tunnel.control.wait_event("failover_started");
    assert_eq!(started["to"], "192.168.7.13");
    let established = tunnel.control.wait_event("failover_established");
    assert_eq!(established["gateway"], "192.168.7.12");
    assert_eq!(established["attempts"], 2);
}

/// A connection as the clients of the existing plugin write it, secret included.
pub(crate) fn existing_shape(name: &str) -> Value {
    json!({
        "name": name,
        "ike_cfg": {
            "version": 2,
            "local_addrs": ["192.168.7.1"],
            "remote_addrs": ["192.168.7.11", "192.168.7.12"],
            "proposals": ["aes128-sha256-modp2048"],
        },
        "local_auth": {"auth": "psk", "id": "client", "secret": PSK},
        "remote_auth": {"auth": "psk", "id": "segw", "secret": PSK},
        "children": [{
            "name": "net2",
            "mode": "tunnel",
            "start_action": "none",
            "dpd_action": "none",
            "local_ts": ["10.1.0.0/24"],
            "remote_ts": ["10.2.0.0/24"],
            "esp_proposals": ["aes128-sha256-modp2048"],
        }],
    })
}

#[test]
fn one_connection_at_the_root_brings_a_tunnel_up() {
    brings_a_tunnel_up(&existing_shape("net"));
}

#[test]
fn connections_in_an_array_bring_a_tunnel_up() {
    brings_a_tunnel_up(&json!({"connections": [existing_shape("net"), existing_shape("other")]}));
}

fn brings_a_tunnel_up(config: &Value) {
    let lab = Lab::new();
    let _gateway_2 = lab.gateway(12);
    let client = lab.client();
    let mut control = client.connect();
    control.apply(config);
    control.ok("INITIATE net");
    expect_failover(&mut control, 11, 12, "peer_unreachable");
    client.ping("10.2.0.1");
}

#[test]
fn an_unchanged_connection_is_not_started_again() {
    let lab = Lab::new();
    let _gateway_1 = lab.gateway(11);
    let client = lab.client();
    let mut control = client.connect();
    let mut config = net(&[11, 12]);
    for child in config["connections"]["net"]["children"]
        .as_object_mut()
        .unwrap()
        .values_mut()
    {
        child["start_action"] = "start".into();
    }
    control.apply(&config);
    control.wait_event("tunnel_up");
    control.ok("TERMINATE net");
    control.wait_event("ike_sa_down");

    let before = control.connection("net");
    control.apply(&config);
    assert_eq!(control.connection("net"), before);
    assert_eq!(control.events_named("config_applied").len(), 2);

    config["connections"]["net"]["dpd_delay"] = "1h".into();
    control.apply(&config);
    control.wait_event("tunnel_up");
}

#[test]
fn policies_without_an_sa_are_installed_and_removed() {
    let lab = Lab::new();
    let client = lab.client();
    let mut control = client.connect();
    let mut config = net(&[11, 12]);
    config["connections"]["net"]["children"]["open"] = json!({
        "mode": "pass", "start_action": "trap",
        "local_ts": "10.1.0.0/24[tcp/22]", "remote_ts": "10.9.0.0/24",
    });
    control.apply(&config);
    let listed = || client.swanctl(&["--list-pols"]).contains("open");
    wait::until("the policy is installed", || listed().then_some(()));
    control.ok("REMOVE_CONFIG net");
    wait::until("the policy is removed", || (!listed()).then_some(()));

    config["connections"]["net"]["children"]["open"]["start_action"] = "trap|start".into();
    let error = control.error(&format!("APPLY_CONFIG {config}"));
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("children.open.start_action"), "{message}");
    assert_eq!(message.lines().count(), 1);
    config["connections"]["other"] = config["connections"]["net"].clone();
    let error = control.error(&format!("APPLY_CONFIG {config}"));
    assert_eq!(error["message"].as_str().unwrap().lines().count(), 2);
    assert_eq!(client.swanctl(&["--list-conns"]), "");
}
