// SPDX-License-Identifier: GPL-2.0-or-later

//! Configurations as charon's objects, and the ones that are loaded.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[cfg(strongswan_5_9_14)]
use extsock_core::config::Ocsp;
#[cfg(strongswan_6_0_2)]
use extsock_core::config::PerCpuSas;
use extsock_core::config::{
    Child, ChildAction, Childless, Connection, CopyDscp, Fragmentation, HwOffload, IkeVersion,
    LabelMode, Mark, Mode, Problem, Problems, SecretKind, SendCert, SharedSecret, Unique, Volume,
};

use super::authentication::auth_cfg;
use super::credential_files::Material;
use super::gateways::{build_gateways, GatewayCfgs, Gateways};
use super::selectors;
use crate::charon::{
    self, Backend, ChildCfg, ChildCfgFields, Credentials, Host, Identification, IkeCfg,
    IkeCfgFields, Limit, PeerCfg, PeerCfgFields, Proposal, Protocol, SecLabel, TrafficSelector,
};

/// Who brought secrets, certificates and keys, and has them for as long as it is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The connection of that name.
    Connection(String),
    /// A document without connections: the name of its file, or nothing for that of the socket.
    Source(String),
}

/// The connections that were loaded through the socket, their clones and their secrets.
pub struct Connections {
    backend: Backend,
    /// What gateways have of their own.
    pub(super) gateways: Gateways,
    credentials: Credentials,
    /// Who brought the secret that is stored under a key.
    secrets: Mutex<HashMap<String, BTreeSet<Owner>>>,
    /// The certificates and keys of those that have some; a document's are shared by its connections.
    material: Mutex<HashMap<Owner, Vec<Arc<Credentials>>>>,
}

impl Connections {
    /// Registers an empty backend and an empty credential set with charon.
    pub fn register() -> Self {
        Self {
            backend: Backend::register(),
            gateways: Gateways::default(),
            credentials: Credentials::register(),
            secrets: Mutex::default(),
            material: Mutex::default(),
        }
    }

    /// Adds or replaces a connection or a clone; returns what it replaced.
    pub fn set(&self, config: PeerCfg) -> Option<PeerCfg> {
        self.backend.set(config)
    }

    /// The connection of that name.
    pub fn get(&self, name: &str) -> Option<PeerCfg> {
        self.backend.get(name)
    }

    /// Removes a clone.
    pub fn remove_clone(&self, name: &str) {
        self.backend.remove(name);
    }

    /// Removes a connection and the secrets that only it brought.
    pub fn remove(&self, name: &str) -> Option<PeerCfg> {
        self.gateways.remove(name);
        let config = self.backend.remove(name);
        self.set_secrets(&[Owner::Connection(name.to_owned())], &[]);
        config
    }

    /// Replaces the certificates and keys of an owner; returns the former ones, which charon uses until
    /// they are dropped.
    pub fn set_material(
        &self,
        owner: Owner,
        material: Vec<Arc<Credentials>>,
    ) -> Vec<Arc<Credentials>> {
        // A table of owners, in no bad state after a panic.
        let mut known = self.material.lock().unwrap_or_else(PoisonError::into_inner);
        let former = if material.is_empty() {
            known.remove(&owner)
        } else {
            known.insert(owner, material)
        };
        former.unwrap_or_default()
    }

    /// Replaces what the owners brought before by these secrets, which belong to all of them.
    pub fn set_secrets(&self, brought_by: &[Owner], secrets: &[SharedSecret]) {
        let mut known = self.lock_secrets();
        let keys: BTreeSet<String> = secrets.iter().map(secret_key).collect();
        known.retain(|key, owners| {
            if keys.contains(key) {
                return true;
            }
            owners.retain(|owner| !brought_by.contains(owner));
            if owners.is_empty() {
                self.credentials.remove_shared_secret(key);
            }
            !owners.is_empty()
        });
        for secret in secrets {
            let key = secret_key(secret);
            let kind = match secret.kind {
                SecretKind::Ike => charon::shared_key_type_t::SHARED_IKE,
                SecretKind::Eap => charon::shared_key_type_t::SHARED_EAP,
                SecretKind::Ntlm => charon::shared_key_type_t::SHARED_NT_HASH,
                SecretKind::Ppk => charon::shared_key_type_t::SHARED_PPK,
            };
            let bytes = secret.secret.as_bytes();
            self.credentials
                .set_shared_secret(kind, &key, &secret.ids, bytes);
            known
                .entry(key)
                .or_default()
                .extend(brought_by.iter().cloned());
        }
    }

