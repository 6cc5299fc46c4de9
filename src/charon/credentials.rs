// SPDX-License-Identifier: GPL-2.0-or-later

//! mem_cred_t: an in-memory credential set that charon searches.

use std::ptr::{self, NonNull};

use super::certificate::{chunk, Certificate, PrivateKey};
use super::enumerate::c_string;
use super::identification::Identification;
use super::shared_key;
use super::sys;

/// What is found at a distribution point.
#[derive(Clone, Copy)]
pub enum Distributed {
    /// Certificates of an issuer, at this URL and their hash; charon looks for the issuer's subject.
    Certificates,
    /// CRLs; charon looks for the issuer's key.
    Crl,
    /// OCSP responses; charon looks for the issuer's key.
    OcspResponses,
}

/// A credential set, registered with charon for as long as it lives.
pub struct Credentials {
    raw: NonNull<sys::mem_cred_t>,
}

impl Credentials {
    /// Creates and registers an empty set.
    pub fn register() -> Self {
        // SAFETY: the constructor takes nothing; charon has initialised libstrongswan before it loads plugins.
        let raw = NonNull::new(unsafe { sys::mem_cred_create() })
            .expect("charon: mem_cred_create is never NULL");
        // SAFETY: libstrongswan destroys the credential manager after it has unloaded the plugins; Drop removes
        // the set from it before it destroys the set.
        unsafe { call!((*sys::lib).credmgr, add_set, &raw mut (*raw.as_ptr()).set) }
        Self { raw }
    }

    /// Adds a shared secret, or replaces the one added under the same `key`.
    ///
    /// Without owners it serves every identity: its owner is then `%any`, because mem_cred_t finds no entry
    /// that has no owner (credentials/sets/mem_cred.c).
    pub fn set_shared_secret(
        &self,
        kind: sys::shared_key_type_t::Type,
        key: &str,
        owners: &[String],
        secret: &[u8],
    ) {
        let key = c_string(key);
        let any = ["%any".to_owned()];
        let owners = if owners.is_empty() { &any[..] } else { owners };
        // SAFETY: self owns the set until Drop. into_raw() gives each identity's reference to the list;
        // add_shared_unique() adopts the list and our only reference to the shared key, and copies the key
        // string.
        unsafe {
            let shared = shared_key::create(kind, secret);
            let list = sys::linked_list_create();
            // A configuration whose owners are no identities was refused when it was parsed.
            for owner in owners
                .iter()
                .filter_map(|owner| Identification::pattern(owner))
            {
                call!(list, insert_last, owner.into_raw().cast());
            }
            call!(
                self.raw.as_ptr(),
                add_shared_unique,
                key.as_ptr().cast_mut(),
                shared,
                list
            );
        }
    }

    /// Removes what was added under the key.
    pub fn remove_shared_secret(&self, key: &str) {
        let key = c_string(key);
        // SAFETY: self owns the set until Drop; remove_shared_unique() only reads the key, which lives for the
        // call.
        unsafe {
            call!(
                self.raw.as_ptr(),
                remove_shared_unique,
                key.as_ptr().cast_mut()
            )
        }
    }

    /// Adds a certificate. Certificates that it issued are trusted only if it is `trusted` itself.
    pub fn add_certificate(&self, certificate: Certificate, trusted: bool) {
        // SAFETY: self owns the set until Drop; into_raw() gives up our reference, which add_cert() adopts.
        unsafe { call!(self.raw.as_ptr(), add_cert, trusted, certificate.into_raw()) }
    }

    /// Adds a URI at which certificates, CRLs or OCSP responses for the identity are found.
    pub fn add_distribution_point(&self, of: Distributed, id: &Identification, uri: &str) {
        let kind = match of {
            Distributed::Certificates => sys::certificate_type_t::CERT_X509,
            Distributed::Crl => sys::certificate_type_t::CERT_X509_CRL,
            Distributed::OcspResponses => sys::certificate_type_t::CERT_X509_OCSP_RESPONSE,
        };
        let uri = c_string(uri);
        // SAFETY: self owns the set until Drop; add_cdp() copies the identity and the string, which both live
        // for the call.
        unsafe {
            call!(
                self.raw.as_ptr(),
                add_cdp,
                kind,
                id.as_ptr(),
                uri.as_ptr().cast_mut()
            )
        }
    }

    /// Adds the PIN of a key with that identifier on a token, for tokens that ask for it again.
    pub fn add_pin(&self, handle: &[u8], pin: &[u8]) {
        let kind = sys::shared_key_type_t::SHARED_PIN;
        // SAFETY: self owns the set until Drop; key_id() copies the handle; add_shared() adopts our only
        // references to the PIN and the identity, and NULL ends its list of owners.
        unsafe {
            let pin = shared_key::create(kind, pin);
            let owner = Identification::key_id(chunk(handle)).expect("charon: never NULL");
            let end = ptr::null_mut::<sys::identification_t>();
            call!(self.raw.as_ptr(), add_shared, pin, owner.into_raw(), end);
        }
    }

    /// Adds a private key.
    pub fn add_private_key(&self, key: PrivateKey) {
        // SAFETY: self owns the set until Drop; into_raw() gives up our reference, which add_key() adopts.
        unsafe { call!(self.raw.as_ptr(), add_key, key.into_raw()) }
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        // SAFETY: register() added the set, and only Drop removes and destroys it, once; remove_set() waits until
        // nobody enumerates it. The set wipes its keys.
        unsafe {
            call!(
                (*sys::lib).credmgr,
                remove_set,
                &raw mut (*self.raw.as_ptr()).set
            );
            // The cache may hold certificates that were trusted because of one of this set.
            call!(
                (*sys::lib).credmgr,
                flush_cache,
                sys::certificate_type_t::CERT_ANY
            );
            call!(self.raw.as_ptr(), destroy);
        }
    }
}

// SAFETY: neither mem_cred_t nor the credential manager keeps anything for the thread that added a set with
// add_set(), so that another one may remove and destroy it.
unsafe impl Send for Credentials {}
// SAFETY: mem_cred_t locks itself (credentials/sets/mem_cred.c: rwlock).
unsafe impl Sync for Credentials {}
