// SPDX-License-Identifier: GPL-2.0-or-later

//! certificate_t, private_key_t and pkcs12_t, read by charon's own builders.

use std::ffi::{c_int, c_void};
use std::ptr;

use super::enumerate::Enumerator;
use super::identification::Identification;
use super::object::object;
use super::shared_key;
use super::sys;

object! {
    /// An X.509 certificate or a raw public key (libstrongswan credentials/certificates/certificate.h).
    Certificate, certificate_t, get_ref
}

object! {
    /// A private key (libstrongswan credentials/keys/private_key.h).
    PrivateKey, private_key_t, get_ref
}

// SAFETY: references are counted atomically; charon's credential manager itself hands certificates and
// keys to whatever thread verifies or signs.
unsafe impl Send for Certificate {}
// SAFETY: as above; the object is complete when a builder returns it, and is only read from then on.
unsafe impl Sync for Certificate {}
// SAFETY: as of Certificate.
unsafe impl Send for PrivateKey {}
// SAFETY: as of Certificate.
unsafe impl Sync for PrivateKey {}

impl Certificate {
    /// Parses an X.509 certificate in PEM or DER; None if charon cannot.
    pub fn x509(encoded: &[u8]) -> Option<Self> {
        let (certificate, x509) = (
            sys::credential_type_t::CRED_CERTIFICATE,
            sys::certificate_type_t::CERT_X509,
        );
        // SAFETY: builders of certificates make a certificate_t, which is ours, or NULL.
        unsafe { Self::adopt(parse(certificate, x509, encoded).cast()) }
    }

    /// Parses a public key in PEM or DER, and makes a certificate of it for the owner; None if charon cannot.
    pub fn raw_public_key(encoded: &[u8], owner: Option<&Identification>) -> Option<Self> {
        // SAFETY: each list of builder parts has the types that libstrongswan's builders read, up to BUILD_END;
        // they copy what they keep of the chunk and the identity, which live for the call. The public key is NULL
        // or a reference of ours, given back here once; the certificate takes a further one and is NULL or ours.
        unsafe {
            let key = call!(
                (*sys::lib).creds,
                create,
                sys::credential_type_t::CRED_PUBLIC_KEY,
                sys::key_type_t::KEY_ANY,
                sys::builder_part_t::BUILD_BLOB_PEM,
                chunk(encoded),
                sys::builder_part_t::BUILD_END,
            )
            .cast::<sys::public_key_t>();
            if key.is_null() {
                return None;
            }
            let kind = sys::certificate_type_t::CERT_TRUSTED_PUBKEY;
            let (type_of, part) = (
                sys::credential_type_t::CRED_CERTIFICATE,
                sys::builder_part_t::BUILD_PUBLIC_KEY,
            );
            let end = sys::builder_part_t::BUILD_END;
            let creds = (*sys::lib).creds;
            let certificate = match owner {
                Some(owner) => {
                    let subject = sys::builder_part_t::BUILD_SUBJECT;
                    let id = owner.as_ptr();
                    call!(creds, create, type_of, kind, part, key, subject, id, end)
                }
                None => call!(creds, create, type_of, kind, part, key, end),
            };
            call!(key, destroy);
            Self::adopt(certificate.cast())
        }
    }

    /// Whether it may be used now.
    pub fn is_valid_now(&self) -> bool {
        // SAFETY: self holds a reference. NULL stands for the present time, and get_validity() writes no results
        // where it gets NULL for them.
        unsafe {
            call!(
                self.as_ptr(),
                get_validity,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut()
            )
        }
    }

    /// Whether it is one of a CA. Only to be asked of X.509 certificates.
    pub fn is_ca(&self) -> bool {
        // SAFETY: self holds a reference. An object of type CERT_X509 is an x509_t, whose first member is the
        // certificate_t (credentials/certificates/x509.h).
        unsafe {
            call!(self.as_ptr(), get_type) == sys::certificate_type_t::CERT_X509
                && call!(self.as_ptr().cast::<sys::x509_t>(), get_flags) & sys::x509_flag_t::X509_CA
                    != 0
        }
    }

