// SPDX-License-Identifier: GPL-2.0-or-later

//! backend_t: the configurations that charon and swanctl see as ours.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::enumerate::{c_string, lent_string};
use super::guard::guard;
use super::ike_cfg::IkeCfg;
use super::peer_cfg::PeerCfg;
use super::sys;

/// A configuration backend, registered with charon for as long as it lives.
///
/// Enumerations run over a snapshot: the lock is never held while charon uses what it got.
pub struct Backend {
    raw: *mut Registered,
}

/// What charon has a pointer to: its table first, so that both have the same address.
#[repr(C)]
struct Registered {
    table: sys::backend_t,
    configs: Mutex<Vec<PeerCfg>>,
}

impl Backend {
    /// Creates and registers an empty backend.
    pub fn register() -> Self {
        let table = sys::backend_t {
            create_ike_cfg_enumerator: Some(create_ike_cfg_enumerator),
            create_peer_cfg_enumerator: Some(create_peer_cfg_enumerator),
            get_peer_cfg_by_name: Some(get_peer_cfg_by_name),
        };
        let raw = Box::into_raw(Box::new(Registered {
            table,
            configs: Mutex::default(),
        }));
        // SAFETY: the backend manager outlives the plugin; the table stays until Drop removes it.
        unsafe { call!((*sys::charon).backends, add_backend, &raw mut (*raw).table) }
        Self { raw }
    }

    /// Adds the configuration, or replaces, in its place, the one of the same name, which it returns.
    pub fn set(&self, config: PeerCfg) -> Option<PeerCfg> {
        let mut configs = self.configs();
        let mut known = configs.iter_mut();
        match known.find(|known| known.name() == config.name()) {
            Some(known) => Some(std::mem::replace(known, config)),
            None => {
                configs.push(config);
                None
            }
        }
    }

    /// Removes and returns the configuration of that name.
    pub fn remove(&self, name: &str) -> Option<PeerCfg> {
        let mut configs = self.configs();
        let index = configs.iter().position(|known| known.name() == name)?;
        Some(configs.remove(index))
    }

    /// The configuration of that name.
    pub fn get(&self, name: &str) -> Option<PeerCfg> {
        self.configs()
            .iter()
            .find(|known| known.name() == name)
            .cloned()
    }

    fn configs(&self) -> MutexGuard<'_, Vec<PeerCfg>> {
        // SAFETY: the box lives as long as self.
        lock(unsafe { &(*self.raw).configs })
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // SAFETY: remove_backend waits for running enumerations, none starts after it; the box was
        // made in register() and is freed only here.
        unsafe {
            call!(
                (*sys::charon).backends,
                remove_backend,
                &raw mut (*self.raw).table
            );
            drop(Box::from_raw(self.raw));
        }
    }
}

// SAFETY: it is not bound to the thread that registered it: remove_backend may be called by any.
unsafe impl Send for Backend {}
// SAFETY: what the pointer leads to is charon's table, which only charon reads, and the configurations,
// which are locked.
unsafe impl Sync for Backend {}

/// The peer_cfg of that name, whoever loaded it. Only from jobs: takes the backends' lock.
pub fn peer_cfg_by_name(name: &str) -> Option<PeerCfg> {
    let text = c_string(name);
    // SAFETY: the backend manager outlives the plugin; the name is only read; the result is ours.
    let config = unsafe {
        PeerCfg::adopt(call!(
            (*sys::charon).backends,
            get_peer_cfg_by_name,
            text.as_ptr().cast_mut(),
        ))
    };
    // Other backends also find a connection by the name of one of its children.
    config.filter(|config| config.name() == name)
}

fn lock(configs: &Mutex<Vec<PeerCfg>>) -> MutexGuard<'_, Vec<PeerCfg>> {
    // A panic while it was held cannot have left a vector of references in a bad state.
    configs.lock().unwrap_or_else(PoisonError::into_inner)
}

/// # Safety
/// `this` must be the table of a [`Registered`].
unsafe fn configs_of<'a>(this: *mut sys::backend_t) -> MutexGuard<'a, Vec<PeerCfg>> {
    // SAFETY: the table is the first field, and the box lives until charon forgot it, which waits for the
    // calls that are under way.
    lock(unsafe { &(*this.cast::<Registered>()).configs })
}

unsafe extern "C" fn create_ike_cfg_enumerator(
    this: *mut sys::backend_t,
    _: *mut sys::host_t,
    _: *mut sys::host_t,
) -> *mut sys::enumerator_t {
    // charon matches the addresses itself (config/backend_manager.c).
    guard(ptr::null_mut(), || {
        // SAFETY: charon passes our table.
        let configs = unsafe { configs_of(this) }.clone();
        enumerator(
            configs
                .iter()
                .map(|config| config.ike_cfg().clone().into_raw()),
            destroy_ike_cfgs,
        )
    })
}

unsafe extern "C" fn create_peer_cfg_enumerator(
    this: *mut sys::backend_t,
    _: *mut sys::identification_t,
    _: *mut sys::identification_t,
) -> *mut sys::enumerator_t {
    // charon matches the identities itself (config/backend_manager.c).
    guard(ptr::null_mut(), || {
        // SAFETY: charon passes our table.
        let configs = unsafe { configs_of(this) }.clone();
        enumerator(
            configs.into_iter().map(PeerCfg::into_raw),
            destroy_peer_cfgs,
        )
    })
}

unsafe extern "C" fn get_peer_cfg_by_name(
    this: *mut sys::backend_t,
    name: *mut c_char,
) -> *mut sys::peer_cfg_t {
    guard(ptr::null_mut(), || {
        // SAFETY: charon passes our table and a string.
        let (configs, name) = unsafe { (configs_of(this), lent_string(name)) };
        let found = configs.iter().find(|config| config.name() == name);
        found.cloned().map_or(ptr::null_mut(), PeerCfg::into_raw)
    })
}

/// An enumerator over references that it gives back when it is destroyed.
fn enumerator<T>(
    items: impl Iterator<Item = *mut T>,
    destroy: unsafe extern "C" fn(*mut c_void),
) -> *mut sys::enumerator_t {
    // SAFETY: the list is new; it keeps the pointers until the cleaner, run when charon destroys
    // the enumerator, gives them back and destroys it.
    unsafe {
        let list = sys::linked_list_create();
        for item in items {
            call!(list, insert_last, item.cast());
        }
        sys::enumerator_create_cleaner(call!(list, create_enumerator), Some(destroy), list.cast())
    }
}

unsafe extern "C" fn destroy_ike_cfgs(list: *mut c_void) {
    // SAFETY: the list of create_ike_cfg_enumerator(), used up.
    unsafe { drop_list(list, |raw| IkeCfg::adopt(raw)) }
}

unsafe extern "C" fn destroy_peer_cfgs(list: *mut c_void) {
    // SAFETY: the list of create_peer_cfg_enumerator(), used up.
    unsafe { drop_list(list, |raw| PeerCfg::adopt(raw)) }
}

/// # Safety
/// `list` must be a linked_list_t of `T`, owned with its items.
unsafe fn drop_list<T, O>(list: *mut c_void, adopt: impl Fn(*mut T) -> Option<O>) {
    guard((), || {
        // SAFETY: by this function's contract.
        drop(unsafe { super::enumerate::take_list(list.cast(), adopt) });
    });
}
