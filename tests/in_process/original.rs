// SPDX-License-Identifier: GPL-2.0-or-later

//! A connection in which every value of charon's differs from its default, and changes to it.

use std::collections::BTreeSet;

use extsock::charon::{
    action_t, cert_policy_t, childless_t, dscp_copy_t, fragmentation_t, ike_version_t,
    ipsec_mode_t, sys, unique_policy_t, AuthCfg, AuthClass, ChildCfg, ChildCfgFields, Host,
    Identification, IdentityRule, IkeCfg, IkeCfgFields, Limit, PeerCfg, PeerCfgFields, Proposal,
    Protocol, TrafficSelector,
};

use super::harness::{init, items, raw};
use super::snapshot::{differences, snapshot, EQUALS, IKE_EQUALS};

/// What a connection is made of.
#[derive(Clone)]
pub struct Parts {
    pub name: String,
    pub ike: IkeCfgFields,
    pub proposals: Vec<&'static str>,
    pub peer: PeerCfgFields,
    pub local: Vec<(AuthClass, &'static str)>,
    pub remote: Vec<(AuthClass, &'static str)>,
    /// Groups, which our wrapper cannot set, of the first remote round.
    pub groups: Vec<&'static str>,
    pub vips: Vec<&'static str>,
    pub pools: Vec<&'static str>,
    pub children: Vec<ChildCfg>,
}

impl Parts {
    /// Nothing in here is charon's default.
    pub fn original() -> Self {
        init();
        Self {
            name: "site".into(),
            ike: IkeCfgFields {
                version: ike_version_t::IKEV2,
                local: "10.9.0.1, 10.9.0.2".into(),
                remote: "10.0.0.1, 10.0.0.2".into(),
                local_port: 1500,
                remote_port: 2500,
                certreq: false,
                #[cfg(strongswan_5_9_14)]
                ocsp_certreq: true,
                encap: true,
                fragmentation: fragmentation_t::FRAGMENTATION_FORCE,
                childless: childless_t::CHILDLESS_FORCE,
                dscp: 46,
            },
            proposals: vec![
                "aes256-sha256-modp2048",
                "aes128gcm16-prfsha256-ecp256",
                "aes128-aes256-sha1-sha512-modp3072-modp4096",
            ],
            peer: PeerCfgFields {
                cert_policy: cert_policy_t::CERT_NEVER_SEND,
                #[cfg(strongswan_5_9_14)]
                ocsp_policy: extsock::charon::ocsp_policy_t::OCSP_SEND_NEVER,
                unique: unique_policy_t::UNIQUE_KEEP,
                keyingtries: 7,
                rekey_time: 14400,
                reauth_time: 28800,
                jitter_time: 1000,
                over_time: 1440,
                mobike: false,
                aggressive: true,
                pull_mode: false,
                dpd: 31,
                dpd_timeout: 151,
                if_id_in: 11,
                if_id_out: 22,
                ppk_id: Some(Identification::from_string("ppk@example.org")),
                ppk_required: true,
                #[cfg(strongswan_me)]
                mediation: true,
                #[cfg(strongswan_me)]
                mediated_by: Some("mediator".into()),
                #[cfg(strongswan_me)]
                peer_id: Some(Identification::from_string("peer@example.org")),
            },
            local: vec![
                (AuthClass::Psk, "client@example.org"),
                (AuthClass::Pubkey, "second@example.org"),
            ],
            remote: vec![
                (AuthClass::Psk, "gateway@example.org"),
                (AuthClass::Pubkey, "C=CH, O=example, CN=gateway"),
            ],
            groups: vec!["group-a", "group-b"],
            vips: vec!["10.7.0.1", "fd00::7", "0.0.0.0"],
            pools: vec!["pool-a", "pool-b"],
            children: vec![child("net-a"), child("net-b")],
        }
    }

    pub fn build(&self) -> PeerCfg {
        let proposals = self
            .proposals
            .iter()
            .map(|text| Proposal::from_string(Protocol::Ike, text).expect(text))
            .collect();
        let mut config =
            PeerCfg::builder(&self.name, IkeCfg::new(&self.ike, proposals), &self.peer);
        for (local, rounds) in [(true, &self.local), (false, &self.remote)] {
            for (class, id) in rounds {
                let mut auth = AuthCfg::default();
                auth.set_class(*class);
                auth.add_identity(IdentityRule::Ike, Identification::from_string(id));
                config.add_auth_cfg(auth, local);
            }
        }
        for vip in &self.vips {
            config.add_virtual_ip(Host::from_string(vip, 0).expect(vip));
        }
        for pool in &self.pools {
            config.add_pool(pool);
        }
        for child in &self.children {
            config.add_child_cfg(child.clone());
        }
        let config = config.build();
        self.add_groups(&config);
        config
    }

    fn add_groups(&self, config: &PeerCfg) {
        // SAFETY: config holds the object and its round, which adopts the identity.
        unsafe {
            let rounds =
                items::<sys::auth_cfg_t>(call!(raw(config), create_auth_cfg_enumerator, false));
            let Some(&round) = rounds.first() else { return };
            for group in &self.groups {
                let group = std::ffi::CString::new(*group).unwrap();
                let id = sys::identification_create_from_string(group.as_ptr().cast_mut());
                call!(round, add, sys::auth_rule_t::AUTH_RULE_GROUP, id);
            }
        }
    }
}

fn child(name: &str) -> ChildCfg {
    let fields = ChildCfgFields {
        mode: ipsec_mode_t::MODE_TUNNEL,
        start_action: action_t::ACTION_NONE,
        dpd_action: action_t::ACTION_NONE,
        close_action: action_t::ACTION_NONE,
        copy_dscp: dscp_copy_t::DSCP_COPY_OUT_ONLY,
        time: Limit {
            rekey: 3600,
            life: 3960,
            rand: 360,
        },
        ..Default::default()
    };
    let any = || vec![TrafficSelector::dynamic(0, 0, u16::MAX)];
    ChildCfg::new(
        name,
        &fields,
        Proposal::defaults(Protocol::Esp, true),
        any(),
        any(),
    )
}

/// One change.
type Change = fn(&mut Parts);

/// One change of each value, by the name that it has in a snapshot; of the jitter, which charon
/// does not tell, by that of the comparison.
const CHANGES: &[(&str, Change)] = &[
    ("name", |p| p.name = "other".into()),
    ("ike.version", |p| p.ike.version = ike_version_t::IKEV1),
    ("ike.local", |p| p.ike.local = "10.9.0.1".into()),
    ("ike.remote", |p| p.ike.remote = "10.0.0.1".into()),
    ("ike.local_port", |p| p.ike.local_port = 500),
    ("ike.remote_port", |p| p.ike.remote_port = 500),
    ("ike.certreq", |p| p.ike.certreq = true),
    #[cfg(strongswan_5_9_14)]
    ("ike.ocsp_certreq", |p| p.ike.ocsp_certreq = false),
    ("ike.encap", |p| p.ike.encap = false),
    ("ike.fragmentation", |p| {
        p.ike.fragmentation = fragmentation_t::FRAGMENTATION_YES
    }),
    ("ike.childless", |p| {
        p.ike.childless = childless_t::CHILDLESS_NEVER
    }),
    ("ike.dscp", |p| p.ike.dscp = 0),
    ("ike.proposals", |p| p.proposals.swap(0, 1)),
    ("ike.proposals", |p| p.proposals.truncate(2)),
    ("cert_policy", |p| {
        p.peer.cert_policy = cert_policy_t::CERT_SEND_IF_ASKED
    }),
    #[cfg(strongswan_5_9_14)]
    ("ocsp_policy", |p| {
        p.peer.ocsp_policy = extsock::charon::ocsp_policy_t::OCSP_SEND_REPLY
    }),
    ("unique", |p| p.peer.unique = unique_policy_t::UNIQUE_NO),
    ("keyingtries", |p| p.peer.keyingtries = 1),
    ("rekey_time", |p| p.peer.rekey_time += 1),
    ("reauth_time", |p| p.peer.reauth_time += 1),
    (EQUALS, |p| p.peer.jitter_time += 1),
    ("over_time", |p| p.peer.over_time += 1),
    ("mobike", |p| p.peer.mobike = true),
    ("aggressive", |p| p.peer.aggressive = false),
    ("pull_mode", |p| p.peer.pull_mode = true),
    ("dpd", |p| p.peer.dpd += 1),
    ("dpd_timeout", |p| p.peer.dpd_timeout += 1),
    ("if_id_in", |p| p.peer.if_id_in += 1),
    ("if_id_out", |p| p.peer.if_id_out += 1),
    ("ppk_id", |p| p.peer.ppk_id = None),
    ("ppk_id", |p| {
        p.peer.ppk_id = Some(Identification::from_string("other"))
    }),
    ("ppk_required", |p| p.peer.ppk_required = false),
    #[cfg(strongswan_me)]
    ("mediation", |p| p.peer.mediation = false),
    #[cfg(strongswan_me)]
    ("mediated_by", |p| p.peer.mediated_by = None),
    #[cfg(strongswan_me)]
    ("peer_id", |p| p.peer.peer_id = None),
    ("local", |p| p.local.swap(0, 1)),
    ("local", |p| p.local[1].0 = AuthClass::Psk),
    ("local", |p| p.local.truncate(1)),
    ("remote", |p| p.remote[0].1 = "other@example.org"),
    ("remote", |p| p.groups.truncate(1)),
    ("vips", |p| p.vips.swap(0, 1)),
    ("vips", |p| p.vips.truncate(2)),
    ("pools", |p| p.pools.swap(0, 1)),
    ("pools", |p| p.pools.truncate(1)),
    ("children", |p| p.children.swap(0, 1)),
    ("children", |p| p.children.truncate(1)),
    ("children", |p| p.children[0] = child("net-a")),
];

#[test]
fn the_comparison_notices_each_change_and_only_it() {
    let parts = Parts::original();
    let original = parts.build();
    assert_eq!(differences(&original, &parts.build()), BTreeSet::new());

    for (number, (name, change)) in CHANGES.iter().enumerate() {
        let mut changed = parts.clone();
        change(&mut changed);
        let mut found = differences(&original, &changed.build());
        assert!(
            found.contains(*name),
            "change {number} of {name} is not noticed"
        );
        // charon's own comparisons notice some of the others, too.
        found.retain(|found| ![name, EQUALS, IKE_EQUALS].contains(&found.as_str()));
        assert_eq!(found, BTreeSet::new(), "change {number} of {name}");
    }
    let changed: BTreeSet<&str> = CHANGES
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| *name != EQUALS)
        .collect();
    let all = snapshot(&original);
    assert_eq!(
        changed,
        all.keys().map(String::as_str).collect(),
        "all values are changed"
    );
}

#[test]
fn every_value_reaches_charon() {
    let values = snapshot(&Parts::original().build());
    let value = |name: &str| values[name].as_str();

    let expected = [
        ("ike.version", "2"),
        ("ike.local", "10.9.0.1, 10.9.0.2"),
        ("ike.remote", "10.0.0.1, 10.0.0.2"),
        ("ike.local_port", "1500"),
        ("ike.remote_port", "2500"),
        ("ike.certreq", "false"),
        ("ike.encap", "true"),
        ("ike.fragmentation", "3"),
        ("ike.dscp", "46"),
        ("name", "site"),
        ("cert_policy", "2"),
        ("unique", "3"),
        ("keyingtries", "7"),
        ("rekey_time", "14400"),
        ("reauth_time", "28800"),
        ("over_time", "1440"),
        ("mobike", "false"),
        ("aggressive", "true"),
        ("pull_mode", "false"),
        ("dpd", "31"),
        ("dpd_timeout", "151"),
        ("if_id_in", "11"),
        ("if_id_out", "22"),
        ("ppk_id", "3=ppk@example.org"),
        ("ppk_required", "true"),
        #[cfg(strongswan_me)]
        ("mediation", "true"),
        #[cfg(strongswan_me)]
        ("mediated_by", "mediator"),
        #[cfg(strongswan_me)]
        ("peer_id", "3=peer@example.org"),
        ("vips", "10.7.0.1 253.0.0.0.0.0.0.0.0.0.0.0.0.0.0.7 0.0.0.0"),
        ("pools", "pool-a pool-b"),
    ];
    for (name, expected) in expected {
        assert_eq!(value(name), expected, "{name}");
    }
    assert_eq!(
        value("ike.childless"),
        childless_t::CHILDLESS_FORCE.to_string()
    );
    assert_eq!(value("ike.proposals").split(' ').count(), 3);
    assert_eq!(value("children").split(' ').count(), 2);
    // Rule 2 is the class, 0 the identity; class 1 is a key pair and 2 PSK, type 3 an e-mail address.
    assert_eq!(
        value("local"),
        "0:3=client@example.org,2:2 + 0:3=second@example.org,2:1"
    );
    assert!(
        value("remote").contains("0:3=gateway@example.org"),
        "{}",
        value("remote")
    );
    assert!(value("remote").contains("group-a"), "{}", value("remote"));
}
