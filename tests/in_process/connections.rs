// SPDX-License-Identifier: GPL-2.0-or-later

//! Configurations in JSON as charon's objects.

use std::path::Path;

use extsock::adapter::build;
use extsock::charon::{
    action_t, dscp_copy_t, has_selinux, ipsec_mode_t, own_port, unique_policy_t, Proposal, Protocol,
};
use extsock_core::config::{Configuration, Locations, Problems};
use extsock_core::error::ErrorCode;

use super::harness::{init, parse};
use super::snapshot::{children, drawn_rekey_time, snapshot, Snapshot};

fn example(name: &str) -> Configuration {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs/examples")
        .join(name);
    parse(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The first connection and its children, in charon.
fn loaded(configuration: &Configuration) -> (Snapshot, Vec<Snapshot>) {
    init();
    let config = build(&configuration.connections[0]).unwrap().peer_cfg;
    (snapshot(&config), children(&config))
}

#[track_caller]
fn assert_values(found: &Snapshot, expected: &[(&str, &str)]) {
    for (name, expected) in expected {
        assert_eq!(found[*name], *expected, "{name}");
    }
}

/// What a snapshot shows of proposals.
fn proposals(protocol: Protocol, list: &[&str]) -> String {
    use extsock::charon::{ChildCfg, ChildCfgFields};

    init();
    let parsed = || {
        list.iter()
            .map(|text| Proposal::from_string(protocol, text).unwrap())
    };
    let mut parts = super::original::Parts::original();
    parts.proposals.clear();
    match protocol {
        Protocol::Ike => {
            let ike = extsock::charon::IkeCfg::new(&parts.ike, parsed().collect());
            let config = extsock::charon::PeerCfg::builder("proposals", ike, &parts.peer).build();
            snapshot(&config)["ike.proposals"].clone()
        }
        Protocol::Esp | Protocol::Ah => {
            let fields = ChildCfgFields {
                mode: ipsec_mode_t::MODE_TUNNEL,
                start_action: action_t::ACTION_NONE,
                dpd_action: action_t::ACTION_NONE,
                close_action: action_t::ACTION_NONE,
                copy_dscp: dscp_copy_t::DSCP_COPY_NO,
                ..Default::default()
            };
            let child = ChildCfg::new("net", &fields, parsed().collect(), vec![], vec![]);
            parts.children = vec![child];
            children(&parts.build())[0]["esp_proposals"].clone()
        }
    }
}

#[test]
fn the_seeds_example_is_loaded() {
    let (connection, children) = loaded(&example("seed.json"));

    assert_values(
        &connection,
        &[
            ("name", "site"),
            ("ike.version", "2"),
            ("ike.local", "%any"),
            ("ike.remote", "10.0.0.1, 10.0.0.2"),
            ("ike.local_port", &own_port().to_string()),
            ("ike.remote_port", "500"),
            ("ike.certreq", "true"),
            ("ike.encap", "false"),
            ("ike.dscp", "0"),
            (
                "ike.proposals",
                &proposals(Protocol::Ike, &["aes128-sha256-modp2048"]),
            ),
            ("keyingtries", "1"),
            ("rekey_time", "14400"),
            ("reauth_time", "0"),
            ("over_time", "1440"),
            ("mobike", "true"),
            ("aggressive", "false"),
            ("pull_mode", "true"),
            ("dpd", "10"),
            ("dpd_timeout", "0"),
            ("if_id_in", "0"),
            ("ppk_id", ""),
            ("local", "0:3=client@example.org,2:2"),
            ("remote", "0:3=gateway@example.org,2:2"),
            ("vips", ""),
            ("pools", ""),
            ("unique", &unique_policy_t::UNIQUE_NO.to_string()),
        ],
    );
    assert_eq!(children.len(), 1);
    assert_values(
        &children[0],
        &[
            ("name", "net"),
            ("mode", &ipsec_mode_t::MODE_TUNNEL.to_string()),
            ("start_action", &action_t::ACTION_START.to_string()),
            ("dpd_action", &action_t::ACTION_NONE.to_string()),
            ("close_action", &action_t::ACTION_NONE.to_string()),
            ("copy_dscp", &dscp_copy_t::DSCP_COPY_OUT_ONLY.to_string()),
            ("rekey_time", "3600"),
            ("life_time", "3960"),
            ("local_ts", "10.1.0.0/24"),
            ("remote_ts", "10.2.0.0/24"),
            (
                "esp_proposals",
                &proposals(Protocol::Esp, &["aes128-sha256-modp2048"]),
            ),
        ],
    );
}

#[test]
fn the_existing_plugins_array_is_loaded() {
    let configuration = example("existing-array.json");
    let (connection, children) = loaded(&configuration);

    assert_values(
        &connection,
        &[
            ("name", "site-a"),
            ("ike.version", "2"),
            ("ike.local", "192.0.2.10"),
            ("ike.remote", "10.0.0.1, 10.0.0.2"),
            ("ike.dscp", "46"),
            (
                "ike.proposals",
                &proposals(Protocol::Ike, &["aes256-sha256-modp2048"]),
            ),
            ("rekey_time", "14400"),
            ("mobike", "true"),
        ],
    );
    assert_eq!(children.len(), 2);
    assert_values(
        &children[0],
        &[
            ("name", "net-a"),
            ("start_action", &action_t::ACTION_START.to_string()),
            ("dpd_action", &action_t::ACTION_START.to_string()),
            ("copy_dscp", &dscp_copy_t::DSCP_COPY_YES.to_string()),
            ("rekey_time", "3600"),
            ("local_ts", "10.1.0.0/24"),
            ("remote_ts", "10.2.0.0/24 10.3.0.0/24"),
            (
                "esp_proposals",
                &proposals(Protocol::Esp, &["aes256gcm16-modp2048"]),
            ),
        ],
    );
    assert_values(
        &children[1],
        &[
            ("name", "host-a"),
            ("mode", &ipsec_mode_t::MODE_TRANSPORT.to_string()),
            ("start_action", &action_t::ACTION_TRAP.to_string()),
            ("local_ts", "dynamic"),
            ("remote_ts", "dynamic"),
        ],
    );
    let second = snapshot(&build(&configuration.connections[1]).unwrap().peer_cfg);
    assert_values(
        &second,
        &[
            ("name", "site-b"),
            ("ike.version", "1"),
            ("mobike", "false"),
            ("local", "2:2"),
        ],
    );
}

#[test]
fn the_existing_plugins_single_connection_is_loaded() {
    let (connection, children) = loaded(&example("existing-single.json"));

    assert_values(
        &connection,
        &[("name", "site"), ("mobike", "false"), ("ike.version", "2")],
    );
    assert_values(
        &children[0],
        &[
            ("name", "net"),
            ("start_action", &action_t::ACTION_TRAP.to_string()),
        ],
    );
}

#[test]
fn every_option_reaches_charon() {
    let json = r#"{"connections": {"site": {
        "version": 1, "local_addrs": "10.9.0.1", "remote_addrs": "10.0.0.1",
        "local_port": 1500, "remote_port": 2500, "encap": true, "dscp": "000011",
        "mobike": false, "keyingtries": 3, "unique": "replace",
        "dpd_delay": "30s", "dpd_timeout": "2m", "reauth_time": "2h", "rekey_time": "1h",
        "over_time": "5m", "rand_time": "1m", "vips": ["10.7.0.1", "fd00::7"],
        "proposals": ["aes256-sha256-modp2048", "default"],
        "local_auth": {"auth": "psk", "id": "client"},
        "remote_auth": {"auth": "psk", "id": "gateway"},
        "children": {"net": {"mode": "beet", "start_action": "none", "dpd_action": "trap",
            "close_action": "start", "copy_dscp": "in", "rekey_time": "30m", "life_time": "40m",
            "rand_time": "90s", "local_ts": ["10.1.0.0/24", "fd01::/64"], "remote_ts": "10.2.0.1"}}
    }}}"#;
    let (connection, children) = loaded(&parse(json).unwrap());

    assert_values(
        &connection,
        &[
            ("ike.version", "1"),
            ("ike.local", "10.9.0.1"),
            ("ike.local_port", "1500"),
            ("ike.remote_port", "2500"),
            ("ike.encap", "true"),
            ("ike.dscp", "3"),
            ("mobike", "false"),
            ("keyingtries", "3"),
            ("unique", &unique_policy_t::UNIQUE_REPLACE.to_string()),
            ("dpd", "30"),
            ("dpd_timeout", "120"),
            ("reauth_time", "7200"),
            ("rekey_time", "3600"),
            ("over_time", "300"),
            ("vips", "10.7.0.1 253.0.0.0.0.0.0.0.0.0.0.0.0.0.0.7"),
            ("local", "0:2=client,2:2"),
            ("remote", "0:2=gateway,2:2"),
        ],
    );
    assert!(
        connection["ike.proposals"].split(' ').count() > 1,
        "the defaults come after it"
    );
    assert_values(
        &children[0],
        &[
            ("mode", &ipsec_mode_t::MODE_BEET.to_string()),
            ("start_action", &action_t::ACTION_NONE.to_string()),
            ("dpd_action", &action_t::ACTION_TRAP.to_string()),
            ("close_action", &action_t::ACTION_START.to_string()),
            ("copy_dscp", &dscp_copy_t::DSCP_COPY_IN_ONLY.to_string()),
            ("rekey_time", "1800"),
            ("life_time", "2400"),
            (
                "local_ts",
                "10.1.0.0/24 253.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0/64",
            ),
            ("remote_ts", "10.2.0.1/32"),
        ],
    );
}

