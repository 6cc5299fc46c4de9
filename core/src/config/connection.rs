// SPDX-License-Identifier: GPL-2.0-or-later

//! Reads a connection, with the same tables of options for all formats of the document.

use std::time::Duration;

use super::auth::{self, Round};
use super::child;
use super::failover;
use super::gateway::{GatewayEntry, GATEWAYS};
use super::model::{
    Childless, ConnectionConfig, Failover, Fragmentation, IkeVersion, Ocsp, SecretKind, SendCert,
    SharedSecret, Unique, UNIQUE, UNIQUE_DIR,
};
use super::reader::Fields;
use super::rekey_time::{read_lifetime, set_once};
use super::setting::{set_list, settings, words, Form, Setting};
use super::setting::{
    ADDRESSES, BOOLEAN, DSCP, IF_ID, IP_ADDRESSES, NUMBER, OWN_PORT, PORT, TEXT, TEXTS, TIME,
};
use crate::domain::address::AddressList;
use crate::error::Result;
use crate::strongswan::Version;

/// Reads the options of a connection, and the secrets among them.
///
/// `existing` is whether the document is in a format of the existing plugin, which gives some options another
/// meaning than swanctl.
pub(super) fn read(
    name: String,
    fields: Fields,
    existing: bool,
) -> Result<(ConnectionConfig, Vec<SharedSecret>)> {
    let mut draft = ConnectionDraft::new(name, existing, fields.strongswan());
    fields.refuse_shared("ike_cfg", |name| {
        IKE_CFG.iter().any(|option| option.name == name)
    });
    let mediated = fields.field_path("mediated_by");
    let interface_ids = ["if_id_in", "if_id_out"].map(|option| fields.field_path(option));
    fields.read(&mut draft, &[IKE_CFG, IKE_TIMES, PEER_CFG, SECTIONS]);
    let (connection, secrets) = draft.finish();
    if connection.mediated_by.is_some() {
        if connection.mediation {
            return Err(mediated.refused("a mediation connection cannot be mediated itself"));
        }
        if connection.mediation_peer.is_none() {
            return Err(mediated.refused("expected mediation_peer too, as the gateway has no id"));
        }
    }
    if !connection.gateways.is_empty() {
        // charon allocates %unique anew whenever an IKE_SA gets the configuration of another gateway.
        for (id, field) in [connection.if_id_in, connection.if_id_out]
            .into_iter()
            .zip(interface_ids)
        {
            if matches!(id, UNIQUE | UNIQUE_DIR) {
                let why = "expected a number, as gateways of remote_addrs differ";
                return Err(field.refused(why));
            }
        }
    }
    Ok((connection, secrets))
}

/// Options of the ike_cfg, which are in the connection itself or in its `ike_cfg`.
pub(super) const IKE_CFG: &[Setting<ConnectionDraft>] = settings!(ConnectionDraft {
    "local_addrs": ADDRESSES, "%any", "Local addresses: addresses, names, subnets and ranges."
        => |d, v| set_list(&mut d.connection.local_addrs, v);
    "remote_addrs": GATEWAYS, "%any",
        "Addresses and names of the security gateways, in the order of preference; in an array also objects, for \
         gateways with options of their own."
        => |d, v| d.gateways = v;
    "local_port": OWN_PORT, "0", "Local UDP port; 0 for that of charon's socket."
        => |d, v| d.connection.local_port = v;
    "remote_port": PORT, "500", "UDP port of the gateways."
        => |d, v| d.connection.remote_port = v;
    "version": words!(
            "0" => IkeVersion::Any, "1" => IkeVersion::V1, "2" => IkeVersion::V2,
        ), "0, or 2 from strongSwan 6.1.0 on", "IKE version; 0 accepts both and initiates IKEv2."
        => |d, v| d.connection.version = v;
    "proposals": TEXTS, "default", "IKE proposals, such as aes256-sha256-modp2048."
        => |d, v| d.connection.proposals = v;
    "dscp": DSCP, "000000", "DSCP of IKE packets, in binary."
        => |d, v| d.connection.dscp = v;
    "encap": BOOLEAN, "no", "Whether to enforce UDP encapsulation of ESP."
        => |d, v| d.connection.encap = v;
    "fragmentation": words!(
            "yes" => Fragmentation::Yes, "accept" => Fragmentation::Accept,
            "no" => Fragmentation::No, "force" => Fragmentation::Force,
        ), "yes", "Whether to send IKE messages in fragments."
        => |d, v| d.connection.fragmentation = v;
    "childless": words!(
            "allow" => Childless::Allow, "prefer" since [5, 9, 10] => Childless::Prefer, "never" => Childless::Never, "force" => Childless::Force,
        ), "allow", "Whether an IKE_SA may be established without a CHILD_SA (RFC 6023)."
        => |d, v| d.connection.childless = v;
    "send_certreq": BOOLEAN, "yes", "Whether to ask for certificates."
        => |d, v| d.connection.send_certreq = v;
});

