// SPDX-License-Identifier: GPL-2.0-or-later

//! Clients of the socket, well-behaved and other.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;

use extsock_lab::{net, wait, ClientOptions, Lab, PSK};
use serde_json::json;

use crate::configuration::existing_shape;
use crate::Tunnel;

#[test]
fn existing_clients_send_no_terminator() {
    let lab = Lab::new();
    let client = lab.client();
    let mut observer = client.connect();
    let shapes = [
        net(&[11, 12]),
        existing_shape("net"),
        json!({"connections": [existing_shape("net")]}),
    ];
    let [pretty, ..] = shapes.map(|shape| {
        let pretty = format!("{shape:#}");
        // One that keeps its connection open: the JSON value says where it ends, after the
        // command it is the pause.
        let mut open = client.connect();
        open.send(format!("APPLY_CONFIG {pretty}").as_bytes());
        assert_eq!(open.reply()["ok"], true);
        observer.wait_event("config_applied");
        open.send(b"REMOVE_CONFIG net");
        assert_eq!(open.reply()["ok"], true);
        pretty
    });
    assert!(pretty.lines().count() > 20);

    // One that says it is done, and one that does not wait for anything.
    let mut half_closed = client.connect();
    half_closed.send(format!("APPLY_CONFIG {pretty}").as_bytes());
    half_closed.half_close();
    assert_eq!(half_closed.reply()["ok"], true);
    observer.wait_event("config_applied");
    let mut hasty = UnixStream::connect(client.socket_path()).expect("the plugin listens");
    hasty.write_all(b"REMOVE_CONFIG net").expect("it reads");
    drop(hasty);
    wait::until("the hasty client's request is served", || {
        observer.connection("net").is_null().then_some(())
    });
}

#[test]
fn a_value_in_pieces_is_one_request() {
    let lab = Lab::new();
    let client = lab.client();
    let mut control = client.connect();
    let request = format!("APPLY_CONFIG {}\nLIST\n", net(&[11, 12]));
    for piece in request.as_bytes().chunks(37) {
        control.send(piece);
    }
    assert_eq!(control.reply()["reply"], "APPLY_CONFIG");
    assert_eq!(control.reply()["reply"], "LIST");
}

#[test]
fn replies_come_in_the_order_of_the_requests() {
    let lab = Lab::new();
    let client = lab.client();
    let mut control = client.connect();
    control.send(b"LIST\nINITIATE nobody\nNONSENSE\nLIST\n");
    let replies = [(); 4].map(|()| control.reply());
    let summary = replies.map(|reply| (reply["reply"].to_string(), reply["ok"].clone()));
    assert_eq!(summary[0], ("\"LIST\"".to_owned(), true.into()));
    assert_eq!(summary[1], ("\"INITIATE\"".to_owned(), false.into()));
    assert_eq!(summary[2].1, false);
    assert_eq!(summary[3], ("\"LIST\"".to_owned(), true.into()));
}

#[test]
fn every_client_gets_the_events() {
    let lab = Lab::new();
    let client = lab.client();
    let mut control = client.connect();
    let mut observers = [(); 3].map(|()| client.connect());
    for observer in &mut observers {
        // A reply shows that the plugin has accepted the connection.
        observer.ok("LIST");
    }
    control.apply(&net(&[11, 12]));
    for observer in &mut observers {
        assert_eq!(observer.wait_event("config_applied")["connection"], "net");
    }
}

#[test]
fn clients_that_come_and_go_do_not_cost_the_next_one_its_turn() {
    let lab = Lab::new();
    let client = lab.client();
    for _ in 0..200 {
        client.connect().ok("LIST");
    }
}

#[test]
fn tunnel_up_tells_what_a_data_plane_needs() {
    let tunnel = Tunnel::up();
    let events = tunnel.control.events_named("tunnel_up");
    let [event] = &events[..] else {
        panic!("{events:?}");
    };
    for (key, value) in [
        ("ike_sa_name", "net"),
        ("child_sa_name", "net2"),
        ("proto", "esp"),
        ("mode", "tunnel"),
        ("src", "192.168.7.1"),
        ("dst", "192.168.7.11"),
        ("local_ts", "10.1.0.0/24"),
        ("remote_ts", "10.2.0.0/24"),
        ("direction", "out"),
        ("policy_action", "protect"),
    ] {
        assert_eq!(event[key], value, "{key}");
    }
    for key in ["enc_alg", "integ_alg"] {
        assert!(event[key].as_str().is_some_and(|name| name != "unknown"));
    }
    let spi = event["spi"].as_u64().expect("the SPI is a number");
    let sas = tunnel.client.swanctl(&["--list-sas"]);
    assert!(sas.contains(&format!("in  {spi:08x}")), "{spi:08x}: {sas}");
}

#[test]
fn a_client_that_never_reads_is_dropped_and_others_are_not() {
    let lab = Lab::new();
    let client = lab.client();
    let mut silent = UnixStream::connect(client.socket_path()).expect("the plugin listens");
    let mut control = client.connect();
    let mut config = net(&[11, 12]);
    // Long names make long events.
    let name = "n".repeat(2000);
    let connection = config["connections"]["net"].take();
    config["connections"] = json!({name: connection});
    wait::until("the silent client is dropped", || {
        for _ in 0..100 {
            control.apply(&config);
        }
        // Writing to a connection that the other side has closed fails.
        silent.write_all(b"\n").is_err().then_some(())
    });
    control.ok("LIST");
    // What had been sent to it before ends at a line or within one, but it ends.
    let mut rest = Vec::new();
    let _ = silent.read_to_end(&mut rest);
}