    /// The identifiers of its public key, by which charon looks for CRLs and OCSP responders.
    pub fn key_ids(&self) -> Vec<Identification> {
        use sys::cred_encoding_type_t::{KEYID_PUBKEY_INFO_SHA1, KEYID_PUBKEY_SHA1};
        // SAFETY: self holds a reference. The public key is NULL or a new reference, given back here once; it
        // lends its fingerprints until then, and key_id() copies them.
        unsafe {
            let public = call!(self.as_ptr(), get_public_key);
            if public.is_null() {
                return Vec::new();
            }
            let ids = [KEYID_PUBKEY_SHA1, KEYID_PUBKEY_INFO_SHA1].into_iter();
            let ids = ids.filter_map(|kind| {
                let mut fingerprint = sys::chunk_t::default();
                let known = call!(public, get_fingerprint, kind, &mut fingerprint);
                known.then(|| Identification::key_id(fingerprint)).flatten()
            });
            let ids = ids.collect();
            call!(public, destroy);
            ids
        }
    }

    /// Its encoding in DER; empty if charon does not have it.
    pub fn encoding(&self) -> Vec<u8> {
        let kind = sys::cred_encoding_type_t::CERT_ASN1_DER;
        let mut encoding = sys::chunk_t::default();
        // SAFETY: self holds a reference. get_encoding() allocates the chunk with malloc() for its caller, if it
        // returns true; it is copied before it is freed.
        unsafe {
            if !call!(self.as_ptr(), get_encoding, kind, &mut encoding) {
                return Vec::new();
            }
            let bytes = std::slice::from_raw_parts(encoding.ptr, encoding.len).to_vec();
            libc::free(encoding.ptr.cast());
            bytes
        }
    }

    /// The subject.
    pub fn subject(&self) -> Identification {
        // SAFETY: self holds a reference. The certificate lends its subject as long as it lives; own() takes a
        // reference to it.
        unsafe { Identification::own(call!(self.as_ptr(), get_subject)) }
            .expect("charon: a certificate has a subject")
    }
}

impl PrivateKey {
    /// Parses a private key in PEM or DER, decrypted with the passphrase; None if charon cannot, or the
    /// passphrase is wrong or missing.
    pub fn new(encoded: &[u8], passphrase: Option<&[u8]>) -> Option<Self> {
        let _passphrase = Passphrase::offer(passphrase);
        let (private_key, any) = (
            sys::credential_type_t::CRED_PRIVATE_KEY,
            sys::key_type_t::KEY_ANY,
        );
        // SAFETY: builders of private keys make a private_key_t, which is ours, or NULL.
        unsafe { Self::adopt(parse(private_key, any, encoded).cast()) }
    }

    /// Whether it belongs to the certificate's public key.
    pub fn is_key_of(&self, certificate: &Certificate) -> bool {
        // SAFETY: self and the certificate hold references. The public key is NULL or a new reference, given
        // back here once; it lends its fingerprint until then.
        unsafe {
            let public = call!(certificate.as_ptr(), get_public_key);
            if public.is_null() {
                return false;
            }
            let mut fingerprint = sys::chunk_t::default();
            let kind = sys::cred_encoding_type_t::KEYID_PUBKEY_SHA1;
            let same = call!(public, get_fingerprint, kind, &mut fingerprint)
                && call!(self.as_ptr(), has_fingerprint, fingerprint);
            call!(public, destroy);
            same
        }
    }
}

/// What is in a PKCS#12 container (libstrongswan credentials/containers/pkcs12.h).
pub struct Container {
    /// Its certificates.
    pub certificates: Vec<Certificate>,
    /// Its private keys.
    pub keys: Vec<PrivateKey>,
}