/// The rekey_time of the ike_cfg, which may also be in `lifetime`.
pub(super) const IKE_TIMES: &[Setting<ConnectionDraft>] = settings!(ConnectionDraft {
    "rekey_time" as Form::Time, "4h, or 0 if there is a reauth_time", "Time until IKE rekeying; 0 for none."
        => |d, n| set_once(&mut d.rekey_time, &n);
    "lifetime" as Form::Object("lifetime"), "none", "Where the existing plugin has rekey_time."
        => |d, n| read_lifetime(&mut d.rekey_time, n);
});

/// Options of the peer_cfg.
pub(super) const PEER_CFG: &[Setting<ConnectionDraft>] = settings!(ConnectionDraft {
    "mobike": BOOLEAN, "yes, but no in the existing plugin's formats",
        "Whether to use MOBIKE with IKEv2."
        => |d, v| d.connection.mobike = v;
    "aggressive": BOOLEAN, "no", "Whether to use aggressive mode with IKEv1."
        => |d, v| d.connection.aggressive = v;
    "pull": BOOLEAN, "yes", "Whether mode config of IKEv1 is pulled rather than pushed."
        => |d, v| d.connection.pull = v;
    "send_cert": words!(
            "ifasked" => SendCert::IfAsked, "always" => SendCert::Always, "never" => SendCert::Never,
        ), "ifasked", "When to send own certificates."
        => |d, v| d.connection.send_cert = v;
    "ocsp" since [5, 9, 14]: words!(
            "reply" => Ocsp::Reply, "request" => Ocsp::Request, "both" => Ocsp::Both,
            "never" => Ocsp::Never,
        ), "reply", "Whether OCSP responses are asked for and sent."
        => |d, v| d.connection.ocsp = Some(v);
    "ppk_id": TEXT, "none", "Identity of the postquantum preshared key."
        => |d, v| d.connection.ppk_id = Some(v);
    "ppk_required": BOOLEAN, "no", "Whether the postquantum preshared key is needed."
        => |d, v| d.connection.ppk_required = v;
    "keyingtries": NUMBER, "1", "How often an initiation is attempted, each time with all retransmissions; 0 for no limit."
        => |d, v| d.connection.keyingtries = v;
    "unique": words!(
            "no" => Unique::No, "never" => Unique::Never, "keep" => Unique::Keep,
            "replace" => Unique::Replace,
        ), "no", "What to do about other IKE_SAs with the same identities."
        => |d, v| d.connection.unique = v;
    "dpd_delay": TIME, "0", "Silence of the gateway after which charon sends it a DPD request; 0 for never."
        => |d, v| d.connection.dpd_delay = v;
    "dpd_timeout": TIME, "0", "IKEv1 only: time without an answer after which the gateway is dead; 0 for that of charon's retransmission."
        => |d, v| d.connection.dpd_timeout = v;
    "reauth_time": TIME, "0", "Time until reauthentication; 0 for none."
        => |d, v| d.reauth_time = Some(v);
    "over_time": TIME, "a tenth of the longer of rekey_time and reauth_time",
        "Time that rekeying or reauthentication may take before the IKE_SA is closed."
        => |d, v| d.over_time = Some(v);
    "rand_time": TIME, "over_time, at most half of the shorter of rekey_time and reauth_time",
        "Upper bound of the random time that is subtracted from rekey_time and reauth_time."
        => |d, v| d.rand_time = Some(v);
    "vips": IP_ADDRESSES, "none", "Virtual IPs to request; 0.0.0.0 and :: for any."
        => |d, v| d.connection.vips = v;
    "pools": TEXTS, "none", "Names of the pools that virtual IPs of peers are taken from."
        => |d, v| d.connection.pools = v;
    "if_id_in": IF_ID, "0", "XFRM interface ID of inbound policies and SAs."
        => |d, v| d.connection.if_id_in = v;
    "if_id_out": IF_ID, "0", "XFRM interface ID of outbound policies and SAs."
        => |d, v| d.connection.if_id_out = v;
    "mediation": BOOLEAN, "no", "Whether the peer is a mediation server."
        => |d, v| d.connection.mediation = v;
    "mediated_by": TEXT, "none", "Name of the connection to the server that mediates this one."
        => |d, v| d.connection.mediated_by = Some(v);
    "mediation_peer": TEXT, "the gateway's id", "Identity of the peer at the mediation server."
        => |d, v| d.connection.mediation_peer = Some(v);
});

