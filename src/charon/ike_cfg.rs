// SPDX-License-Identifier: GPL-2.0-or-later

//! ike_cfg_t: addresses, ports and proposals of an IKE_SA.

use super::enumerate::{c_string, string, take_list};
use super::object::object;
use super::proposal::Proposal;
use super::sys;

object! {
    /// Addresses, ports and proposals of an IKE_SA (libcharon config/ike_cfg.h).
    IkeCfg, ike_cfg_t, get_ref
}

// SAFETY: it knows no thread, and its references are counted atomically (config/ike_cfg.c).
unsafe impl Send for IkeCfg {}
// SAFETY: proposals are added before the first clone only, all else is set by the constructor.
unsafe impl Sync for IkeCfg {}

/// Every value of an ike_cfg_t but its proposals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IkeCfgFields {
    /// 0 any, 1 IKEv1, 2 IKEv2.
    pub version: sys::ike_version_t::Type,
    /// Comma separated local addresses.
    pub local: String,
    /// Comma separated remote addresses.
    pub remote: String,
    /// Local UDP port.
    pub local_port: u16,
    /// Remote UDP port.
    pub remote_port: u16,
    /// Send certificate requests.
    pub certreq: bool,
    /// Send OCSP requests for certificates.
    #[cfg(strongswan_5_9_14)]
    pub ocsp_certreq: bool,
    /// Enforce UDP encapsulation.
    pub encap: bool,
    /// IKE fragmentation.
    pub fragmentation: sys::fragmentation_t::Type,
    /// Childless initiation of IKE_SAs (RFC 6023).
    pub childless: sys::childless_t::Type,
    /// DSCP of IKE packets.
    pub dscp: u8,
}

impl IkeCfg {
    /// A new ike_cfg_t.
    pub fn new(fields: &IkeCfgFields, proposals: Vec<Proposal>) -> Self {
        let local = c_string(&fields.local);
        let remote = c_string(&fields.remote);
        let mut data = sys::ike_cfg_create_t {
            version: fields.version,
            local: local.as_ptr().cast_mut(),
            remote: remote.as_ptr().cast_mut(),
            local_port: fields.local_port,
            remote_port: fields.remote_port,
            no_certreq: !fields.certreq,
            #[cfg(strongswan_5_9_14)]
            ocsp_certreq: fields.ocsp_certreq,
            force_encap: fields.encap,
            fragmentation: fields.fragmentation,
            childless: fields.childless,
            dscp: fields.dscp,
        };
        // SAFETY: the strings live for the call, which copies them; the result is ours.
        let cfg = unsafe { Self::adopt(sys::ike_cfg_create(&mut data)) }
            .expect("charon: ike_cfg_create is never NULL");
        for proposal in proposals {
            // SAFETY: cfg is valid and adopts the proposal.
            unsafe { call!(cfg.as_ptr(), add_proposal, proposal.into_raw()) }
        }
        cfg
    }

    /// Every value but the proposals.
    pub fn fields(&self) -> IkeCfgFields {
        let this = self.as_ptr();
        // SAFETY: self holds the object; the getters only read, and the strings that they lend are
        // copied while it is held.
        unsafe {
            IkeCfgFields {
                version: call!(this, get_version),
                local: string(call!(this, get_my_addr)),
                remote: string(call!(this, get_other_addr)),
                local_port: call!(this, get_my_port),
                remote_port: call!(this, get_other_port),
                certreq: call!(this, send_certreq),
                #[cfg(strongswan_5_9_14)]
                ocsp_certreq: call!(this, send_ocsp_certreq),
                encap: call!(this, force_encap),
                fragmentation: call!(this, fragmentation),
                childless: call!(this, childless),
                dscp: call!(this, get_dscp),
            }
        }
    }

    /// Copies of the proposals, in order.
    pub fn proposals(&self) -> Vec<Proposal> {
        // SAFETY: self holds the object; get_proposals returns a new list of new proposals.
        unsafe {
            #[cfg(not(strongswan_6_0_7))]
            let list = call!(self.as_ptr(), get_proposals);
            #[cfg(strongswan_6_0_7)]
            let list = call!(self.as_ptr(), get_proposals, false);
            take_list(list, |raw| Proposal::adopt(raw))
        }
    }
}

/// The UDP port that charon sends from.
pub fn own_port() -> u16 {
    // SAFETY: the socket manager outlives the plugin; the call only reads.
    unsafe { call!((*sys::charon).socket, get_port, false) }
}
