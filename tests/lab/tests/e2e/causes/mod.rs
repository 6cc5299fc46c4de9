// SPDX-License-Identifier: GPL-2.0-or-later

//! The table of causes: where failover is due, which reason is told, and what is left after it.

mod addresses;
mod connecting;
mod established;
mod operator;

use std::time::Duration;

use extsock_lab::{connection, net, wait, Extsock};
use serde_json::Value;

use crate::ike_sas;
use crate::{expect_failover, ike_sa, wait_state, Tunnel};

impl Tunnel {
    /// The one failover, from gateway 1 to gateway 2.
    #[track_caller]
    fn fails_over(&mut self, reason: &str) {
        expect_failover(&mut self.control, 11, 12, reason);
        self.settles_at("192.168.7.12");
        self.has_told(&[reason]);
    }

    /// One IKE_SA is left, to that gateway, and its tunnel carries packets.
    #[track_caller]
    fn settles_at(&mut self, gateway: &str) {
        wait::until("one IKE_SA is left", || {
            (ike_sas(&self.client) == 1).then_some(())
        });
        self.client.ping("10.2.0.1");
        let sa = ike_sa(&self.client, "net");
        assert!(sa.contains("ESTABLISHED"), "{sa}");
        let listed = wait_state(&mut self.control, "established");
        assert_eq!(listed["active_gateway"], gateway, "{listed}");
        assert_eq!(listed["retries"], 0, "{listed}");
    }

    /// Events and history tell of failovers for these reasons, in this order, and of no other.
    #[track_caller]
    fn has_told(&mut self, reasons: &[&str]) {
        assert_eq!(told(&self.control), reasons);
        let history = self.control.ok("HISTORY net");
        let failovers = history["failovers"].as_array().expect("a list");
        let remembered: Vec<_> = failovers.iter().rev().map(|f| &f["reason"]).collect();
        assert_eq!(remembered, reasons);
        assert_eq!(failovers[0]["result"], "established", "{history}");
    }

    /// For longer than a silent gateway takes to be given up, nothing more is told.
    #[track_caller]
    fn stays_so(&mut self) {
        let told_of = told(&self.control);
        let before = ike_sa(&self.client, "net");
        wait::holds_for(Duration::from_secs(3), "nothing happens", || {
            let sas = self.client.swanctl(&["--list-sas"]);
            (told(&self.control) != told_of || ike_sas(&self.client) != 1).then_some(sas)
        });
        assert_eq!(ike_sa(&self.client, "net"), before);
    }
}

/// The reasons of the failovers that were told of up to now.
fn told(control: &Extsock) -> Vec<String> {
    let started = control.events_named("failover_started");
    let reasons = started.iter().map(|event| event["reason"].as_str());
    reasons.map(|r| r.unwrap_or_default().to_owned()).collect()
}

/// Connection `net` with CHILD_SAs `net2` and `net3`.
pub(crate) fn net_with_two_child_sas(gateways: &[u8]) -> Value {
    let mut config = net(gateways);
    config["connections"] = connection("net", gateways, &[2, 3])["connections"].take();
    config
}

/// Sets an option of CHILD_SA `net2`.
fn with_child(mut config: Value, option: &str, value: &str) -> Value {
    config["connections"]["net"]["children"]["net2"][option] = value.into();
    config
}
