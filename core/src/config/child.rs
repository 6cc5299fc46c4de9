// SPDX-License-Identifier: GPL-2.0-or-later

//! Reads a CHILD_SA.

use std::time::Duration;

use super::model::{
    Child, ChildAction, CopyDscp, HwOffload, LabelMode, Mark, Mode, PerCpuSas, Volume,
};
use super::reader::Fields;
use super::rekey_time::{read_lifetime, set_once};
use super::setting::{set_list, settings, words, Form, Kind, Setting};
use super::setting::{
    BOOLEAN, BYTES, COUNT, IF_ID, MARK, NUMBER, PADDING, SET_MARK, TEXT, TEXTS, TIME,
    TRAFFIC_SELECTORS,
};
use crate::strongswan::Version;

/// Reads the options of a CHILD_SA; errors are reported.
pub(super) fn read(name: String, fields: Fields, existing: bool) -> Child {
    let strongswan = fields.strongswan();
    let mut draft = ChildDraft::new(name, existing);
    fields.read(&mut draft, &[CHILD_CFG, CHILD_TIMES]);
    draft.finish(strongswan)
}

pub(super) const CHILD_CFG: &[Setting<ChildDraft>] = settings!(ChildDraft {
    "mode": words!(
            "tunnel" => Mode::Tunnel, "transport" => Mode::Transport,
            "transport_proxy" => Mode::TransportProxy, "iptfs" since [6, 0, 2] => Mode::Iptfs,
            "beet" => Mode::Beet, "pass" => Mode::Pass,
            "drop" => Mode::Drop,
        ), "tunnel", "IPsec mode; pass and drop are policies without a CHILD_SA."
        => |d, v| d.child.mode = v;
    "start_action": ACTION, "none", "What to do when the configuration is applied."
        => |d, v| d.child.start_action = v.action(d.existing);
    "dpd_action": ACTION, "none", "What to do when the gateway is found dead."
        => |d, v| d.child.dpd_action = v.action(d.existing);
    "close_action": ACTION, "none", "What to do when the gateway closes the CHILD_SA."
        => |d, v| d.child.close_action = v.action(d.existing);
    "local_ts": TRAFFIC_SELECTORS, "dynamic",
        "Local traffic selectors: subnets, addresses, ranges or dynamic, optionally with [protocol/port]."
        => |d, v| set_list(&mut d.child.local_ts, v);
    "remote_ts": TRAFFIC_SELECTORS, "dynamic", "Traffic selectors of the gateway."
        => |d, v| set_list(&mut d.child.remote_ts, v);
    "esp_proposals": TEXTS, "default, or none if there are ah_proposals", "ESP proposals, such as aes128gcm16-x25519."
        => |d, v| d.child.esp_proposals = v;
    "ah_proposals": TEXTS, "none", "AH proposals, such as sha256; less preferred than those of ESP if both are given."
        => |d, v| d.child.ah_proposals = v;
    "sha256_96": BOOLEAN, "no", "Whether HMAC-SHA-256 is truncated to 96 bits."
        => |d, v| d.child.sha256_96 = v;
    "life_time": TIME, "rekey_time and a tenth", "Time until the SA expires if it is not rekeyed; 0 for never."
        => |d, v| d.time.life = Some(v.as_secs());
    "rand_time": TIME, "life_time less rekey_time",
        "Upper bound of the random time that is subtracted from rekey_time."
        => |d, v| d.time.rand = Some(v.as_secs());
    "rekey_bytes": BYTES, "0; from strongSwan 6.0.0 on ten elevenths of life_bytes, if that is given", "Bytes until rekeying; 0 for none."
        => |d, v| d.bytes.rekey = Some(v);
    "life_bytes": BYTES, "rekey_bytes and a tenth", "Bytes until the SA expires if it is not rekeyed."
        => |d, v| d.bytes.life = Some(v);
    "rand_bytes": BYTES, "life_bytes less rekey_bytes",
        "Upper bound of the random number that is subtracted from rekey_bytes."
        => |d, v| d.bytes.rand = Some(v);
    "rekey_packets": COUNT, "0; from strongSwan 6.0.0 on ten elevenths of life_packets, if that is given",
        "Packets until rekeying; 0 for none."
        => |d, v| d.packets.rekey = Some(v);
    "life_packets": COUNT, "rekey_packets and a tenth", "Packets until the SA expires if it is not rekeyed."
        => |d, v| d.packets.life = Some(v);
    "rand_packets": COUNT, "life_packets less rekey_packets",
        "Upper bound of the random number that is subtracted from rekey_packets."
        => |d, v| d.packets.rand = Some(v);
    "inactivity": TIME, "0", "Time without traffic after which the CHILD_SA is closed; 0 for never."
        => |d, v| d.child.inactivity = v;
    "updown": TEXT, "none", "Script that is run when the CHILD_SA comes up or goes down."
        => |d, v| d.child.updown = Some(v);
    "hostaccess": BOOLEAN, "no", "Whether that script allows traffic to the host itself."
        => |d, v| d.child.hostaccess = v;
    "policies": BOOLEAN, "yes", "Whether IPsec policies are installed."
        => |d, v| d.child.policies = v;
    "policies_fwd_out": BOOLEAN, "no", "Whether outbound forward policies are installed."
        => |d, v| d.child.policies_fwd_out = v;
    "ipcomp": BOOLEAN, "no", "Whether IPComp is offered."
        => |d, v| d.child.ipcomp = v;
    "reqid": NUMBER, "0", "Fixed request ID; 0 to let charon allocate one."
        => |d, v| d.child.reqid = v;
    "priority": NUMBER, "0", "Fixed priority of the policies; 0 for a computed one."
        => |d, v| d.child.priority = v;
    "interface": TEXT, "none", "Network interface that outbound policies are bound to."
        => |d, v| d.child.interface = Some(v);
    "mark_in": MARK, "none", "Netfilter mark of inbound policies."
        => |d, v| d.child.mark_in = v;
    "mark_in_sa": BOOLEAN, "no", "Whether inbound SAs have mark_in as well."
        => |d, v| d.child.mark_in_sa = v;
    "mark_out": MARK, "none", "Netfilter mark of outbound policies and SAs."
        => |d, v| d.child.mark_out = v;
    "set_mark_in": SET_MARK, "none", "Mark that inbound SAs set on packets."
        => |d, v| d.child.set_mark_in = v;
    "set_mark_out": SET_MARK, "none", "Mark that outbound SAs set on packets."
        => |d, v| d.child.set_mark_out = v;
    "if_id_in": IF_ID, "0", "XFRM interface ID of inbound policies and SAs; 0 for the connection's."
        => |d, v| d.child.if_id_in = v;
    "if_id_out": IF_ID, "0", "XFRM interface ID of outbound policies and SAs; 0 for the connection's."
        => |d, v| d.child.if_id_out = v;
    "label": TEXT, "none", "Security label, such as an SELinux context."
        => |d, v| d.child.label = Some(v);
    "label_mode": words!(
            "system" => LabelMode::System, "simple" => LabelMode::Simple,
            "selinux" => LabelMode::Selinux,
        ), "system", "How the label is used."
        => |d, v| d.child.label_mode = v;
    "tfc_padding": PADDING, "0", "Size to which packets are padded, in bytes; mtu for the path MTU."
        => |d, v| d.child.tfc_padding = v;
    "replay_window": NUMBER, "charon.replay_window of strongswan.conf",
        "Packets in the replay window; 0 for no protection."
        => |d, v| d.child.replay_window = Some(v);
    "hw_offload": words!(
            "no" => HwOffload::No, "yes" => HwOffload::Crypto,
            "crypto" since [5, 9, 11] => HwOffload::Crypto, "packet" since [5, 9, 11] => HwOffload::Packet,
            "auto" => HwOffload::Auto,
        ), "no", "Whether IPsec is offloaded to the network device."
        => |d, v| d.child.hw_offload = v;
    "copy_df": BOOLEAN, "yes", "Whether the DF bit is copied to the outer header."
        => |d, v| d.child.copy_df = v;
    "copy_ecn": BOOLEAN, "yes", "Whether the ECN field is copied to and from the outer header."
        => |d, v| d.child.copy_ecn = v;
    "copy_dscp": words!(
            "out" => CopyDscp::Out, "in" => CopyDscp::In, "yes" => CopyDscp::Yes,
            "no" => CopyDscp::No,
        ), "out", "In which direction the DSCP is copied between inner and outer header."
        => |d, v| d.child.copy_dscp = v;
    "per_cpu_sas" since [6, 0, 2]: words!(
            "no" => PerCpuSas::No, "yes" => PerCpuSas::Yes, "encap" => PerCpuSas::Encap,
            "false" => PerCpuSas::No, "true" => PerCpuSas::Yes, "disabled" => PerCpuSas::No,
            "enabled" => PerCpuSas::Yes, "0" => PerCpuSas::No, "1" => PerCpuSas::Yes,
        ), "no", "Whether each CPU has its own SAs, which requires start_action trap; encap: each with its own UDP port."
        => |d, v| d.child.per_cpu_sas = v;
    "icmp" since [6, 0, 5]: BOOLEAN, "no",
        "Whether ICMP errors about the traffic of the CHILD_SA are forwarded regardless of their source."
        => |d, v| d.child.icmp = v;
});

