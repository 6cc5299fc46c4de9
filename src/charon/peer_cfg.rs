// SPDX-License-Identifier: GPL-2.0-or-later

//! peer_cfg_t: a connection.

use std::borrow::Cow;
use std::ffi::c_char;
#[cfg(strongswan_me)]
use std::ptr;

use super::auth_cfg::AuthCfg;
use super::child_cfg::ChildCfg;
use super::enumerate::{c_string, lent_string, string, Enumerator};
use super::host::Host;
use super::identification::Identification;
use super::ike_cfg::IkeCfg;
use super::object::{object, Borrowed};
use super::sys;

object! {
    /// A connection (libcharon config/peer_cfg.h).
    PeerCfg, peer_cfg_t, get_ref
}

// SAFETY: it knows no thread, and its references are counted atomically (config/peer_cfg.c).
unsafe impl Send for PeerCfg {}
// SAFETY: its children, which vici replaces, are under a lock of its own; all else is added by a
// PeerCfgBuilder, before there is a PeerCfg.
unsafe impl Sync for PeerCfg {}

/// Every single value of a peer_cfg_t; times are in seconds.
///
/// Of all of them only `jitter_time` has no getter in charon, see [`PeerCfg::fields`].
#[derive(Clone, PartialEq)]
pub struct PeerCfgFields {
    /// When certificates are sent.
    pub cert_policy: sys::cert_policy_t::Type,
    /// When OCSP responses are sent.
    #[cfg(strongswan_5_9_14)]
    pub ocsp_policy: sys::ocsp_policy_t::Type,
    /// What happens to other IKE_SAs of the same peer.
    pub unique: sys::unique_policy_t::Type,
    /// How often an initiation is tried, 0 for ever.
    pub keyingtries: u32,
    /// IKE_SA rekeying.
    pub rekey_time: u32,
    /// IKE_SA reauthentication.
    pub reauth_time: u32,
    /// Upper bound of what is randomly subtracted from the two above.
    pub jitter_time: u32,
    /// How long after a failed rekeying the IKE_SA is deleted.
    pub over_time: u32,
    /// MOBIKE (RFC 4555).
    pub mobike: bool,
    /// IKEv1 aggressive mode.
    pub aggressive: bool,
    /// IKEv1 mode config pull.
    pub pull_mode: bool,
    /// DPD interval, 0 for none.
    pub dpd: u32,
    /// IKEv1 DPD timeout.
    pub dpd_timeout: u32,
    /// Inbound interface ID.
    pub if_id_in: u32,
    /// Outbound interface ID.
    pub if_id_out: u32,
    /// Postquantum preshared key (RFC 8784).
    pub ppk_id: Option<Identification>,
    /// Whether that key is required.
    pub ppk_required: bool,
    /// A connection to a mediation server.
    #[cfg(strongswan_me)]
    pub mediation: bool,
    /// The connection that mediates this one.
    #[cfg(strongswan_me)]
    pub mediated_by: Option<String>,
    /// The peer's identity at the mediation server.
    #[cfg(strongswan_me)]
    pub peer_id: Option<Identification>,
}

impl PeerCfg {
    /// Begins a new peer_cfg_t, without authentication rounds, children, virtual IPs and pools.
    pub fn builder(name: &str, ike_cfg: IkeCfg, fields: &PeerCfgFields) -> PeerCfgBuilder {
        let name = c_string(name);
        #[cfg(strongswan_me)]
        let mediated_by = fields.mediated_by.as_deref().map(c_string);
        let mut data = sys::peer_cfg_create_t {
            cert_policy: fields.cert_policy,
            #[cfg(strongswan_5_9_14)]
            ocsp_policy: fields.ocsp_policy,
            unique: fields.unique,
            keyingtries: fields.keyingtries,
            rekey_time: fields.rekey_time,
            reauth_time: fields.reauth_time,
            jitter_time: fields.jitter_time,
            over_time: fields.over_time,
            dpd: fields.dpd,
            dpd_timeout: fields.dpd_timeout,
            if_id_in: fields.if_id_in,
            if_id_out: fields.if_id_out,
            ppk_id: adopted(&fields.ppk_id),
            #[cfg(not(strongswan_6_0_2))]
            no_mobike: !fields.mobike,
            #[cfg(not(strongswan_6_0_2))]
            aggressive: fields.aggressive,
            #[cfg(not(strongswan_6_0_2))]
            push_mode: !fields.pull_mode,
            #[cfg(not(strongswan_6_0_2))]
            ppk_required: fields.ppk_required,
            #[cfg(strongswan_6_0_2)]
            options: options(fields),
            #[cfg(strongswan_me)]
            mediation: fields.mediation,
            #[cfg(strongswan_me)]
            mediated_by: mediated_by
                .as_ref()
                .map_or(ptr::null_mut(), |s| s.as_ptr().cast_mut()),
            #[cfg(strongswan_me)]
            peer_id: adopted(&fields.peer_id),
        };
        // SAFETY: name and mediated_by live for the call, which copies them; ike_cfg and the
        // identities are given away as it expects; the result is ours.
        let peer_cfg = unsafe {
            Self::adopt(sys::peer_cfg_create(
                name.as_ptr().cast_mut(),
                ike_cfg.into_raw(),
                &mut data,
            ))
        };
        PeerCfgBuilder(peer_cfg.expect("charon: peer_cfg_create is never NULL"))
    }

