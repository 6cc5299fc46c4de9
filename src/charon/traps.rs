// SPDX-License-Identifier: GPL-2.0-or-later

//! trap_manager_t: policies that raise an acquire when traffic matches. Only from jobs.

use super::child_cfg::ChildCfg;
use super::enumerate::c_string;
use super::peer_cfg::PeerCfg;
use super::sys;

/// Installs the trap policy of a CHILD_SA configuration; false if charon could not.
pub fn install(peer_cfg: &PeerCfg, child_cfg: &ChildCfg) -> bool {
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

/// Removes the trap policy of the connection's CHILD_SA configuration, if there is one.
pub fn uninstall(connection: &str, child: &str) {
    let (connection, child) = (c_string(connection), c_string(child));
    // SAFETY: the trap manager outlives the plugin's feature; the names are only compared.
    unsafe {
        call!(
            (*sys::charon).traps,
            uninstall,
            connection.as_ptr().cast_mut(),
            child.as_ptr().cast_mut(),
        );
    }
}
