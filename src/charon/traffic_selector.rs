// SPDX-License-Identifier: GPL-2.0-or-later

//! traffic_selector_t: what a CHILD_SA protects.

use std::net::IpAddr;

use super::enumerate::c_string;
use super::object::object;
use super::sys;

object! {
    /// What a CHILD_SA protects (libstrongswan selectors/traffic_selector.h).
    TrafficSelector, traffic_selector_t, clone
}

// SAFETY: one owner, and it knows no thread.
unsafe impl Send for TrafficSelector {}
// SAFETY: nothing here changes it.
unsafe impl Sync for TrafficSelector {}

impl TrafficSelector {
    /// The host's own address or virtual IP, filled in during the negotiation.
    ///
    /// Protocol 0 is any; ports 65535 to 0 are opaque.
    pub fn dynamic(protocol: u8, from: u16, to: u16) -> Self {
        // SAFETY: a constructor of numbers, any of which are valid; the result is ours.
        unsafe { Self::adopt(sys::traffic_selector_create_dynamic(protocol, from, to)) }
            .expect("charon: traffic_selector_create_dynamic is never NULL here")
    }

    /// A subnet `10.1.0.0/24` or an address; None if it is neither.
    pub fn from_cidr(subnet: &str, protocol: u8, from: u16, to: u16) -> Option<Self> {
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
                protocol,
                from,
                to,
            ))
        }
    }

    /// All addresses from the first to the last; None if they are of different families.
    pub fn from_range(
        (first, last): (IpAddr, IpAddr),
        protocol: u8,
        from: u16,
        to: u16,
    ) -> Option<Self> {
        let (kind, first, last) = match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => (
                sys::ts_type_t::TS_IPV4_ADDR_RANGE,
                first.octets().to_vec(),
                last.octets().to_vec(),
            ),
            (IpAddr::V6(first), IpAddr::V6(last)) => (
                sys::ts_type_t::TS_IPV6_ADDR_RANGE,
                first.octets().to_vec(),
                last.octets().to_vec(),
            ),
            _ => return None,
        };
        let chunk = |bytes: &[u8]| sys::chunk_t {
            ptr: bytes.as_ptr().cast_mut(),
            len: bytes.len(),
        };
        // SAFETY: the chunks have the length of the type's addresses and live for the call, which
        // copies them; the result is ours.
        unsafe {
            Self::adopt(sys::traffic_selector_create_from_bytes(
                protocol,
                kind,
                chunk(&first),
                from,
                chunk(&last),
                to,
            ))
        }
    }
}