#[test]
fn the_socket_is_owned_and_protected_like_that_of_vici() {
    let lab = Lab::new();
    let client = lab.client();
    let socket = client.socket_path();
    let ours = fs::metadata(&socket).expect("the socket is there");
    let vici = fs::metadata(socket.with_extension("vici")).expect("vici's socket is there");
    assert!(ours.file_type().is_socket());
    assert_eq!(
        (ours.mode(), ours.uid(), ours.gid()),
        (vici.mode(), vici.uid(), vici.gid())
    );
}

#[test]
fn the_socket_can_be_placed_elsewhere() {
    let lab = Lab::new();
    let client = lab.client_with(ClientOptions {
        settings: "plugins {\n extsock {\n socket = unix:///run/lab/elsewhere\n }\n }".to_owned(),
        ..ClientOptions::default()
    });
    client.connect_at("/run/lab/elsewhere").ok("LIST");
    assert!(!client.socket_path().exists());
}

#[test]
fn systemd_can_hold_the_socket() {
    let lab = Lab::new();
    let path = "/run/from-systemd";
    let mut client = lab.client_with(ClientOptions {
        settings: "plugins {\n extsock {\n socket = systemd://extsock\n allowed_uids = 0\n }\n }"
            .to_owned(),
        socket: Some(path),
        ..ClientOptions::default()
    });
    client.wait_log("loaded, serving systemd://extsock");
    let mut control = client.connect_at(path);
    control.apply(&net(&[11, 12]));
    assert!(!control.connection("net").is_null());
    drop(control);
    client.stop();
    client.start();
    client.connect_at(path).ok("LIST");
}

#[test]
fn status_and_stats_tell_of_a_failover() {
    let mut tunnel = Tunnel::up();
    let version = tunnel.client.swanctl(&["--version", "--daemon"]);
    let charon = tunnel.control.ok("VERSION")["strongswan"].clone();
    let charon = charon.as_str().expect("a string");
    assert!(version.contains(&format!(" {charon} ")), "{version}");
    let idle = &tunnel.control.ok("STATUS net")["connections"][0];
    assert_eq!(idle["child_sas"], json!(["net2"]));
    assert_eq!(idle["last_failovers"], json!([]));
    tunnel.control.ok("FAILOVER net");
    tunnel.control.wait_event("failover_established");

    let status = &tunnel.control.ok("STATUS net")["connections"][0];
    assert_eq!(status["active_gateway"], "192.168.7.12");
    assert_eq!(status["state"], "established");
    assert_eq!(status["last_failovers"][0]["reason"], "operator");
    let id = format!("net: #{},", status["ike_sa_uniqueid"]);
    let sas = tunnel.client.swanctl(&["--list-sas"]);
    assert!(sas.contains(&id), "{id} {sas}");
    assert!(status["established_ms"]
        .as_u64()
        .is_some_and(|ms| ms < 60_000));
    assert!(tunnel.control.error("STATUS nobody")["message"]
        .as_str()
        .is_some_and(|message| message.contains("nobody")));

    let stats = tunnel.control.ok("STATS");
    assert_eq!(stats["failovers"], json!({"operator": 1}));
    assert_eq!(stats["attempts"], 2);
    assert_eq!(stats["established"], 2);
    assert_eq!(stats["clients"], 1);
    let last = tunnel.control.events().pop().expect("there are events");
    assert!(stats["events"].as_u64() >= last["seq"].as_u64());
}

#[test]
fn a_list_of_users_that_cannot_be_read_lets_nobody_in() {
    let lab = Lab::new();
    let client = lab.client_with(ClientOptions {
        settings: "plugins {\n extsock {\n allowed_uids = root\n }\n }".to_owned(),
        ..ClientOptions::default()
    });
    client.wait_log("allowed_uids: expected numbers, found root");
    assert!(!client.socket_path().exists());
}

#[test]
fn no_verb_and_no_event_gives_a_secret_back() {
    let mut tunnel = Tunnel::up();
    let control = &mut tunnel.control;
    let help = control.ok("HELP");
    for verb in help["verbs"].as_array().expect("HELP lists the verbs") {
        let verb = verb["verb"].as_str().unwrap_or_default();
        for arguments in [
            "",
            " net",
            " net x y",
            " {\"secrets\": {\"ike\": [{\"secret\": 1}]}}",
        ] {
            // What the arguments do to the connection does not matter here.
            let reply = control.request(&format!("{verb}{arguments}")).to_string();
            assert!(!reply.contains(PSK), "{verb}{arguments}: {reply}");
        }
        control.apply(&net(&[11, 12]));
    }
    let faulty = format!(
        "APPLY_CONFIG {{\"secrets\": {{\"ike\": [{{\"id\": 1, \"secret\": \"{PSK}\"}}]}}}}"
    );
    assert!(!control.error(&faulty).to_string().contains(PSK));
    assert!(!control
        .request(&format!("{PSK} {PSK}"))
        .to_string()
        .contains(PSK));
    let told = control
        .events()
        .iter()
        .any(|event| event.line.contains(PSK));
    assert!(!told);
}
