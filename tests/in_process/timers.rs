// SPDX-License-Identifier: GPL-2.0-or-later

//! The core's deadlines in charon's scheduler, which cannot take a job back.

use std::time::Instant;

use extsock_lab::wait;
use serde_json::json;

use super::harness::alone;
use super::ike_sas::{drain, scheduled, IkeSa, Plugin, MOMENT};

/// More than src/adapter/driving/timers.rs has outstanding at a time.
const BOUND: u32 = 33;

#[test]
fn a_near_deadline_again_and_again_leaves_one_job_for_a_far_one() {
    alone(
        "timers::a_near_deadline_again_and_again_leaves_one_job_for_a_far_one",
        || {
            let plugin = Plugin::start();
            let far =
                json!({"liveness_interval": "1h", "liveness_timeout": "1h", "traffic_timeout": 0});
            plugin.load("far", &json!(["10.0.0.1", "10.0.0.2"]), &far);
            let near =
                json!({"liveness_interval": "5ms", "liveness_timeout": "1h", "traffic_timeout": 0});
            plugin.load("near", &json!(["10.0.0.1", "10.0.0.2"]), &near);
            let _far = IkeSa::established("far");
            let near = IkeSa::established("near");
            // charon's manager does not know the IKE_SA, so that its gateway is never asked, and has no
            // deadline until the next message comes.
            let ask = || {
                let heard = Instant::now();
                near.receive();
                wait::until("the time to ask the gateway has come", || {
                    (heard.elapsed() > MOMENT).then_some(())
                });
                drain();
            };
            ask();
            let before = scheduled();
            for _ in 0..10 {
                ask();
            }
            assert_eq!(scheduled(), before);
        },
    );
}

#[test]
fn deadlines_each_before_the_last_one_are_met_by_few_jobs() {
    alone(
        "timers::deadlines_each_before_the_last_one_are_met_by_few_jobs",
        || {
            let plugin = Plugin::start();
            let before = scheduled();
            let ike_sas: Vec<IkeSa> = (0..100)
                .map(|number| {
                    let name = format!("c{number}");
                    let interval = format!("{}s", 3600 - number);
                    let failover = json!({"connect_timeout": 0, "liveness_interval": interval, "liveness_timeout": "1h", "traffic_timeout": 0});
                    plugin.load(&name, &json!(["10.0.0.1", "10.0.0.2"]), &failover);
                    let ike_sa = IkeSa::established(&name);
                    drain();
                    ike_sa
                })
                .collect();
            assert!(scheduled() > before, "there is a timer");
            assert!(
                scheduled() <= before + BOUND,
                "{} jobs for {} deadlines",
                scheduled() - before,
                ike_sas.len()
            );
        },
    );
}
