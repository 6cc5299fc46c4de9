// SPDX-License-Identifier: GPL-2.0-or-later

//! Measures what a failover takes and what the plugin costs:
//! `cargo run --package extsock-lab --example measure [what] [runs]`
//!
//! - `evidence`: from each evidence of a gateway's failure to the next IKE_SA_INIT, by the timestamps
//!   of charon's log
//! - `outage`: the longest time without an answer that a ping sees through the tunnel, 100 a second,
//!   when the gateway is killed, with charon's own retransmission settings
//! - `memory`: the resident set of idle charons
//! - `load`: what charon takes while a tunnel is idle, for each IKE_SA that is set up, and for packets,
//!   with and without the plugin
//! - `endurance`: processor time, memory, descriptors and threads over many failovers in a row; by
//!   itself `endurance 1000`

mod endurance;
mod evidence;
mod load;
mod memory;
mod outage;
mod usage;

use std::env;
use std::time::Duration;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let what = arguments.first().map(String::as_str);
    let runs = match arguments.get(1) {
        Some(count) => count.parse().expect("the number of runs is a number"),
        None => 20,
    };
    let wanted = |part| what.is_none_or(|wanted| wanted == part);
    if wanted("evidence") {
        evidence::measure(runs);
    }
    if wanted("outage") {
        outage::measure(runs);
    }
    if wanted("memory") {
        memory::measure();
    }
    if wanted("load") {
        load::measure(runs);
    }
    if wanted("endurance") {
        endurance::measure(runs);
    }
}

/// Prints the median and the maximum.
fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let (Some(median), Some(max)) = (times.get(times.len() / 2), times.last()) else {
        panic!("{what}: nothing was measured");
    };
    println!(
        "{what}, {} runs: median {} ms, max {} ms",
        times.len(),
        median.as_millis(),
        max.as_millis()
    );
}
