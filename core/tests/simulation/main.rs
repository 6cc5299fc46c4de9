// SPDX-License-Identifier: GPL-2.0-or-later

//! Thousands of connections through days of dying gateways, late timers, operators and a charon that
//! acts by itself, with the invariants checked after every step.
//!
//! A run follows from its seed. The seed of a failed run is printed; `EXTSOCK_SIMULATION_SEED` replays
//! it, and `EXTSOCK_SIMULATION_TRACE` tells all of one connection, `c17` for example.

mod charon;
mod invariants;
mod world;

use std::thread;
use std::time::Duration;

use world::World;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Every cause but `initiate_failed`, which the simulated charon never meets.
const REASONS: [&str; 12] = [
    "address_unresolvable",
    "auth_failed",
    "child_failed",
    "connect_timeout",
    "dpd_timeout",
    "ike_sa_expired",
    "liveness_timeout",
    "no_proposal_chosen",
    "operator",
    "peer_deleted",
    "peer_unreachable",
    "rejected",
];

fn simulate(default_seeds: impl IntoIterator<Item = u64>, connections: usize, hours: u32) {
    let replayed = std::env::var("EXTSOCK_SIMULATION_SEED").ok();
    let seeds: Vec<u64> = match replayed {
        Some(seed) => vec![seed.parse().expect("EXTSOCK_SIMULATION_SEED: a number")],
        None => default_seeds.into_iter().collect(),
    };
    for seed in seeds {
        let _report = ReportSeed(seed);
        let mut world = World::new(seed, connections);
        world.run(HOUR * hours);
        world.settle(HOUR * 2);
        let failovers = world.failovers();
        assert!(failovers > connections / 2, "only {failovers} failovers");
        if connections >= 1000 {
            assert_eq!(world.reasons(), REASONS);
        }
    }
}

struct ReportSeed(u64);

impl Drop for ReportSeed {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("replay with EXTSOCK_SIMULATION_SEED={}", self.0);
        }
    }
}

#[test]
fn three_days_of_a_thousand_connections() {
    simulate([1], 1000, 72);
}

#[test]
fn many_short_lives() {
    simulate(100..140, 20, 24);
}
