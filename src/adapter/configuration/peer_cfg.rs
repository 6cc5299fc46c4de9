// SPDX-License-Identifier: GPL-2.0-or-later

//! Connections as charon's objects.

#[cfg(strongswan_5_9_14)]
use extsock_core::config::Ocsp;
use extsock_core::config::{
    Childless, ConnectionConfig, Fragmentation, IkeVersion, Problem, Problems, SendCert, Unique,
};

use super::authentication::auth_cfg;
use super::child_cfg::child_cfg;
use super::credential_files::Material;
use super::gateway_cfg::{build_gateways, GatewayCfgs};
#[cfg(not(strongswan_5_9_10))]
use super::values::unknown;
use super::values::{proposals, seconds};
use crate::charon::{
    self, Host, Identification, IkeCfg, IkeCfgFields, PeerCfg, PeerCfgFields, Protocol,
};

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
pub fn build(connection: &ConnectionConfig) -> Result<Built, Problems> {
    let mut problems = Problems::default();
    let path = format!("connections.{}", connection.name);
    check_version(connection, &path, &mut problems);
    check_mediation(connection, &path, &mut problems);
    let first = connection.first_gateway();
    let ike_cfg = ike_cfg(connection, &path, &mut problems);
    let fields = peer_cfg_fields(connection);
    let mut peer_cfg = PeerCfg::builder(&connection.name, ike_cfg, &fields);
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
        peer_cfg: peer_cfg.build(),
        gateways,
        material,
    })
}

fn ike_cfg(connection: &ConnectionConfig, path: &str, problems: &mut Problems) -> IkeCfg {
    let proposals = proposals(
        Protocol::Ike,
        &connection.proposals,
        &format!("{path}.proposals"),
        problems,
    );
    let first = connection.first_gateway();
    let fields = IkeCfgFields {
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
    };
    IkeCfg::new(&fields, proposals)
}

fn peer_cfg_fields(connection: &ConnectionConfig) -> PeerCfgFields {
    PeerCfgFields {
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
    }
}

/// What this charon is built without is refused rather than ignored.
fn check_mediation(connection: &ConnectionConfig, path: &str, problems: &mut Problems) {
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

fn check_version(connection: &ConnectionConfig, path: &str, problems: &mut Problems) {
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