/// The rounds of one side as the snapshot tells them.
fn rounds(side: &str, rounds: &str) -> String {
    let json = format!(
        r#"{{"connections": {{"site": {{"remote_addrs": "10.0.0.1", "{side}": {rounds}}}}}}}"#
    );
    loaded(&parse(&json).unwrap()).0[side].clone()
}

#[test]
fn every_option_of_a_round_reaches_charon() {
    use extsock::charon::sys::auth_rule_t as rule;
    for (options, expected) in [
        (r#"{}"#, vec![]),
        (r#"{"auth": "any"}"#, vec![]),
        (
            r#"{"auth": "psk"}"#,
            vec![(rule::AUTH_RULE_AUTH_CLASS, "2")],
        ),
        (
            r#"{"auth": "rsa-2048-ecdsa-256-sha256", "id": "gw"}"#,
            vec![
                (rule::AUTH_RULE_IDENTITY, "2=gw"),
                (rule::AUTH_RULE_AUTH_CLASS, "1"),
                (rule::AUTH_RULE_RSA_STRENGTH, "2048"),
                (rule::AUTH_RULE_ECDSA_STRENGTH, "256"),
            ],
        ),
        (
            r#"{"auth": "eap-md5", "aaa_id": "aaa", "eap_id": "me", "groups": "one, two"}"#,
            vec![
                (rule::AUTH_RULE_AUTH_CLASS, "3"),
                (rule::AUTH_RULE_AAA_IDENTITY, "2=aaa"),
                (rule::AUTH_RULE_EAP_IDENTITY, "2=me"),
                (rule::AUTH_RULE_EAP_TYPE, "4"),
                (rule::AUTH_RULE_GROUP, "2=one"),
                (rule::AUTH_RULE_GROUP, "2=two"),
            ],
        ),
        (
            r#"{"auth": "eap-7-1234"}"#,
            vec![
                (rule::AUTH_RULE_AUTH_CLASS, "3"),
                (rule::AUTH_RULE_EAP_TYPE, "7"),
                (rule::AUTH_RULE_EAP_VENDOR, "1234"),
            ],
        ),
        (
            r#"{"auth": "xauth-pam", "xauth_id": "user", "ca_id": "ca"}"#,
            vec![
                (rule::AUTH_RULE_AUTH_CLASS, "4"),
                (rule::AUTH_RULE_XAUTH_BACKEND, "pam"),
                (rule::AUTH_RULE_XAUTH_IDENTITY, "2=user"),
                (rule::AUTH_RULE_CA_IDENTITY, "2=ca"),
            ],
        ),
        (
            r#"{"auth": "psk", "cert_policy": "1.2.3", "revocation": "strict"}"#,
            vec![
                (rule::AUTH_RULE_AUTH_CLASS, "2"),
                (rule::AUTH_RULE_CRL_VALIDATION, "0"),
                (rule::AUTH_RULE_CERT_POLICY, "1.2.3"),
            ],
        ),
    ] {
        let found = rounds("remote", options);
        let mut found: Vec<&str> = found.split(',').filter(|text| !text.is_empty()).collect();
        // What hashes become is charon's.
        let schemes = [
            rule::AUTH_RULE_SIGNATURE_SCHEME,
            rule::AUTH_RULE_IKE_SIGNATURE_SCHEME,
        ]
        .map(|rule| format!("{rule}:"));
        found.retain(|text| !schemes.iter().any(|scheme| text.starts_with(scheme)));
        let mut expected: Vec<_> = expected;
        expected.sort_by_key(|(rule, _)| *rule);
        let expected: Vec<String> = expected
            .iter()
            .map(|(rule, value)| format!("{rule}:{value}"))
            .collect();
        assert_eq!(found, expected, "{options}");
    }
}

#[test]
fn rounds_reach_charon_in_their_order() {
    let found = rounds(
        "local",
        r#"[{"id": "b", "round": 2}, {"id": "a", "round": 1}]"#,
    );
    assert_eq!(found, "0:2=a + 0:2=b");
}

#[test]
fn an_eap_method_that_charon_does_not_know_is_named() {
    use extsock_core::config::{Auth, AuthMethod};
    let message = refused("eap-nonsense", |c| {
        c.remote = vec![Auth {
            section: "remote-1".into(),
            method: AuthMethod::Eap {
                method: Some("nonsense".into()),
                constraints: None,
            },
            ..Auth::default()
        }]
    });
    assert_eq!(
        message,
        "connections.site.remote-1.auth: expected \"eap-\" and a method that charon knows (md5, \
         mschapv2, tls), found \"eap-nonsense\""
    );
}

#[test]
fn the_jitter_reaches_charon() {
    let with = |rand_time: &str| {
        init();
        let json = format!(
            r#"{{"connections": {{"site": {{"remote_addrs": "10.0.0.1",
                "rekey_time": "1h", "over_time": "5m", "rand_time": "{rand_time}"}}}}}}"#
        );
        build(&parse(&json).unwrap().connections[0])
            .unwrap()
            .peer_cfg
    };
    assert!(with("60s") == with("1m"));
    assert!(with("60s") != with("61s"));
    assert!((0..64).all(|_| with("60s").drawn_times().0.abs_diff(3600) < 60));
}

