// SPDX-License-Identifier: GPL-2.0-or-later

//! A connection is the same object of charon whether the distribution's vici plugin makes it of
//! swanctl.conf or we make it of JSON.
//!
//! The reference is vici of the strongSwan that this is built for, whose options and defaults ours are.

use std::collections::BTreeSet;
use std::env;
use std::ffi::CString;
use std::fs;
use std::process::{Command, Output};

use extsock::adapter::build;
use extsock::charon::{self, has_selinux, peer_cfg_by_name, sys, PeerCfg};
use extsock_core::error::Error;
use extsock_core::strongswan::Version;
use extsock_lab::pairs::{json, pairs, swanctl_conf, token_pairs, Pair, Values};
use extsock_lab::{token, Pki, Token};
use serde_json::{Map, Value};

use super::harness::{alone, init, parse, start};
use super::snapshot::{differences, EQUALS, IKE_EQUALS};

/// What swanctl itself needs; the rest of the compiled-in list need not be installed.
const STRONGSWAN_CONF: &str = "swanctl {\n load = random\n}\n";

/// Of the children, by which charon's comparison of connections does not go.
const CHILD_NAMES: &str = "names of children";
/// The same.
const CHILD_EQUALS: &str = "equals of children";
/// Our own comparison, which decides whether a connection has changed.
const IS_SAME: &str = "is_same";

extern "C" {
    // libcharon sa/ike_sa_manager.h, sa/child_sa_manager.h
    fn ike_sa_manager_create() -> *mut sys::ike_sa_manager_t;
    fn child_sa_manager_create() -> *mut sys::child_sa_manager_t;
}

/// vici in this process, on a socket of its own, and a directory with swanctl and certificates.
struct Vici {
    pki: Pki,
}

impl Vici {
    fn start() -> Self {
        init();
        let pki = Pki::with_ca("ca");
        for host in ["client", "gateway"] {
            pki.add_host(host, "ca");
        }
        pki.openssl("pkey -in gateway.key -pubout -out gateway.pub");
        pki.write("strongswan.conf", STRONGSWAN_CONF);
        // A copy, which the distribution's AppArmor profile does not keep from this directory.
        fs::copy(extsock_lab::swanctl(), pki.path("swanctl")).unwrap();
        let vici = Self { pki };
        let uri = CString::new(vici.uri()).unwrap();
        // SAFETY: both libraries are initialised, and of charon no thread runs yet; the settings copy the
        // value, the loader reads the list.
        unsafe {
            // A start_action needs them, although nobody can be reached at %any.
            (*sys::charon).ike_sa_manager = ike_sa_manager_create();
            (*sys::charon).child_sa_manager = child_sa_manager_create();
            let key = c"charon.plugins.vici.socket".as_ptr().cast_mut();
            let settings = (*sys::lib).settings;
            call!(settings, set_str, key, uri.as_ptr().cast_mut());
            let list = c"vici".as_ptr().cast_mut();
            assert!(call!((*sys::lib).plugins, load, list));
        }
        start();
        vici
    }

    /// A token with the client's certificate and the CA's, which charon finds from now on.
    fn token(&self) -> Token<'_> {
        let token = Token::new(&self.pki, "24681357");
        token.add_certificate("client", "01");
        token.add_certificate("ca", "0aff");
        let (name, value) = token.environment();
        env::set_var(name, value);
        let key = format!("charon.plugins.pkcs11.modules.{}.path", token::MODULE);
        let [key, library] = [&key, token::LIBRARY].map(|text| CString::new(text).unwrap());
        // SAFETY: as in start().
        unsafe {
            let settings = (*sys::lib).settings;
            call!(
                settings,
                set_str,
                key.as_ptr().cast_mut(),
                library.as_ptr().cast_mut()
            );
            let list = c"pkcs11".as_ptr().cast_mut();
            assert!(call!((*sys::lib).plugins, load, list));
        }
        token
    }

    fn uri(&self) -> String {
        format!("unix://{}", self.pki.path("vici"))
    }

    /// What vici makes of the connections, in their order; it has forgotten them afterwards.
    fn load(&self, pairs: &[Pair]) -> Vec<PeerCfg> {
        self.swanctl(&swanctl_conf(pairs));
        let config = |pair: &Pair| peer_cfg_by_name(&pair.name).expect(&pair.options);
        let configs = pairs.iter().map(config).collect();
        self.swanctl("");
        assert!(pairs
            .iter()
            .all(|pair| peer_cfg_by_name(&pair.name).is_none()));
        configs
    }

    #[track_caller]
    fn swanctl(&self, swanctl_conf: &str) {
        let output = self.try_swanctl(swanctl_conf);
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "swanctl: {problem}");
    }

    fn try_swanctl(&self, swanctl_conf: &str) -> Output {
        self.pki.write("swanctl.conf", swanctl_conf);
        Command::new(self.pki.path("swanctl"))
            .args(["--load-conns", "--uri", &self.uri()])
            .args(["--file", &self.pki.path("swanctl.conf")])
            .env("STRONGSWAN_CONF", self.pki.path("strongswan.conf"))
            .output()
            .unwrap()
    }
}

