// SPDX-License-Identifier: GPL-2.0-or-later

//! Certificates and private keys on PKCS#11 tokens, which charon's plugin pkcs11 finds.

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use extsock_core::config::TokenObject;

use super::certificate::{chunk, Certificate, PrivateKey};
use super::enumerate::{c_string, string, Enumerator};
use super::guard::guard;
use super::shared_key;
use super::sys;

/// Whether charon has loaded a plugin that finds objects by their handles: pkcs11, or tpm for those in a TPM.
pub fn finds_tokens() -> bool {
    has_plugin("pkcs11") || has_plugin("tpm")
}

/// The modules that strongswan.conf has; None without the plugin that loads them.
pub fn token_modules() -> Option<Vec<String>> {
    if !has_plugin("pkcs11") {
        return None;
    }
    // SAFETY: the settings outlive the plugin; %s in the key takes the namespace, which charon owns; the
    // enumerator yields names that live until the next step, and are copied at once.
    unsafe {
        let sections = Enumerator::<c_char>::new(call!(
            (*sys::lib).settings,
            create_section_enumerator,
            c"%s.plugins.pkcs11.modules".as_ptr().cast_mut(),
            (*sys::lib).ns,
        ));
        Some(sections.map(|name| string(name)).collect())
    }
}

fn has_plugin(name: &str) -> bool {
    // SAFETY: the loader is there for as long as the plugin; it lends the list, which is copied at once.
    let loaded = unsafe { string(call!((*sys::lib).plugins, loaded_plugins)) };
    loaded.split_whitespace().any(|plugin| plugin == name)
}

/// Why a private key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoKey {
    /// It was not found, and charon asked for no PIN.
    NotFound,
    /// charon asked for the PIN, and it was wrong, or the token has no private key with the handle.
    Locked,
}

impl Certificate {
    /// An X.509 certificate on a token; None if there is none, or none that charon can read.
    pub fn on_token(object: &TokenObject) -> Option<Self> {
        let certificate = sys::credential_type_t::CRED_CERTIFICATE;
        // SAFETY: builders of certificates make a certificate_t, which is ours, or NULL.
        unsafe {
            Self::adopt(create(certificate, sys::certificate_type_t::CERT_X509, object).cast())
        }
    }
}

impl PrivateKey {
    /// A private key on a token. With a PIN one attempt is made to log in, unless charon is already; without
    /// one charon looks for what it knows.
    ///
    /// # Errors
    ///
    /// [`NoKey`] if charon cannot use it.
    pub fn on_token(object: &TokenObject, pin: Option<&[u8]>) -> Result<Self, NoKey> {
        let pin = pin.map(Pin::offer);
        let private_key = sys::credential_type_t::CRED_PRIVATE_KEY;
        // SAFETY: builders of private keys make a private_key_t, which is ours, or NULL.
        let key =
            unsafe { Self::adopt(create(private_key, sys::key_type_t::KEY_ANY, object).cast()) };
        key.ok_or(match pin {
            Some(pin) if pin.was_asked_for() => NoKey::Locked,
            _ => NoKey::NotFound,
        })
    }
}

/// What the first builder makes that finds the object; NULL if none does.
fn create(
    credential: sys::credential_type_t::Type,
    kind: c_int,
    object: &TokenObject,
) -> *mut c_void {
    use sys::builder_part_t::{
        BUILD_END, BUILD_PKCS11_KEYID, BUILD_PKCS11_MODULE, BUILD_PKCS11_SLOT,
    };
    let handle = chunk(&object.handle);
    let slot = object.slot.and_then(|slot| c_int::try_from(slot).ok());
    let name = object.module.as_deref().map(c_string);
    // What comes after the first end is not read.
    let (part, module) = match &name {
        Some(name) => (BUILD_PKCS11_MODULE, name.as_ptr()),
        None => (BUILD_END, ptr::null()),
    };
    // SAFETY: the builders read the parts up to the end, and copy what they keep of the handle and the name,
    // which live for the call.
    unsafe {
        let (creds, id) = ((*sys::lib).creds, BUILD_PKCS11_KEYID);
        match slot {
            Some(slot) => call!(
                creds,
                create,
                credential,
                kind,
                id,
                handle,
                BUILD_PKCS11_SLOT,
                slot,
                part,
                module,
                BUILD_END
            ),
            None => call!(creds, create, credential, kind, id, handle, part, module, BUILD_END),
        }
    }
}

/// A set with nothing but a PIN, which for this thread stands in place of all others.
struct Pin {
    set: *mut sys::callback_cred_t,
    offer: *mut Offer,
}

/// What the set's callback, which charon calls in this thread, works with.
struct Offer {
    pin: *mut sys::shared_key_t,
    /// Whether the enumeration that goes on has had it: each ends with a NULL, but the one whose PIN opens
    /// the token (pkcs11_private_key.c, login). Should the key not be there, the next builder, tpm, gets none.
    is_given: Cell<bool>,
    was_given: Cell<bool>,
}

impl Pin {
    fn offer(pin: &[u8]) -> Self {
        // SAFETY: the key is ours until Drop; so is what the callback gets. The set is
        // this thread's until Drop removes it.
        unsafe {
            let kind = sys::shared_key_type_t::SHARED_PIN;
            let offer = Box::into_raw(Box::new(Offer {
                pin: shared_key::create(kind, pin),
                is_given: Cell::new(false),
                was_given: Cell::new(false),
            }));
            let set = sys::callback_cred_create_shared(Some(give), offer.cast());
            let of_this_thread = &raw mut (*set).set;
            call!((*sys::lib).credmgr, add_local_set, of_this_thread, true);
            Self { set, offer }
        }
    }

    fn was_asked_for(&self) -> bool {
        // SAFETY: it is there until Drop, and only this thread uses it.
        unsafe { (*self.offer).was_given.get() }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        // SAFETY: added in offer() by this thread, removed and destroyed only here, after which nobody calls
        // back; the key wipes the PIN when its last reference goes.
        unsafe {
            let of_this_thread = &raw mut (*self.set).set;
            call!((*sys::lib).credmgr, remove_local_set, of_this_thread);
            call!(self.set, destroy);
            call!((*self.offer).pin, destroy);
            drop(Box::from_raw(self.offer));
        }
    }
}

/// Answers charon's search for shared keys: once for each enumeration, which is one attempt to log in.
unsafe extern "C" fn give(
    offer: *mut c_void,
    kind: sys::shared_key_type_t::Type,
    _me: *mut sys::identification_t,
    _other: *mut sys::identification_t,
    match_me: *mut sys::id_match_t::Type,
    match_other: *mut sys::id_match_t::Type,
) -> *mut sys::shared_key_t {
    guard(ptr::null_mut(), || {
        // SAFETY: charon passes what Pin::offer() gave it, in the same thread, and where it wants to know
        // how well the owners match valid places for that, else NULL. The reference is charon's.
        unsafe {
            let offer = &*offer.cast::<Offer>();
            if kind != sys::shared_key_type_t::SHARED_PIN || offer.is_given.replace(false) {
                return ptr::null_mut();
            }
            offer.is_given.set(true);
            offer.was_given.set(true);
            for place in [match_me, match_other] {
                if !place.is_null() {
                    *place = sys::id_match_t::ID_MATCH_PERFECT;
                }
            }
            call!(offer.pin, get_ref)
        }
    })
}