    /// The connection's name.
    pub fn name(&self) -> Cow<'_, str> {
        // SAFETY: self holds the object, which lends its name and never changes it.
        unsafe { lent_string(call!(self.as_ptr(), get_name)) }
    }

    /// Its ike_cfg_t.
    pub fn ike_cfg(&self) -> Borrowed<'_, IkeCfg> {
        // SAFETY: self holds the object, which holds its ike_cfg for as long.
        unsafe { IkeCfg::lend(call!(self.as_ptr(), get_ike_cfg)) }
            .expect("charon: a peer_cfg has an ike_cfg")
    }

    /// Every single value. charon tells all but the jitter, which the caller has to supply.
    pub fn fields(&self, jitter_time: u32) -> PeerCfgFields {
        let this = self.as_ptr();
        // SAFETY: self holds the object; the getters only read, and what they lend is copied.
        unsafe {
            PeerCfgFields {
                cert_policy: call!(this, get_cert_policy),
                #[cfg(strongswan_5_9_14)]
                ocsp_policy: call!(this, get_ocsp_policy),
                unique: call!(this, get_unique_policy),
                keyingtries: call!(this, get_keyingtries),
                rekey_time: call!(this, get_rekey_time, false),
                reauth_time: call!(this, get_reauth_time, false),
                jitter_time,
                over_time: call!(this, get_over_time),
                #[cfg(not(strongswan_6_0_2))]
                mobike: call!(this, use_mobike),
                #[cfg(not(strongswan_6_0_2))]
                aggressive: call!(this, use_aggressive),
                #[cfg(not(strongswan_6_0_2))]
                pull_mode: call!(this, use_pull_mode),
                #[cfg(not(strongswan_6_0_2))]
                ppk_required: call!(this, ppk_required),
                #[cfg(strongswan_6_0_2)]
                mobike: !call!(this, has_option, sys::peer_cfg_option_t::OPT_NO_MOBIKE),
                #[cfg(strongswan_6_0_2)]
                aggressive: call!(
                    this,
                    has_option,
                    sys::peer_cfg_option_t::OPT_IKEV1_AGGRESSIVE
                ),
                #[cfg(strongswan_6_0_2)]
                pull_mode: !call!(
                    this,
                    has_option,
                    sys::peer_cfg_option_t::OPT_IKEV1_PUSH_MODE
                ),
                #[cfg(strongswan_6_0_2)]
                ppk_required: call!(this, has_option, sys::peer_cfg_option_t::OPT_PPK_REQUIRED),
                dpd: call!(this, get_dpd),
                dpd_timeout: call!(this, get_dpd_timeout),
                if_id_in: call!(this, get_if_id, true),
                if_id_out: call!(this, get_if_id, false),
                ppk_id: Identification::own(call!(this, get_ppk_id)),
                #[cfg(strongswan_me)]
                mediation: call!(this, is_mediation),
                #[cfg(strongswan_me)]
                mediated_by: optional_string(call!(this, get_mediated_by)),
                #[cfg(strongswan_me)]
                peer_id: Identification::own(call!(this, get_peer_id)),
            }
        }
    }

    /// Whether every IKE_SA that is given it gets interface IDs of its own (%unique, %unique-dir).
    pub fn has_unique_if_id(&self) -> bool {
        let fields = self.fields(0);
        // The two highest numbers stand for those (libstrongswan ipsec/ipsec_types.h).
        fields.if_id_in.max(fields.if_id_out) >= u32::MAX - 1
    }

    /// Whether both are the same object in charon.
    pub fn is(&self, other: &Self) -> bool {
        self.as_ptr() == other.as_ptr()
    }

    /// Whether both are the same in everything, also in what charon's own comparison leaves out: name,
    /// DPD timeout, ike_cfg with its DSCP, children and their names and order.
    pub fn is_same(&self, other: &Self) -> bool {
        let (ike_cfg, other_ike_cfg) = (self.ike_cfg(), other.ike_cfg());
        let (children, others) = (self.child_cfgs(), other.child_cfgs());
        let same_child = |(a, b): (&ChildCfg, &ChildCfg)| a.name() == b.name() && a == b;
        self == other
            && self.name() == other.name()
            && self.fields(0) == other.fields(0)
            && ike_cfg.fields() == other_ike_cfg.fields()
            && ike_cfg.proposals() == other_ike_cfg.proposals()
            && children.len() == others.len()
            && children.iter().zip(&others).all(same_child)
    }

    /// A rekey and a reauthentication time as charon draws them, with the jitter subtracted.
    pub fn drawn_times(&self) -> (u32, u32) {
        // SAFETY: self holds the object; the getters only read.
        unsafe {
            (
                call!(self.as_ptr(), get_rekey_time, true),
                call!(self.as_ptr(), get_reauth_time, true),
            )
        }
    }

    /// Copies of the authentication rounds of one side, in order.
    pub fn auth_cfgs(&self, local: bool) -> Vec<AuthCfg> {
        // SAFETY: self holds the object; each item is borrowed while the enumerator stands on it.
        unsafe {
            Enumerator::new(call!(self.as_ptr(), create_auth_cfg_enumerator, local))
                .filter_map(|raw| AuthCfg::own(raw))
                .collect()
        }
    }

    /// References to the CHILD_SA configurations, in order.
    pub fn child_cfgs(&self) -> Vec<ChildCfg> {
        // SAFETY: self holds the object; each item is borrowed while the enumerator stands on it.
        unsafe {
            Enumerator::new(call!(self.as_ptr(), create_child_cfg_enumerator))
                .filter_map(|raw| ChildCfg::own(raw))
                .collect()
        }
    }

    /// Copies of the virtual IPs to request, in order.
    pub fn virtual_ips(&self) -> Vec<Host> {
        // SAFETY: self holds the object; each item is borrowed while the enumerator stands on it.
        unsafe {
            Enumerator::new(call!(self.as_ptr(), create_virtual_ip_enumerator))
                .filter_map(|raw| Host::own(raw))
                .collect()
        }
    }

    /// Names of the pools that virtual IPs are assigned from, in order.
    pub fn pools(&self) -> Vec<String> {
        // SAFETY: self holds the object; each name is copied while the enumerator stands on it.
        unsafe {
            Enumerator::<c_char>::new(call!(self.as_ptr(), create_pool_enumerator))
                .map(|raw| string(raw))
                .collect()
        }
    }
}

