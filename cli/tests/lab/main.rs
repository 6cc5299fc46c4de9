// SPDX-License-Identifier: GPL-2.0-or-later

//! `extsockctl` with real charons.

mod access;
mod on_a_terminal;
mod terminal;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

use extsock_lab::{connection, net, Client, Extsock, Gateway, Lab};
use serde_json::{json, Value};

const PROGRAM: &str = env!("CARGO_BIN_EXE_extsockctl");

fn command(client: &Client, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .arg("--socket")
        .arg(client.socket_path())
        .args(arguments);
    command
}

fn run(client: &Client, arguments: &[&str]) -> Output {
    command(client, arguments).output().expect("it starts")
}

/// Runs it, and returns what it prints and its exit code.
fn run_with(client: &Client, arguments: &[&str], input: &str) -> (String, Option<i32>) {
    let mut child = command(client, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    (text(&output.stdout), output.status.code())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it prints UTF-8")
}

/// Runs what must succeed, and returns what it prints.
#[track_caller]
fn ok(client: &Client, arguments: &[&str]) -> String {
    let output = run(client, arguments);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {error}");
    let shown = text(&output.stdout);
    assert!(!shown.contains('\u{1b}'), "colours into a pipe: {shown:?}");
    let fits = |line: &str| line.chars().count() <= 80;
    assert!(
        arguments.contains(&"--json")
            || arguments.contains(&"--prometheus")
            || shown.lines().all(fits),
        "{shown}"
    );
    shown
}

/// Runs what must fail, and returns its exit code and what it says.
fn fails(client: &Client, arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(client, arguments);
    (output.status.code(), text(&output.stderr))
}

#[test]
fn an_operators_day() {
    let lab = Lab::new();
    let _gateways = (lab.gateway(11), lab.gateway(12));
    let client = lab.client();
    let config = net(&[11, 12]).to_string();
    assert_eq!(run_with(&client, &["check", "-"], &config).1, Some(0));
    let (shown, code) = run_with(&client, &["apply", "--initiate", "-"], &config);
    assert_eq!(code, Some(0), "{shown}");
    assert!(
        shown.starts_with("loaded net\nnet: trying 192.168.7.11\n"),
        "{shown}"
    );
    assert!(
        shown.contains("net: established to 192.168.7.11 after "),
        "{shown}"
    );

    let list = ok(&client, &["list"]);
    let row: Vec<&str> = list
        .lines()
        .nth(1)
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    assert_eq!(row, ["net", "established", "192.168.7.11", "2", "0", "-"]);
    assert_eq!(
        ok(&client, &["failover", "net"]),
        "switching to 192.168.7.12\n"
    );
    ok(&client, &["initiate", "net"]);
    ok(&client, &["dpd", "net"]);
    extsock_lab::wait::until("the switch is complete", || {
        ok(&client, &["history"])
            .contains("operator")
            .then_some(())?;
        ok(&client, &["status", "net"])
            .contains("* 192.168.7.12")
            .then_some(())
    });
    let reply: Value = serde_json::from_str(&ok(&client, &["--json", "stats"])).expect("JSON");
    assert_eq!(reply["failovers"]["operator"], 1);
    let counters = ok(&client, &["stats", "--prometheus"]);
    assert!(
        counters.contains("extsock_failovers_total{reason=\"operator\"} 1\n"),
        "{counters}"
    );
    assert!(ok(&client, &["version"]).contains("5.9.8"));
    assert_eq!(ok(&client, &["reload"]), "");
    ok(&client, &["terminate", "net"]);
    ok(&client, &["remove", "net"]);
    assert_eq!(ok(&client, &["list"]).lines().count(), 1);
}

#[test]
fn events_are_shown_as_they_happen() {
    let lab = Lab::new();
    let client = lab.client();
    let mut control = client.connect();
    let mut monitor = command(&client, &["monitor", "config_applied", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let stdout = monitor.stdout.take().expect("it is piped");
    // One that comes before the subscription is not sent.
    let config = connection("net", &[11, 12], &[2]);
    extsock_lab::wait::until("it listens", || {
        (control.ok("STATS")["clients"] == 2).then_some(())
    });
    control.apply(&config);
    let mut line = String::new();
    BufReader::new(stdout)
        .read_line(&mut line)
        .expect("it prints");
    let event: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(event["event"], "config_applied");
    monitor.kill().expect("it is ours");
    monitor.wait().expect("it is ours");
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let lab = Lab::new();
    let client = lab.client();
    let (code, error) = fails(&client, &["initiate", "nobody"]);
    assert_eq!(code, Some(1), "{error}");
    assert!(
        error.contains("nobody") && error.contains("INVALID_PARAMETER"),
        "{error}"
    );
    let faulty = r#"{"connections": {"net": {"version": 3}}}"#;
    assert_eq!(run_with(&client, &["check", "-"], faulty).1, Some(1));
    assert_eq!(run_with(&client, &["apply", "-"], faulty).1, Some(1));
    assert_eq!(fails(&client, &["apply"]).0, Some(2));

    let unreachable = Command::new(PROGRAM)
        .args(["--socket", "/nonexistent", "list"])
        .output()
        .expect("it starts");
    assert_eq!(unreachable.status.code(), Some(3));

    // Nobody is there.
    let lonely = net(&[11]).to_string();
    let initiate = ["apply", "--initiate", "--timeout", "1s", "-"];
    let (shown, code) = run_with(&client, &initiate, &lonely);
    assert_eq!(code, Some(4), "{shown}");
}

#[test]
fn a_file_is_applied_and_several_connections_are_waited_for() {
    let lab = Lab::new();
    let _gateway = lab.gateway(11);
    let client = lab.client();
    let mut config = net(&[11, 12]);
    let mut dead = config["connections"]["net"].clone();
    dead["remote_addrs"] = "192.168.7.13".into();
    dead["failover"] = json!({"max_retries": 1, "base_delay": 0, "exhausted_delay": 0});
    config["connections"]["dead"] = dead;
    client.write("net.json", &config.to_string());
    let path = client.socket_path();
    let file = path.with_file_name("lab").join("net.json");
    let file = file.to_str().expect("the path is UTF-8");
    assert_eq!(ok(&client, &["check", file]), "");
    let output = run(&client, &["apply", "--initiate", file]);
    let (shown, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(4), "{shown}{error}");
    assert!(
        shown.contains("net: established to 192.168.7.11 after "),
        "{shown}"
    );
    // Nothing more comes, so that it does not wait for the end of its time.
    let why = "not tried again until it is initiated; 192.168.7.13 failed (peer_unreachable)";
    assert!(
        error.starts_with("extsockctl: dead is exhausted after "),
        "{error}"
    );
    assert!(error.ends_with(&format!(" s: {why}\n")), "{error}");
    let (code, error) = fails(&client, &["apply", "/nonexistent.json"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("/nonexistent.json: No such file"), "{error}");
}

/// Connection `net` with gateways 11 and 12, and that failover policy.
fn net_with(policy: Value) -> Value {
    let mut config = net(&[11, 12]);
    config["connections"]["net"]["failover"] = policy;
    config
}

/// Connection `net` with that failover policy is loaded, and both gateways refuse it.
fn refused(policy: Value) -> (Lab, [Gateway; 2], Client, Extsock) {
    let lab = Lab::new();
    let gateways = [lab.gateway(11), lab.gateway(12)];
    gateways
        .iter()
        .for_each(|gateway| gateway.refuse_authentication());
    let client = lab.client();
    let mut control = client.connect();
    control.apply(&net_with(policy));
    (lab, gateways, client, control)
}

#[test]
fn a_connection_that_does_not_come_up_in_time_stays_wanted() {
    let policy = json!({"max_retries": 0, "base_delay": "50s", "jitter": 0});
    let (_lab, _gateways, client, _control) = refused(policy);
    let (code, error) = fails(&client, &["initiate", "--timeout", "3s", "net"]);
    assert_eq!(code, Some(4), "{error}");
    let lines: Vec<&str> = error.lines().collect();
    let [line] = lines[..] else {
        panic!("one line: {error}");
    };
    let waits = "extsockctl: net is waiting after 3.0 s, and stays wanted: next attempt in 4";
    assert!(line.starts_with(waits), "{line}");
    let failed = "s; 192.168.7.11 failed (auth_failed); 192.168.7.12 failed (auth_failed)";
    assert!(line.ends_with(failed), "{line}");

    let output = run(&client, &["--json", "initiate", "--timeout", "0.5s", "net"]);
    assert_eq!(output.status.code(), Some(4));
    let shown = text(&output.stdout);
    let last = shown.lines().last().unwrap_or_default();
    let status: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(status["reply"], "STATUS", "{shown}");
    assert_ne!(status["connections"][0]["state"], "established");
}

#[test]
fn an_exhausted_connection_that_is_tried_again_is_waited_for() {
    let policy = json!({"max_retries": 1, "exhausted_delay": "1s"});
    let (_lab, gateways, client, mut control) = refused(policy);
    let initiate = command(&client, &["initiate", "net"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    control.wait_event("failover_exhausted");
    gateways
        .iter()
        .for_each(|gateway| gateway.accept_authentication());
    let output = initiate.wait_with_output().expect("it ends");
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(
        shown.contains("net: exhausted after 1 failovers\n"),
        "{shown}"
    );
    assert!(shown.contains("net: established to 192.168.7.1"), "{shown}");
}

#[test]
fn json_is_for_programs_errors_included() {
    let lab = Lab::new();
    let client = lab.client();
    let faulty = r#"{"connections": {"net": {"version": 3}}}"#;
    let error_of = |arguments: &[&str]| -> Value {
        let (shown, code) = run_with(&client, arguments, faulty);
        assert_eq!(code, Some(1), "{shown}");
        let reply: Value = serde_json::from_str(&shown).expect("one line of JSON");
        assert_eq!(reply["ok"], false);
        reply["error"].clone()
    };
    let offline = error_of(&["--json", "check", "-"]);
    assert_eq!(offline, error_of(&["--json", "apply", "-"]));
    assert_eq!(offline["name"], "PARSING_FAILED");
    let (shown, code) = run_with(
        &client,
        &["check", "--json", "-"],
        &net(&[11, 12]).to_string(),
    );
    assert_eq!(code, Some(0));
    assert_eq!(
        shown,
        "{\"reply\":\"APPLY_CONFIG\",\"ok\":true,\"connections\":[\"net\"]}\n"
    );
    client.connect().apply(&net(&[11, 12]));
    for arguments in [
        &["list"][..],
        &["status"],
        &["history"],
        &["stats"],
        &["version"],
        &["reload"],
        &["initiate", "--no-wait", "net"],
        &["dpd", "nobody"],
        &["failover", "net"],
        &["terminate", "net"],
        &["remove", "net"],
    ] {
        let mut command = command(&client, arguments);
        let output = command.arg("--json").output().expect("it starts");
        let shown = text(&output.stdout);
        let reply: Value = serde_json::from_str(&shown).expect("one line of JSON");
        assert_eq!(
            reply["ok"],
            output.status.success(),
            "{arguments:?}: {shown}"
        );
    }
}

#[test]
fn the_schema_is_that_of_the_repository() {
    let output = Command::new(PROGRAM).arg("schema").output();
    let schema = text(&output.expect("it starts").stdout);
    assert_eq!(schema, include_str!("../../../docs/schema.json"));
}
