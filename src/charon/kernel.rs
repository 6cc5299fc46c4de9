// SPDX-License-Identifier: GPL-2.0-or-later

//! kernel_listener_t: what the kernel tells charon of the network.

use super::guard::guard;
use super::sys;

/// Has charon's kernel interface tell of changes of the network, for as long as this value lives.
pub struct NetworkRegistration {
    raw: *mut Registered,
}

/// What the kernel interface has a pointer to: charon's table first, so that both have the same address.
#[repr(C)]
struct Registered {
    table: sys::kernel_listener_t,
    changed: Box<dyn Fn() + Send + Sync>,
}

impl NetworkRegistration {
    /// Calls the closure whenever addresses, interfaces or routes changed.
    ///
    /// It runs under the mutex of the kernel interface, which threads that hold an IKE_SA wait for: it must return
    /// at once and call nothing that can lock or block (kernel/kernel_interface.c).
    pub fn new(changed: impl Fn() + Send + Sync + 'static) -> Self {
        let table = sys::kernel_listener_t {
            roam: Some(roam),
            ..Default::default()
        };
        let raw = Box::into_raw(Box::new(Registered {
            table,
            changed: Box::new(changed),
        }));
        // SAFETY: charon destroys the kernel interface after all plugins are unloaded (daemon.c, destroy); the table
        // stays in place until Drop removes it.
        unsafe { call!((*sys::charon).kernel, add_listener, &raw mut (*raw).table) }
        Self { raw }
    }
}

impl Drop for NetworkRegistration {
    fn drop(&mut self) {
        // SAFETY: remove_listener takes the mutex that a running hook holds, and none starts after it; the box was
        // made in new() and is freed only here. This is never reached from within a hook: the plugin's teardown owns
        // the registration.
        unsafe {
            call!(
                (*sys::charon).kernel,
                remove_listener,
                &raw mut (*self.raw).table
            );
            drop(Box::from_raw(self.raw));
        }
    }
}

// SAFETY: the pointer is only used by Drop, in which any thread may remove the listener; the closure is Send.
unsafe impl Send for NetworkRegistration {}
// SAFETY: a shared registration can do nothing.
unsafe impl Sync for NetworkRegistration {}

/// Always true: false would unregister the listener, which is what a panic must not do either.
unsafe extern "C" fn roam(this: *mut sys::kernel_listener_t, _address: bool) -> bool {
    guard((), || {
        // SAFETY: charon passes our table, which is the first field, and the box lives until the kernel interface
        // forgot it.
        (unsafe { &*this.cast::<Registered>() }.changed)();
    });
    true
}
