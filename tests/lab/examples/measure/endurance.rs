// SPDX-License-Identifier: GPL-2.0-or-later

//! Many failovers in a row: what they cost, and what they leave behind. The gateways are charons without
//! the plugin that see as many IKE_SAs together, for comparison.

use extsock_lab::{net, wait, Extsock, Gateway, Lab};

use super::usage::Usage;

/// What is allocated once is there after as many.
const WARM_UP: usize = 50;

pub fn measure(failovers: usize) {
    let lab = Lab::new();
    let gateways = [lab.gateway(11), lab.gateway(12)];
    let client = lab.client();
    let mut control = client.connect();
    control.apply(&net(&[11, 12]));
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    // Where the connection is when `done` failovers are over.
    let fail = |done: usize, control: &mut Extsock| {
        delete(&gateways[done % 2]);
        let started = control.wait_event("failover_started");
        assert_eq!(started["reason"], "peer_deleted", "{started:?}");
        let established = control.wait_event("failover_established");
        assert_eq!(established["gateway"], gateways[(done + 1) % 2].address());
        control.wait_event("tunnel_up");
    };
    for done in 0..WARM_UP {
        fail(done, &mut control);
    }
    let usage = || [&*client, &*gateways[0], &*gateways[1]].map(Usage::of);
    let before = usage();
    for done in WARM_UP..WARM_UP + failovers {
        fail(done, &mut control);
    }
    client.ping("10.2.0.1");
    wait::until("the last IKE_SA is alone", || {
        (client.ike_sas().len() == 1).then_some(())
    });
    println!("{failovers} failovers in a row, {WARM_UP} before them:");
    for ((before, after), (what, ike_sas)) in before.iter().zip(usage()).zip([
        ("client", failovers),
        ("gateway 1, stock", failovers / 2),
        ("gateway 2, stock", failovers / 2),
    ]) {
        let ike_sas = ike_sas.max(1) as u64;
        println!(
            "{what}: for each IKE_SA {} us of processor time and {} bytes of anonymous memory; \
             descriptors {} -> {}, threads {} -> {}",
            (after.time - before.time).as_micros() as u64 / ike_sas,
            after.anonymous.saturating_sub(before.anonymous) * 1024 / ike_sas,
            before.descriptors,
            after.descriptors,
            before.threads,
            after.threads,
        );
    }
}

/// The gateway deletes the IKE_SA as its operator would.
fn delete(gateway: &Gateway) {
    wait::until("the gateway has the IKE_SA", || {
        gateway.try_swanctl(&["--terminate", "--ike", "segw"]).ok()
    });
}
