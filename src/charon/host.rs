// SPDX-License-Identifier: GPL-2.0-or-later

//! host_t: an address with a port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::enumerate::c_string;
use super::object::object;
use super::sys;

object! {
    /// An address with a port (libstrongswan networking/host.h).
    Host, host_t, clone
}

// SAFETY: one owner, and it knows no thread.
unsafe impl Send for Host {}
// SAFETY: nothing here changes it.
unsafe impl Sync for Host {}

impl Host {
    /// From an address in text form (no DNS name), also `%any`; None if it is not one.
    pub fn from_string(address: &str, port: u16) -> Option<Self> {
        let address = c_string(address);
        // SAFETY: the string lives for the call, which only reads it; the result is ours.
        unsafe {
            Self::adopt(sys::host_create_from_string(
                address.as_ptr().cast_mut(),
                port,
            ))
        }
    }

    /// The address; None for a family that is neither IPv4 nor IPv6.
    pub fn ip(&self) -> Option<IpAddr> {
        // SAFETY: self holds the object.
        unsafe { ip(self.as_ptr()) }
    }
}

impl PartialEq for Host {
    fn eq(&self, other: &Self) -> bool {
        // SAFETY: both objects are held by references of ours.
        unsafe { call!(self.as_ptr(), equals, other.as_ptr()) }
    }
}

/// The address of a borrowed host; None for NULL.
///
/// # Safety
/// `host` must be NULL or valid for the duration of the call.
pub(super) unsafe fn ip(host: *mut sys::host_t) -> Option<IpAddr> {
    if host.is_null() {
        return None;
    }
    // SAFETY: valid by this function's contract; the chunk of these families points into the host
    // and is copied before anything else can happen to it.
    unsafe {
        let family = call!(host, get_family);
        let bytes = || {
            let chunk = call!(host, get_address);
            std::slice::from_raw_parts(chunk.ptr, chunk.len)
        };
        match family {
            libc::AF_INET => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes()).ok()?).into()),
            libc::AF_INET6 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes()).ok()?).into()),
            _ => None,
        }
    }
}
