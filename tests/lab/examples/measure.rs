// SPDX-License-Identifier: GPL-2.0-or-later

//! Measures what the plugin costs: `cargo run --example measure -p extsock-lab [failovers]`
//!
//! The delay is taken from the timestamps of charon's log, from the state change to DESTROYING
//! to the sending of the next IKE_SA_INIT; memory is the resident set of idle charons.

use std::env;
use std::fs;

use extsock_lab::{net, Charon, ClientOptions, Lab, Loading};

/// Only the log that is evaluated, and the state changes in it.
const LOG: &str = "filelog {\n all {\n default = -1\n }\n main {\n ike = 2\n }\n }";

fn main() {
    let failovers = match env::args().nth(1) {
        Some(count) => count.parse().expect("the number of failovers is a number"),
        None => 20,
    };
    let mut delays = delays(failovers);
    delays.sort_unstable();
    println!(
        "DESTROYING to IKE_SA_INIT, {} failovers: median {} ms, max {} ms",
        delays.len(),
        delays[delays.len() / 2],
        delays[delays.len() - 1],
    );
    for (what, loading) in [
        ("without the plugin", Loading::Absent),
        ("with the plugin", Loading::Directory),
    ] {
        let lab = Lab::new();
        let client = lab.client_with(ClientOptions {
            loading,
            ..ClientOptions::default()
        });
        println!("resident memory of charon {what}: {}", resident(&client));
    }
}

/// Milliseconds from each failure to the next attempt.
fn delays(failovers: usize) -> Vec<u32> {
    let lab = Lab::new();
    let mut gateways = [11, 12].map(|number| lab.gateway(number));
    let client = lab.client_with(ClientOptions {
        settings: LOG.to_owned(),
        ..ClientOptions::default()
    });
    let mut control = client.connect();
    control.apply(&net(&[11, 12]));
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    for index in 0..failovers {
        gateways[index % 2].kill();
        control.wait_event("failover_established");
        gateways[index % 2].restart();
    }
    let mut delays = Vec::new();
    let mut destroying = None;
    let mut initiating = false;
    for line in client.log().lines() {
        if line.contains("=> DESTROYING") {
            destroying = Some(milliseconds(line));
            initiating = false;
        } else if line.contains("generating IKE_SA_INIT request") {
            initiating = true;
        } else if initiating && line.contains("sending packet") {
            if let Some(begin) = destroying.take() {
                delays.push(milliseconds(line) - begin);
            }
        }
    }
    delays
}

/// The time of day of a log line, "03:24:29.140 09[CFG] ...".
fn milliseconds(line: &str) -> u32 {
    let time = line.split(' ').next().unwrap_or_default();
    let numbers: Vec<u32> = time
        .split([':', '.'])
        .map(|part| part.parse().expect("the log has timestamps"))
        .collect();
    ((numbers[0] * 60 + numbers[1]) * 60 + numbers[2]) * 1000 + numbers[3]
}

fn resident(charon: &Charon) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", charon.pid())).expect("charon runs");
    let value = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_default().trim().to_owned()
    };
    format!("{}, of it {} anonymous", value("VmRSS:"), value("RssAnon:"))
}
