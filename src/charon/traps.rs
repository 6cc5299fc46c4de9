// SPDX-License-Identifier: GPL-2.0-or-later

//! trap_manager_t and shunt_manager_t: policies that raise an acquire when traffic matches, and those
//! that let it pass or drop it. Only from jobs.

use std::ffi::CStr;
use std::ptr;

use super::child_cfg::ChildCfg;
use super::enumerate::c_string;
use super::peer_cfg::PeerCfg;
use super::sys;

/// Installs the trap policy of a CHILD_SA configuration, or the policy that it is if it has no SA; false
/// if charon could not.
pub fn install(peer_cfg: &PeerCfg, child_cfg: &ChildCfg) -> bool {
    if child_cfg.is_shunt() {
        let connection = c_string(&peer_cfg.name());
        // SAFETY: the shunt manager outlives the plugin's feature, takes a reference of its own and
        // copies the name.
        return unsafe {
            call!(
                (*sys::charon).shunts,
                install,
                connection.as_ptr().cast_mut(),
                child_cfg.as_ptr()
            )
        };
    }
    // SAFETY: the trap manager outlives the plugin's feature and takes references of its own.
    unsafe {
        call!(
            (*sys::charon).traps,
            install,
            peer_cfg.as_ptr(),
            child_cfg.as_ptr()
        )
    }
}

/// Removes the policies of the connection's CHILD_SA configuration, if there are any.
pub fn uninstall(connection: &str, child: &str) {
    let (connection, child) = (c_string(connection), c_string(child));
    // SAFETY: both managers outlive the plugin's feature; the names are only compared.
    unsafe {
        call!(
            (*sys::charon).shunts,
            uninstall,
            connection.as_ptr().cast_mut(),
            child.as_ptr().cast_mut(),
        );
        if is_installed(&connection, &child) {
            call!(
                (*sys::charon).traps,
                uninstall,
                connection.as_ptr().cast_mut(),
                child.as_ptr().cast_mut(),
            );
        }
    }
}

/// Whether there is such a trap. Once charon has removed all of them for its end, `uninstall` waits for ever
/// (sa/trap_manager.c, flush); only when that happens between both calls it still does.
fn is_installed(connection: &CStr, child: &CStr) -> bool {
    let mut peer_cfg: *mut sys::peer_cfg_t = ptr::null_mut();
    let mut child_sa: *mut sys::child_sa_t = ptr::null_mut();
    // SAFETY: the trap manager outlives the plugin's feature; its enumerator yields both, which stay while it
    // holds the manager's lock, and is destroyed on each way out; the names are only compared.
    unsafe {
        let traps = call!((*sys::charon).traps, create_enumerator);
        let mut found = false;
        while !found && call!(traps, enumerate, &raw mut peer_cfg, &raw mut child_sa) {
            found = CStr::from_ptr(call!(peer_cfg, get_name)) == connection
                && CStr::from_ptr(call!(child_sa, get_name)) == child;
        }
        call!(traps, destroy);
        found
    }
}
