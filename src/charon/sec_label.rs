// SPDX-License-Identifier: GPL-2.0-or-later

//! sec_label_t: a security label of policies and SAs.

use super::enumerate::c_string;
use super::object::object;
use super::sys;

object! {
    /// A security label (libstrongswan selectors/sec_label.h).
    SecLabel, sec_label_t, clone
}

// SAFETY: one owner, and it knows no thread.
unsafe impl Send for SecLabel {}
// SAFETY: nothing changes it after its construction.
unsafe impl Sync for SecLabel {}

impl SecLabel {
    /// None if the system cannot make a label of it.
    pub fn from_string(label: &str) -> Option<Self> {
        let label = c_string(label);
        // SAFETY: the string lives for the call, which copies it; the result is ours.
        unsafe { Self::adopt(sys::sec_label_from_string(label.as_ptr())) }
    }
}

/// Whether labels can be those of SELinux here.
pub fn has_selinux() -> bool {
    // SAFETY: only asks how charon was built and the system is set up.
    unsafe { sys::sec_label_mode_default() == sys::sec_label_mode_t::SEC_LABEL_MODE_SELINUX }
}
