// SPDX-License-Identifier: GPL-2.0-or-later

//! Configurations of CHILD_SAs as charon's objects.

#[cfg(strongswan_6_0_2)]
use extsock_core::config::PerCpuSas;
use extsock_core::config::{
    Child, ChildAction, CopyDscp, HwOffload, LabelMode, Mark, Mode, Problem, Problems, Volume,
};

use super::selectors;
#[cfg(not(strongswan_6_0_2))]
use super::values::unknown;
use super::values::{proposals, seconds};
use crate::charon::{
    self, ChildCfg, ChildCfgFields, Limit, Proposal, Protocol, SecLabel, TrafficSelector,
};

/// The child_cfg of a CHILD_SA, whose path is given.
pub(super) fn child_cfg(child: &Child, path: &str, problems: &mut Problems) -> ChildCfg {
    let label = label(child, path, problems);
    let fields = ChildCfgFields {
        options: options(child),
        mode: mode(child.mode),
        start_action: action(child.start_action),
        dpd_action: action(child.dpd_action),
        close_action: action(child.close_action),
        copy_dscp: match child.copy_dscp {
            CopyDscp::Out => charon::dscp_copy_t::DSCP_COPY_OUT_ONLY,
            CopyDscp::In => charon::dscp_copy_t::DSCP_COPY_IN_ONLY,
            CopyDscp::Yes => charon::dscp_copy_t::DSCP_COPY_YES,
            CopyDscp::No => charon::dscp_copy_t::DSCP_COPY_NO,
        },
        hw_offload: hw_offload(child.hw_offload),
        time: limit(&Volume {
            rekey: child.rekey_time.as_secs(),
            life: child.life_time.as_secs(),
            rand: child.rand_time.as_secs(),
        }),
        bytes: limit(&child.bytes),
        packets: limit(&child.packets),
        inactivity: seconds(child.inactivity),
        reqid: child.reqid,
        priority: child.priority,
        interface: child.interface.clone(),
        updown: child.updown.clone(),
        mark_in: mark(child.mark_in),
        mark_out: mark(child.mark_out),
        set_mark_in: mark(child.set_mark_in),
        set_mark_out: mark(child.set_mark_out),
        if_id_in: child.if_id_in,
        if_id_out: child.if_id_out,
        label,
        label_mode: match child.label_mode {
            LabelMode::System => charon::sec_label_mode_t::SEC_LABEL_MODE_SYSTEM,
            LabelMode::Simple => charon::sec_label_mode_t::SEC_LABEL_MODE_SIMPLE,
            LabelMode::Selinux => charon::sec_label_mode_t::SEC_LABEL_MODE_SELINUX,
        },
        tfc: child.tfc_padding,
        replay_window: child.replay_window,
    };
    let algorithms = algorithms(child, path, problems);
    let mut selectors =
        |list, option| traffic_selectors(list, &format!("{path}.{option}"), problems);
    let local_ts = selectors(&child.local_ts, "local_ts");
    let remote_ts = selectors(&child.remote_ts, "remote_ts");
    ChildCfg::new(&child.name, &fields, algorithms, local_ts, remote_ts)
}

/// The security label; one that charon cannot parse is added to the problems.
fn label(child: &Child, path: &str, problems: &mut Problems) -> Option<SecLabel> {
    let label = child.label.as_ref().and_then(|text| {
        let label = SecLabel::from_string(text).ok_or_else(|| {
            let path = format!("{path}.label");
            Problem::expected(path, "a label that this system supports", text)
        });
        problems.keep(label)
    });
    if child.label_mode == LabelMode::Selinux && !charon::has_selinux() {
        let what = "system or simple, as there is no SELinux";
        let path = format!("{path}.label_mode");
        problems.push(Problem::expected(path, what, "selinux"));
    }
    label
}

