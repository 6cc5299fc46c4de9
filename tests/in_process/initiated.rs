// SPDX-License-Identifier: GPL-2.0-or-later

//! An IKE_SA without packets, for tests in process and for the benchmark of the listener.

use std::ffi::CStr;

use extsock::charon::sys;

/// An IKE_SA that we initiate to 10.0.0.1, with the configuration of that name, which charon has. It has an
/// exchange to come, as one without a task is the product of a rekeying.
pub fn initiated(connection: &CStr) -> *mut sys::ike_sa_t {
    // SAFETY: charon's managers are there, which callers see to; the IKE_SA adopts hosts and task, and takes
    // its own reference of the configuration.
    unsafe {
        let manager = (*sys::charon).ike_sa_manager;
        let ike_sa = call!(manager, create_new, sys::ike_version_t::IKEV2, true);
        let backends = (*sys::charon).backends;
        let name = connection.as_ptr().cast_mut();
        let peer_cfg = call!(backends, get_peer_cfg_by_name, name);
        assert!(!peer_cfg.is_null(), "{connection:?} is loaded");
        call!(ike_sa, set_peer_cfg, peer_cfg);
        call!(peer_cfg, destroy);
        let host = |address: &CStr| sys::host_create_from_string(address.as_ptr().cast_mut(), 500);
        call!(ike_sa, set_my_host, host(c"10.0.0.9"));
        call!(ike_sa, set_other_host, host(c"10.0.0.1"));
        let initiator = sys::ike_condition_t::COND_ORIGINAL_INITIATOR;
        call!(ike_sa, set_condition, initiator, true);
        let task = sys::ike_dpd_create(true);
        call!(ike_sa, queue_task, task.cast::<sys::task_t>());
        ike_sa
    }
}
