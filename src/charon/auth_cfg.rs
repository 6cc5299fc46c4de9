// SPDX-License-Identifier: GPL-2.0-or-later

//! auth_cfg_t: one authentication round.

use super::identification::Identification;
use super::object::object;
use super::sys;

object! {
    /// One authentication round (libstrongswan credentials/auth_cfg.h).
    AuthCfg, auth_cfg_t, clone
}

/// How a peer authenticates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthClass {
    /// Whatever the peer chooses.
    Any,
    /// A pre-shared key.
    Psk,
}

impl AuthCfg {
    /// A round of the given class; without an identity any is accepted, or derived from the address.
    pub fn new(class: AuthClass, id: Option<Identification>) -> Self {
        let class = match class {
            AuthClass::Any => sys::auth_class_t::AUTH_CLASS_ANY,
            AuthClass::Psk => sys::auth_class_t::AUTH_CLASS_PSK,
        };
        // SAFETY: a constructor without arguments; the result is ours.
        let auth = unsafe { Self::adopt(sys::auth_cfg_create()) }
            .expect("charon: auth_cfg_create is never NULL");
        // SAFETY: the class rule takes an int, the identity rule adopts an identification_t.
        unsafe {
            call!(
                auth.as_ptr(),
                add,
                sys::auth_rule_t::AUTH_RULE_AUTH_CLASS,
                class
            );
            if let Some(id) = id {
                call!(
                    auth.as_ptr(),
                    add,
                    sys::auth_rule_t::AUTH_RULE_IDENTITY,
                    id.into_raw()
                );
            }
        }
        auth
    }
}

impl PartialEq for AuthCfg {
    fn eq(&self, other: &Self) -> bool {
        // SAFETY: both objects are held by references of ours.
        unsafe { call!(self.as_ptr(), equals, other.as_ptr()) }
    }
}
