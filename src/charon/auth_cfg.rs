// SPDX-License-Identifier: GPL-2.0-or-later

//! auth_cfg_t: one authentication round.

use std::ffi::c_int;

use super::certificate::Certificate;
use super::enumerate::c_string;
use super::identification::Identification;
use super::object::object;
use super::sys;

object! {
    /// One authentication round (libstrongswan credentials/auth_cfg.h).
    AuthCfg, auth_cfg_t, clone
}

// SAFETY: its values are in no other object and it knows no thread; a clone is a copy, which shares
// only certificates, whose references are counted atomically.
unsafe impl Send for AuthCfg {}
// SAFETY: &self only reads, and what changes it takes &mut self.
unsafe impl Sync for AuthCfg {}

/// How a peer authenticates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthClass {
    /// A pre-shared key.
    Psk,
    /// A key pair.
    Pubkey,
    /// EAP.
    Eap,
    /// XAuth.
    Xauth,
}

/// Rules whose value is an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityRule {
    /// The IKE identity.
    Ike,
    /// The subject of a CA in the trust chain.
    Ca,
    /// The EAP server's identity.
    Aaa,
    /// The identity in EAP.
    Eap,
    /// The user name in XAuth.
    Xauth,
    /// A group that suffices.
    Group,
}

impl Default for AuthCfg {
    /// A round without rules: whatever the peer chooses, and any identity or one derived from the address.
    fn default() -> Self {
        // SAFETY: a constructor without arguments; the result is ours.
        unsafe { Self::adopt(sys::auth_cfg_create()) }
            .expect("charon: auth_cfg_create is never NULL")
    }
}

impl AuthCfg {
    /// Demands a class of authentication.
    pub fn set_class(&mut self, class: AuthClass) {
        let class = match class {
            AuthClass::Psk => sys::auth_class_t::AUTH_CLASS_PSK,
            AuthClass::Pubkey => sys::auth_class_t::AUTH_CLASS_PUBKEY,
            AuthClass::Eap => sys::auth_class_t::AUTH_CLASS_EAP,
            AuthClass::Xauth => sys::auth_class_t::AUTH_CLASS_XAUTH,
        };
        self.add_number(sys::auth_rule_t::AUTH_RULE_AUTH_CLASS, class);
    }

    /// Adds an identity.
    pub fn add_identity(&mut self, rule: IdentityRule, id: Identification) {
        let rule = match rule {
            IdentityRule::Ike => sys::auth_rule_t::AUTH_RULE_IDENTITY,
            IdentityRule::Ca => sys::auth_rule_t::AUTH_RULE_CA_IDENTITY,
            IdentityRule::Aaa => sys::auth_rule_t::AUTH_RULE_AAA_IDENTITY,
            IdentityRule::Eap => sys::auth_rule_t::AUTH_RULE_EAP_IDENTITY,
            IdentityRule::Xauth => sys::auth_rule_t::AUTH_RULE_XAUTH_IDENTITY,
            IdentityRule::Group => sys::auth_rule_t::AUTH_RULE_GROUP,
        };
        // SAFETY: self holds the object; these rules adopt an identification_t.
        unsafe { call!(self.as_ptr(), add, rule, id.into_raw()) }
    }

    /// Adds constraints on keys and signatures, on those in IKE too if `ike`.
    ///
    /// They must be in charon's notation, of which a type of keys has to be the first.
    pub fn add_pubkey_constraints(&mut self, constraints: &str, ike: bool) {
        let constraints = c_string(constraints);
        // SAFETY: self holds the object; the string, from which charon takes tokens, lives for the call.
        unsafe {
            call!(
                self.as_ptr(),
                add_pubkey_constraints,
                constraints.as_ptr().cast_mut(),
                ike
            );
        }
    }

    /// Demands an EAP method, by its name or number and perhaps a vendor; false if charon knows none such.
    #[must_use]
    pub fn set_eap_method(&mut self, method: &str) -> bool {
        let method = c_string(method);
        // SAFETY: the string lives for the call; the result, if any, is from libc's heap and ours.
        let kind = unsafe {
            let kind = sys::eap_vendor_type_from_string(method.as_ptr().cast_mut());
            if kind.is_null() {
                return false;
            }
            let copy = ((*kind).type_, (*kind).vendor);
            libc::free(kind.cast());
            copy
        };
        self.add_number(sys::auth_rule_t::AUTH_RULE_EAP_TYPE, kind.0);
        if kind.1 != 0 {
            self.add_number(sys::auth_rule_t::AUTH_RULE_EAP_VENDOR, kind.1);
        }
        true
    }

    /// Demands an XAuth backend.
    pub fn set_xauth_backend(&mut self, backend: &str) {
        self.add_string(sys::auth_rule_t::AUTH_RULE_XAUTH_BACKEND, backend);
    }

    /// Demands a certificate policy, an OID.
    pub fn add_cert_policy(&mut self, oid: &str) {
        self.add_string(sys::auth_rule_t::AUTH_RULE_CERT_POLICY, oid);
    }

    /// Demands that a certificate is known not to be revoked, or else, if not `strict`, that there is
    /// nobody to ask.
    pub fn set_revocation(&mut self, strict: bool) {
        let least = if strict {
            sys::cert_validation_t::VALIDATION_GOOD
        } else {
            sys::cert_validation_t::VALIDATION_SKIPPED
        };
        self.add_number(sys::auth_rule_t::AUTH_RULE_CRL_VALIDATION, least);
    }

    /// Demands that the peer has one of the certificates, or names those that one's own may be.
    pub fn add_certificate(&mut self, certificate: Certificate) {
        let rule = sys::auth_rule_t::AUTH_RULE_SUBJECT_CERT;
        // SAFETY: self holds the object; the rule adopts the certificate.
        unsafe { call!(self.as_ptr(), add, rule, certificate.into_raw()) }
    }

    /// Demands that the peer's certificate comes from one of the CAs.
    pub fn add_ca(&mut self, certificate: Certificate) {
        let rule = sys::auth_rule_t::AUTH_RULE_CA_CERT;
        // SAFETY: self holds the object; the rule adopts the certificate.
        unsafe { call!(self.as_ptr(), add, rule, certificate.into_raw()) }
    }

    fn add_number(&mut self, rule: sys::auth_rule_t::Type, value: impl Into<i64>) {
        // SAFETY: self holds the object; the rules that this is called for take an int, which all the
        // enums and the vendor's 24 bits fit into.
        unsafe { call!(self.as_ptr(), add, rule, value.into() as c_int) }
    }

    fn add_string(&mut self, rule: sys::auth_rule_t::Type, value: &str) {
        let value = c_string(value);
        // SAFETY: self holds the object; the rules that this is called for adopt a string from libc's
        // heap, such as the copy is.
        unsafe { call!(self.as_ptr(), add, rule, libc::strdup(value.as_ptr())) }
    }
}

impl PartialEq for AuthCfg {
    fn eq(&self, other: &Self) -> bool {
        // SAFETY: both objects are held by references of ours.
        unsafe { call!(self.as_ptr(), equals, other.as_ptr()) }
    }
}
