// SPDX-License-Identifier: GPL-2.0-or-later

//! Who may use the socket, with processes of other users and groups.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Output, Stdio};

use extsock_lab::{net, wait, Client, ClientOptions, Lab, PSK};

use crate::{text, PROGRAM};

/// Group of the sockets of charon, which has been told to use it.
const SOCKET_GROUP: &str = "1";

/// A client whose sockets may be used by [`SOCKET_GROUP`], and who has limited them further.
fn client(lab: &Lab, access: &str) -> (Client, String) {
    let client = lab.client_with(ClientOptions {
        settings: format!("group = daemon\n plugins {{\n extsock {{\n {access}\n }}\n }}"),
        ..ClientOptions::default()
    });
    let program = client.install(PROGRAM, "extsockctl");
    (client, program)
}

/// Runs extsockctl as a user with this primary group and these further ones.
fn run_as(
    host: &(Client, String),
    uid: u32,
    gid: &str,
    groups: Option<&str>,
    arguments: &[&str],
) -> Output {
    let output = command_as(host, uid, gid, groups, arguments).output();
    output.expect("setpriv of util-linux starts")
}

fn command_as(
    (client, program): &(Client, String),
    uid: u32,
    gid: &str,
    groups: Option<&str>,
    arguments: &[&str],
) -> Command {
    let mut command = client.command("setpriv");
    command.args(["--reuid", &uid.to_string(), "--regid", gid]);
    match groups {
        Some(groups) => command.args(["--groups", groups]),
        None => command.arg("--clear-groups"),
    };
    command.arg(program).args(arguments);
    command
}

#[track_caller]
fn assert_refused(output: &Output, said: &str) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(said), "{error}");
}

#[track_caller]
fn assert_done(output: &Output) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
}

#[test]
fn users_that_are_not_allowed_are_told_and_logged() {
    let lab = Lab::new();
    let host = client(&lab, "allowed_uids = 0, 2001");
    let mut control = host.0.connect();
    control.apply(&net(&[11, 12]));
    let ours = fs::metadata(host.0.socket_path()).expect("the socket is there");
    let vici = host.0.socket_path().with_extension("vici");
    let vici = fs::metadata(vici).expect("vici's socket is there");
    assert_eq!(ours.gid().to_string(), SOCKET_GROUP);
    assert_eq!((ours.mode(), ours.gid()), (vici.mode(), vici.gid()));

    assert_done(&run_as(&host, 2001, SOCKET_GROUP, None, &["list"]));
    assert_done(&run_as(&host, 2001, SOCKET_GROUP, None, &["remove", "net"]));
    control.apply(&net(&[11, 12]));

    let refused = run_as(&host, 2002, SOCKET_GROUP, None, &["remove", "net"]);
    assert_refused(&refused, "user 2002 is not in allowed_uids");
    host.0
        .wait_log("a client is refused: user 2002 is not in allowed_uids");
    assert_refused(
        &run_as(&host, 2002, SOCKET_GROUP, None, &["list"]),
        "user 2002",
    );
    assert!(!control.connection("net").is_null());
    assert_eq!(control.ok("STATS")["clients_refused"], 2);

    // The file's mode comes before: of this one the plugin does not even hear.
    let stranger = run_as(&host, 2001, "2001", None, &["list"]);
    assert_eq!(stranger.status.code(), Some(3), "{stranger:?}");
    assert_eq!(control.ok("STATS")["clients_refused"], 2);
}

#[test]
fn clients_of_read_only_groups_read_and_change_nothing() {
    let lab = Lab::new();
    let host = client(&lab, "allowed_uids = 0 2001\n read_only_gids = 2100");
    let mut control = host.0.connect();
    control.apply(&net(&[11, 12]));
    host.0.write("net.json", &net(&[11]).to_string());
    let changing: [&[&str]; 7] = [
        &["apply", "/run/lab/net.json"],
        &["remove", "net"],
        &["initiate", "net"],
        &["terminate", "net"],
        &["failover", "net"],
        &["dpd", "net"],
        &["reload"],
    ];
    let reading: [&[&str]; 5] = [
        &["list"],
        &["status", "net"],
        &["history"],
        &["stats"],
        &["version"],
    ];
    // The group as the primary one, and as a further one, as usermod has it.
    for (gid, groups) in [("2100", SOCKET_GROUP), (SOCKET_GROUP, "2100,2101,2102")] {
        for arguments in reading {
            let output = run_as(&host, 2002, gid, Some(groups), arguments);
            assert_done(&output);
            assert!(!text(&output.stdout).contains(PSK));
        }
        for arguments in changing {
            let output = run_as(&host, 2002, gid, Some(groups), arguments);
            assert_refused(&output, "expected a client that may do more than read");
        }
        host.0
            .wait_log("a client of read_only_gids is refused REMOVE_CONFIG");
    }
    let gateways = &control.connection("net")["gateways"];
    assert_eq!(gateways.as_array().map(Vec::len), Some(2));
    // Who is in allowed_uids may all the same.
    assert_done(&run_as(
        &host,
        2001,
        "2100",
        Some(SOCKET_GROUP),
        &["remove", "net"],
    ));
    assert!(control.connection("net").is_null());
}

#[test]
fn tcp_has_users_for_none_and_can_be_closed_to_all() {
    let lab = Lab::new();
    let tcp = "tcp://127.0.0.1:4510";
    let open = client(&lab, &format!("socket = {tcp}"));
    let list = ["--socket", tcp, "list"];
    assert_done(&run_as(&open, 2001, "2001", None, &list));
    drop(open);
    let lab = Lab::new();
    let closed = client(&lab, &format!("socket = {tcp}\n allowed_uids = 0"));
    assert_refused(
        &run_as(&closed, 0, "0", None, &list),
        "user unknown is not in allowed_uids",
    );
}

#[test]
fn a_configuration_that_is_read_is_in_no_core_dump() {
    let lab = Lab::new();
    let host = client(&lab, "");
    let mut command = command_as(&host, 2001, SOCKET_GROUP, None, &["apply", "-"]);
    command.stdin(Stdio::piped()).stderr(Stdio::null());
    let mut reading = command.spawn().expect("setpriv of util-linux starts");
    let process = format!("/proc/{}", reading.id());
    wait::until("extsockctl cannot be dumped", || {
        let name = fs::read_to_string(format!("{process}/comm")).ok()?;
        let owner = fs::metadata(format!("{process}/maps")).ok()?.uid();
        // As proc(5) says: otherwise they are its user's.
        (name.trim() == "extsockctl" && owner == 0).then_some(())
    });
    drop(reading.stdin.take());
    let status = reading.wait().expect("it has not been waited for");
    assert_eq!(status.code(), Some(1), "an empty configuration is refused");
}
