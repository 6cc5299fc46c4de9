// SPDX-License-Identifier: GPL-2.0-or-later

//! controller_t: what an operator can do with IKE_SAs. Only from jobs: every call here may wait for
//! IKE_SAs that other threads hold.

use std::ptr;

use extsock_core::failover::evidence::IkeSaState;

use super::child_cfg::ChildCfg;
use super::enumerate::Enumerator;
use super::ike_sa::{IkeSa, IkeSaId};
use super::peer_cfg::PeerCfg;
use super::sys;

/// Initiates the CHILD_SA, or an IKE_SA without one, and returns when the first message is sent;
/// false if it could not be (no SPI, address not resolvable, over charon's limits).
///
/// An IKE_SA with an equal configuration is reused (sa/ike_sa_manager.c, checkout_by_config).
pub fn initiate(peer_cfg: PeerCfg, child_cfg: Option<ChildCfg>) -> bool {
    // SAFETY: charon lives as long as the plugin; both references are given away in every outcome;
    // without a callback the call runs in this thread and keeps nothing of ours.
    let status = unsafe {
        call!(
            (*sys::charon).controller,
            initiate,
            peer_cfg.into_raw(),
            child_cfg.map_or(ptr::null_mut(), ChildCfg::into_raw),
            None,
            ptr::null_mut(),
            #[cfg(strongswan_5_9_11)]
            sys::level_t::LEVEL_SILENT,
            0,
            false,
        )
    };
    status == sys::status_t::SUCCESS
}

/// Deletes the IKE_SA, as `swanctl --terminate` does, with `force` without waiting for its peer; false
/// if it is gone.
pub fn terminate(id: IkeSaId, force: bool) -> bool {
    // SAFETY: as in initiate().
    let status = unsafe {
        call!(
            (*sys::charon).controller,
            terminate_ike,
            id.0,
            force,
            None,
            ptr::null_mut(),
            #[cfg(strongswan_5_9_11)]
            sys::level_t::LEVEL_SILENT,
            0,
        )
    };
    status == sys::status_t::SUCCESS
}

/// The IKE_SAs of that configuration name that wait for their peer's name to resolve: charon tells of
/// them by no event (sa/ike_sa.c, retry_initiate_interval).
pub fn unresolved(name: &str) -> Vec<IkeSaId> {
    // SAFETY: charon lives as long as the plugin. An item is not checked out: the enumerator waits until nobody
    // has it, and holds the mutex of its segment while it stands on it (sa/ike_sa_manager.c,
    // enumerator_filter_wait), so that nothing in this chain may check out an IKE_SA.
    unsafe {
        Enumerator::<sys::ike_sa_t>::new(call!(
            (*sys::charon).controller,
            create_ike_sa_enumerator,
            true
        ))
        .filter_map(|raw| IkeSa::lend(raw))
        .filter(|ike_sa| ike_sa.state() == IkeSaState::Created && ike_sa.name() == name)
        .map(|ike_sa| ike_sa.id())
        .collect()
    }
}