#[test]
fn the_jitter_of_a_child_reaches_charon() {
    init();
    let json = r#"{"connections": {"site": {"remote_addrs": "10.0.0.1",
        "children": {"net": {"rekey_time": "30m", "life_time": "40m", "rand_time": "90s"}}}}}"#;
    let config = build(&parse(json).unwrap().connections[0])
        .unwrap()
        .peer_cfg;

    let drawn: Vec<u64> = (0..256).map(|_| drawn_rekey_time(&config)).collect();

    // charon draws up to one second more than that.
    assert!(
        drawn.iter().all(|time| (1800 - 91..=1800).contains(time)),
        "{drawn:?}"
    );
    // That all of them are in the upper half has a chance of 2^-256.
    assert!(drawn.iter().any(|time| *time < 1800 - 45), "{drawn:?}");
}

/// The error of the seed's example with a change.
fn refused(what: &str, change: impl FnOnce(&mut extsock_core::config::ConnectionConfig)) -> String {
    init();
    let mut connection = example("seed.json").connections.remove(0);
    change(&mut connection);
    let Err(problems) = build(&connection) else {
        panic!("{what:?} is taken")
    };
    let error = problems.located(&Locations::default()).unwrap_err();
    assert_eq!(error.code, ErrorCode::ParsingFailed);
    assert_eq!(error.message.lines().count(), 1);
    error.message
}

