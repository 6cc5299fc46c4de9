// SPDX-License-Identifier: GPL-2.0-or-later

//! child_cfg_t: the configuration of a CHILD_SA.

use super::enumerate::{c_string, string};
use super::object::object;
use super::proposal::Proposal;
use super::sys;
use super::traffic_selector::TrafficSelector;

object! {
    /// The configuration of a CHILD_SA (libcharon config/child_cfg.h).
    ChildCfg, child_cfg_t, get_ref
}

/// The values of a child_cfg_t that the configuration can express; times are in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildCfgFields {
    /// Tunnel, transport or BEET.
    pub mode: sys::ipsec_mode_t::Type,
    /// What is done when the configuration is loaded.
    pub start_action: sys::action_t::Type,
    /// What is done when DPD finds the peer dead.
    pub dpd_action: sys::action_t::Type,
    /// What is done when the peer closes the CHILD_SA.
    pub close_action: sys::action_t::Type,
    /// Which way the DSCP field is copied.
    pub copy_dscp: sys::dscp_copy_t::Type,
    /// Rekeying, 0 for none.
    pub rekey_time: u64,
    /// End of life without rekeying, 0 for none.
    pub life_time: u64,
    /// Upper bound of what is randomly subtracted from the rekey time.
    pub rand_time: u64,
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
        let mut data = sys::child_cfg_create_t {
            mode: fields.mode,
            start_action: fields.start_action,
            dpd_action: fields.dpd_action,
            close_action: fields.close_action,
            copy_dscp: fields.copy_dscp,
            lifetime: sys::lifetime_cfg_t {
                time: sys::lifetime_cfg_t__bindgen_ty_1 {
                    life: fields.life_time,
                    rekey: fields.rekey_time,
                    jitter: fields.rand_time,
                },
                ..Default::default()
            },
            ..Default::default()
        };
        // SAFETY: the name lives for the call, which copies it; NULL for the strings that are not
        // set is allowed; the result is ours.
        let child =
            unsafe { Self::adopt(sys::child_cfg_create(name.as_ptr().cast_mut(), &mut data)) }
                .expect("charon: child_cfg_create is never NULL");
        // SAFETY: child is valid and adopts what is added.
        unsafe {
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
    pub fn name(&self) -> String {
        // SAFETY: self holds the object, and the name that it lends is copied at once.
        unsafe { string(call!(self.as_ptr(), get_name)) }
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

    /// Whether both are the same object in charon.
    pub fn is(&self, other: &Self) -> bool {
        self.as_ptr() == other.as_ptr()
    }
}
