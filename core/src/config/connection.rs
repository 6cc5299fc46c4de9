// SPDX-License-Identifier: GPL-2.0-or-later

//! Reads a connection: one table of options for all shapes of the document.

use std::time::Duration;

use super::auth::{self, Round};
use super::child;
use super::failover;
use super::model::{Connection, Failover, IkeVersion, SecretKind, SharedSecret, Unique};
use super::reader::{names, Fields, Node, Setting};
use crate::error::Result;
use crate::failover::address::AddressList;

/// Reads the options of a connection, and the secrets that stand among them.
pub(super) fn read(
    name: String,
    mut fields: Fields,
    mobike: bool,
) -> Result<(Connection, Vec<SharedSecret>)> {
    let mut draft = Draft::new(name, mobike);
    if let Some(node) = fields.take("ike_cfg") {
        let mut ike_cfg = node.into_fields()?;
        ike_cfg.refuse_shared(&fields, IKE_CFG)?;
        ike_cfg.read(&mut draft, IKE_CFG)?;
        ike_cfg.finish(&names(IKE_CFG).collect::<Vec<_>>())?;
    }
    fields.read(&mut draft, IKE_CFG)?;
    fields.read(&mut draft, PEER_CFG)?;
    draft.local = auth::read_rounds(&mut fields, "local")?;
    draft.remote = auth::read_rounds(&mut fields, "remote")?;
    let known = ["ike_cfg", "local_auth", "remote_auth", "local", "remote"]
        .into_iter()
        .chain(names(IKE_CFG))
        .chain(names(PEER_CFG));
    fields.finish(&known.collect::<Vec<_>>())?;
    Ok(draft.finish())
}

/// Options of the ike_cfg, which stand in the connection or in its `ike_cfg`.
const IKE_CFG: &[Setting<Draft>] = &[
    ("local_addrs", |d, n| {
        set_list(&mut d.connection.local_addrs, n.addresses()?)
    }),
    ("remote_addrs", |d, n| {
        let addresses = n.addresses()?;
        if !addresses.is_empty() {
            d.connection.remote_addrs = addresses.into_iter().collect();
        }
        Ok(())
    }),
    ("local_port", |d, n| {
        set(&mut d.connection.local_port, n.number(1..=u16::MAX)?)
    }),
    ("remote_port", |d, n| {
        set(&mut d.connection.remote_port, n.number(1..=u16::MAX)?)
    }),
    ("version", |d, n| {
        let versions = [
            ("0", IkeVersion::Any),
            ("1", IkeVersion::V1),
            ("2", IkeVersion::V2),
        ];
        set(&mut d.connection.version, n.keyword(&versions)?)
    }),
    ("proposals", |d, n| {
        set(&mut d.connection.proposals, n.texts()?)
    }),
    ("dscp", |d, n| set(&mut d.connection.dscp, n.dscp()?)),
    ("encap", |d, n| set(&mut d.connection.encap, n.boolean()?)),
    ("rekey_time", |d, n| set_once(&mut d.rekey_time, &n)),
    ("lifetime", |d, n| read_lifetime(&mut d.rekey_time, n)),
];

/// Options of the peer_cfg.
const PEER_CFG: &[Setting<Draft>] = &[
    ("mobike", |d, n| set(&mut d.connection.mobike, n.boolean()?)),
    ("keyingtries", |d, n| {
        set(&mut d.connection.keyingtries, n.number(0..=u32::MAX)?)
    }),
    ("unique", |d, n| {
        let policies = [
            ("no", Unique::No),
            ("never", Unique::Never),
            ("keep", Unique::Keep),
            ("replace", Unique::Replace),
        ];
        set(&mut d.connection.unique, n.keyword(&policies)?)
    }),
    ("dpd_delay", |d, n| {
        set(&mut d.connection.dpd_delay, n.time()?)
    }),
    ("dpd_timeout", |d, n| {
        set(&mut d.connection.dpd_timeout, n.time()?)
    }),
    ("reauth_time", |d, n| set_once(&mut d.reauth_time, &n)),
    ("over_time", |d, n| set_once(&mut d.over_time, &n)),
    ("rand_time", |d, n| set_once(&mut d.rand_time, &n)),
    ("vips", |d, n| {
        set(&mut d.connection.vips, n.ip_addresses()?)
    }),
    ("failover", |d, n| {
        set(&mut d.connection.failover, failover::read(n)?)
    }),
    ("children", |d, n| {
        let children = n.into_named()?.into_iter();
        let children = children.map(|(name, fields)| child::read(name, fields));
        set(&mut d.connection.children, children.collect::<Result<_>>()?)
    }),
];

