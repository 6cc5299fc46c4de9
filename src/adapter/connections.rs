// SPDX-License-Identifier: GPL-2.0-or-later

//! Configurations as charon's objects, and the ones that are loaded.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use extsock_core::config::{
    Action, Child, Connection, CopyDscp, IkeVersion, Mode, SecretKind, SharedSecret, Unique,
};
use extsock_core::error::{Error, Result};

use super::authentication::auth_cfg;
use super::credential_files::Material;
use crate::charon::{
    self, Backend, ChildCfg, ChildCfgFields, Credentials, Host, IkeCfg, IkeCfgFields, PeerCfg,
    PeerCfgFields, Proposal, Protocol, TrafficSelector,
};

/// The connections that were loaded through the socket, their clones and their secrets.
pub struct Connections {
    backend: Backend,
    credentials: Credentials,
    /// Which connections brought the secret that is stored under a key.
    secrets: Mutex<HashMap<String, BTreeSet<String>>>,
    /// The certificates and keys of the connections that have some.
    material: Mutex<HashMap<String, Credentials>>,
}

impl Connections {
    /// Registers an empty backend and an empty credential set with charon.
    pub fn register() -> Self {
        Self {
            backend: Backend::register(),
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
        let config = self.backend.remove(name);
        self.set_secrets(&[name.to_owned()], &[]);
        config
    }

    /// Replaces the certificates and keys of a connection; returns the former ones, which charon uses
    /// until they are dropped.
    pub fn set_material(
        &self,
        connection: &str,
        material: Option<Credentials>,
    ) -> Option<Credentials> {
        // A table of owners, in no bad state after a panic.
        let mut known = self.material.lock().unwrap_or_else(PoisonError::into_inner);
        match material {
            Some(material) => known.insert(connection.to_owned(), material),
            None => known.remove(connection),
        }
    }

    /// Replaces what the connections brought before by these secrets, which belong to them; without
    /// connections the secrets belong to the name `""`, which nothing removes.
    pub fn set_secrets(&self, connections: &[String], secrets: &[SharedSecret]) {
        let mut known = self.lock_secrets();
        let unowned = [String::new()];
        let connections = if connections.is_empty() {
            &unowned[..]
        } else {
            connections
        };
        let keys: BTreeSet<String> = secrets.iter().map(secret_key).collect();
        known.retain(|key, owners| {
            if keys.contains(key) {
                return true;
            }
            owners.retain(|owner| !connections.contains(owner));
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
                .extend(connections.iter().cloned());
        }
    }

    fn lock_secrets(&self) -> MutexGuard<'_, HashMap<String, BTreeSet<String>>> {
        // A table of names, in no bad state after a panic.
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Under which charon keeps it: one secret for each use by the same owners.
fn secret_key(secret: &SharedSecret) -> String {
    format!("{:?}\n{}", secret.kind, secret.ids.join("\n"))
}

/// The peer_cfg of a connection, and its certificates and keys; an error names what charon cannot read.
pub fn build(connection: &Connection) -> Result<(PeerCfg, Material)> {
    let path = format!("connections.{}", connection.name);
    let proposals = proposals(
        Protocol::Ike,
        &connection.proposals,
        &format!("{path}.proposals"),
    )?;
    let ike_cfg = IkeCfg::new(
        &IkeCfgFields {
            version: match connection.version {
                IkeVersion::Any => charon::ike_version_t::IKE_ANY,
                IkeVersion::V1 => charon::ike_version_t::IKEV1,
                IkeVersion::V2 => charon::ike_version_t::IKEV2,
            },
            local: connection.local_addrs.join(","),
            remote: connection.remote_addrs.as_str().to_owned(),
            local_port: connection.local_port,
            remote_port: connection.remote_port,
            certreq: true,
            #[cfg(strongswan_5_9_14)]
            ocsp_certreq: false,
            encap: connection.encap,
            fragmentation: charon::fragmentation_t::FRAGMENTATION_YES,
            childless: charon::childless_t::CHILDLESS_ALLOW,
            dscp: connection.dscp,
        },
        proposals,
    );

    let fields = PeerCfgFields {
        cert_policy: charon::cert_policy_t::CERT_SEND_IF_ASKED,
        #[cfg(strongswan_5_9_14)]
        ocsp_policy: charon::ocsp_policy_t::OCSP_SEND_REPLY,
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
        aggressive: false,
        pull_mode: true,
        dpd: seconds(connection.dpd_delay),
        dpd_timeout: seconds(connection.dpd_timeout),
        if_id_in: 0,
        if_id_out: 0,
        ppk_id: None,
        ppk_required: false,
        #[cfg(strongswan_me)]
        mediation: false,
        #[cfg(strongswan_me)]
        mediated_by: None,
        #[cfg(strongswan_me)]
        peer_id: None,
    };
    let mut peer_cfg = PeerCfg::new(&connection.name, ike_cfg, &fields);
    let mut material = Material::default();
    for (local, rounds) in [(true, &connection.local), (false, &connection.remote)] {
        for round in rounds {
            let auth = auth_cfg(round, local, &path, &mut material)?;
            peer_cfg.add_auth_cfg(auth, local);
        }
    }
    for vip in &connection.vips {
        let host = Host::from_string(vip, 0)
            .ok_or_else(|| expected(&format!("{path}.vips"), "an IP address", vip))?;
        peer_cfg.add_virtual_ip(host);
    }
    for child in &connection.children {
        peer_cfg.add_child_cfg(child_cfg(
            child,
            &format!("{path}.children.{}", child.name),
        )?);
    }
    Ok((peer_cfg, material))
}

fn child_cfg(child: &Child, path: &str) -> Result<ChildCfg> {
    let fields = ChildCfgFields {
        mode: match child.mode {
            Mode::Tunnel => charon::ipsec_mode_t::MODE_TUNNEL,
            Mode::Transport => charon::ipsec_mode_t::MODE_TRANSPORT,
            Mode::Beet => charon::ipsec_mode_t::MODE_BEET,
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
        rekey_time: child.rekey_time.as_secs(),
        life_time: child.life_time.as_secs(),
        rand_time: child.rand_time.as_secs(),
    };
    Ok(ChildCfg::new(
        &child.name,
        &fields,
        proposals(
            Protocol::Esp,
            &child.esp_proposals,
            &format!("{path}.esp_proposals"),
        )?,
        traffic_selectors(&child.local_ts, &format!("{path}.local_ts"))?,
        traffic_selectors(&child.remote_ts, &format!("{path}.remote_ts"))?,
    ))
}

fn action(action: Action) -> charon::action_t::Type {
    match action {
        Action::None => charon::action_t::ACTION_NONE,
        Action::Trap => charon::action_t::ACTION_TRAP,
        Action::Start => charon::action_t::ACTION_START,
    }
}

/// charon's defaults for an empty list and for the word `default`.
fn proposals(protocol: Protocol, list: &[String], path: &str) -> Result<Vec<Proposal>> {
    if list.is_empty() {
        return Ok(Proposal::defaults(protocol));
    }
    let mut proposals = Vec::new();
    for text in list {
        if text == "default" {
            proposals.extend(Proposal::defaults(protocol));
        } else {
            let proposal = Proposal::from_string(protocol, text).ok_or_else(|| {
                expected(
                    path,
                    "a complete proposal of known algorithms (aes128-sha256-modp2048)",
                    text,
                )
            })?;
            proposals.push(proposal);
        }
    }
    Ok(proposals)
}

fn traffic_selectors(list: &[String], path: &str) -> Result<Vec<TrafficSelector>> {
    list.iter()
        .map(|text| match text.as_str() {
            "dynamic" => Ok(TrafficSelector::dynamic()),
            text => TrafficSelector::from_cidr(text).ok_or_else(|| {
                expected(
                    path,
                    "a subnet (10.1.0.0/24), an address or \"dynamic\"",
                    text,
                )
            }),
        })
        .collect()
}

pub(super) fn expected(path: &str, what: &str, found: &str) -> Error {
    Error::parsing(format!("{path}: expected {what}, found {found:?}"))
}

fn seconds(time: Duration) -> u32 {
    time.as_secs().try_into().unwrap_or(u32::MAX)
}
