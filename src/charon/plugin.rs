// SPDX-License-Identifier: GPL-2.0-or-later

//! plugin_t: how charon loads, starts, reloads and unloads the plugin.

use std::ffi::{c_char, c_void, CStr};
use std::ptr;

use super::guard::guard;
use super::layout::{built_for, check, Running};
use super::log;
use super::sys;

/// What the plugin does between registration and deregistration of its feature.
///
/// Dropping it takes everything back that [`create`]'s function set up.
pub trait Feature: Send + Sync + 'static {
    /// charon's options were read again: `swanctl --reload-settings`, or SIGHUP. Must not wait.
    fn reload(&self) {}
}

/// What charon has a pointer to: its table first, so that both have the same address.
#[repr(C)]
struct Plugin {
    table: sys::plugin_t,
    start: fn() -> Result<Box<dyn Feature>, String>,
    running: Option<Box<dyn Feature>>,
}

/// Makes the plugin_t whose feature `start` sets up; NULL, after one line in the log, in a charon
/// that the bindings do not fit.
pub fn create(start: fn() -> Result<Box<dyn Feature>, String>) -> *mut sys::plugin_t {
    guard(ptr::null_mut(), || {
        log::install();
        if let Err(refusal) = check(&built_for(), &Running::detect()) {
            ::log::error!("{refusal}");
            return ptr::null_mut();
        }
        let table = sys::plugin_t {
            get_name: Some(get_name),
            get_features: Some(sys::extsock_get_features),
            reload: Some(reload),
            destroy: Some(destroy),
        };
        Box::into_raw(Box::new(Plugin {
            table,
            start,
            running: None,
        }))
        .cast()
    })
}

const NAME: &CStr = c"extsock";

/// The version that the plugin was built for. From strongSwan 6.0.3 on the loader demands the symbol,
/// and that it equals its own version (libstrongswan plugins/plugin.h).
#[no_mangle]
#[allow(non_upper_case_globals)]
static extsock_plugin_version: Version = Version(
    concat!(env!("EXTSOCK_STRONGSWAN_VERSION"), "\0")
        .as_ptr()
        .cast(),
);

/// A C string in a symbol.
#[repr(transparent)]
struct Version(#[allow(dead_code)] *const c_char);

// SAFETY: points to a constant.
unsafe impl Sync for Version {}

unsafe extern "C" fn get_name(_: *mut sys::plugin_t) -> *mut c_char {
    NAME.as_ptr().cast_mut()
}

/// Registration and deregistration of the feature, called through the shim's table.
///
/// # Safety
/// charon's: `plugin` is what [`create`] returned, used by one thread at a time.
#[no_mangle]
unsafe extern "C" fn extsock_on_feature(
    plugin: *mut sys::plugin_t,
    _: *mut sys::plugin_feature_t,
    register: bool,
    _: *mut c_void,
) -> bool {
    guard(false, || {
        // SAFETY: by this function's contract; the table is the first field of the box.
        let plugin = unsafe { &mut *plugin.cast::<Plugin>() };
        if !register {
            plugin.running = None;
            return true;
        }
        match (plugin.start)() {
            Ok(feature) => {
                plugin.running = Some(feature);
                true
            }
            Err(problem) => {
                ::log::error!("{problem}");
                false
            }
        }
    })
}

unsafe extern "C" fn reload(plugin: *mut sys::plugin_t) -> bool {
    guard(false, || {
        // SAFETY: what create() returned. Several threads may be in here, and only read; charon takes the
        // feature back, or the plugin down, when they have ended (daemon.c, destroy).
        let plugin = unsafe { &*plugin.cast::<Plugin>() };
        let running = plugin.running.as_ref();
        running.map(|feature| feature.reload()).is_some()
    })
}

unsafe extern "C" fn destroy(plugin: *mut sys::plugin_t) {
    guard((), || {
        // SAFETY: made by create(), destroyed once by charon.
        drop(unsafe { Box::from_raw(plugin.cast::<Plugin>()) });
    });
}
