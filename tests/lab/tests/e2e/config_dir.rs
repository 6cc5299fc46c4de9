// SPDX-License-Identifier: GPL-2.0-or-later

//! Configurations in files.

use extsock_lab::{connection, net, wait, Client, ClientOptions, Extsock, Lab};
use serde_json::{json, Value};

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
