// SPDX-License-Identifier: GPL-2.0-or-later

//! Reads `remote_addrs`, whose entries are addresses or objects with further options of the gateway.

use std::collections::HashSet;

use super::files::add_certificates;
use super::model::{Auth, CertificateSource, GatewaySettings};
use super::reader::Node;
use super::setting::{settings, Form, Kind, Setting};
use super::setting::{IDENTITY, NUMBER, PORT, TEXTS};
use crate::domain::address::{Gateway, GatewayKind};
use crate::error::Result;

pub(super) const GATEWAYS: Kind<Vec<GatewayEntry>> = Kind {
    form: Form::Gateways("gateway"),
    read,
};

/// An entry of `remote_addrs`.
#[derive(Default)]
pub(super) struct GatewayEntry {
    pub addr: String,
    /// The options of an object; None for a plain address.
    draft: Option<GatewayDraft>,
}

/// An object in `remote_addrs` that is being read.
#[derive(Default)]
pub(super) struct GatewayDraft {
    section: String,
    addr: String,
    port: Option<u16>,
    id: Option<String>,
    certs: Vec<CertificateSource>,
    cacerts: Vec<CertificateSource>,
    priority: u32,
}

impl GatewayEntry {
    fn plain(addr: String) -> Self {
        Self { addr, draft: None }
    }

    fn priority(&self) -> u32 {
        self.draft.as_ref().map_or(0, |own| own.priority)
    }

    /// The gateway's IKE identity, if it has one of its own.
    pub(super) fn id(&self) -> Option<&String> {
        self.draft.as_ref()?.id.as_ref()
    }

    /// What differs from the connection's port and first round of the gateway, if anything does.
    pub(super) fn settings(self, port: u16, round: &Auth) -> Option<GatewaySettings> {
        let own = self.draft?;
        let has_round = own.id.is_some() || !own.certs.is_empty() || !own.cacerts.is_empty();
        if !has_round && own.port.is_none() {
            return None;
        }
        let mut remote = round.clone();
        if has_round {
            remote.section = own.section;
            // They were reported for the connection's round already.
            remote.disabled.clear();
        }
        remote.id = own.id.or(remote.id);
        if !own.certs.is_empty() {
            remote.certs = own.certs;
            remote.pubkeys.clear();
        }
        if !own.cacerts.is_empty() {
            remote.cacerts = own.cacerts;
        }
        Some(GatewaySettings {
            addr: self.addr,
            port: own.port.unwrap_or(port),
            remote,
        })
    }
}

/// The entries in the order of preference.
fn read(node: Node) -> Result<Vec<GatewayEntry>> {
    if !node.has_objects() {
        return Ok(node
            .addresses()?
            .into_iter()
            .map(GatewayEntry::plain)
            .collect());
    }
    let report = node.report();
    let section = node.key().to_owned();
    let mut known = HashSet::new();
    let mut entries = Vec::new();
    for (index, item) in node.into_items()?.into_iter().enumerate() {
        if item.is_array() {
            report.keep::<()>(Err(item.unexpected("a string or an object")));
            continue;
        }
        if !item.is_object() {
            let plain = report.keep(item.addresses()).unwrap_or_default();
            known.extend(plain.iter().map(|addr| key(addr)));
            entries.extend(plain.into_iter().map(GatewayEntry::plain));
            continue;
        }
        let result = read_object(item, format!("{section}[{index}]"), &mut known);
        entries.extend(report.keep(result).flatten());
    }
    entries.sort_by_key(GatewayEntry::priority);
    Ok(entries)
}

fn read_object(
    node: Node,
    section: String,
    known: &mut HashSet<String>,
) -> Result<Option<GatewayEntry>> {
    let fields = node.into_fields()?;
    let field = fields.field_path("addr");
    let is_missing = !fields.has("addr");
    let mut own = GatewayDraft::default();
    fields.read(&mut own, &[GATEWAY]);
    if is_missing {
        return Err(field.refused("expected an IP address or a DNS name, found nothing"));
    }
    if own.addr.is_empty() {
        // An error was reported already.
        return Ok(None);
    }
    if !known.insert(key(&own.addr)) {
        let why = format!("expected a gateway not given before, found {:?}", own.addr);
        return Err(field.refused(&why));
    }
    own.section = section;
    Ok(Some(GatewayEntry {
        addr: own.addr.clone(),
        draft: Some(own),
    }))
}

/// A text that is equal for different notations of one gateway.
fn key(addr: &str) -> String {
    match Gateway::parse(addr).ip() {
        Some(ip) => ip.to_string(),
        None => addr.to_ascii_lowercase(),
    }
}

const ADDRESS: Kind<String> = Kind {
    form: Form::Text,
    read: |n| {
        n.parsed("an IP address or a DNS name", |text| {
            let gateway = Gateway::parse(text);
            let kind = gateway.kind();
            matches!(kind, GatewayKind::Ip(_) | GatewayKind::Name).then(|| gateway.to_string())
        })
    },
};

pub(super) const GATEWAY: &[Setting<GatewayDraft>] = settings!(GatewayDraft {
    "addr": ADDRESS, "none, required", "Its IP address or DNS name."
        => |g, v| g.addr = v;
    "port": PORT, "remote_port", "Its UDP port."
        => |g, v| g.port = Some(v);
    "id": IDENTITY, "that of the first round of remote", "Its IKE identity."
        => |g, v| g.id = Some(v);
    "certs": TEXTS, "those of the first round of remote", "Files of certificates of which it must have one."
        => |g, v| add_certificates(&mut g.certs, "certs", v);
    "cacerts": TEXTS, "those of the first round of remote",
        "Files of CA certificates, of which one must be in its trust chain."
        => |g, v| add_certificates(&mut g.cacerts, "cacerts", v);
    "priority": NUMBER, "0",
        "Lower is preferred, as in DNS SRV records; gateways of equal priority are in the order of the document."
        => |g, v| g.priority = v;
});
