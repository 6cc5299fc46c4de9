// SPDX-License-Identifier: GPL-2.0-or-later

//! trap_manager_t and shunt_manager_t: policies that raise an acquire when traffic matches, and those
//! that let it pass or drop it. Only from jobs.

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
        call!(
            (*sys::charon).traps,
            uninstall,
            connection.as_ptr().cast_mut(),
            child.as_ptr().cast_mut(),
        );
    }
}