#[test]
fn what_charon_cannot_read_is_named() {
    type Change = fn(&mut extsock_core::config::ConnectionConfig, String);
    let cases: &[(&str, Change, &[&str])] = &[
        (
            "connections.site.proposals[1]: expected",
            |c, text| c.proposals = vec!["aes128-sha256-modp2048".into(), text],
            &[
                "",
                "aes128",
                "aes128-nonsense",
                "aes128-sha256",
                "null",
                "default-aes128",
            ],
        ),
        (
            "connections.site.children.net.esp_proposals[0]: expected",
            |c, text| c.children[0].esp_proposals = vec![text],
            &["", "nonsense", "sha256"],
        ),
        (
            "connections.site.children.net.local_ts[1]: expected",
            |c, text| c.children[0].local_ts = vec!["10.1.0.0/24".into(), text],
            &["", "nonsense", "10.1.0/24"],
        ),
        (
            "connections.site.children.net.remote_ts[0]: expected",
            |c, text| c.children[0].remote_ts = vec![text],
            &["nonsense", "10.1.0.300"],
        ),
        (
            "connections.site.vips[1]: expected",
            |c, text| c.vips = vec!["10.7.0.1".into(), text],
            &[
                "",
                "nonsense",
                "10.7.0.300",
                "gw.example.org",
                "10.7.0.0/24",
            ],
        ),
    ];
    for (path, change, texts) in cases {
        for text in *texts {
            let message = refused(text, |connection| change(connection, (*text).to_owned()));
            assert!(message.starts_with(path), "{text:?}: {message}");
            assert!(
                message.ends_with(&format!("{text:?}")),
                "{text:?}: {message}"
            );
        }
    }
}

