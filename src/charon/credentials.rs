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
        // SAFETY: a constructor without arguments.
        let raw = NonNull::new(unsafe { sys::mem_cred_create() })
            .expect("charon: mem_cred_create is never NULL");
        // SAFETY: the credential manager outlives the plugin; `set` lives until Drop removes it.
        unsafe { call!((*sys::lib).credmgr, add_set, &raw mut (*raw.as_ptr()).set) }
        Self { raw }
    }

    /// Adds a shared secret, or replaces the one added under the same `key`.
    ///
    /// Without owners it serves every identity; an entry without any owner would never be found
    /// (credentials/sets/mem_cred.c), so that `%any` stands in.
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
        // SAFETY: the list adopts the identities, the set adopts it and the shared key; the key string
        // is copied.
        unsafe {
            let shared = shared_key::create(kind, secret);
            let list = sys::linked_list_create();
            // What is no identity was refused before.
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
        // SAFETY: the set is ours; the key is only read.
        unsafe {
            call!(
                self.raw.as_ptr(),
                remove_shared_unique,
                key.as_ptr().cast_mut()
            )
        }
    }
}

impl Credentials {
    /// Adds a certificate; what it has issued is trusted only if it is itself.
    pub fn add_certificate(&self, certificate: Certificate, trusted: bool) {
        // SAFETY: the set is ours, and adopts the reference.
        unsafe { call!(self.raw.as_ptr(), add_cert, trusted, certificate.into_raw()) }
    }

    /// Adds where something about the identity's certificates is found.
    pub fn add_distribution_point(&self, of: Distributed, id: &Identification, uri: &str) {
        let kind = match of {
            Distributed::Certificates => sys::certificate_type_t::CERT_X509,
            Distributed::Crl => sys::certificate_type_t::CERT_X509_CRL,
            Distributed::OcspResponses => sys::certificate_type_t::CERT_X509_OCSP_RESPONSE,
        };
        let uri = c_string(uri);
        // SAFETY: the set is ours, and copies the identity and the string.
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
        // SAFETY: the identity copies the handle; the set is ours, and adopts both.
        unsafe {
            let pin = shared_key::create(kind, pin);
            let owner = Identification::key_id(chunk(handle)).expect("charon: never NULL");
            let end = ptr::null_mut::<sys::identification_t>();
            call!(self.raw.as_ptr(), add_shared, pin, owner.into_raw(), end);
        }
    }

    /// Adds a private key.
    pub fn add_private_key(&self, key: PrivateKey) {
        // SAFETY: the set is ours, and adopts the reference.
        unsafe { call!(self.raw.as_ptr(), add_key, key.into_raw()) }
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        // SAFETY: registered in register(), removed and destroyed only here; the set wipes its keys.
        unsafe {
            call!(
                (*sys::lib).credmgr,
                remove_set,
                &raw mut (*self.raw.as_ptr()).set
            );
            // It may have what is trusted because of a certificate of this set.
            call!(
                (*sys::lib).credmgr,
                flush_cache,
                sys::certificate_type_t::CERT_ANY
            );
            call!(self.raw.as_ptr(), destroy);
        }
    }
}

// SAFETY: any thread may take the set out of the credential manager and destroy it.
unsafe impl Send for Credentials {}
// SAFETY: mem_cred_t locks itself (credentials/sets/mem_cred.c: rwlock).
unsafe impl Sync for Credentials {}
