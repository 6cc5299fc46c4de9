// SPDX-License-Identifier: GPL-2.0-or-later

//! Counts an object's references by replacing get_ref and destroy in its method table, which
//! charon keeps in every object.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::Arc;

/// References taken less references given back since the object is watched.
#[derive(Clone, Default)]
pub struct Count(Arc<AtomicI64>);

impl Count {
    pub fn balance(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Ordering::SeqCst);
    }
}

macro_rules! ledger {
    ($name:ident, $raw:ident) => {
        pub mod $name {
            use std::collections::HashMap;
            use std::sync::Mutex;

            use extsock::charon::sys::$raw;

            use super::Count;

            type GetRef = unsafe extern "C" fn(*mut $raw) -> *mut $raw;
            type Destroy = unsafe extern "C" fn(*mut $raw);

            static WATCHED: Mutex<Option<HashMap<usize, (Count, GetRef, Destroy)>>> =
                Mutex::new(None);

            /// Counts from here on; once per object.
            ///
            /// # Safety
            /// `object` must be valid and used by no other thread during this call.
            pub unsafe fn watch(object: *mut $raw) -> Count {
                let count = Count::default();
                // SAFETY: by this function's contract; the table is part of the object.
                unsafe {
                    let methods = (
                        count.clone(),
                        (*object).get_ref.unwrap(),
                        (*object).destroy.unwrap(),
                    );
                    WATCHED
                        .lock()
                        .unwrap()
                        .get_or_insert_default()
                        .insert(object as usize, methods);
                    (*object).get_ref = Some(get_ref);
                    (*object).destroy = Some(destroy);
                }
                count
            }

            fn lookup(object: *mut $raw) -> (Count, GetRef, Destroy) {
                WATCHED.lock().unwrap().as_ref().unwrap()[&(object as usize)].clone()
            }

            unsafe extern "C" fn get_ref(object: *mut $raw) -> *mut $raw {
                let (count, original, _) = lookup(object);
                count.add(1);
                // SAFETY: the object's own method.
                unsafe { original(object) }
            }

            unsafe extern "C" fn destroy(object: *mut $raw) {
                let (count, _, original) = lookup(object);
                count.add(-1);
                // SAFETY: the object's own method.
                unsafe { original(object) }
            }
        }
    };
}

ledger!(peer_cfg, peer_cfg_t);
ledger!(ike_cfg, ike_cfg_t);
ledger!(child_cfg, child_cfg_t);
