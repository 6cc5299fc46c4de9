// SPDX-License-Identifier: GPL-2.0-or-later

//! child_cfg_t: the configuration of a CHILD_SA.

use std::borrow::Cow;
use std::ffi::CString;
use std::ptr;

use super::enumerate::{c_string, lent_string};
use super::object::object;
use super::proposal::Proposal;
use super::sec_label::SecLabel;
use super::sys;
use super::traffic_selector::TrafficSelector;

object! {
    /// The configuration of a CHILD_SA (libcharon config/child_cfg.h).
    ChildCfg, child_cfg_t, get_ref
}

// SAFETY: it knows no thread, and its references are counted atomically (config/child_cfg.c).
unsafe impl Send for ChildCfg {}
// SAFETY: charon and we add proposals and selectors before the first clone only, and read from then on.
unsafe impl Sync for ChildCfg {}

/// Every value of a child_cfg_t; times are in seconds.
#[derive(Clone, Default)]
pub struct ChildCfgFields {
    /// Flags.
    pub options: sys::child_cfg_option_t::Type,
    /// IPsec mode.
    pub mode: sys::ipsec_mode_t::Type,
    /// What is done when the configuration is loaded.
    pub start_action: sys::action_t::Type,
    /// What is done when DPD finds the peer dead.
    pub dpd_action: sys::action_t::Type,
    /// What is done when the peer closes the CHILD_SA.
    pub close_action: sys::action_t::Type,
    /// Which way the DSCP field is copied.
    pub copy_dscp: sys::dscp_copy_t::Type,
    /// Whether the network device does IPsec.
    pub hw_offload: sys::hw_offload_t::Type,
    /// Limits of its life.
    pub time: Limit,
    /// The same in bytes.
    pub bytes: Limit,
    /// The same in packets.
    pub packets: Limit,
    /// Time without traffic to its end, 0 for none.
    pub inactivity: u32,
    /// Fixed request ID, 0 for none.
    pub reqid: u32,
    /// Fixed priority of policies, 0 for none.
    pub priority: u32,
    /// Interface that policies are bound to.
    pub interface: Option<String>,
    /// Script.
    pub updown: Option<String>,
    /// Mark of inbound policies.
    pub mark_in: sys::mark_t,
    /// Mark of outbound policies and SAs.
    pub mark_out: sys::mark_t,
    /// Mark that inbound SAs set.
    pub set_mark_in: sys::mark_t,
    /// Mark that outbound SAs set.
    pub set_mark_out: sys::mark_t,
    /// Inbound interface ID.
    pub if_id_in: u32,
    /// Outbound interface ID.
    pub if_id_out: u32,
    /// Security label.
    pub label: Option<SecLabel>,
    /// What the label is for.
    pub label_mode: sys::sec_label_mode_t::Type,
    /// TFC padding, `u32::MAX` for the path MTU.
    pub tfc: u32,
    /// Replay window, None for charon's own.
    pub replay_window: Option<u32>,
}

/// Limits of a CHILD_SA's life, 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// Rekeying.
    pub rekey: u64,
    /// End of life without rekeying.
    pub life: u64,
    /// Upper bound of what is randomly subtracted from the first.
    pub rand: u64,
}

impl Limit {
    fn raw(self) -> sys::lifetime_cfg_t__bindgen_ty_1 {
        sys::lifetime_cfg_t__bindgen_ty_1 {
            life: self.life,
            rekey: self.rekey,
            jitter: self.rand,
        }
    }
}

impl ChildCfg {
    /// A new child_cfg_t.
    pub fn new(
        name: &str,
        fields: &ChildCfgFields,
        proposals: Vec<Proposal>,
        local_ts: Vec<TrafficSelector>,
        remote_ts: Vec<TrafficSelector>,
    ) -> Self {
        let name = c_string(name);
        let interface = fields.interface.as_deref().map(c_string);
        let updown = fields.updown.as_deref().map(c_string);
        let raw = |text: &Option<CString>| {
            text.as_ref()
                .map_or(ptr::null_mut(), |text| text.as_ptr().cast_mut())
        };
        let mut data = sys::child_cfg_create_t {
            options: fields.options,
            mode: fields.mode,
            start_action: fields.start_action,
            dpd_action: fields.dpd_action,
            close_action: fields.close_action,
            copy_dscp: fields.copy_dscp,
            hw_offload: fields.hw_offload,
            lifetime: sys::lifetime_cfg_t {
                time: fields.time.raw(),
                bytes: fields.bytes.raw(),
                packets: fields.packets.raw(),
            },
            inactivity: fields.inactivity,
            reqid: fields.reqid,
            priority: fields.priority,
            interface: raw(&interface),
            updown: raw(&updown),
            mark_in: fields.mark_in,
            mark_out: fields.mark_out,
            set_mark_in: fields.set_mark_in,
            set_mark_out: fields.set_mark_out,
            if_id_in: fields.if_id_in,
            if_id_out: fields.if_id_out,
            label: (fields.label.as_ref()).map_or(ptr::null_mut(), SecLabel::as_ptr),
            label_mode: fields.label_mode,
            tfc: fields.tfc,
        };
        // SAFETY: the strings and the label live for the call, which copies them; NULL for those that
        // are not set is allowed; the result is ours.
        let child =
            unsafe { Self::adopt(sys::child_cfg_create(name.as_ptr().cast_mut(), &mut data)) }
                .expect("charon: child_cfg_create is never NULL");
        // SAFETY: child is valid and adopts what is added.
        unsafe {
            if let Some(size) = fields.replay_window {
                call!(child.as_ptr(), set_replay_window, size);
            }
            for proposal in proposals {
                call!(child.as_ptr(), add_proposal, proposal.into_raw());
            }
            for (local, selectors) in [(true, local_ts), (false, remote_ts)] {
                for selector in selectors {
                    call!(
                        child.as_ptr(),
                        add_traffic_selector,
                        local,
                        selector.into_raw()
                    );
                }
            }
        }
        child
    }

    /// The CHILD_SA's name.
    pub fn name(&self) -> Cow<'_, str> {
        // SAFETY: self holds the object, which lends its name and never changes it.
        unsafe { lent_string(call!(self.as_ptr(), get_name)) }
    }

    /// Whether a trap policy may be installed for it.
    pub fn may_trap(&self) -> bool {
        // SAFETY: self holds the object; the getters only read.
        let actions = unsafe {
            call!(self.as_ptr(), get_start_action)
                | call!(self.as_ptr(), get_dpd_action)
                | call!(self.as_ptr(), get_close_action)
        };
        actions & sys::action_t::ACTION_TRAP != 0
    }

    /// Whether it is a policy without an SA.
    pub fn is_shunt(&self) -> bool {
        // SAFETY: self holds the object; the getter only reads.
        let mode = unsafe { call!(self.as_ptr(), get_mode) };
        matches!(
            mode,
            sys::ipsec_mode_t::MODE_PASS | sys::ipsec_mode_t::MODE_DROP
        )
    }

    /// Whether both are the same object in charon.
    pub fn is(&self, other: &Self) -> bool {
        self.as_ptr() == other.as_ptr()
    }
}

/// charon's own comparison: all but the name (config/child_cfg.c).
impl PartialEq for ChildCfg {
    fn eq(&self, other: &Self) -> bool {
        // SAFETY: both objects are held by references of ours.
        unsafe { call!(self.as_ptr(), equals, other.as_ptr()) }
    }
}