/// swanctl's default of rekey_time unless there is a reauth_time.
const REKEY_TIME: Duration = Duration::from_secs(4 * 60 * 60);

/// A connection whose derived defaults are not known yet.
struct Draft {
    connection: Connection,
    rekey_time: Option<Duration>,
    reauth_time: Option<Duration>,
    over_time: Option<Duration>,
    rand_time: Option<Duration>,
    local: Vec<Round>,
    remote: Vec<Round>,
}

impl Draft {
    fn new(name: String, mobike: bool) -> Self {
        let connection = Connection {
            name,
            local_addrs: vec!["%any".to_owned()],
            remote_addrs: AddressList::parse("%any"),
            local_port: 500,
            remote_port: 500,
            version: IkeVersion::Any,
            proposals: Vec::new(),
            dscp: 0,
            encap: false,
            mobike,
            keyingtries: 1,
            unique: Unique::No,
            dpd_delay: Duration::ZERO,
            dpd_timeout: Duration::ZERO,
            rekey_time: Duration::ZERO,
            reauth_time: Duration::ZERO,
            over_time: Duration::ZERO,
            rand_time: Duration::ZERO,
            vips: Vec::new(),
            local: Vec::new(),
            remote: Vec::new(),
            children: Vec::new(),
            failover: Failover::default(),
        };
        Self {
            connection,
            rekey_time: None,
            reauth_time: None,
            over_time: None,
            rand_time: None,
            local: Vec::new(),
            remote: Vec::new(),
        }
    }

    fn finish(self) -> (Connection, Vec<SharedSecret>) {
        let mut connection = self.connection;

        // As charon's vici_config.c derives them.
        let reauth = self.reauth_time.unwrap_or_default();
        let rekey = match (self.rekey_time, self.reauth_time) {
            (Some(rekey), _) => rekey,
            (None, Some(_)) => Duration::ZERO,
            (None, None) => REKEY_TIME,
        };
        let longer = rekey.max(reauth);
        let first = if rekey.is_zero() || reauth.is_zero() {
            longer
        } else {
            rekey.min(reauth)
        };
        let over = self.over_time.unwrap_or(whole_seconds(longer / 10));
        let rand = self.rand_time.unwrap_or(over.min(whole_seconds(first / 2)));
        connection.rekey_time = rekey;
        connection.reauth_time = reauth;
        connection.over_time = over;
        connection.rand_time = rand;

        // Of the first rounds, for only there a pre-shared key is of use.
        let first = [&self.local, &self.remote].map(|rounds| rounds.first());
        let ids: Vec<String> = first
            .into_iter()
            .flatten()
            .filter_map(|round| round.auth.id.clone())
            .collect();
        let mut secrets = Vec::new();
        for (rounds, auths) in [
            (self.local, &mut connection.local),
            (self.remote, &mut connection.remote),
        ] {
            for round in rounds {
                auths.push(round.auth);
                let ids = ids.clone();
                let secret = round.secret.map(|secret| SharedSecret {
                    kind: SecretKind::Ike,
                    ids,
                    secret,
                });
                secrets.extend(secret.filter(|secret| !secrets.contains(secret)));
            }
        }
        (connection, secrets)
    }
}

pub(super) fn set<T>(target: &mut T, value: T) -> Result<()> {
    *target = value;
    Ok(())
}

/// An empty list leaves the default.
pub(super) fn set_list(target: &mut Vec<String>, list: Vec<String>) -> Result<()> {
    if !list.is_empty() {
        *target = list;
    }
    Ok(())
}

/// For times that have more than one place.
pub(super) fn set_once(target: &mut Option<Duration>, node: &Node) -> Result<()> {
    if target.is_some() {
        return Err(node.given_twice());
    }
    *target = Some(node.time()?);
    Ok(())
}

/// The existing plugin's place of rekey_time.
pub(super) fn read_lifetime(rekey_time: &mut Option<Duration>, node: Node) -> Result<()> {
    let mut fields = node.into_fields()?;
    if let Some(node) = fields.take("rekey_time") {
        set_once(rekey_time, &node)?;
    }
    fields.finish(&["rekey_time"])
}

fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs())
}