impl Container {
    /// Whether charon has a plugin for PKCS#12.
    pub fn are_supported() -> bool {
        // SAFETY: libstrongswan's plugin loader exists as long as any plugin is loaded. It has no lock, and needs
        // none: its lists change only while plugins are loaded and unloaded, when no worker threads run.
        unsafe { sys::extsock_decodes_pkcs12() }
    }

    /// Parses a container in PEM or DER, decrypted with the passphrase, by default an empty one; None if charon
    /// cannot, or the passphrase is wrong.
    pub fn pkcs12(encoded: &[u8], passphrase: Option<&[u8]>) -> Option<Self> {
        let _passphrase = Passphrase::offer(Some(passphrase.unwrap_or_default()));
        let (kind, pkcs12) = (
            sys::credential_type_t::CRED_CONTAINER,
            sys::container_type_t::CONTAINER_PKCS12,
        );
        // SAFETY: builders of CONTAINER_PKCS12 make a pkcs12_t, which is ours and destroyed here once, or NULL. It
        // lends its certificates and keys to the enumerators; own() takes references to them.
        unsafe {
            let container = parse(kind, pkcs12, encoded).cast::<sys::pkcs12_t>();
            if container.is_null() {
                return None;
            }
            let certificates = Enumerator::new(call!(container, create_cert_enumerator));
            let certificates = certificates.filter_map(|raw| Certificate::own(raw));
            let certificates = certificates.collect();
            let keys = Enumerator::new(call!(container, create_key_enumerator));
            let keys = keys.filter_map(|raw| PrivateKey::own(raw)).collect();
            call!(&raw mut (*container).container, destroy);
            Some(Self { certificates, keys })
        }
    }
}

/// Has charon's builder for that type parse PEM or DER; NULL if none can.
fn parse(credential: sys::credential_type_t::Type, kind: c_int, encoded: &[u8]) -> *mut c_void {
    // SAFETY: BUILD_BLOB_PEM takes a chunk, and BUILD_END ends the list of parts; builders copy what they keep of
    // the chunk, which lives for the call.
    unsafe {
        call!(
            (*sys::lib).creds,
            create,
            credential,
            kind,
            sys::builder_part_t::BUILD_BLOB_PEM,
            chunk(encoded),
            sys::builder_part_t::BUILD_END,
        )
    }
}

/// A credential set with only a passphrase, or none, which this thread uses instead of all other sets.
struct Passphrase(*mut sys::mem_cred_t);

impl Passphrase {
    fn offer(passphrase: Option<&[u8]>) -> Self {
        // SAFETY: the new set is ours; add_shared() adopts our only reference to the key, and NULL ends its list of
        // owners. The manager uses the set in this thread only, until Drop, in the same thread, removes it.
        unsafe {
            let set = sys::mem_cred_create();
            if let Some(passphrase) = passphrase {
                let kind = sys::shared_key_type_t::SHARED_PRIVATE_KEY_PASS;
                let key = shared_key::create(kind, passphrase);
                let no_owner = ptr::null_mut::<sys::identification_t>();
                call!(set, add_shared, key, no_owner);
            }
            call!(
                (*sys::lib).credmgr,
                add_local_set,
                &raw mut (*set).set,
                true
            );
            Self(set)
        }
    }
}

impl Drop for Passphrase {
    fn drop(&mut self) {
        // SAFETY: offer() added the set in this thread, as the pointer makes Self neither Send nor Sync; only Drop
        // removes and destroys it, once. The set wipes its keys.
        unsafe {
            call!(
                (*sys::lib).credmgr,
                remove_local_set,
                &raw mut (*self.0).set
            );
            call!(self.0, destroy);
        }
    }
}

/// A chunk for a callee that only reads it.
pub(super) fn chunk(bytes: &[u8]) -> sys::chunk_t {
    sys::chunk_t {
        ptr: bytes.as_ptr().cast_mut(),
        len: bytes.len(),
    }
}
