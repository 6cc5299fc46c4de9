// SPDX-License-Identifier: GPL-2.0-or-later

//! What gateways have of their own, where callbacks meet a configuration that is being loaded.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use extsock::charon::sys;
use serde_json::{json, Value};

use super::harness::alone;
use super::ike_sas::{IkeSa, Plugin};

/// The port of the gateway that the IKE_SA leads to, and that of the connection's first gateway.
const PORT: u16 = 4501;
const FIRST_PORT: u16 = 500;

/// A thousand gateways, so that loading them takes its time; the last one's port makes them differ.
fn remote_addrs(last_port: u16) -> Value {
    let mut list = vec![json!("10.0.1.1"), json!({"addr": "10.0.0.1", "port": PORT})];
    list.extend((0..1000).map(|number| format!("10.1.{}.{}", number / 250, number % 250).into()));
    list.push(json!({"addr": "10.0.1.2", "port": last_port}));
    list.into()
}

#[test]
fn an_ike_sa_has_its_gateways_configuration_while_others_are_loaded() {
    alone(
        "gateways::an_ike_sa_has_its_gateways_configuration_while_others_are_loaded",
        || {
            let plugin = Plugin::start();
            plugin.load("net", &remote_addrs(4600), &json!({}));
            let ike_sa = IkeSa::established("net");
            let loaded = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    for round in 0..20 {
                        plugin.load("net", &remote_addrs(4600 + round % 2), &json!({}));
                    }
                    loaded.store(true, Ordering::Release);
                });
                while !loaded.load(Ordering::Acquire) {
                    let begin = Instant::now();
                    assert_eq!(port_in(&ike_sa, sys::ike_sa_state_t::IKE_CONNECTING), PORT);
                    let up = sys::ike_sa_state_t::IKE_ESTABLISHED;
                    assert_eq!(port_in(&ike_sa, up), FIRST_PORT);
                    while begin.elapsed() < PACE {
                        thread::yield_now();
                    }
                }
            });
        },
    );
}

/// Evidence that came faster than it is read would keep whoever loads waiting.
const PACE: Duration = Duration::from_millis(1);

/// The port of the IKE_SA's configuration, once it has told that it goes into the state.
fn port_in(ike_sa: &IkeSa, state: sys::ike_sa_state_t::Type) -> u16 {
    ike_sa.on_the_bus(|bus| {
        // SAFETY: the bus is there; the IKE_SA is this thread's, and lends its configuration.
        unsafe {
            call!(bus, ike_state_change, ike_sa.0, state);
            call!(call!(ike_sa.0, get_ike_cfg), get_other_port)
        }
    })
}
