// SPDX-License-Identifier: GPL-2.0-or-later

//! certificate_t, private_key_t and pkcs12_t, read by charon's own builders.

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
    /// An X.509 certificate of PEM or DER; None if it is none that charon can read.
    pub fn x509(encoded: &[u8]) -> Option<Self> {
        Self::build(sys::certificate_type_t::CERT_X509, encoded)
    }

    /// A public key of PEM or DER as a certificate of the owner; None if it is none that charon can read.
    pub fn raw_public_key(encoded: &[u8], owner: Option<&Identification>) -> Option<Self> {
        // SAFETY: the builders copy what they keep of the chunk and the identity; the public key is ours,
        // and the certificate has a reference of its own; both may be NULL.
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

    fn build(kind: sys::certificate_type_t::Type, encoded: &[u8]) -> Option<Self> {
        // SAFETY: the builders copy what they keep of the chunk; the result is NULL or ours.
        unsafe {
            Self::adopt(
                call!(
                    (*sys::lib).creds,
                    create,
                    sys::credential_type_t::CRED_CERTIFICATE,
                    kind,
                    sys::builder_part_t::BUILD_BLOB_PEM,
                    chunk(encoded),
                    sys::builder_part_t::BUILD_END,
                )
                .cast(),
            )
        }
    }

    /// Whether it may be used now.
    pub fn is_valid_now(&self) -> bool {
        // SAFETY: self holds the object; NULL is for now, and for what is not asked for.
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
        // SAFETY: every CERT_X509 is an x509_t.
        unsafe {
            call!(self.as_ptr(), get_type) == sys::certificate_type_t::CERT_X509
                && call!(self.as_ptr().cast::<sys::x509_t>(), get_flags) & sys::x509_flag_t::X509_CA
                    != 0
        }
    }

    /// The identifiers of its public key, by which charon looks for CRLs and OCSP responders.
    pub fn key_ids(&self) -> Vec<Identification> {
        use sys::cred_encoding_type_t::{KEYID_PUBKEY_INFO_SHA1, KEYID_PUBKEY_SHA1};
        // SAFETY: self holds the object; the public key is a new reference, which lends its fingerprints
        // until it is destroyed; identities copy them.
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
        // SAFETY: self holds the object; a chunk that it fills is ours, on libc's heap.
        unsafe {
            if !call!(self.as_ptr(), get_encoding, kind, &mut encoding) {
                return Vec::new();
            }
            let bytes = std::slice::from_raw_parts(encoding.ptr, encoding.len).to_vec();
            libc::free(encoding.ptr.cast());
            bytes
        }
    }

    /// Whose it is.
    pub fn subject(&self) -> Identification {
        // SAFETY: self holds the object, which lends its subject for as long.
        unsafe { Identification::own(call!(self.as_ptr(), get_subject)) }
            .expect("charon: a certificate has a subject")
    }
}

impl PrivateKey {
    /// A private key of PEM or DER, decrypted with the passphrase; None if it is none that charon can read,
    /// or not without another passphrase.
    pub fn new(encoded: &[u8], passphrase: Option<&[u8]>) -> Option<Self> {
        let _passphrase = Passphrase::offer(passphrase);
        let kind = sys::key_type_t::KEY_ANY;
        // SAFETY: the builders copy what they keep of the chunk; the result is NULL or ours.
        unsafe {
            Self::adopt(
                call!(
                    (*sys::lib).creds,
                    create,
                    sys::credential_type_t::CRED_PRIVATE_KEY,
                    kind,
                    sys::builder_part_t::BUILD_BLOB_PEM,
                    chunk(encoded),
                    sys::builder_part_t::BUILD_END,
                )
                .cast(),
            )
        }
    }

    /// Whether it belongs to the certificate's public key.
    pub fn is_key_of(&self, certificate: &Certificate) -> bool {
        // SAFETY: both objects are held by references of ours; the public key is a new reference, which
        // lends its fingerprint until it is destroyed.
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
        // SAFETY: the library is there. Its plugin loader has no lock, and needs none: its lists change only while
        // it loads and unloads, before there are workers and after their end.
        unsafe { sys::extsock_decodes_pkcs12() }
    }

    /// Reads a container of PEM or DER, decrypted with the passphrase, by default an empty one; None if it
    /// is none that charon can read, or not with this passphrase.
    pub fn pkcs12(encoded: &[u8], passphrase: Option<&[u8]>) -> Option<Self> {
        let _passphrase = Passphrase::offer(Some(passphrase.unwrap_or_default()));
        // SAFETY: the builders copy what they keep of the chunk; what they make of CONTAINER_PKCS12 is NULL
        // or a pkcs12_t of ours, which lends its certificates and keys while it is enumerated.
        unsafe {
            let container = call!(
                (*sys::lib).creds,
                create,
                sys::credential_type_t::CRED_CONTAINER,
                sys::container_type_t::CONTAINER_PKCS12,
                sys::builder_part_t::BUILD_BLOB_PEM,
                chunk(encoded),
                sys::builder_part_t::BUILD_END,
            )
            .cast::<sys::pkcs12_t>();
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

/// A set with nothing but a passphrase, which for this thread stands in place of all others.
struct Passphrase(*mut sys::mem_cred_t);

impl Passphrase {
    fn offer(passphrase: Option<&[u8]>) -> Self {
        // SAFETY: the set is ours, and this thread's until Drop removes it; it adopts the key.
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
        // SAFETY: added in offer() by this thread, removed and destroyed only here; the set wipes its keys.
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

/// A chunk that is only read.
pub(super) fn chunk(bytes: &[u8]) -> sys::chunk_t {
    sys::chunk_t {
        ptr: bytes.as_ptr().cast_mut(),
        len: bytes.len(),
    }
}
