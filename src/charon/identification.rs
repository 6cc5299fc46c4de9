// SPDX-License-Identifier: GPL-2.0-or-later

//! identification_t: an IKE identity.

use super::enumerate::c_string;
use super::object::object;
use super::sys;

object! {
    /// An IKE identity (libstrongswan utils/identification.h).
    Identification, identification_t, clone
}

// SAFETY: one owner, and it knows no thread.
unsafe impl Send for Identification {}
// SAFETY: nothing changes it after its construction; what is compiled of a regular expression is only
// matched against, which regexec allows from any thread.
unsafe impl Sync for Identification {}

impl Identification {
    /// Parsed as swanctl's `id` is: as by [`Self::from_string`] or, from strongSwan 6.0.2 on, as a regular
    /// expression; None for one that is not valid.
    pub fn pattern(id: &str) -> Option<Self> {
        let id = c_string(id);
        // SAFETY: the string lives for the call, which copies it; the result is ours.
        unsafe { Self::adopt(sys::extsock_identity(id.as_ptr().cast_mut())) }
    }

    /// Parsed as charon parses any identity: an address, an FQDN, an e-mail address, a DN, `%any`, ...
    pub fn from_string(id: &str) -> Self {
        let id = c_string(id);
        // SAFETY: the string lives for the call, which copies it; the result is ours.
        unsafe {
            Self::adopt(sys::identification_create_from_string(
                id.as_ptr().cast_mut(),
            ))
        }
        .expect("charon: every string is some identity")
    }

    /// The identifier of a key.
    ///
    /// # Safety
    /// The chunk must be valid for the call, which copies it.
    pub(super) unsafe fn key_id(id: sys::chunk_t) -> Option<Self> {
        let kind = sys::id_type_t::ID_KEY_ID;
        // SAFETY: the chunk is valid by this function's contract; the result is ours.
        unsafe { Self::adopt(sys::identification_create_from_encoding(kind, id)) }
    }
}

impl PartialEq for Identification {
    fn eq(&self, other: &Self) -> bool {
        // SAFETY: both objects are held by references of ours.
        unsafe { call!(self.as_ptr(), equals, other.as_ptr()) }
    }
}