fn options(child: &Child) -> charon::child_cfg_option_t::Type {
    use charon::child_cfg_option_t as option;

    let options = [
        (child.mode == Mode::TransportProxy, option::OPT_PROXY_MODE),
        (child.ipcomp, option::OPT_IPCOMP),
        (child.hostaccess, option::OPT_HOSTACCESS),
        (!child.policies, option::OPT_NO_POLICIES),
        (child.policies_fwd_out, option::OPT_FWD_OUT_POLICIES),
        (child.sha256_96, option::OPT_SHA256_96),
        (child.mark_in_sa, option::OPT_MARK_IN_SA),
        (!child.copy_df, option::OPT_NO_COPY_DF),
        (!child.copy_ecn, option::OPT_NO_COPY_ECN),
        #[cfg(strongswan_6_0_2)]
        (child.per_cpu_sas != PerCpuSas::No, option::OPT_PER_CPU_SAS),
        #[cfg(strongswan_6_0_2)]
        (
            child.per_cpu_sas == PerCpuSas::Encap,
            option::OPT_PER_CPU_SAS_ENCAP,
        ),
        #[cfg(strongswan_6_0_5)]
        (child.icmp, option::OPT_FORWARD_ICMP),
    ];
    let set = options.iter().filter(|(set, _)| *set);
    set.fold(0, |all, (_, option)| all | option)
}

fn mode(mode: Mode) -> charon::ipsec_mode_t::Type {
    match mode {
        Mode::Tunnel => charon::ipsec_mode_t::MODE_TUNNEL,
        Mode::Transport | Mode::TransportProxy => charon::ipsec_mode_t::MODE_TRANSPORT,
        #[cfg(strongswan_6_0_2)]
        Mode::Iptfs => charon::ipsec_mode_t::MODE_IPTFS,
        #[cfg(not(strongswan_6_0_2))]
        Mode::Iptfs => unknown("mode"),
        Mode::Beet => charon::ipsec_mode_t::MODE_BEET,
        Mode::Pass => charon::ipsec_mode_t::MODE_PASS,
        Mode::Drop => charon::ipsec_mode_t::MODE_DROP,
    }
}

fn hw_offload(hw_offload: HwOffload) -> charon::hw_offload_t::Type {
    match hw_offload {
        HwOffload::No => charon::hw_offload_t::HW_OFFLOAD_NO,
        #[cfg(not(strongswan_5_9_11))]
        HwOffload::Crypto => charon::hw_offload_t::HW_OFFLOAD_YES,
        #[cfg(not(strongswan_5_9_11))]
        HwOffload::Packet => unknown("hw_offload"),
        // Its other name since there is an offload of whole packets, too.
        #[cfg(strongswan_5_9_11)]
        HwOffload::Crypto => charon::hw_offload_t::HW_OFFLOAD_CRYPTO,
        #[cfg(strongswan_5_9_11)]
        HwOffload::Packet => charon::hw_offload_t::HW_OFFLOAD_PACKET,
        HwOffload::Auto => charon::hw_offload_t::HW_OFFLOAD_AUTO,
    }
}

/// The proposals of ESP and AH.
fn algorithms(child: &Child, path: &str, problems: &mut Problems) -> Vec<Proposal> {
    let mut algorithms = Vec::new();
    if !child.esp_proposals.is_empty() || child.ah_proposals.is_empty() {
        let path = format!("{path}.esp_proposals");
        algorithms.extend(proposals(
            Protocol::Esp,
            &child.esp_proposals,
            &path,
            problems,
        ));
    }
    if !child.ah_proposals.is_empty() {
        let path = format!("{path}.ah_proposals");
        algorithms.extend(proposals(
            Protocol::Ah,
            &child.ah_proposals,
            &path,
            problems,
        ));
    }
    algorithms
}

fn limit(volume: &Volume) -> Limit {
    Limit {
        rekey: volume.rekey,
        life: volume.life,
        rand: volume.rand,
    }
}

fn mark(mark: Mark) -> charon::mark_t {
    charon::mark_t {
        value: mark.value,
        mask: mark.mask,
    }
}

fn action(action: ChildAction) -> charon::action_t::Type {
    match action {
        ChildAction::None => charon::action_t::ACTION_NONE,
        ChildAction::Trap => charon::action_t::ACTION_TRAP,
        ChildAction::Start => charon::action_t::ACTION_START,
        ChildAction::TrapAndStart => charon::action_t::ACTION_TRAP | charon::action_t::ACTION_START,
    }
}

fn traffic_selectors(list: &[String], path: &str, problems: &mut Problems) -> Vec<TrafficSelector> {
    let mut selectors = Vec::new();
    for (index, text) in list.iter().enumerate() {
        let selector = selectors::parse(text).ok_or_else(|| {
            let what =
                "a subnet (10.1.0.0/24), an address, a range of them or \"dynamic\", as needed \
                        with [protocol/port]";
            Problem::expected(format!("{path}[{index}]"), what, text)
        });
        selectors.extend(problems.keep(selector));
    }
    selectors
}
