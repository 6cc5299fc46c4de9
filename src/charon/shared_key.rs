// SPDX-License-Identifier: GPL-2.0-or-later

//! shared_key_t on the secure heap: libstrongswan's own implementation uses libc's heap, which core dumps contain.

use std::sync::Arc;

use super::guard::guard;
use super::secure_heap::on_secure_heap;
use super::sys;

/// The object behind charon's pointer. The table is the first member, so that both have the same address.
#[repr(C)]
struct SharedKey {
    table: sys::shared_key_t,
    kind: sys::shared_key_type_t::Type,
    secret: Box<[u8]>,
}

/// A shared key with one reference, which is the caller's.
pub(super) fn create(kind: sys::shared_key_type_t::Type, secret: &[u8]) -> *mut sys::shared_key_t {
    let key = on_secure_heap(|| {
        Arc::new(SharedKey {
            table: sys::shared_key_t {
                get_type: Some(get_type),
                get_key: Some(get_key),
                get_ref: Some(get_ref),
                destroy: Some(destroy),
            },
            kind,
            secret: secret.into(),
        })
    });
    Arc::into_raw(key).cast_mut().cast()
}

unsafe extern "C" fn get_type(this: *mut sys::shared_key_t) -> sys::shared_key_type_t::Type {
    // SAFETY: charon calls this on keys to which it holds a reference, and `this` is one that create() made, as
    // only its tables name this function.
    unsafe { (*this.cast::<SharedKey>()).kind }
}

/// Lends the secret; charon only reads it.
unsafe extern "C" fn get_key(this: *mut sys::shared_key_t) -> sys::chunk_t {
    // SAFETY: as in get_type().
    let secret = unsafe { &(*this.cast::<SharedKey>()).secret };
    sys::chunk_t {
        ptr: secret.as_ptr().cast_mut(),
        len: secret.len(),
    }
}

unsafe extern "C" fn get_ref(this: *mut sys::shared_key_t) -> *mut sys::shared_key_t {
    // SAFETY: as in get_type(); create() made the pointer with Arc::into_raw().
    unsafe { Arc::increment_strong_count(this.cast::<SharedKey>()) }
    this
}

unsafe extern "C" fn destroy(this: *mut sys::shared_key_t) {
    // SAFETY: as in get_ref(); charon gives back one of its references and does not use it any more.
    guard((), || unsafe {
        Arc::decrement_strong_count(this.cast::<SharedKey>());
    });
}
