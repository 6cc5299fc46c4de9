// SPDX-License-Identifier: GPL-2.0-or-later

//! Reads a CHILD_SA.

use std::time::Duration;

use super::connection::{read_lifetime, set_list, set_once};
use super::model::{Action, Child, CopyDscp, HwOffload, LabelMode, Mark, Mode, Volume};
use super::reader::Fields;
use super::setting::{settings, words, Form, Kind, Setting};
use super::setting::{
    BOOLEAN, BYTES, COUNT, IF_ID, MARK, NUMBER, PADDING, SET_MARK, TEXT, TEXTS, TIME,
    TRAFFIC_SELECTORS,
};

/// Reads the options of a CHILD_SA; what is wrong is reported.
pub(super) fn read(name: String, fields: Fields, existing: bool) -> Child {
    let mut draft = Draft::new(name, existing);
    fields.read(&mut draft, &[CHILD_CFG, CHILD_TIMES]);
    draft.finish()
}

pub(super) const CHILD_CFG: &[Setting<Draft>] = settings!(Draft {
    "mode": words!(
            "tunnel" => Mode::Tunnel, "transport" => Mode::Transport,
            "transport_proxy" => Mode::TransportProxy, "beet" => Mode::Beet, "pass" => Mode::Pass,
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
        "Own traffic selectors: subnets, addresses, ranges or dynamic, with [protocol/port] as needed."
        => |d, v| set_list(&mut d.child.local_ts, v);
    "remote_ts": TRAFFIC_SELECTORS, "dynamic", "Traffic selectors of the gateway."
        => |d, v| set_list(&mut d.child.remote_ts, v);
    "esp_proposals": TEXTS, "default, or none if there are ah_proposals", "ESP proposals, such as aes128gcm16-x25519."
        => |d, v| d.child.esp_proposals = v;
    "ah_proposals": TEXTS, "none", "AH proposals, such as sha256; after those of ESP if both are given."
        => |d, v| d.child.ah_proposals = v;
    "sha256_96": BOOLEAN, "no", "Whether HMAC-SHA-256 is truncated to 96 bits."
        => |d, v| d.child.sha256_96 = v;
    "life_time": TIME, "rekey_time and a tenth", "Time to the expiry without rekeying; 0 for none."
        => |d, v| d.life_time = Some(v);
    "rand_time": TIME, "life_time less rekey_time",
        "Upper bound of what is randomly subtracted from rekey_time."
        => |d, v| d.rand_time = Some(v);
    "rekey_bytes": BYTES, "0", "Bytes to rekeying; 0 for none."
        => |d, v| d.bytes.rekey = v;
    "life_bytes": BYTES, "rekey_bytes and a tenth", "Bytes to the expiry without rekeying."
        => |d, v| d.bytes.life = Some(v);
    "rand_bytes": BYTES, "life_bytes less rekey_bytes",
        "Upper bound of what is randomly subtracted from rekey_bytes."
        => |d, v| d.bytes.rand = Some(v);
    "rekey_packets": COUNT, "0", "Packets to rekeying; 0 for none."
        => |d, v| d.packets.rekey = v;
    "life_packets": COUNT, "rekey_packets and a tenth", "Packets to the expiry without rekeying."
        => |d, v| d.packets.life = Some(v);
    "rand_packets": COUNT, "life_packets less rekey_packets",
        "Upper bound of what is randomly subtracted from rekey_packets."
        => |d, v| d.packets.rand = Some(v);
    "inactivity": TIME, "0", "Time without traffic after which it is closed; 0 for never."
        => |d, v| d.child.inactivity = v;
    "updown": TEXT, "none", "Script that is run when it comes up or goes down."
        => |d, v| d.child.updown = Some(v);
    "hostaccess": BOOLEAN, "no", "Whether that script lets traffic to the host itself in."
        => |d, v| d.child.hostaccess = v;
    "policies": BOOLEAN, "yes", "Whether IPsec policies are installed."
        => |d, v| d.child.policies = v;
    "policies_fwd_out": BOOLEAN, "no", "Whether outbound forward policies are installed."
        => |d, v| d.child.policies_fwd_out = v;
    "ipcomp": BOOLEAN, "no", "Whether IPComp is offered."
        => |d, v| d.child.ipcomp = v;
    "reqid": NUMBER, "0", "Fixed request ID; 0 for one of charon's."
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
    "set_mark_in": SET_MARK, "none", "Mark that inbound SAs give to packets."
        => |d, v| d.child.set_mark_in = v;
    "set_mark_out": SET_MARK, "none", "Mark that outbound SAs give to packets."
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
        ), "system", "What the label is for."
        => |d, v| d.child.label_mode = v;
    "tfc_padding": PADDING, "0", "Bytes to which packets are padded; mtu for as much as fits."
        => |d, v| d.child.tfc_padding = v;
    "replay_window": NUMBER, "charon.replay_window of strongswan.conf",
        "Packets in the replay window; 0 for no protection."
        => |d, v| d.child.replay_window = Some(v);
    "hw_offload": words!(
            "no" => HwOffload::No, "yes" => HwOffload::Yes, "auto" => HwOffload::Auto,
        ), "no", "Whether the network device does IPsec."
        => |d, v| d.child.hw_offload = v;
    "copy_df": BOOLEAN, "yes", "Whether the DF bit is copied to the outer header."
        => |d, v| d.child.copy_df = v;
    "copy_ecn": BOOLEAN, "yes", "Whether the ECN field is copied to and from the outer header."
        => |d, v| d.child.copy_ecn = v;
    "copy_dscp": words!(
            "out" => CopyDscp::Out, "in" => CopyDscp::In, "yes" => CopyDscp::Yes,
            "no" => CopyDscp::No,
        ), "out", "Which way the DSCP is copied between inner and outer header."
        => |d, v| d.child.copy_dscp = v;
});