#[test]
fn all_that_charon_cannot_read_is_told_where_it_stands() {
    init();
    let document = r#"{"connections": [
  {"name": "one", "ike_cfg": {"proposals": ["aes128-sha256-modp2048", "aes128-nonsense"]},
   "remote_auth": [{"auth": "eap-nonsense"}, {"auth": "any", "cacerts": "/none/a.pem, /none/b.pem"}],
   "children": [
     {"name": "net", "remote_ts": "10.1.0.0/24, dynamic[nonsense]", "label": "x:y",
      "esp_proposals": ["nonsense", "aes128"]}
   ]},
  {"name": "two", "local_auth": {"cert": "/none/c.pem", "private_key": "/none/c.key"}}
]}"#;
    let configuration = parse(document).unwrap();
    let mut problems = Problems::default();
    // In any order.
    for connection in configuration.connections.iter().rev() {
        problems.extend(build(connection).err().unwrap());
    }

    let error = problems.located(&configuration.locations).unwrap_err();

    let told: Vec<(&str, &str)> = (error.message.lines())
        .map(|line| {
            let path = line.split_once(": expected ").unwrap().0;
            (path, line.rsplit_once(" at ").unwrap().1)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("connections[0].ike_cfg.proposals[1]", "line 2 column 71"),
            ("connections[0].remote_auth[0].auth", "line 3 column 21"),
            ("connections[0].remote_auth[1].cacerts", "line 3 column 62"),
            ("connections[0].remote_auth[1].cacerts", "line 3 column 62"),
            ("connections[0].children[0].remote_ts", "line 5 column 22"),
            (
                "connections[0].children[0].esp_proposals[0]",
                "line 6 column 25"
            ),
            ("connections[1].local_auth.cert", "line 8 column 34"),
            ("connections[1].local_auth.private_key", "line 8 column 57"),
        ],
        "{}",
        error.message
    );
}

#[test]
fn a_subnet_has_a_prefix_that_is_a_number_in_range() {
    for text in [
        "10.1.0.0/x",
        "10.1.0.0/",
        "10.1.0.0/-1",
        "10.1.0.0/33",
        "fd00::/129",
        "10.1.0.0/24x",
    ] {
        let message = refused(text, |c| c.children[0].local_ts = vec![text.to_owned()]);
        assert!(message.contains(text), "{message}");
    }
}