/// The rekey_time, which may also be in `lifetime`.
pub(super) const CHILD_TIMES: &[Setting<ChildDraft>] = settings!(ChildDraft {
    "rekey_time" as Form::Time, "1h; from strongSwan 6.0.0 on ten elevenths of life_time, if that is given",
        "Time until rekeying; 0 for none."
        => |d, n| set_once(&mut d.rekey_time, &n);
    "lifetime" as Form::Object("lifetime"), "none", "Where the existing plugin has rekey_time."
        => |d, n| read_lifetime(&mut d.rekey_time, n);
});

/// The word for an action.
#[derive(Clone, Copy)]
enum ActionWord {
    Is(ChildAction),
    Clear,
}

impl ActionWord {
    /// `clear` means none in swanctl, but trap in the formats of the existing plugin.
    fn action(self, existing: bool) -> ChildAction {
        match self {
            Self::Is(action) => action,
            Self::Clear if existing => ChildAction::Trap,
            Self::Clear => ChildAction::None,
        }
    }
}

const ACTION: Kind<ActionWord> = words!(
    "none" => ActionWord::Is(ChildAction::None),
    "trap" => ActionWord::Is(ChildAction::Trap),
    "start" => ActionWord::Is(ChildAction::Start),
    "trap|start" => ActionWord::Is(ChildAction::TrapAndStart),
    "start|trap" => ActionWord::Is(ChildAction::TrapAndStart),
    "route" => ActionWord::Is(ChildAction::Trap),
    "restart" => ActionWord::Is(ChildAction::Start),
    "hold" => ActionWord::Is(ChildAction::Trap),
    "clear" => ActionWord::Clear,
);

