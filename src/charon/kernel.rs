// SPDX-License-Identifier: GPL-2.0-or-later

//! kernel_listener_t: what the kernel tells charon of the network; and what it tells of routes if it is asked.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsRawFd;

use super::guard::guard;
use super::host::Host;
use super::settings::{charon_bool, charon_string};
use super::sys;

/// Has charon's kernel interface tell of changes of the network, for as long as this value lives.
pub struct NetworkRegistration {
    raw: *mut Registered,
}

/// What the kernel interface has a pointer to: charon's table first, so that both have the same address.
#[repr(C)]
struct Registered {
    table: sys::kernel_listener_t,
    changed: Box<dyn Fn() + Send + Sync>,
}

impl NetworkRegistration {
    /// Calls the closure whenever addresses, interfaces or routes changed.
    ///
    /// It runs under the mutex of the kernel interface, which threads that hold an IKE_SA wait for: it must return
    /// at once and call nothing that can lock or block (kernel/kernel_interface.c).
    pub fn new(changed: impl Fn() + Send + Sync + 'static) -> Self {
        let table = sys::kernel_listener_t {
            roam: Some(roam),
            ..Default::default()
        };
        let raw = Box::into_raw(Box::new(Registered {
            table,
            changed: Box::new(changed),
        }));
        // SAFETY: charon destroys the kernel interface after all plugins are unloaded (daemon.c, destroy); the table
        // stays in place until Drop removes it.
        unsafe { call!((*sys::charon).kernel, add_listener, &raw mut (*raw).table) }
        Self { raw }
    }
}

impl Drop for NetworkRegistration {
    fn drop(&mut self) {
        // SAFETY: remove_listener takes the mutex that a running hook holds, and none starts after it; the box was
        // made in new() and is freed only here. This is never reached from within a hook: the plugin's teardown owns
        // the registration.
        unsafe {
            call!(
                (*sys::charon).kernel,
                remove_listener,
                &raw mut (*self.raw).table
            );
            drop(Box::from_raw(self.raw));
        }
    }
}

// SAFETY: the pointer is only used by Drop, in which any thread may remove the listener; the closure is Send.
unsafe impl Send for NetworkRegistration {}
// SAFETY: a shared registration can do nothing.
unsafe impl Sync for NetworkRegistration {}

/// Always true: false would unregister the listener, which is what a panic must not do either.
unsafe extern "C" fn roam(this: *mut sys::kernel_listener_t, _address: bool) -> bool {
    guard((), || {
        // SAFETY: charon passes our table, which is the first field, and the box lives until the kernel interface
        // forgot it.
        (unsafe { &*this.cast::<Registered>() }.changed)();
    });
    true
}

/// Whether the host has the own address, where one is given, and a route from there to the remote address. True if that
/// is not known: charon's attempt will tell. Nothing is sent.
///
/// The kernel is asked as it is by charon's packets. charon's own get_source_addr() finds nothing where the kernel has a
/// route by several next hops, or by an interface without an address, and finds a default route where the kernel has a
/// blackhole (kernel_netlink_net.c, get_route).
pub fn has_route(remote: IpAddr, own: Option<IpAddr>) -> bool {
    let any = match remote {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = match UdpSocket::bind((own.unwrap_or(any), 0)) {
        Ok(socket) => socket,
        Err(error) => return error.kind() != ErrorKind::AddrNotAvailable,
    };
    // A link-local address has a route only with an interface, which is not known here.
    let is_link_local = matches!(remote, IpAddr::V6(remote) if remote.is_unicast_link_local());
    if is_link_local || !is_routed_as_charons(&socket, remote) {
        return true;
    }
    // The port is never used.
    let Err(error) = socket.connect((remote, 500)) else {
        return true;
    };
    // Of routes of the types unreachable, blackhole and prohibit as well.
    const NO_ROUTE: [i32; 4] = [
        libc::ENETUNREACH,
        libc::EHOSTUNREACH,
        libc::EINVAL,
        libc::EACCES,
    ];
    error
        .raw_os_error()
        .is_none_or(|code| !NO_ROUTE.contains(&code))
}

/// The address from which charon would send to the remote address, preferably that one; None if it knows none.
pub fn source_address(remote: IpAddr, preferred: IpAddr) -> Option<IpAddr> {
    let host = |address: IpAddr| Host::from_string(&address.to_string(), 0);
    let (remote, preferred) = (host(remote)?, host(preferred)?);
    // SAFETY: the kernel interface outlives the plugin; it only reads the hosts, which live for the call, and the result
    // is ours.
    let source = unsafe {
        Host::adopt(call!(
            (*sys::charon).kernel,
            get_source_addr,
            remote.as_ptr(),
            preferred.as_ptr()
        ))
    };
    source?.ip()
}

/// Exempts the socket from IPsec policies, as charon's own are; false if that cannot be done for this socket alone, or
/// charon's have a mark by which the kernel may route them elsewhere.
fn is_routed_as_charons(socket: &UdpSocket, remote: IpAddr) -> bool {
    let has_mark = !charon_string("plugins.socket-default.fwmark", "").is_empty();
    if has_mark || charon_bool("plugins.kernel-netlink.port_bypass", false) {
        return false;
    }
    let family = match remote {
        IpAddr::V4(_) => libc::AF_INET,
        IpAddr::V6(_) => libc::AF_INET6,
    };
    // SAFETY: the kernel interface outlives the plugin; the descriptor is open for the call, which sets options of the
    // socket and keeps nothing of it.
    unsafe {
        call!(
            (*sys::charon).kernel,
            bypass_socket,
            socket.as_raw_fd(),
            family
        )
    }
}
