// SPDX-License-Identifier: GPL-2.0-or-later

//! traffic_selector_t: what a CHILD_SA protects.

use super::enumerate::c_string;
use super::object::object;
use super::sys;

object! {
    /// What a CHILD_SA protects (libstrongswan selectors/traffic_selector.h).
    TrafficSelector, traffic_selector_t, clone
}

impl TrafficSelector {
    /// The host's own address or virtual IP, filled in during the negotiation.
    pub fn dynamic() -> Self {
        // SAFETY: any protocol, all ports: valid in every combination; the result is ours.
        unsafe { Self::adopt(sys::traffic_selector_create_dynamic(0, 0, u16::MAX)) }
            .expect("charon: traffic_selector_create_dynamic is never NULL here")
    }

    /// A subnet `10.1.0.0/24` or an address; None if it is neither.
    pub fn from_cidr(subnet: &str) -> Option<Self> {
        // charon takes what is no number for 0, that is for everything, and cuts what is too long.
        let (address, prefix) = subnet.split_once('/').unwrap_or((subnet, "0"));
        let longest = if address.contains(':') { 128 } else { 32 };
        if !prefix.bytes().all(|byte| byte.is_ascii_digit())
            || !prefix.parse().is_ok_and(|bits: u8| bits <= longest)
        {
            return None;
        }
        let subnet = c_string(subnet);
        // SAFETY: the string lives for the call, which only reads it; the result is ours.
        unsafe {
            Self::adopt(sys::traffic_selector_create_from_cidr(
                subnet.as_ptr().cast_mut(),
                0,
                0,
                u16::MAX,
            ))
        }
    }
}
