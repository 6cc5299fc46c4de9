// SPDX-License-Identifier: GPL-2.0-or-later

//! Configurations in files.

use extsock_lab::{
    connection, net, wait, Client, ClientOptions, Extsock, GatewayOptions, Lab, Pki, PSK,
};
use serde_json::{json, Value};

use crate::{authentication, ike_sa};

fn client(lab: &Lab) -> Client {
    lab.client_with(ClientOptions {
        settings: "plugins {\n extsock {\n config_dir = /run/lab\n }\n }".to_owned(),
        ..ClientOptions::default()
    })
}

/// The names of the connections that there are.
fn names(control: &mut Extsock) -> Value {
    let list = control.ok("LIST");
    let connections = list["connections"].as_array().cloned().unwrap_or_default();
    connections.iter().map(|c| c["name"].clone()).collect()
}

#[test]
fn connections_come_back_with_charon() {
    let lab = Lab::new();
    let _gateway = lab.gateway(11);
    let mut client = client(&lab);
    let mut config = net(&[11, 12]);
    config["connections"]["net"]["children"]["net2"]["start_action"] = json!("start");
    client.write("net.json", &config.to_string());
    client.kill();
    client.start();
    client.ping("10.2.0.1");
    assert_eq!(names(&mut client.connect()), json!(["net"]));
}

