// SPDX-License-Identifier: GPL-2.0-or-later

//! What only a kernel with ESP does. These tests are left out where there is none.

mod interfaces;
mod leftovers;
mod lifetimes;
mod liveness;
mod marks;
mod mobike;
mod modes;
mod netem;
mod switching;
mod traps;
mod wire;

use extsock_lab::{net, wait, Client};
use serde_json::{json, Value};

use crate::{Hosts, Tunnel};

/// As `Tunnel::loaded`, with patience: an emulated machine is slow.
fn loaded(config: &Value) -> Tunnel {
    loaded_at(Hosts::default(), config)
}

/// As `Tunnel::loaded_at`, with patience.
fn loaded_at(mut hosts: Hosts, config: &Value) -> Tunnel {
    PATIENCE.clone_into(&mut hosts.client.settings);
    Tunnel::loaded_at(hosts, config)
}

/// charon's settings to give up a silent gateway after 8 s.
const PATIENCE: &str = "retransmit_tries = 3\n retransmit_timeout = 2";

/// Connection `net` over gateways 11 and 12 with options of its own, and with options of CHILD_SA `net2`.
fn net_as(options: &Value, child: &Value) -> Value {
    let mut config = net(&[11, 12]);
    let connection = &mut config["connections"]["net"];
    // With patience for gateways that are slow, too. charon's DPD is to find those that are dead.
    let policy = json!({"connect_timeout": "40s", "liveness_interval": 0});
    extend(connection, &json!({ "failover": policy }));
    extend(connection, options);
    extend(&mut connection["children"]["net2"], child);
    config
}

fn extend(object: &mut Value, options: &Value) {
    let object = object.as_object_mut().expect("an object");
    object.extend(options.as_object().expect("options").clone());
}

/// Connection `net` with a trap policy.
fn trapped(start_action: &str) -> Value {
    net_as(&json!({}), &json!({ "start_action": start_action }))
}

/// How many IKE_SAs the client has begun with that gateway.
fn begun_with(client: &Client, gateway: &str) -> usize {
    let log = client.log();
    let end = format!(" to {gateway}");
    let begun = |line: &&str| line.contains("initiating IKE_SA") && line.ends_with(&end);
    log.lines().filter(begun).count()
}

/// Has the kernel raise an acquire although an earlier one has led to an SA with another gateway than the one that
/// the trap policy names: that one is in progress until it expires, by charon's setting after 165 s.
#[track_caller]
fn forget_acquires_soon(client: &Client) {
    client.sysctl("net.core.xfrm_acq_expires", "2");
}

/// Waits until the kernel has the SAs of one tunnel: those of the gateway before may go later.
#[track_caller]
fn wait_one_tunnel(client: &Client) {
    wait::until("the SAs of one tunnel are left", || {
        (client.xfrm_states().len() == 2).then_some(())
    });
}