/// swanctl's default, in seconds.
const REKEY_TIME: u64 = 60 * 60;

/// The first strongSwan that derives the time of rekeying from that of expiry, where only that is given.
const REKEYING_FROM_EXPIRY: Version = Version([6, 0, 0]);

/// A CHILD_SA that is being read; defaults that depend on other options are not set yet.
pub(super) struct ChildDraft {
    child: Child,
    existing: bool,
    rekey_time: Option<Duration>,
    time: VolumeDraft,
    bytes: VolumeDraft,
    packets: VolumeDraft,
}

impl ChildDraft {
    fn new(name: String, existing: bool) -> Self {
        let child = Child {
            name,
            mode: Mode::Tunnel,
            start_action: ChildAction::None,
            dpd_action: ChildAction::None,
            close_action: ChildAction::None,
            copy_dscp: CopyDscp::Out,
            local_ts: vec!["dynamic".to_owned()],
            remote_ts: vec!["dynamic".to_owned()],
            esp_proposals: Vec::new(),
            rekey_time: Duration::ZERO,
            life_time: Duration::ZERO,
            rand_time: Duration::ZERO,
            ah_proposals: Vec::new(),
            sha256_96: false,
            bytes: Volume::default(),
            packets: Volume::default(),
            inactivity: Duration::ZERO,
            updown: None,
            hostaccess: false,
            policies: true,
            policies_fwd_out: false,
            ipcomp: false,
            reqid: 0,
            priority: 0,
            interface: None,
            mark_in: Mark::default(),
            mark_in_sa: false,
            mark_out: Mark::default(),
            set_mark_in: Mark::default(),
            set_mark_out: Mark::default(),
            if_id_in: 0,
            if_id_out: 0,
            label: None,
            label_mode: LabelMode::System,
            tfc_padding: 0,
            replay_window: None,
            hw_offload: HwOffload::No,
            copy_df: true,
            copy_ecn: true,
            per_cpu_sas: PerCpuSas::No,
            icmp: false,
        };
        Self {
            child,
            existing,
            rekey_time: None,
            time: VolumeDraft::default(),
            bytes: VolumeDraft::default(),
            packets: VolumeDraft::default(),
        }
    }

    fn finish(mut self, strongswan: Version) -> Child {
        self.time.rekey = self.rekey_time.as_ref().map(Duration::as_secs);
        let time = self.time.finish(REKEY_TIME, strongswan);
        Child {
            rekey_time: Duration::from_secs(time.rekey),
            life_time: Duration::from_secs(time.life),
            rand_time: Duration::from_secs(time.rand),
            bytes: self.bytes.finish(0, strongswan),
            packets: self.packets.finish(0, strongswan),
            ..self.child
        }
    }
}

#[derive(Default)]
struct VolumeDraft {
    rekey: Option<u64>,
    life: Option<u64>,
    rand: Option<u64>,
}

impl VolumeDraft {
    /// As charon's vici_config.c derives the defaults.
    fn finish(self, rekey: u64, strongswan: Version) -> Volume {
        // In floating point, as charon computes it; that is exact up to 2^53.
        let derived = |life: u64| (life as f64 / 1.1) as u64;
        let before = self
            .life
            .filter(|_| strongswan >= REKEYING_FROM_EXPIRY)
            .map(derived);
        let rekey = self.rekey.or(before).unwrap_or(rekey);
        // The sum saturates at the highest number.
        let life = self.life.unwrap_or(rekey.saturating_add(rekey / 10));
        Volume {
            rekey,
            life,
            rand: self.rand.unwrap_or(life.saturating_sub(rekey)),
        }
    }
}
