// SPDX-License-Identifier: GPL-2.0-or-later

//! Clones a connection's configuration for another gateway.

use extsock_core::domain::failover_name;
use extsock_core::failover::action::{Destination, Steering};

use super::gateway_cfg::GatewayCfg;
use crate::charon::{IkeCfg, PeerCfg, PeerCfgFields};

/// A new configuration `<connection>-failover-<gateway>`: equal to `peer_cfg` in everything but the
/// remote address, and what the gateway has of its own.
///
/// Proposals, authentication rounds, virtual IPs and identities are copied, CHILD_SA configurations
/// shared.
pub fn create_failover_config(
    peer_cfg: &PeerCfg,
    to: &Destination,
    own: Option<&GatewayCfg>,
) -> PeerCfg {
    let name = failover_name(&peer_cfg.name(), &to.gateway);
    let fields = peer_cfg.fields(jitter_time(peer_cfg));
    copy(peer_cfg, &name, Some((to, own)), &fields)
}

/// As that, under the name of `peer_cfg`.
pub fn create_gateway_config(peer_cfg: &PeerCfg, to: &Destination, own: &GatewayCfg) -> PeerCfg {
    let fields = peer_cfg.fields(jitter_time(peer_cfg));
    copy(peer_cfg, &peer_cfg.name(), Some((to, Some(own))), &fields)
}

/// What charon is given when it goes on by itself: leads to the gateway for as many tries as it likes, or
/// ends its tries. Everything else, the name too, is that of `peer_cfg`, or the gateway's own.
pub fn create_retry_config(
    peer_cfg: &PeerCfg,
    steering: &Steering,
    own: Option<&GatewayCfg>,
) -> PeerCfg {
    let mut fields = peer_cfg.fields(jitter_time(peer_cfg));
    fields.keyingtries = match steering {
        Steering::To(_) => 0,
        Steering::Stop | Steering::Replace(_) => 1,
    };
    let to = steering.destination().map(|to| (to, own));
    copy(peer_cfg, &peer_cfg.name(), to, &fields)
}

/// `peer_cfg` without regular DPD, with which charon sends a DPD request when its IKE_SA is asked for one. It is used
/// for one call only, so that the jitter of its times does not matter.
pub fn create_dpd_config(peer_cfg: &PeerCfg) -> PeerCfg {
    let mut fields = peer_cfg.fields(0);
    fields.dpd = 0;
    copy(peer_cfg, &peer_cfg.name(), None, &fields)
}

fn copy(
    peer_cfg: &PeerCfg,
    name: &str,
    to: Option<(&Destination, Option<&GatewayCfg>)>,
    fields: &PeerCfgFields,
) -> PeerCfg {
    let ike_cfg = peer_cfg.ike_cfg();
    let mut addresses = ike_cfg.fields();
    if let Some((to, own)) = to {
        addresses.remote = to.remote();
        addresses.remote_port = own.map_or(addresses.remote_port, |own| own.port);
    }
    let own = to.and_then(|(_, own)| own);
    let ike_cfg = IkeCfg::new(&addresses, ike_cfg.proposals());
    assemble(peer_cfg, name, ike_cfg, own, fields)
}

fn assemble(
    peer_cfg: &PeerCfg,
    name: &str,
    ike_cfg: IkeCfg,
    own: Option<&GatewayCfg>,
    fields: &PeerCfgFields,
) -> PeerCfg {
    let mut copy = PeerCfg::builder(name, ike_cfg, fields);
    for auth in peer_cfg.auth_cfgs(true) {
        copy.add_auth_cfg(auth, true);
    }
    let mut remote = peer_cfg.auth_cfgs(false);
    if let (Some(first), Some(own)) = (remote.first_mut(), own) {
        first.clone_from(&own.remote);
    }
    for auth in remote {
        copy.add_auth_cfg(auth, false);
    }
    for host in peer_cfg.virtual_ips() {
        copy.add_virtual_ip(host);
    }
    for pool in peer_cfg.pools() {
        copy.add_pool(&pool);
    }
    for child in peer_cfg.child_cfgs() {
        copy.add_child_cfg(child);
    }
    copy.build()
}

/// The jitter of the rekey and reauthentication times, in seconds.
///
/// charon has no getter for it, but compares it: a copy with the right one equals the original. What
/// vici, stroke and our own configuration make of it is tried first; else what charon draws with it
/// leads there.
fn jitter_time(peer_cfg: &PeerCfg) -> u32 {
    /// Enough draws to come within about 1 % of the bound.
    const DRAWS: u32 = 512;

    let fields = peer_cfg.fields(0);
    let longest = fields.rekey_time.max(fields.reauth_time);
    let fits = |jitter: u32| {
        let fields = peer_cfg.fields(jitter);
        assemble(
            peer_cfg,
            &peer_cfg.name(),
            peer_cfg.ike_cfg().clone(),
            None,
            &fields,
        ) == *peer_cfg
    };

    let usual = [fields.over_time, fields.over_time.min(longest / 2), 0];
    if let Some(jitter) = usual.into_iter().find(|jitter| fits(*jitter)) {
        return jitter;
    }
    // charon subtracts random() % jitter: the largest difference is below the jitter, and close.
    let largest = (0..DRAWS)
        .map(|_| {
            let (rekey, reauth) = peer_cfg.drawn_times();
            (fields.rekey_time - rekey).max(fields.reauth_time - reauth)
        })
        .max()
        .unwrap_or(0);
    let bound = largest.saturating_add(largest / 16 + 16);
    (largest + 1..=bound)
        .find(|jitter| fits(*jitter))
        .unwrap_or(fields.over_time)
}
