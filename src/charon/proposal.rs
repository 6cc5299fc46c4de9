// SPDX-License-Identifier: GPL-2.0-or-later

//! proposal_t: a set of algorithms.

use super::enumerate::c_string;
use super::object::object;
use super::sys;

object! {
    /// A set of algorithms (libstrongswan crypto/proposal/proposal.h); the clone keeps every one.
    Proposal, proposal_t, clone, 0
}

// SAFETY: one owner, and it knows no thread.
unsafe impl Send for Proposal {}
// SAFETY: nothing here changes it.
unsafe impl Sync for Proposal {}

/// What a proposal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The IKE_SA.
    Ike,
    /// A CHILD_SA with ESP.
    Esp,
    /// A CHILD_SA with AH.
    Ah,
}

impl Protocol {
    fn raw(self) -> sys::protocol_id_t::Type {
        match self {
            Self::Ike => sys::protocol_id_t::PROTO_IKE,
            Self::Esp => sys::protocol_id_t::PROTO_ESP,
            Self::Ah => sys::protocol_id_t::PROTO_AH,
        }
    }
}

impl Proposal {
    /// Parsed as swanctl's `proposals` and `esp_proposals` are; None for unknown algorithms or an
    /// incomplete set.
    pub fn from_string(protocol: Protocol, algorithms: &str) -> Option<Self> {
        let algorithms = c_string(algorithms);
        // SAFETY: the string lives for the call, which only reads it; the result is ours.
        unsafe {
            Self::adopt(sys::proposal_create_from_string(
                protocol.raw(),
                algorithms.as_ptr(),
            ))
        }
    }

    /// charon's default proposals: one with AEAD algorithms, where there are any, and one without.
    pub fn defaults(protocol: Protocol, aead_first: bool) -> Vec<Self> {
        // SAFETY: constructors without arguments that could be invalid; the results are ours, NULL
        // means that no such algorithm is loaded.
        let mut defaults = unsafe {
            [
                Self::adopt(sys::proposal_create_default(protocol.raw())),
                Self::adopt(sys::proposal_create_default_aead(protocol.raw())),
            ]
        };
        if aead_first {
            defaults.reverse();
        }
        defaults.into_iter().flatten().collect()
    }
}

impl PartialEq for Proposal {
    fn eq(&self, other: &Self) -> bool {
        // SAFETY: both objects are held by references of ours.
        unsafe { call!(self.as_ptr(), equals, other.as_ptr()) }
    }
}