/// What we make of the connections, in their order.
fn ours(pairs: &[Pair], values: Values) -> Result<Vec<PeerCfg>, Error> {
    let configuration = parse(&json(pairs, values))?;
    let build = |connection| match build(connection) {
        Ok(built) => Ok(built.peer_cfg),
        Err(problems) => Err(problems.located(&configuration.locations).unwrap_err()),
    };
    configuration.connections.iter().map(build).collect()
}

/// Everything in which two connections differ, also where charon's `equals` does not look: that of
/// peer_cfg_t leaves out the name, dpd_timeout, the ike_cfg and the children, that of ike_cfg_t dscp, that of
/// child_cfg_t the name.
fn all_differences(one: &PeerCfg, other: &PeerCfg) -> BTreeSet<String> {
    let mut found = differences(one, other);
    // Told by where they are in memory.
    found.remove("children");
    let (children, others) = (one.child_cfgs(), other.child_cfgs());
    let names = |config: &PeerCfg| -> Vec<String> {
        config
            .child_cfgs()
            .iter()
            .map(|child| child.name().into_owned())
            .collect()
    };
    if names(one) != names(other) {
        found.insert(CHILD_NAMES.into());
    }
    if children != others {
        found.insert(CHILD_EQUALS.into());
    }
    if !one.is_same(other) {
        found.insert(IS_SAME.into());
    }
    found
}

/// Also of what is not the same in all builds of charon.
fn all_pairs(directory: &str, strongswan: Version) -> Vec<Pair> {
    let mut pairs = pairs(directory, strongswan);
    if cfg!(strongswan_me) {
        let mediated = "mediated_by = mediator\nmediation_peer = peer@example.org";
        pairs.push(Pair::new("mediator", "mediation = yes"));
        pairs.push(Pair::new("mediated", mediated));
    }
    pairs
}

/// Options that swanctl.conf does not have.
const NOT_COMPARED: [&str; 5] = [
    "failover",
    "ike_cfg",
    "lifetime",
    "local_auth",
    "remote_auth",
];

#[test]
fn every_option_is_compared() {
    let document: Value =
        serde_json::from_str(&json(&all_pairs("/", Version::NEWEST), Values::Native)).unwrap();
    let members = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let mut compared: [BTreeSet<String>; 2] = Default::default();
    for connection in members(&document["connections"]).values() {
        compared[0].extend(members(connection).into_iter().map(|(name, _)| name));
        for child in members(&connection["children"]).values() {
            compared[1].extend(members(child).into_iter().map(|(name, _)| name));
        }
    }
    let schema: Value = serde_json::from_str(include_str!("../../docs/schema.json")).unwrap();
    for (compared, sections) in compared
        .iter()
        .zip([&["connection", "ike_cfg"][..], &["child"]])
    {
        let properties = |section| members(&schema["$defs"][section]["properties"]);
        let mut options: Map<_, _> = sections.iter().flat_map(properties).collect();
        options.retain(|name, _| !NOT_COMPARED.contains(&name.as_str()));
        if cfg!(not(strongswan_me)) {
            options.retain(|name, _| !name.starts_with("mediat"));
        }
        assert!(options.len() > 30, "{sections:?}");
        let missing: Vec<_> = options
            .keys()
            .filter(|name| !compared.contains(*name))
            .collect();
        assert!(missing.is_empty(), "{sections:?}: {missing:?}");
    }
}

