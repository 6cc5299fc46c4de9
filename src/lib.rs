// SPDX-License-Identifier: GPL-2.0-or-later

//! extsock, a strongSwan charon plugin that keeps an IPsec tunnel up when a security gateway dies.
//!
//! - [`charon`] wraps charon's C API; all unsafe code is there.
//! - [`adapter`] feeds the failover core with what charon tells, and does what the core decides.
//! - [`control`] serves the Unix socket.
//! - [`plugin`] puts them together.
//!
//! The failover core, the configuration model and the protocol are the crate `extsock_core`.

#![deny(unsafe_code)]

#[forbid(unsafe_code)]
pub mod adapter;
#[allow(unsafe_code)]
pub mod charon;
#[forbid(unsafe_code)]
pub mod control;
#[forbid(unsafe_code)]
pub mod plugin;

/// charon's entry: looked up by name, and called once, when the plugin is loaded.
#[allow(unsafe_code, reason = "charon finds it by its unmangled name")]
#[no_mangle]
pub extern "C" fn extsock_plugin_create() -> *mut charon::plugin_t {
    charon::create_plugin(plugin::start)
}