/// The sections in a connection.
pub(super) const SECTIONS: &[Setting<ConnectionDraft>] = settings!(ConnectionDraft {
    "ike_cfg" as Form::Object("ike_cfg"), "none", "Where the existing plugin has the options from local_addrs to rekey_time."
        => |d, n| {
            n.into_fields()?.read(d, &[IKE_CFG, IKE_TIMES]);
            Ok(())
        };
    "local" as Form::Rounds("auth"), "any",
        "Local authentication: an object, or an array of objects for several rounds; also with a suffix, such as local-2."
        => |d, n| auth::read(&mut d.local, n);
    "local_auth" as Form::Rounds("auth"), "any", "The existing plugin's name for local."
        => |d, n| auth::read(&mut d.local, n);
    "remote" as Form::Rounds("auth"), "any", "Authentication of the gateway, written like local."
        => |d, n| auth::read(&mut d.remote, n);
    "remote_auth" as Form::Rounds("auth"), "any", "The existing plugin's name for remote."
        => |d, n| auth::read(&mut d.remote, n);
    "failover" as Form::Object("failover"), "none", "When and how it fails over."
        => |d, n| {
            d.connection.failover = failover::read(n)?;
            Ok(())
        };
    "children" as Form::Named("child"), "none", "The CHILD_SAs."
        => |d, n| {
            for (name, fields) in n.into_named()? {
                let child = child::read(name, fields, d.existing);
                d.connection.children.push(child);
            }
            Ok(())
        };
});

/// swanctl's default of rekey_time unless there is a reauth_time.
const REKEY_TIME: Duration = Duration::from_secs(4 * 60 * 60);

/// The first strongSwan that uses IKEv2 only, unless IKEv1 is asked for.
const IKEV2: Version = Version([6, 1, 0]);

/// A connection that is being read; defaults that depend on other options are not set yet.
pub(super) struct ConnectionDraft {
    connection: ConnectionConfig,
    existing: bool,
    rekey_time: Option<Duration>,
    reauth_time: Option<Duration>,
    over_time: Option<Duration>,
    rand_time: Option<Duration>,
    gateways: Vec<GatewayEntry>,
    local: Vec<Round>,
    remote: Vec<Round>,
}

impl ConnectionDraft {
    fn new(name: String, existing: bool, strongswan: Version) -> Self {
        let connection = ConnectionConfig {
            name,
            local_addrs: vec!["%any".to_owned()],
            remote_addrs: AddressList::parse("%any"),
            gateways: Vec::new(),
            local_port: 0,
            remote_port: 500,
            version: if strongswan >= IKEV2 {
                IkeVersion::V2
            } else {
                IkeVersion::Any
            },
            proposals: Vec::new(),
            dscp: 0,
            encap: false,
            send_certreq: true,
            send_cert: SendCert::IfAsked,
            ocsp: None,
            fragmentation: Fragmentation::Yes,
            childless: Childless::Allow,
            aggressive: false,
            pull: true,
            ppk_id: None,
            ppk_required: false,
            if_id_in: 0,
            if_id_out: 0,
            mediation: false,
            mediated_by: None,
            mediation_peer: None,
            mobike: !existing,
            keyingtries: 1,
            unique: Unique::No,
            dpd_delay: Duration::ZERO,
            dpd_timeout: Duration::ZERO,
            rekey_time: Duration::ZERO,
            reauth_time: Duration::ZERO,
            over_time: Duration::ZERO,
            rand_time: Duration::ZERO,
            vips: Vec::new(),
            pools: Vec::new(),
            local: Vec::new(),
            remote: Vec::new(),
            children: Vec::new(),
            failover: Failover::default(),
        };
        Self {
            connection,
            existing,
            rekey_time: None,
            reauth_time: None,
            over_time: None,
            rand_time: None,
            gateways: Vec::new(),
            local: Vec::new(),
            remote: Vec::new(),
        }
    }

    fn finish(self) -> (ConnectionConfig, Vec<SharedSecret>) {
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

        let (local, remote) = (auth::in_order(self.local), auth::in_order(self.remote));
        // Of the first rounds: only those can use a pre-shared key.
        let ids: Vec<String> = [local.first(), remote.first()]
            .into_iter()
            .flatten()
            .filter_map(|round| round.auth.id.as_ref())
            .chain(self.gateways.iter().filter_map(GatewayEntry::id))
            .cloned()
            .collect();
        let mut secrets = Vec::new();
        for (rounds, auths) in [
            (local, &mut connection.local),
            (remote, &mut connection.remote),
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
        if !self.gateways.is_empty() {
            connection.remote_addrs = self.gateways.iter().map(|entry| &entry.addr).collect();
        }
        if let Some(round) = connection.remote.first() {
            let port = connection.remote_port;
            let entries = self.gateways.into_iter();
            connection.gateways = entries.filter_map(|e| e.settings(port, round)).collect();
        }
        if connection.mediation {
            connection.unique = Unique::Replace;
        }
        if connection.mediated_by.is_some() && connection.mediation_peer.is_none() {
            let gateway = connection.remote.first().and_then(|round| round.id.clone());
            connection.mediation_peer = gateway;
        }
        (connection, secrets)
    }
}

fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs())
}