#[test]
fn vici_and_extsock_make_equal_objects() {
    alone("equality::vici_and_extsock_make_equal_objects", || {
        let vici = Vici::start();
        let directory = vici.pki.path("");
        let mut pairs = all_pairs(directory.trim_end_matches('/'), charon::version());
        pairs.extend(token_pairs(&vici.token()));
        let expected = vici.load(&pairs);
        let mut wrong = Vec::new();
        for values in [Values::Text, Values::Native] {
            let found = ours(&pairs, values).unwrap();
            assert_eq!(found.len(), expected.len());
            for ((pair, expected), found) in pairs.iter().zip(&expected).zip(&found) {
                let differences = all_differences(expected, found);
                if !differences.is_empty() {
                    wrong.push(format!("{values:?} {differences:?}\n{}", pair.options));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    });
}

#[test]
fn a_difference_in_each_kind_of_object_is_found() {
    alone(
        "equality::a_difference_in_each_kind_of_object_is_found",
        || {
            let vici = Vici::start();
            for (one, other, expected) in [
                (
                    "keyingtries = 2",
                    "keyingtries = 3",
                    &["keyingtries", EQUALS, IS_SAME][..],
                ),
                ("rand_time = 2", "rand_time = 3", &[EQUALS, IS_SAME]),
                (
                    "dpd_timeout = 2",
                    "dpd_timeout = 3",
                    &["dpd_timeout", IS_SAME],
                ),
                (
                    "remote_port = 2",
                    "remote_port = 3",
                    &["ike.remote_port", IKE_EQUALS, IS_SAME],
                ),
                (
                    "dscp = \"000010\"",
                    "dscp = \"000011\"",
                    &["ike.dscp", IS_SAME],
                ),
                (
                    "local {\n id = a\n }",
                    "local {\n id = b\n }",
                    &["local", EQUALS, IS_SAME],
                ),
                (
                    "children {\n a {\n reqid = 2\n }\n }",
                    "children {\n a {\n reqid = 3\n }\n }",
                    &[CHILD_EQUALS, IS_SAME],
                ),
                (
                    "children {\n a {\n }\n }",
                    "children {\n b {\n }\n }",
                    &[CHILD_NAMES, IS_SAME],
                ),
            ] {
                let expected: BTreeSet<String> = expected.iter().map(|&name| name.into()).collect();
                let vicis = vici.load(&[Pair::new("pair", one)]);
                let ours = ours(&[Pair::new("pair", other)], Values::Text).unwrap();
                assert_eq!(all_differences(&vicis[0], &ours[0]), expected, "{one}");
            }
        },
    );
}

/// What neither takes: of a connection, of its own authentication, and of a CHILD_SA.
const REFUSED: [(&[&str], &str, &str); 3] = [
    (
        &[
            "proposals = aes128-nonsense",
            "proposals = aes128-sha256",
            "version = two",
            "dscp = 000002",
            "encap = maybe",
            "mobike = maybe",
            "dpd_delay = 1w",
            "fragmentation = maybe",
            "childless = maybe",
            "send_cert = maybe",
            "keyingtries = many",
            "unique = maybe",
            "vips = 10.7.0",
            "if_id_in = %same",
            "if_id_out = one",
            "nonsense = 1",
        ],
        "",
        "",
    ),
    (
        &["auth = nonsense", "revocation = maybe", "nonsense = 1"],
        "local {",
        "}",
    ),
    (
        &[
            "esp_proposals = aes128-nonsense",
            "ah_proposals = aes128gcm16",
            "local_ts = 10.1.0.0/24[",
            "local_ts = 10.1.0/24",
            "local_ts = dynamic[nonsense]",
            "remote_ts = dynamic[tcp/70000]",
            "remote_ts = 10.2.0.9-10.2.0",
            "mode = maybe",
            "start_action = maybe",
            "dpd_action = maybe",
            "life_time = 1w",
            "rekey_bytes = 1T",
            "rekey_packets = many",
            "reqid = one",
            "mark_in = one",
            "mark_in = %same",
            "set_mark_in = %unique",
            "label_mode = maybe",
            "tfc_padding = maybe",
            "replay_window = maybe",
            "hw_offload = maybe",
            "copy_df = maybe",
            "copy_dscp = maybe",
            "nonsense = 1",
        ],
        "children {\nnet {",
        "}\n}",
    ),
];

#[test]
fn what_vici_refuses_is_refused() {
    alone("equality::what_vici_refuses_is_refused", || {
        let vici = Vici::start();
        let mut rows: Vec<String> = Vec::new();
        for (options, before, after) in REFUSED {
            let accepted = [Pair::new("pair", &format!("{before}\n{after}"))];
            assert_eq!(vici.load(&accepted).len(), 1);
            ours(&accepted, Values::Text).unwrap();
            let within = |option: &&str| format!("{before}\n{option}\n{after}");
            rows.extend(options.iter().map(within));
        }
        if cfg!(strongswan_6_0_2) {
            rows.push("remote {\nid = fqdn:^[+$\n}".into());
        }
        if !has_selinux() {
            rows.push("children {\nnet {\nlabel_mode = selinux\n}\n}".into());
        }
        let pair = |(index, row): (usize, &String)| Pair::new(&format!("pair-{index}"), row);
        let pairs: Vec<Pair> = rows.iter().enumerate().map(pair).collect();
        vici.try_swanctl(&swanctl_conf(&pairs));
        let mut taken = Vec::new();
        for pair in &pairs {
            if peer_cfg_by_name(&pair.name).is_some() {
                taken.push(format!("by vici: {}", pair.options));
            }
            if ours(std::slice::from_ref(pair), Values::Text).is_ok() {
                taken.push(format!("by us: {}", pair.options));
            }
        }
        assert!(taken.is_empty(), "{}", taken.join("\n"));
    });
}