#[test]
fn every_option_makes_another_configuration_and_none_the_same() {
    init();
    let load = |connection: serde_json::Value| {
        let json = serde_json::json!({"connections": {"net": connection}}).to_string();
        build(&parse(&json).unwrap().connections[0])
            .unwrap()
            .peer_cfg
    };
    let plain = || load(serde_json::json!({"children": {"a": {}}}));
    assert!(plain().is_same(&plain()));

    let mut options: Vec<serde_json::Value> = serde_json::from_str(
        r#"[{"local_addrs": "10.0.0.1"}, {"remote_addrs": "10.0.0.2"}, {"local_port": 4500},
            {"remote_port": 4500}, {"version": 1}, {"proposals": "aes128-sha256-modp2048"},
            {"dscp": "000001"}, {"encap": true}, {"fragmentation": "no"}, {"childless": "force"},
            {"send_certreq": false}, {"rekey_time": "1h"}, {"mobike": false}, {"aggressive": true},
            {"pull": false}, {"send_cert": "always"}, {"ppk_id": "a"}, {"ppk_required": true},
            {"keyingtries": 0}, {"unique": "keep"}, {"dpd_delay": 1}, {"dpd_timeout": 1},
            {"reauth_time": 100}, {"over_time": 1}, {"rand_time": 1}, {"vips": "::"},
            {"pools": "a"}, {"if_id_in": 1}, {"if_id_out": 1}, {"local_auth": {"id": "a"}},
            {"local": {"auth": "pubkey"}}, {"remote": {"auth": "eap-md5"}}, {"remote": {"eap_id": "a"}},
            {"local": [{}, {"round": 1}]}, {"remote": {"revocation": "strict"}}, {"remote": {"groups": "a"}},
            {"children": {"b": {}}}, {"children": {}}, {"children": {"a": {}, "b": {}}}]"#,
    )
    .unwrap();
    let mut of_child: Vec<serde_json::Value> = serde_json::from_str(
        r#"[{"mode": "transport"}, {"mode": "transport_proxy"}, {"mode": "drop"},
            {"start_action": "trap"}, {"dpd_action": "start"}, {"close_action": "trap|start"},
            {"local_ts": "10.1.0.0/24"}, {"remote_ts": "dynamic[tcp]"}, {"remote_ts": "dynamic[/53]"},
            {"esp_proposals": "aes128-sha256"}, {"ah_proposals": "sha256"}, {"sha256_96": true},
            {"rekey_time": 60}, {"life_time": 60}, {"rand_time": 60}, {"rekey_bytes": 1},
            {"life_bytes": 1}, {"rand_bytes": 1}, {"rekey_packets": 1}, {"life_packets": 1},
            {"rand_packets": 1}, {"inactivity": 1}, {"updown": "a"}, {"hostaccess": true},
            {"policies": false}, {"policies_fwd_out": true}, {"ipcomp": true}, {"reqid": 1},
            {"priority": 1}, {"interface": "a"}, {"mark_in": 1}, {"mark_in_sa": true},
            {"mark_out": 1}, {"set_mark_in": 1}, {"set_mark_out": "%same"}, {"if_id_in": 1},
            {"if_id_out": 1}, {"label": "a"}, {"tfc_padding": "mtu"},
            {"replay_window": 64}, {"hw_offload": "auto"}, {"copy_df": false}, {"copy_ecn": false},
            {"copy_dscp": "no"}]"#,
    )
    .unwrap();
    // Without SELinux, it has one meaning only.
    if has_selinux() {
        of_child.push(serde_json::json!({"label_mode": "simple"}));
    }
    if cfg!(strongswan_5_9_14) {
        options.push(serde_json::json!({"ocsp": "request"}));
    }
    if cfg!(strongswan_6_0_2) {
        of_child.push(serde_json::json!({"mode": "iptfs"}));
        of_child.push(serde_json::json!({"per_cpu_sas": "encap"}));
    }
    if cfg!(strongswan_6_0_5) {
        of_child.push(serde_json::json!({"icmp": true}));
    }
    options.extend(
        of_child
            .into_iter()
            .map(|option| serde_json::json!({"children": {"a": option}})),
    );
    if has_selinux() {
        options.push(serde_json::json!({"children": {"a": {"label_mode": "selinux"}}}));
    }
    for option in options {
        let mut connection = serde_json::json!({"children": {"a": {}}});
        for (name, value) in option.as_object().unwrap() {
            connection[name] = value.clone();
        }
        let config = load(connection.clone());
        assert!(!config.is_same(&plain()), "{connection}");
        assert!(config.is_same(&load(connection.clone())), "{connection}");
    }
}
