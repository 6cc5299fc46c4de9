// SPDX-License-Identifier: GPL-2.0-or-later

//! child_sa_t, lent for a callback.

use std::marker::PhantomData;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ptr::{self, NonNull};

use extsock_core::failover::event::Selector;

use super::enumerate::{string, Enumerator};
use super::host::ip;
use super::sys;

/// A CHILD_SA lent by charon for the duration of one callback.
pub struct ChildSa<'a> {
    raw: NonNull<sys::child_sa_t>,
    callback: PhantomData<&'a sys::child_sa_t>,
}

/// What there is to tell about a CHILD_SA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildSaInfo {
    /// Its name.
    pub name: String,
    /// charon's number of its state (sa/child_sa.h).
    pub state: u32,
    /// charon's unique id.
    pub unique_id: u32,
    /// Number that ties it to its policies.
    pub reqid: u32,
    /// Inbound.
    pub inbound: Direction,
    /// Outbound.
    pub outbound: Direction,
    /// "esp" or "ah".
    pub protocol: &'static str,
    /// "tunnel", "transport", "beet", or "iptfs" (RFC 9347).
    pub mode: &'static str,
    /// charon's name of the encryption algorithm, "NONE" without one.
    pub enc_alg: String,
    /// charon's name of the integrity algorithm, "NONE" without one (AEAD).
    pub integ_alg: String,
    /// Local traffic selectors, comma separated.
    pub local_ts: String,
    /// Remote traffic selectors, comma separated.
    pub remote_ts: String,
    /// Local traffic selectors, exactly.
    pub local_selectors: Vec<Selector>,
    /// Remote traffic selectors, exactly.
    pub remote_selectors: Vec<Selector>,
}

/// What the two SAs of a CHILD_SA have of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direction {
    /// SPI in host byte order.
    pub spi: u32,
    /// Interface id, 0 for none.
    pub if_id: u32,
    /// Mark and its mask, 0 and 0 for none.
    pub mark: (u32, u32),
}

