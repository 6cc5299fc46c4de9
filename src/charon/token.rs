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
    // SAFETY: libstrongswan destroys its settings after it has unloaded the plugins. The %s of the key takes the
    // namespace, a string that libstrongswan owns. The enumerator yields names that live until its next step;
    // string() copies each before that.
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
    // SAFETY: libstrongswan's plugin loader exists as long as any plugin is loaded. It lends the list, which
    // changes only while plugins are loaded and unloaded; string() copies it.
    let loaded = unsafe { string(call!((*sys::lib).plugins, loaded_plugins)) };
    loaded.split_whitespace().any(|plugin| plugin == name)
}

/// Why a private key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoKey {
    /// No token has it, as far as that can be seen without a PIN.
    NotFound,
    /// charon used the PIN: it is wrong, or the token has no private key with the handle.
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
    /// A private key on a token. With a PIN charon makes one attempt to log in, unless it is logged in already;
    /// without one it uses the PINs that it has.
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

/// Has charon's builders look for the object; NULL if none of them finds it.
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
    // Without a module, BUILD_END takes its place; builders read nothing behind the first BUILD_END.
    let (part, module) = match &name {
        Some(name) => (BUILD_PKCS11_MODULE, name.as_ptr()),
        None => (BUILD_END, ptr::null()),
    };
    // SAFETY: each part is followed by an argument of its type: a chunk, an int, a string. Builders copy what they
    // keep of the handle and the name, which live for the call.
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

/// A credential set with only a PIN, which this thread uses instead of all other sets.
struct Pin {
    set: *mut sys::callback_cred_t,
    offer: *mut Offer,
}

/// The data of the set's callback, [`give`], which charon calls in this thread.
struct Offer {
    pin: *mut sys::shared_key_t,
    /// Whether the present enumeration has yielded the PIN. An enumeration ends when the callback returns NULL; the
    /// one whose PIN opens the token is left before that (pkcs11_private_key.c, login). If that token does
    /// not have the key, the next builder, that of the plugin tpm, is therefore given no PIN.
    is_given: Cell<bool>,
    /// Whether any enumeration has yielded it.
    was_given: Cell<bool>,
}

impl Pin {
    fn offer(pin: &[u8]) -> Self {
        // SAFETY: Drop frees the offer and gives the reference to the PIN back after it has destroyed the set, the
        // only one that calls back with the offer. The manager uses the set in this thread only, until Drop, in the
        // same thread, removes it.
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
        // SAFETY: offer() made the box, which Drop frees; the pointers make Self neither Send nor Sync, and charon
        // calls back in this thread only.
        unsafe { (*self.offer).was_given.get() }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        // SAFETY: offer() added the set in this thread; only Drop removes and destroys it, once, after which
        // charon does not call back, so that nobody else uses the offer. The key wipes the PIN when its last
        // reference is given back.
        unsafe {
            let of_this_thread = &raw mut (*self.set).set;
            call!((*sys::lib).credmgr, remove_local_set, of_this_thread);
            call!(self.set, destroy);
            call!((*self.offer).pin, destroy);
            drop(Box::from_raw(self.offer));
        }
    }
}

/// Yields the PIN once in each enumeration of shared keys: each key is one attempt to log in.
unsafe extern "C" fn give(
    offer: *mut c_void,
    kind: sys::shared_key_type_t::Type,
    _me: *mut sys::identification_t,
    _other: *mut sys::identification_t,
    match_me: *mut sys::id_match_t::Type,
    match_other: *mut sys::id_match_t::Type,
) -> *mut sys::shared_key_t {
    guard(ptr::null_mut(), || {
        // SAFETY: charon passes the offer that Pin::offer() gave it and Drop frees later, in the same thread. The
        // places for how well the owners match are valid or NULL. charon gives the new reference back.
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