/// A time that has two places.
pub(super) const CHILD_TIMES: &[Setting<Draft>] = &[
    Setting {
        name: "rekey_time",
        form: Form::Time,
        default: "1h",
        about: "Time to rekeying; 0 for none.",
        set: |d, n| set_once(&mut d.rekey_time, &n),
    },
    Setting {
        name: "lifetime",
        form: Form::Object("lifetime"),
        default: "none",
        about: "The existing plugin's place of rekey_time.",
        set: |d, n| read_lifetime(&mut d.rekey_time, n),
    },
];

/// An action by its word.
#[derive(Clone, Copy)]
enum Word {
    Is(Action),
    Clear,
}

impl Word {
    /// `clear` is none in swanctl, but trap in the existing plugin.
    fn action(self, existing: bool) -> Action {
        match self {
            Self::Is(action) => action,
            Self::Clear if existing => Action::Trap,
            Self::Clear => Action::None,
        }
    }
}

const ACTION: Kind<Word> = words!(
    "none" => Word::Is(Action::None),
    "trap" => Word::Is(Action::Trap),
    "start" => Word::Is(Action::Start),
    "trap|start" => Word::Is(Action::TrapAndStart),
    "start|trap" => Word::Is(Action::TrapAndStart),
    "route" => Word::Is(Action::Trap),
    "restart" => Word::Is(Action::Start),
    "hold" => Word::Is(Action::Trap),
    "clear" => Word::Clear,
);

/// swanctl's default.
const REKEY_TIME: Duration = Duration::from_secs(60 * 60);

/// A CHILD_SA whose derived defaults are not known yet.
pub(super) struct Draft {
    child: Child,
    existing: bool,
    bytes: VolumeDraft,
    packets: VolumeDraft,
    rekey_time: Option<Duration>,
    life_time: Option<Duration>,
    rand_time: Option<Duration>,
}

impl Draft {
    fn new(name: String, existing: bool) -> Self {
        let child = Child {
            name,
            mode: Mode::Tunnel,
            start_action: Action::None,
            dpd_action: Action::None,
            close_action: Action::None,
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
        };
        Self {
            child,
            existing,
            bytes: VolumeDraft::default(),
            packets: VolumeDraft::default(),
            rekey_time: None,
            life_time: None,
            rand_time: None,
        }
    }

    /// As charon's vici_config.c derives the defaults.
    fn finish(self) -> Child {
        let rekey = self.rekey_time.unwrap_or(REKEY_TIME);
        let life = Duration::from_secs(rekey.as_secs() * 110 / 100);
        let life = self.life_time.unwrap_or(life);
        Child {
            rekey_time: rekey,
            life_time: life,
            rand_time: self.rand_time.unwrap_or(life.saturating_sub(rekey)),
            bytes: self.bytes.finish(),
            packets: self.packets.finish(),
            ..self.child
        }
    }
}

#[derive(Default)]
struct VolumeDraft {
    rekey: u64,
    life: Option<u64>,
    rand: Option<u64>,
}

impl VolumeDraft {
    /// As charon's vici_config.c derives the defaults.
    fn finish(self) -> Volume {
        // Exact, unless the sum is too long.
        let tenth = self.rekey / 10;
        let life = self.life.unwrap_or(self.rekey.saturating_add(tenth));
        Volume {
            rekey: self.rekey,
            life,
            rand: self.rand.unwrap_or(life.saturating_sub(self.rekey)),
        }
    }
}