impl ChildSa<'_> {
    /// None for NULL.
    ///
    /// # Safety
    /// `raw` must be NULL or a CHILD_SA that stays valid, and is used by no other thread, for `'a`.
    pub(super) unsafe fn lend(raw: *mut sys::child_sa_t) -> Option<Self> {
        NonNull::new(raw).map(|raw| Self {
            raw,
            callback: PhantomData,
        })
    }

    /// Its name.
    pub fn name(&self) -> String {
        // SAFETY: valid for the callback; the name that it lends is copied at once.
        unsafe { string(call!(self.raw.as_ptr(), get_name)) }
    }

    /// Whether a trap policy, and nothing else on this host, brings it up.
    pub fn is_trapped(&self) -> bool {
        // SAFETY: valid for the callback; the configuration belongs to it, and its getter only reads.
        let action = unsafe {
            let child_cfg = call!(self.raw.as_ptr(), get_config);
            call!(child_cfg, get_start_action)
        };
        action & sys::action_t::ACTION_TRAP != 0 && action & sys::action_t::ACTION_START == 0
    }

    /// Whether charon initiates it again when the peer deletes it.
    pub fn is_restarted(&self) -> bool {
        // SAFETY: valid for the callback; the getter only reads.
        let action = unsafe { call!(self.raw.as_ptr(), get_close_action) };
        action & sys::action_t::ACTION_START != 0
    }

    /// Whether its lifetime is over.
    pub fn is_expired(&self) -> bool {
        // SAFETY: valid for the callback, and the getter only reads; it tells times of this clock.
        let (end, now) = unsafe {
            let end = call!(self.raw.as_ptr(), get_lifetime, true);
            (end, sys::time_monotonic(ptr::null_mut()))
        };
        end != 0 && now >= end
    }

    /// Everything there is to tell.
    pub fn info(&self) -> ChildSaInfo {
        let this = self.raw.as_ptr();
        // SAFETY: valid for the callback; the getters only read.
        unsafe {
            ChildSaInfo {
                name: self.name(),
                state: call!(this, get_state) as u32,
                unique_id: call!(this, get_unique_id),
                reqid: call!(this, get_reqid),
                inbound: self.direction(true),
                outbound: self.direction(false),
                protocol: match call!(this, get_protocol) {
                    sys::protocol_id_t::PROTO_AH => "ah",
                    _ => "esp",
                },
                mode: match call!(this, get_mode) {
                    sys::ipsec_mode_t::MODE_TRANSPORT => "transport",
                    sys::ipsec_mode_t::MODE_BEET => "beet",
                    #[cfg(strongswan_6_0_2)]
                    sys::ipsec_mode_t::MODE_IPTFS => "iptfs",
                    _ => "tunnel",
                },
                enc_alg: self.algorithm(
                    sys::transform_type_t::ENCRYPTION_ALGORITHM,
                    sys::encryption_algorithm_names,
                ),
                integ_alg: self.algorithm(
                    sys::transform_type_t::INTEGRITY_ALGORITHM,
                    sys::integrity_algorithm_names,
                ),
                local_ts: self.traffic_selectors(true),
                remote_ts: self.traffic_selectors(false),
                local_selectors: self.selectors(true),
                remote_selectors: self.selectors(false),
            }
        }
    }

    fn direction(&self, inbound: bool) -> Direction {
        let this = self.raw.as_ptr();
        // SAFETY: valid for the callback; the getters only read.
        unsafe {
            let mark = call!(this, get_mark, inbound);
            Direction {
                spi: u32::from_be(call!(this, get_spi, inbound)),
                if_id: call!(this, get_if_id, inbound),
                mark: (mark.value, mark.mask),
            }
        }
    }

    /// charon's name of the algorithm with its key size in bits where that is variable.
    fn algorithm(&self, kind: sys::transform_type_t::Type, names: *mut sys::enum_name_t) -> String {
        let (mut algorithm, mut key_size) = (0, 0);
        // SAFETY: valid for the callback; the proposal, which may not be there yet, belongs to it;
        // names is a table of libstrongswan's, which returns NULL or static strings.
        let name = unsafe {
            let proposal = call!(self.raw.as_ptr(), get_proposal);
            if proposal.is_null()
                || !call!(proposal, get_algorithm, kind, &mut algorithm, &mut key_size)
                || algorithm == 0
            {
                return "NONE".into();
            }
            string(sys::enum_to_name(names, i32::from(algorithm)))
        };
        match (name.is_empty(), key_size) {
            (true, _) => algorithm.to_string(),
            (false, 0) => name,
            (false, bits) => format!("{name}-{bits}"),
        }
    }

    fn traffic_selectors(&self, local: bool) -> String {
        let list: Vec<String> = self
            .enumerate(local)
            // SAFETY: the selectors belong to the CHILD_SA.
            .map(|ts| unsafe { traffic_selector(ts) })
            .collect();
        list.join(",")
    }

    fn selectors(&self, local: bool) -> Vec<Selector> {
        self.enumerate(local)
            // SAFETY: the selectors belong to the CHILD_SA.
            .map(|ts| unsafe { selector(ts) })
            .collect()
    }

    fn enumerate(&self, local: bool) -> Enumerator<sys::traffic_selector_t> {
        // SAFETY: valid for the callback; the enumerator is new and yields one pointer.
        unsafe { Enumerator::new(call!(self.raw.as_ptr(), create_ts_enumerator, local)) }
    }
}