#[test]
fn files_that_change_are_loaded_and_a_bad_one_stops_no_other() {
    let lab = Lab::new();
    let client = client(&lab);
    let mut control = client.connect();
    let file = |name: &str| connection(name, &[11, 12], &[2]).to_string();
    client.write("1.json", &file("one"));
    client.write("2.json", r#"{"connections": {"two": {"remote_addrs": 7}}}"#);
    client.write("3.json", &file("three"));
    client.write("4.json", &file("one"));
    client.write("5.conf", &file("five"));
    let reply = control.ok("RELOAD");
    assert_eq!(reply["connections"], json!(["one", "three"]));
    let failed = |index: usize, key: &str| reply["failed"][index][key].clone();
    assert_eq!(failed(0, "file"), "/run/lab/2.json");
    assert_eq!(failed(0, "error")["name"], "PARSING_FAILED");
    assert_eq!(failed(1, "file"), "/run/lab/4.json");
    client.wait_log(
        "/run/lab/2.json: parsing the configuration failed: connections.two.remote_addrs",
    );
    assert_eq!(names(&mut control), json!(["one", "three"]));

    // Each way to reload: what vanished goes, what is new comes, what is broken stays as it was.
    client.remove("1.json");
    client.write("2.json", &file("two"));
    client.reload();
    wait::until("SIGHUP has the files loaded", || {
        (names(&mut control) == json!(["one", "three", "two"])).then_some(())
    });
    client.write("3.json", "{");
    client.remove("4.json");
    client.swanctl(&["--reload-settings"]);
    wait::until("swanctl has the files loaded", || {
        (names(&mut control) == json!(["three", "two"])).then_some(())
    });
    client.wait_log("/run/lab/3.json: ");

    control.apply(&connection("other", &[11, 12], &[2]));
    let applied = control.events_named("config_applied").len();
    let reply = control.ok("RELOAD");
    assert_eq!(reply["connections"], json!(["two", "three"]));
    assert_eq!(reply["removed"], json!([]));
    assert_eq!(names(&mut control), json!(["other", "three", "two"]));
    assert_eq!(control.events_named("config_applied").len(), applied);
}

/// How many connections were loaded up to now.
fn applied(control: &Extsock) -> usize {
    control.events_named("config_applied").len()
}

/// The events may come after the reply.
fn wait_applied(control: &Extsock, count: usize) {
    wait::until(&format!("{count} connections were loaded"), || {
        (applied(control) == count).then_some(())
    });
}

#[test]
fn what_is_unchanged_is_left_alone_and_a_renewed_certificate_is_read() {
    let pki = Pki::with_ca("ca");
    pki.add_ca("other-ca");
    pki.add_host("segw", "ca");
    pki.add_host("client", "ca");
    let mut options = authentication::gateway(&pki, &pki);
    options
        .files
        .push(("x509ca/other-ca.pem", pki.read("other-ca.pem")));
    let lab = Lab::new();
    let gateway = lab.gateway_with(11, options);
    let client = client(&lab);
    let mut control = client.connect();
    client.write("net.json", &authentication::config(&pki).to_string());
    let mut psk = connection("psk", &[12], &[3]);
    psk["secrets"] = json!({"ike": {"secret": PSK}});
    client.write("psk.json", &psk.to_string());
    client.write(
        "secrets.json",
        r#"{"secrets": {"eap": {"id": "a", "secret": "b"}}}"#,
    );
    control.ok("RELOAD");
    wait_applied(&control, 2);
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    let up = ike_sa(&client, "net");

    let reply = control.ok("RELOAD");
    assert_eq!(reply["connections"], json!(["net", "psk"]));
    assert_eq!(applied(&control), 2);
    assert_eq!(ike_sa(&client, "net"), up);

    // The same path, another certificate of another key.
    pki.add_host("client", "other-ca");
    control.ok("RELOAD");
    wait_applied(&control, 3);
    assert_eq!(ike_sa(&client, "net"), up);
    let other_ca = "using trusted ca certificate \"CN=other-ca\"";
    assert!(!gateway.log().contains(other_ca));
    control.ok("TERMINATE net");
    control.wait_event("tunnel_down");
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    gateway.wait_log(other_ca);
    client.ping("10.2.0.1");
    assert_eq!(applied(&control), 3);
}

#[test]
fn secrets_and_authorities_hold_for_as_long_as_their_file_is_there() {
    let pki = Pki::with_ca("ca");
    let lab = Lab::new();
    let _gateway_1 = lab.gateway(11);
    let mut options = GatewayOptions::default().edited(&[("id = segw", "id = other"), (PSK, "x")]);
    options.networks = vec![3];
    let _gateway_2 = lab.gateway_with(12, options);
    let client = client(&lab);
    let mut control = client.connect();
    let mut config = connection("net", &[11], &[2]);
    let mut other = connection("other", &[12], &[3])["connections"]["other"].clone();
    other["remote_auth"]["id"] = json!("other");
    config["connections"]["other"] = other;
    let secret = |id: &str, secret: &str| json!({"secrets": {"ike": {"id": id, "secret": secret}}});
    client.write("a.json", &config.to_string());
    client.write("b.json", &secret("segw", PSK).to_string());
    client.write("c.json", r#"{"authorities": {"ca": {"cacert": "none"}}}"#);
    client.write("d.json", &secret("other", "x").to_string());
    let authority = json!({"authorities": {"ca": {"cacert": pki.path("ca.pem")}}});
    client.write("e.json", &authority.to_string());
    let reply = control.ok("RELOAD");
    assert_eq!(reply["failed"].as_array().map(Vec::len), Some(1), "{reply}");
    assert_eq!(reply["failed"][0]["file"], "/run/lab/c.json");
    assert!(client.swanctl(&["--list-certs"]).contains("CN=ca"));
    for name in ["net", "other"] {
        control.ok(&format!("INITIATE {name}"));
        control.wait_event("tunnel_up");
        control.ok(&format!("TERMINATE {name}"));
        control.wait_event("tunnel_down");
    }

    // Of one secret in several files, that of the last one holds, for as long as it is there.
    client.write("f.json", &secret("segw", "not the gateway's").to_string());
    client.remove("d.json");
    client.remove("e.json");
    control.ok("RELOAD");
    assert_eq!(client.swanctl(&["--list-certs"]), "");
    for (name, problem) in [
        ("net", "received AUTHENTICATION_FAILED notify"),
        ("other", "no shared key found for"),
    ] {
        control.ok(&format!("INITIATE {name}"));
        client.wait_log(problem);
        control.ok(&format!("TERMINATE {name}"));
    }
    client.remove("f.json");
    control.ok("RELOAD");
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    client.ping("10.2.0.1");
}
