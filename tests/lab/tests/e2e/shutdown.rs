// SPDX-License-Identifier: GPL-2.0-or-later

//! charon ends with the plugin in it, whatever the plugin is doing.

use std::time::Duration;

use extsock_lab::{net, Charon, ClientOptions, Lab, Loading, Sanitizer};

use crate::{expect_failover, wait_state, Tunnel};

const BOUND: Duration = Duration::from_secs(5);

#[test]
fn with_a_tunnel_up() {
    let mut tunnel = Tunnel::up();
    ends_cleanly(&mut tunnel.client);
    tunnel.control.wait_closed();
    assert!(tunnel.control.events_named("failover_started").is_empty());
}

#[test]
fn while_the_next_gateway_is_being_tried() {
    let lab = Lab::new();
    let mut client = lab.client();
    let mut control = client.connect();
    control.apply(&net(&[11, 12]));
    control.ok("INITIATE net");
    control.wait_event("failover_started");
    ends_cleanly(&mut client);
}

#[test]
fn while_the_next_attempt_is_delayed() {
    let lab = Lab::new();
    let mut client = lab.client_with(ClientOptions::with_failover(
        "base_delay = 60
 max_delay = 60",
    ));
    let mut control = client.connect();
    control.apply(&net(&[11, 12]));
    control.ok("INITIATE net");
    wait_state(&mut control, "waiting");
    ends_cleanly(&mut client);
}

#[track_caller]
fn ends_cleanly(charon: &mut Charon) {
    let (status, took) = charon.stop();
    assert!(status.success(), "{status}");
    assert!(took < BOUND, "{took:?}");
    let output = charon.output();
    assert!(!output.contains("panicked"), "{output}");
}

#[test]
fn valgrind_finds_nothing_of_ours_after_a_life_with_failovers() {
    let mut tunnel = Tunnel::up_with(ClientOptions {
        sanitizer: Sanitizer::Valgrind,
        loading: Loading::Directory,
        ..ClientOptions::default()
    });
    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    tunnel.gateway_1.restart();
    tunnel.gateway_2.kill();
    expect_failover(&mut tunnel.control, 12, 11, "dpd_timeout");
    tunnel.control.apply(&net(&[11, 12]));
    tunnel.control.error("APPLY_CONFIG {\"connections\": 1}");
    tunnel.control.ok("TERMINATE net");
    wait_state(&mut tunnel.control, "down");
    tunnel.control.ok("REMOVE_CONFIG net");
    // A failover is pending when charon is told to end.
    tunnel.gateway_1.kill();
    tunnel.control.apply(&net(&[11, 12]));
    tunnel.control.ok("INITIATE net");
    tunnel.control.wait_event("failover_started");
    let (status, _) = tunnel.client.stop();
    assert!(status.success(), "{status}");

    let report = tunnel.client.report();
    assert!(report.contains("ERROR SUMMARY"), "{report}");
    let ours: Vec<_> = paragraphs(&report)
        .into_iter()
        .filter(|text| text.contains("extsock") && !text.contains("Command:"))
        .collect();
    assert!(ours.is_empty(), "{}", ours.join("\n\n"));
    assert!(!report.contains("Invalid "), "{report}");
}

/// valgrind separates its findings by lines that have nothing but the process id.
fn paragraphs(report: &str) -> Vec<String> {
    let mut paragraphs = vec![String::new()];
    for line in report.lines() {
        let text = line.trim_start_matches(|c: char| c == '=' || c.is_ascii_digit());
        if text.trim().is_empty() {
            paragraphs.push(String::new());
        } else if let Some(last) = paragraphs.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    paragraphs
}