    fn lock_secrets(&self) -> MutexGuard<'_, HashMap<String, BTreeSet<Owner>>> {
        // A table of names, in no bad state after a panic.
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Under which charon keeps it: one secret for each use by the same owners.
pub(super) fn secret_key(secret: &SharedSecret) -> String {
    format!("{:?}\n{}", secret.kind, secret.ids.join("\n"))
}

/// What charon gets of a connection.
pub struct Built {
    /// Its configuration.
    pub peer_cfg: PeerCfg,
    /// What its gateways have of their own.
    pub gateways: GatewayCfgs,
    /// The certificates and keys of both.
    pub material: Material,
}

/// Builds what charon gets of a connection; an error names what charon cannot read or does not have.
pub fn build(connection: &Connection) -> Result<Built, Problems> {
    let mut problems = Problems::default();
    let path = format!("connections.{}", connection.name);
    check_version(connection, &path, &mut problems);
    check_mediation(connection, &path, &mut problems);
    let first = connection.first_gateway();
    let proposals = proposals(
        Protocol::Ike,
        &connection.proposals,
        &format!("{path}.proposals"),
        &mut problems,
    );
    let ike_cfg = IkeCfg::new(
        &IkeCfgFields {
            version: match connection.version {
                IkeVersion::Any => charon::ike_version_t::IKE_ANY,
                IkeVersion::V1 => charon::ike_version_t::IKEV1,
                IkeVersion::V2 => charon::ike_version_t::IKEV2,
            },
            // Written as vici writes them, for charon compares the strings.
            local: connection.local_addrs.join(", "),
            remote: connection.remote_addrs.as_str().replace(',', ", "),
            local_port: match connection.local_port {
                0 => charon::own_port(),
                port => port,
            },
            remote_port: first.map_or(connection.remote_port, |own| own.port),
            certreq: connection.send_certreq,
            #[cfg(strongswan_5_9_14)]
            ocsp_certreq: matches!(connection.ocsp, Some(Ocsp::Request | Ocsp::Both)),
            encap: connection.encap,
            fragmentation: match connection.fragmentation {
                Fragmentation::Yes => charon::fragmentation_t::FRAGMENTATION_YES,
                Fragmentation::Accept => charon::fragmentation_t::FRAGMENTATION_ACCEPT,
                Fragmentation::No => charon::fragmentation_t::FRAGMENTATION_NO,
                Fragmentation::Force => charon::fragmentation_t::FRAGMENTATION_FORCE,
            },
            childless: match connection.childless {
                Childless::Allow => charon::childless_t::CHILDLESS_ALLOW,
                #[cfg(strongswan_5_9_10)]
                Childless::Prefer => charon::childless_t::CHILDLESS_PREFER,
                #[cfg(not(strongswan_5_9_10))]
                Childless::Prefer => unknown("childless"),
                Childless::Never => charon::childless_t::CHILDLESS_NEVER,
                Childless::Force => charon::childless_t::CHILDLESS_FORCE,
            },
            dscp: connection.dscp,
        },
        proposals,
    );

    let fields = PeerCfgFields {
        cert_policy: match connection.send_cert {
            SendCert::IfAsked => charon::cert_policy_t::CERT_SEND_IF_ASKED,
            SendCert::Always => charon::cert_policy_t::CERT_ALWAYS_SEND,
            SendCert::Never => charon::cert_policy_t::CERT_NEVER_SEND,
        },
        #[cfg(strongswan_5_9_14)]
        ocsp_policy: match connection.ocsp {
            Some(Ocsp::Request) => charon::ocsp_policy_t::OCSP_SEND_REQUEST,
            Some(Ocsp::Both) => charon::ocsp_policy_t::OCSP_SEND_BOTH,
            Some(Ocsp::Never) => charon::ocsp_policy_t::OCSP_SEND_NEVER,
            Some(Ocsp::Reply) | None => charon::ocsp_policy_t::OCSP_SEND_REPLY,
        },
        unique: match connection.unique {
            Unique::No => charon::unique_policy_t::UNIQUE_NO,
            Unique::Never => charon::unique_policy_t::UNIQUE_NEVER,
            Unique::Keep => charon::unique_policy_t::UNIQUE_KEEP,
            Unique::Replace => charon::unique_policy_t::UNIQUE_REPLACE,
        },
        keyingtries: connection.keyingtries,
        rekey_time: seconds(connection.rekey_time),
        reauth_time: seconds(connection.reauth_time),
        jitter_time: seconds(connection.rand_time),
        over_time: seconds(connection.over_time),
        mobike: connection.mobike,
        aggressive: connection.aggressive,
        pull_mode: connection.pull,
        dpd: seconds(connection.dpd_delay),
        dpd_timeout: seconds(connection.dpd_timeout),
        if_id_in: connection.if_id_in,
        if_id_out: connection.if_id_out,
        ppk_id: identity(&connection.ppk_id),
        ppk_required: connection.ppk_required,
        #[cfg(strongswan_me)]
        mediation: connection.mediation,
        #[cfg(strongswan_me)]
        mediated_by: connection.mediated_by.clone(),
        #[cfg(strongswan_me)]
        peer_id: (connection.mediated_by.as_ref()).and(identity(&connection.mediation_peer)),
    };
    let mut peer_cfg = PeerCfg::new(&connection.name, ike_cfg, &fields);
    let mut material = Material::default();
    for (local, rounds) in [(true, &connection.local), (false, &connection.remote)] {
        for (number, round) in rounds.iter().enumerate() {
            let own = first.filter(|_| !local && number == 0);
            let round = own.map_or(round, |own| &own.remote);
            let auth = auth_cfg(round, local, &path, &mut material, &mut problems);
            peer_cfg.add_auth_cfg(auth, local);
        }
    }
    for (index, vip) in connection.vips.iter().enumerate() {
        match Host::from_string(vip, 0) {
            Some(host) => peer_cfg.add_virtual_ip(host),
            None => {
                let path = format!("{path}.vips[{index}]");
                problems.push(Problem::expected(path, "an IP address", vip));
            }
        }
    }
    for pool in &connection.pools {
        peer_cfg.add_pool(pool);
    }
    for child in &connection.children {
        let path = format!("{path}.children.{}", child.name);
        peer_cfg.add_child_cfg(child_cfg(child, &path, &mut problems));
    }
    let gateways = build_gateways(connection, &path, &mut material, &mut problems);
    problems.conclude(Built {
        peer_cfg,
        gateways,
        material,
    })
}

/// A value that came with a later charon.
#[cfg(not(strongswan_6_0_2))]
fn unknown<T>(option: &str) -> T {
    unreachable!("{option}: a configuration for this charon has no such value")
}

/// What this charon is built without is refused rather than ignored.
fn check_mediation(connection: &Connection, path: &str, problems: &mut Problems) {
    if cfg!(strongswan_me) {
        return;
    }
    for (option, given) in [
        ("mediation", connection.mediation),
        ("mediated_by", connection.mediated_by.is_some()),
        ("mediation_peer", connection.mediation_peer.is_some()),
    ] {
        if given {
            problems.push(Problem {
                path: format!("{path}.{option}"),
                why: "expected no such option, as charon is built without mediation".to_owned(),
            });
        }
    }
}

fn check_version(connection: &Connection, path: &str, problems: &mut Problems) {
    if connection.version == IkeVersion::V1 && !charon::has_ikev1() {
        problems.push(Problem {
            path: format!("{path}.version"),
            why: "expected 2, as charon is built without IKEv1".to_owned(),
        });
    }
}

fn identity(id: &Option<String>) -> Option<Identification> {
    id.as_deref().map(Identification::from_string)
}

fn child_cfg(child: &Child, path: &str, problems: &mut Problems) -> ChildCfg {
    use charon::child_cfg_option_t as option;

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
    let fields = ChildCfgFields {
        options: options
            .iter()
            .filter(|(set, _)| *set)
            .fold(0, |all, (_, option)| all | option),
        mode: match child.mode {
            Mode::Tunnel => charon::ipsec_mode_t::MODE_TUNNEL,
            Mode::Transport | Mode::TransportProxy => charon::ipsec_mode_t::MODE_TRANSPORT,
            #[cfg(strongswan_6_0_2)]
            Mode::Iptfs => charon::ipsec_mode_t::MODE_IPTFS,
            #[cfg(not(strongswan_6_0_2))]
            Mode::Iptfs => unknown("mode"),
            Mode::Beet => charon::ipsec_mode_t::MODE_BEET,
            Mode::Pass => charon::ipsec_mode_t::MODE_PASS,
            Mode::Drop => charon::ipsec_mode_t::MODE_DROP,
        },
        start_action: action(child.start_action),
        dpd_action: action(child.dpd_action),
        close_action: action(child.close_action),
        copy_dscp: match child.copy_dscp {
            CopyDscp::Out => charon::dscp_copy_t::DSCP_COPY_OUT_ONLY,
            CopyDscp::In => charon::dscp_copy_t::DSCP_COPY_IN_ONLY,
            CopyDscp::Yes => charon::dscp_copy_t::DSCP_COPY_YES,
            CopyDscp::No => charon::dscp_copy_t::DSCP_COPY_NO,
        },
        hw_offload: match child.hw_offload {
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
        },
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
    let mut selectors =
        |list, option| traffic_selectors(list, &format!("{path}.{option}"), problems);
    let local_ts = selectors(&child.local_ts, "local_ts");
    let remote_ts = selectors(&child.remote_ts, "remote_ts");
    ChildCfg::new(&child.name, &fields, algorithms, local_ts, remote_ts)
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

/// charon's defaults for an empty list and for the word `default`.
fn proposals(
    protocol: Protocol,
    list: &[String],
    path: &str,
    problems: &mut Problems,
) -> Vec<Proposal> {
    if list.is_empty() {
        return Proposal::defaults(protocol, protocol != Protocol::Ike);
    }
    let mut proposals = Vec::new();
    for (index, text) in list.iter().enumerate() {
        if text.eq_ignore_ascii_case("default") {
            let aead_first = cfg!(strongswan_6_0_0) && protocol != Protocol::Ike;
            proposals.extend(Proposal::defaults(protocol, aead_first));
            continue;
        }
        let proposal = Proposal::from_string(protocol, text).ok_or_else(|| {
            let what = "a complete proposal of known algorithms (aes128-sha256-modp2048)";
            Problem::expected(format!("{path}[{index}]"), what, text)
        });
        proposals.extend(problems.keep(proposal));
    }
    proposals
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

fn seconds(time: Duration) -> u32 {
    time.as_secs().try_into().unwrap_or(u32::MAX)
}
