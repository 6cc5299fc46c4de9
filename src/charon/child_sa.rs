// SPDX-License-Identifier: GPL-2.0-or-later

//! child_sa_t, lent for a callback.

use std::marker::PhantomData;
use std::ptr::{self, NonNull};

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
    /// Inbound SPI in host byte order.
    pub spi: u32,
    /// "esp" or "ah".
    pub protocol: &'static str,
    /// "tunnel", "transport" or "beet".
    pub mode: &'static str,
    /// charon's name of the encryption algorithm, "NONE" without one.
    pub enc_alg: String,
    /// charon's name of the integrity algorithm, "NONE" without one (AEAD).
    pub integ_alg: String,
    /// Local traffic selectors, comma separated.
    pub local_ts: String,
    /// Remote traffic selectors, comma separated.
    pub remote_ts: String,
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

    /// Everything there is to tell.
    pub fn info(&self) -> ChildSaInfo {
        let this = self.raw.as_ptr();
        // SAFETY: valid for the callback; the getters only read.
        unsafe {
            ChildSaInfo {
                name: self.name(),
                state: call!(this, get_state) as u32,
                spi: u32::from_be(call!(this, get_spi, true)),
                protocol: match call!(this, get_protocol) {
                    sys::protocol_id_t::PROTO_AH => "ah",
                    _ => "esp",
                },
                mode: match call!(this, get_mode) {
                    sys::ipsec_mode_t::MODE_TRANSPORT => "transport",
                    sys::ipsec_mode_t::MODE_BEET => "beet",
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
        // SAFETY: valid for the callback; the selectors belong to the CHILD_SA.
        let list: Vec<String> = unsafe {
            Enumerator::<sys::traffic_selector_t>::new(call!(
                self.raw.as_ptr(),
                create_ts_enumerator,
                local
            ))
            .map(|ts| traffic_selector(ts))
            .collect()
        };
        list.join(",")
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