/// The SPI of an SA of the CHILD_SA, and how many packets it has carried; None if it is not installed, or the kernel
/// does not tell.
///
/// Not by get_usestats(), which keeps what it finds and tells nothing new of the time of the last packet where the
/// numbers have not grown since: charon's own checks of inactivity and swanctl's lists would miss the packets that
/// were seen here (sa/child_sa.c, update_usebytes).
///
/// # Safety
/// `child` must be valid, and so must be the hosts, ours and the other one, of its IKE_SA. No other thread may use
/// them.
pub(super) unsafe fn packets(
    child: *mut sys::child_sa_t,
    (mine, other): (*mut sys::host_t, *mut sys::host_t),
    inbound: bool,
) -> Option<(u32, u64)> {
    // SAFETY: by this function's contract. The kernel interface lives as long as charon, and only reads the id.
    unsafe {
        if !is_installed(child, inbound) {
            return None;
        }
        let (src, dst) = if inbound {
            (other, mine)
        } else {
            (mine, other)
        };
        let mut id = sys::kernel_ipsec_sa_id_t {
            src,
            dst,
            spi: call!(child, get_spi, inbound),
            proto: match call!(child, get_protocol) {
                sys::protocol_id_t::PROTO_AH => libc::IPPROTO_AH as u8,
                _ => libc::IPPROTO_ESP as u8,
            },
            if_id: call!(child, get_if_id, inbound),
            ..Default::default()
        };
        let cfg = call!(child, get_config);
        if !inbound || call!(cfg, has_option, sys::child_cfg_option_t::OPT_MARK_IN_SA) {
            id.mark = call!(child, get_mark, inbound);
        }
        let mut query = sys::kernel_ipsec_query_sa_t::default();
        let (mut bytes, mut packets, mut time) = (0, 0, 0);
        let kernel = (*sys::charon).kernel;
        let status = call!(
            kernel,
            query_sa,
            &mut id,
            &mut query,
            &mut bytes,
            &mut packets,
            &mut time
        );
        let spi = u32::from_be(id.spi);
        (status == sys::status_t::SUCCESS).then_some((spi, packets))
    }
}

/// Whether the kernel has the SA, as far as charon tells: it logs queries for those that it has not.
///
/// # Safety
/// `child` must be valid, and no other thread may use it.
unsafe fn is_installed(child: *mut sys::child_sa_t, inbound: bool) -> bool {
    use sys::child_sa_state_t as state;
    // SAFETY: by this function's contract.
    unsafe {
        let is_up = matches!(
            call!(child, get_state),
            state::CHILD_INSTALLED | state::CHILD_REKEYING | state::CHILD_REKEYED
        );
        let outbound = sys::child_sa_outbound_state_t::CHILD_OUTBOUND_SA;
        is_up && (inbound || call!(child, get_outbound_state) & outbound != 0)
    }
}

/// # Safety
/// `ts` must be valid for the duration of the call.
unsafe fn selector(ts: *mut sys::traffic_selector_t) -> Selector {
    // SAFETY: ts is valid; the chunks point into it and are copied at once.
    unsafe {
        Selector {
            start: address(call!(ts, get_from_address)),
            end: address(call!(ts, get_to_address)),
            protocol: call!(ts, get_protocol),
            start_port: call!(ts, get_from_port),
            end_port: call!(ts, get_to_port),
        }
    }
}

/// # Safety
/// `chunk` must point to memory of its length that stays valid for the duration of the call.
unsafe fn address(chunk: sys::chunk_t) -> String {
    if chunk.ptr.is_null() {
        return String::new();
    }
    // SAFETY: by this function's contract.
    let bytes = unsafe { std::slice::from_raw_parts(chunk.ptr, chunk.len) };
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        Ipv4Addr::from(v4).to_string()
    } else if let Ok(v6) = <[u8; 16]>::try_from(bytes) {
        Ipv6Addr::from(v6).to_string()
    } else {
        String::new()
    }
}

/// As `10.1.0.0/24`, with `[protocol/port]` behind it where the selector is that narrow.
///
/// # Safety
/// `ts` must be valid for the duration of the call.
unsafe fn traffic_selector(ts: *mut sys::traffic_selector_t) -> String {
    let mut net = ptr::null_mut();
    let mut bits = 0u8;
    // SAFETY: ts is valid; to_subnet gives away a host, the smallest subnet that holds the range.
    let subnet = unsafe {
        call!(ts, to_subnet, &mut net, &mut bits);
        let address = ip(net);
        if !net.is_null() {
            call!(net, destroy);
        }
        address.map_or_else(
            || "dynamic".to_owned(),
            |address| format!("{address}/{bits}"),
        )
    };
    // SAFETY: ts is valid.
    let (protocol, from, to) = unsafe {
        (
            call!(ts, get_protocol),
            call!(ts, get_from_port),
            call!(ts, get_to_port),
        )
    };
    match (protocol, from, to) {
        (0, 0, u16::MAX) => subnet,
        (protocol, 0, u16::MAX) => format!("{subnet}[{protocol}]"),
        (protocol, from, to) if from == to => format!("{subnet}[{protocol}/{from}]"),
        (protocol, from, to) => format!("{subnet}[{protocol}/{from}-{to}]"),
    }
}
