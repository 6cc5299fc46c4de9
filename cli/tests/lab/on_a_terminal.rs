// SPDX-License-Identifier: GPL-2.0-or-later

//! What people see.

use std::time::{Duration, Instant};

use extsock_lab::{net, wait, Lab};
use serde_json::json;

use crate::terminal::Terminal;
use crate::{command, ok};

/// Sequences that choose a colour.
fn has_colours(bytes: &str) -> bool {
    ["\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m"]
        .iter()
        .any(|colour| bytes.contains(colour))
}

/// The seconds in `next attempt in 12s`.
fn countdown(contents: &str) -> Option<u64> {
    let (_, rest) = contents.split_once("next attempt in ")?;
    rest.split_once('s')?.0.parse().ok()
}

#[test]
fn status_watch_shows_a_connection_in_trouble_on_one_screen() {
    let lab = Lab::new();
    let gateway = lab.gateway(12);
    let client = lab.client();
    let mut control = client.connect();
    let mut config = net(&[11, 12]);
    config["connections"]["net"]["failover"] =
        json!({"max_retries": 0, "base_delay": "30s", "jitter": 0});
    gateway.refuse_authentication();
    control.apply(&config);
    let mut terminal = Terminal::run(&command(&client, &["status", "--watch"]));
    terminal.wait("it shows the connection", |screen| {
        screen.starts_with("net: down\n").then_some(())
    });
    control.ok("INITIATE net");
    let first = terminal.wait("it counts down", countdown);
    let screen = terminal.contents();
    for wanted in [
        "net: waiting, next attempt in ",
        "192.168.7.11",
        "auth_failed",
        "* 192.168.7.1",
        "TIME ",
    ] {
        assert!(screen.contains(wanted), "{wanted}: {screen}");
    }
    let begin = Instant::now();
    terminal.wait("it counts down further", |screen| {
        countdown(screen).filter(|seconds| *seconds < first)
    });
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert!(has_colours(&terminal.bytes()));
    assert_eq!(terminal.scrolled(), 0);

    // Many connections: those in trouble come first.
    let mut others = json!({});
    for number in 0..60 {
        others[format!("other-{number}")] = config["connections"]["net"].clone();
    }
    control.apply(&json!({"connections": others}));
    let screen = terminal.wait("it shows them in short", |screen| {
        screen.contains("... and ").then(|| screen.to_owned())
    });
    assert!(screen.starts_with("NAME"), "{screen}");
    assert!(screen.contains("auth_failed"), "{screen}");
    assert_eq!(terminal.scrolled(), 0);
    terminal.interrupt();
}

#[test]
fn colours_are_left_out_where_they_are_not_wanted() {
    let lab = Lab::new();
    let _gateway = lab.gateway(11);
    let client = lab.client();
    client.connect().apply(&net(&[11, 12]));
    ok(&client, &["initiate", "net"]);
    let up = |screen: &str| screen.contains("net: established").then_some(());
    // No colours into a pipe, which ok() checks; colours on a terminal.
    ok(&client, &["status", "net"]);
    let coloured = Terminal::run(&command(&client, &["status", "net"]));
    coloured.wait("it is shown", up);
    assert!(has_colours(&coloured.bytes()));
    let mut plain = command(&client, &["status", "net"]);
    plain.env("NO_COLOR", "1");
    let shown = Terminal::run(&plain);
    shown.wait("it is shown", up);
    assert!(!shown.bytes().contains('\u{1b}'), "{:?}", shown.bytes());
    plain.arg("--watch");
    let mut watched = Terminal::run(&plain);
    watched.wait("it is shown", up);
    assert!(!has_colours(&watched.bytes()));
    watched.interrupt();
}

#[test]
fn an_interrupt_leaves_the_attempt_running() {
    let lab = Lab::new();
    let client = lab.client();
    let mut control = client.connect();
    let mut config = net(&[11, 12]);
    // Nobody is there, and it is never exhausted.
    config["connections"]["net"]["failover"] = json!({"max_retries": 0});
    control.apply(&config);
    let mut terminal = Terminal::run(&command(&client, &["initiate", "net"]));
    for wanted in [
        "net: trying 192.168.7.11\n",
        "  net: waiting for 192.168.7.1",
        "  net: 192.168.7.11 failed (peer_unreachable), failover 1 to 192.168.7.12\n",
    ] {
        terminal.wait(wanted, |_| {
            // A line that is overwritten may be gone.
            let bytes = terminal.bytes().replace("\r\n", "\n");
            bytes.contains(wanted).then_some(())
        });
    }
    let status = terminal.interrupt();
    assert_eq!(status.code(), Some(130));
    terminal.wait("it says so", |screen| {
        screen
            .contains("interrupted; the attempt to bring net up goes on")
            .then_some(())
    });
    // It is still at work.
    let seen = control.ok("STATS")["attempts"].as_u64();
    wait::until("there is a further attempt", || {
        (control.ok("STATS")["attempts"].as_u64() > seen).then_some(())
    });
}