/// A peer_cfg_t that nothing else knows yet, so that it may be changed.
pub struct PeerCfgBuilder(PeerCfg);

impl PeerCfgBuilder {
    /// Adds an authentication round.
    pub fn add_auth_cfg(&mut self, auth: AuthCfg, local: bool) {
        // SAFETY: the object is ours alone, which adopts the round.
        unsafe { call!(self.0.as_ptr(), add_auth_cfg, auth.into_raw(), local) }
    }

    /// Adds a CHILD_SA configuration.
    pub fn add_child_cfg(&mut self, child: ChildCfg) {
        // SAFETY: the object is ours alone, which adopts the reference.
        unsafe { call!(self.0.as_ptr(), add_child_cfg, child.into_raw()) }
    }

    /// Adds a virtual IP to request.
    pub fn add_virtual_ip(&mut self, host: Host) {
        // SAFETY: the object is ours alone, which adopts the host.
        unsafe { call!(self.0.as_ptr(), add_virtual_ip, host.into_raw()) }
    }

    /// Adds a pool by name.
    pub fn add_pool(&mut self, name: &str) {
        let name = c_string(name);
        // SAFETY: the object is ours alone, which copies the name.
        unsafe { call!(self.0.as_ptr(), add_pool, name.as_ptr().cast_mut()) }
    }

    /// The finished configuration.
    pub fn build(self) -> PeerCfg {
        self.0
    }
}

/// charon's own comparison: all but name, DPD timeout, children and ike_cfg (config/peer_cfg.c).
impl PartialEq for PeerCfg {
    fn eq(&self, other: &Self) -> bool {
        // SAFETY: both objects are held by references of ours.
        unsafe { call!(self.as_ptr(), equals, other.as_ptr()) }
    }
}

/// A copy to give away, or NULL.
fn adopted(id: &Option<Identification>) -> *mut sys::identification_t {
    id.clone()
        .map_or(std::ptr::null_mut(), Identification::into_raw)
}

#[cfg(strongswan_6_0_2)]
fn options(fields: &PeerCfgFields) -> sys::peer_cfg_option_t::Type {
    use sys::peer_cfg_option_t as option;
    let mut options = 0;
    for (set, flag) in [
        (!fields.mobike, option::OPT_NO_MOBIKE),
        (fields.aggressive, option::OPT_IKEV1_AGGRESSIVE),
        (!fields.pull_mode, option::OPT_IKEV1_PUSH_MODE),
        (fields.ppk_required, option::OPT_PPK_REQUIRED),
    ] {
        if set {
            options |= flag;
        }
    }
    options
}

/// # Safety
/// `text` must be NULL or a NUL-terminated string.
#[cfg(strongswan_me)]
unsafe fn optional_string(text: *const c_char) -> Option<String> {
    // SAFETY: by this function's contract.
    (!text.is_null()).then(|| unsafe { string(text) })
}
