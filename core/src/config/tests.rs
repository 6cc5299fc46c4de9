// SPDX-License-Identifier: GPL-2.0-or-later

//! Whole documents, by situation.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::setting::{Form, Setting};
use super::*;
use crate::domain::child_failure::ChildFailure;
use crate::domain::failover_options::OPTIONS;
use crate::domain::policy::FailoverPolicy;
use crate::error::ErrorCode;

const SEED: &str = include_str!("../../../docs/examples/seed.json");
const EXISTING_ARRAY: &str = include_str!("../../../docs/examples/existing-array.json");
const EXISTING_SINGLE: &str = include_str!("../../../docs/examples/existing-single.json");

/// A configuration for a strongSwan with all options, and with version 0 as default.
pub(super) fn parse(json: &str) -> Result<Configuration> {
    super::parse(json, Version([6, 0, 7]))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn psk(section: &str, id: &str) -> Vec<Auth> {
    vec![Auth {
        section: section.to_owned(),
        method: AuthMethod::Psk,
        id: Some(id.to_owned()),
        ..Auth::default()
    }]
}

/// The only connection of a document in the seed's shape.
fn connection(options: serde_json::Value) -> ConnectionConfig {
    let document = json!({"connections": {"test": options}});
    let mut configuration = parse(&document.to_string()).unwrap();
    configuration.connections.pop().unwrap()
}

fn child(options: serde_json::Value) -> Child {
    connection(json!({"children": {"net": options}}))
        .children
        .remove(0)
}

fn lines(json: &str) -> Vec<String> {
    let error = parse(json).unwrap_err();
    assert_eq!(error.code, ErrorCode::ParsingFailed);
    error.message.lines().map(str::to_owned).collect()
}

/// The only error, without its place.
fn message(json: &str) -> String {
    let lines = lines(json);
    let [line] = &lines[..] else {
        panic!("one error expected: {lines:?}");
    };
    let (message, place) = line.rsplit_once(" at line ").expect(line);
    assert!(place.contains(" column "), "{line}");
    message.to_owned()
}

#[test]
fn the_seeds_document_is_read() {
    let configuration = parse(SEED).unwrap();
    let [site] = &configuration.connections[..] else {
        panic!("one connection expected");
    };
    assert_eq!(site.name, "site");
    assert_eq!(site.version, IkeVersion::V2);
    assert_eq!(site.remote_addrs.as_str(), "10.0.0.1,10.0.0.2");
    assert_eq!(site.remote_addrs.len(), 2);
    assert_eq!(site.proposals, ["aes128-sha256-modp2048"]);
    assert_eq!(site.dpd_delay, seconds(10));
    assert!(site.mobike);
    assert_eq!(site.local, psk("local_auth", "client@example.org"));
    assert_eq!(site.remote, psk("remote_auth", "gateway@example.org"));
    let [net] = &site.children[..] else {
        panic!("one child expected");
    };
    assert_eq!(net.name, "net");
    assert_eq!(net.local_ts, ["10.1.0.0/24"]);
    assert_eq!(net.remote_ts, ["10.2.0.0/24"]);
    assert_eq!(net.esp_proposals, ["aes128-sha256-modp2048"]);
    assert_eq!(net.start_action, ChildAction::Start);

    let [secret] = &configuration.secrets[..] else {
        panic!("one secret expected");
    };
    assert_eq!(secret.ids, ["gateway@example.org"]);
    assert_eq!(secret.secret.as_bytes(), b"replace this secret");
}

#[test]
fn the_existing_plugins_array_is_read() {
    let configuration = parse(EXISTING_ARRAY).unwrap();
    let [a, b] = &configuration.connections[..] else {
        panic!("two connections expected");
    };
    assert_eq!(a.name, "site-a");
    assert_eq!(a.local_addrs, ["192.0.2.10"]);
    assert_eq!(a.remote_addrs.as_str(), "10.0.0.1,10.0.0.2");
    assert_eq!(a.dscp, 0b101110);
    assert_eq!(a.rekey_time, seconds(14400));
    assert!(a.mobike);
    let [net, host] = &a.children[..] else {
        panic!("two children expected");
    };
    assert_eq!(net.start_action, ChildAction::Start);
    assert_eq!(net.dpd_action, ChildAction::Start);
    assert_eq!(net.copy_dscp, CopyDscp::Yes);
    assert_eq!(net.remote_ts, ["10.2.0.0/24", "10.3.0.0/24"]);
    assert_eq!(host.mode, Mode::Transport);
    assert_eq!(host.start_action, ChildAction::Trap);
    assert_eq!(host.local_ts, ["dynamic"]);

    assert_eq!(b.version, IkeVersion::V1);
    assert!(!b.mobike);
    assert_eq!(b.local[0].method, AuthMethod::Psk);
    assert_eq!(b.local[0].id, None);

    let [first, second] = &configuration.secrets[..] else {
        panic!("two secrets expected");
    };
    assert_eq!(first.ids, ["client@example.org", "gateway@example.org"]);
    assert!(second.ids.is_empty());
    assert_eq!(second.secret.as_bytes(), b"replace");
}

#[test]
fn the_existing_plugins_single_connection_is_read() {
    let configuration = parse(EXISTING_SINGLE).unwrap();
    let [site] = &configuration.connections[..] else {
        panic!("one connection expected");
    };
    assert_eq!(site.name, "site");
    assert!(!site.mobike);
    assert_eq!(site.remote_addrs.len(), 2);
    assert_eq!(site.children[0].start_action, ChildAction::Trap);
    assert_eq!(configuration.secrets.len(), 1);
}

#[test]
fn either_time_of_the_liveness_check_turns_it_off() {
    for failover in [
        json!({"liveness_interval": 0}),
        json!({"liveness_timeout": 0}),
        json!({"liveness_interval": 0, "liveness_timeout": 0}),
    ] {
        let read = connection(json!({ "failover": failover })).failover;
        let policy = read.over(&FailoverPolicy::default());
        assert_eq!(policy.liveness(), None, "{failover}");
    }
    let read = connection(json!({"failover": {"liveness_interval": 1}})).failover;
    let times = read.over(&FailoverPolicy::default()).liveness();
    let times = times.map(|times| (times.interval, times.timeout));
    assert_eq!(times, Some((seconds(1), seconds(5))));
}

#[test]
fn a_time_of_the_liveness_check_is_of_no_use_if_the_others_default_is_zero() {
    let default = FailoverPolicy::default();
    let (interval, timeout) = ("liveness_interval", "liveness_timeout");
    let no_interval = FailoverPolicy {
        liveness_interval: Duration::ZERO,
        ..default
    };
    let no_timeout = FailoverPolicy {
        liveness_timeout: Duration::ZERO,
        ..default
    };
    for (failover, default, expected) in [
        (json!({interval: 1}), no_timeout, Some((interval, timeout))),
        (json!({timeout: 1}), no_interval, Some((timeout, interval))),
        (json!({interval: 1}), no_interval, None),
        (json!({interval: 1, timeout: 1}), no_timeout, None),
        (json!({interval: 0}), no_timeout, None),
        (json!({}), no_timeout, None),
        (json!({interval: 1}), default, None),
    ] {
        let read = connection(json!({ "failover": failover })).failover;
        let found = read.liveness_off_by_default(&default);
        assert_eq!(found, expected, "{failover}");
    }
}

#[test]
fn the_failover_policy_overrides_the_default() {
    let read = connection(json!({"failover": {
        "connect_timeout": 0.5,
        "liveness_interval": "250ms",
        "liveness_timeout": "1.5s",
        "cool_down": "5m",
        "base_delay": 2,
        "max_delay": "1h",
        "max_retries": 0,
        "multiplier": 1.5,
        "jitter": "0.25",
        "on_child_failure": "retry",
        "traffic_timeout": "0.3s",
        "data_timeout": 20,
        "stable_after": "20s",
    }}))
    .failover
    .over(&FailoverPolicy::default());
    let mut expected = Failover::default().over(&FailoverPolicy::default());
    expected.connect_timeout = Duration::from_millis(500);
    expected.liveness_interval = Duration::from_millis(250);
    expected.liveness_timeout = Duration::from_millis(1500);
    expected.cool_down = seconds(300);
    expected.on_child_failure = ChildFailure::Retry;
    expected.stable_after = seconds(20);
    expected.base_delay = seconds(2);
    expected.max_delay = seconds(3600);
    expected.multiplier = 1.5;
    expected.jitter = 0.25;
    expected.max_retries = 0;
    expected.traffic_timeout = Duration::from_millis(300);
    expected.data_timeout = seconds(20);
    assert_eq!(read, expected);

    let unset = connection(json!({"failover": {}})).failover;
    assert_eq!(unset, Failover::default());
    assert_eq!(unset.over(&expected), expected);
}

#[test]
fn wrong_failover_policies_are_refused() {
    let known: Vec<&str> = OPTIONS.iter().map(|option| option.name).collect();
    let time = "expected seconds such as 0.5, or a string such as \"250ms\", \"1.5s\" or \"5m\"";
    for (failover, expected) in [
        (json!([]), ": expected an object, found an array".to_owned()),
        (
            json!({"connect_timeout": "-1s"}),
            format!(".connect_timeout: {time}, found \"-1s\""),
        ),
        (
            json!({"connect_timeout": -1}),
            format!(".connect_timeout: {time}, found -1"),
        ),
        (
            json!({"cool_down": "1e3"}),
            format!(".cool_down: {time}, found \"1e3\""),
        ),
        (
            json!({"max_delay": true}),
            format!(".max_delay: {time}, found true"),
        ),
        (
            json!({"base_delay": 4294967296u64}),
            format!(".base_delay: {time}, found 4294967296"),
        ),
        (
            json!({"multiplier": 0.5}),
            ".multiplier: expected a number of at least 1, found 0.5".to_owned(),
        ),
        (
            json!({"jitter": 1.5}),
            ".jitter: expected a number from 0 to 1, found 1.5".to_owned(),
        ),
        (
            json!({"max_retries": -1}),
            ".max_retries: expected a number from 0 to 4294967295, found -1".to_owned(),
        ),
        (
            json!({"liveness_interval": 0, "liveness_timeout": 1}),
            ".liveness_interval: expected a time above 0, as liveness_timeout is, or \
             liveness_timeout 0 as well, found 0"
                .to_owned(),
        ),
        (
            json!({"liveness_timeout": 0, "liveness_interval": "10s"}),
            ".liveness_timeout: expected a time above 0, as liveness_interval is, or \
             liveness_interval 0 as well, found 0"
                .to_owned(),
        ),
        (
            json!({"retries": 1}),
            ".retries: unknown option, did you mean max_retries?".to_owned(),
        ),
        (
            json!({"x": 1}),
            format!(".x: unknown option, expected one of {}", known.join(", ")),
        ),
    ] {
        let document = json!({"connections": {"test": {"failover": failover}}});
        assert_eq!(
            message(&document.to_string()),
            format!("connections.test.failover{expected}")
        );
    }
}

/// The options of a table whose defaults stand in the reference as a value, each with that value.
fn written_defaults<T>(
    table: &[Setting<T>],
) -> impl Iterator<Item = (&'static str, &'static str)> + '_ {
    let is_prose = |form| matches!(form, Form::Text | Form::List | Form::Object(_));
    let options = table.iter().filter(move |option| !is_prose(option.form));
    options
        .map(|option| (option.name, option.default))
        .filter(|(_, default)| !default.contains(' ') && *default != "none")
}

#[test]
fn an_option_that_is_given_its_default_changes_nothing() {
    let empty = connection(json!({"children": {"net": {}}}));
    let mut count = 0;
    let ike_cfg = written_defaults(connection::IKE_CFG);
    for (name, default) in ike_cfg.chain(written_defaults(connection::PEER_CFG)) {
        if name == "reauth_time" {
            // That it is given at all means that there is no default rekey_time.
            continue;
        }
        let given = connection(json!({name: default, "children": {"net": {}}}));
        // charon's default, which differs from no option at all for versions that do not have it.
        let expected = ConnectionConfig {
            ocsp: given.ocsp,
            ..empty.clone()
        };
        assert_eq!(given, expected, "{name}");
        count += 1;
    }
    for (name, default) in written_defaults(child::CHILD_CFG) {
        let given = connection(json!({"children": {"net": {name: default}}}));
        assert_eq!(given, empty, "{name}");
        count += 1;
    }
    let policy = FailoverPolicy::default();
    for (name, default) in written_defaults(failover::FAILOVER) {
        let failover = json!({ name: default });
        let given = connection(json!({ "failover": failover })).failover;
        assert_eq!(given.over(&policy), policy, "{name}");
        count += 1;
    }
    assert!(count > 40, "{count}");
}

#[test]
fn an_empty_connection_has_swanctls_defaults() {
    let connection = connection(json!({"children": {"net": {}}}));
    assert_eq!(connection.local_addrs, ["%any"]);
    assert!(connection.remote_addrs.is_empty());
    assert!(connection.mobike);
    let child = &connection.children[0];
    assert_eq!(
        (&child.local_ts, &child.remote_ts),
        (&vec!["dynamic".to_owned()], &child.local_ts)
    );
    let times = [
        connection.rekey_time,
        connection.over_time,
        connection.rand_time,
    ];
    assert_eq!(times, [seconds(14400), seconds(1440), seconds(1440)]);
}

#[test]
fn every_option_of_a_connection_is_read() {
    let connection = connection(json!({
        "local_addrs": "192.0.2.1, 2001:db8::1",
        "remote_addrs": ["gw1.example", "10.0.0.2,10.0.0.3"],
        "local_port": 4500,
        "remote_port": "4501",
        "version": "1",
        "proposals": "default, aes256-sha256-modp2048",
        "dscp": "000001",
        "encap": "yes",
        "mobike": 0,
        "keyingtries": 0,
        "unique": "Replace",
        "dpd_delay": 30,
        "dpd_timeout": "2m",
        "rekey_time": "1h",
        "reauth_time": "1d",
        "over_time": "90",
        "rand_time": "45 s",
        "vips": ["0.0.0.0", "::", "10.9.0.1", "%any6"],
        "pools": "a, b",
        "send_certreq": "no",
        "send_cert": "always",
        "ocsp": "both",
        "fragmentation": "force",
        "childless": "never",
        "aggressive": true,
        "pull": false,
        "ppk_id": "ppk@example.org",
        "ppk_required": "yes",
        "if_id_in": "%unique-dir",
        "if_id_out": 23,
    }));
    assert_eq!(connection.pools, ["a", "b"]);
    assert!(!connection.send_certreq && connection.aggressive && !connection.pull);
    assert_eq!(connection.send_cert, SendCert::Always);
    assert_eq!(connection.ocsp, Some(Ocsp::Both));
    assert_eq!(connection.fragmentation, Fragmentation::Force);
    assert_eq!(connection.childless, Childless::Never);
    assert_eq!(connection.ppk_id.as_deref(), Some("ppk@example.org"));
    assert!(connection.ppk_required);
    assert_eq!(
        (connection.if_id_in, connection.if_id_out),
        (UNIQUE_DIR, 23)
    );
    assert_eq!(connection.local_addrs, ["192.0.2.1", "2001:db8::1"]);
    assert_eq!(
        connection.remote_addrs.as_str(),
        "gw1.example,10.0.0.2,10.0.0.3"
    );
    assert_eq!(
        (connection.local_port, connection.remote_port),
        (4500, 4501)
    );
    assert_eq!(connection.version, IkeVersion::V1);
    assert_eq!(connection.proposals, ["default", "aes256-sha256-modp2048"]);
    assert_eq!(connection.dscp, 1);
    assert!(connection.encap && !connection.mobike);
    assert_eq!(connection.keyingtries, 0);
    assert_eq!(connection.unique, Unique::Replace);
    assert_eq!(connection.dpd_delay, seconds(30));
    assert_eq!(connection.dpd_timeout, seconds(120));
    assert_eq!(connection.rekey_time, seconds(3600));
    assert_eq!(connection.reauth_time, seconds(86400));
    assert_eq!(connection.over_time, seconds(90));
    assert_eq!(connection.rand_time, seconds(45));
    assert_eq!(connection.vips, ["0.0.0.0", "::", "10.9.0.1", "%any6"]);
}

#[test]
fn every_option_of_a_child_is_read() {
    let options = r#"{
        "mode": "beet",
        "start_action": "trap",
        "dpd_action": "trap|start",
        "close_action": "restart",
        "copy_dscp": "in",
        "local_ts": "10.1.0.0/24, 10.2.0.0/24[tcp/80]",
        "remote_ts": ["10.3.0.0/24"],
        "esp_proposals": "aes128gcm16",
        "rekey_time": "10m",
        "life_time": 900,
        "rand_time": "1m",
        "ah_proposals": ["sha256", "sha1"],
        "sha256_96": true,
        "rekey_bytes": "1500M",
        "life_bytes": "2G",
        "rand_bytes": "64 k",
        "rekey_packets": 1000,
        "life_packets": "2000",
        "rand_packets": "0x10",
        "inactivity": "5m",
        "updown": "/bin/true a b",
        "hostaccess": "yes",
        "policies": "disabled",
        "policies_fwd_out": true,
        "ipcomp": 1,
        "reqid": 7,
        "priority": "010",
        "interface": "eth0",
        "mark_in": "0x12/0xf",
        "mark_in_sa": "enabled",
        "mark_out": "%unique-dir/0xff",
        "set_mark_in": "%same",
        "set_mark_out": 5,
        "if_id_in": "%unique",
        "if_id_out": "0x2a",
        "label": "system_u:object_r:ipsec_t:s0",
        "label_mode": "simple",
        "tfc_padding": "mtu",
        "replay_window": 0,
        "hw_offload": "auto",
        "copy_df": false,
        "copy_ecn": "no"
    }"#;
    let child = child(serde_json::from_str(options).unwrap());
    let mark = |value, mask| Mark { value, mask };
    let expected = Child {
        name: "net".to_owned(),
        mode: Mode::Beet,
        start_action: ChildAction::Trap,
        dpd_action: ChildAction::TrapAndStart,
        close_action: ChildAction::Start,
        copy_dscp: CopyDscp::In,
        local_ts: vec!["10.1.0.0/24".to_owned(), "10.2.0.0/24[tcp/80]".to_owned()],
        remote_ts: vec!["10.3.0.0/24".to_owned()],
        esp_proposals: vec!["aes128gcm16".to_owned()],
        rekey_time: seconds(600),
        life_time: seconds(900),
        rand_time: seconds(60),
        ah_proposals: vec!["sha256".to_owned(), "sha1".to_owned()],
        sha256_96: true,
        bytes: Volume {
            rekey: 1500 << 20,
            life: 2 << 30,
            rand: 64 << 10,
        },
        packets: Volume {
            rekey: 1000,
            life: 2000,
            rand: 16,
        },
        inactivity: seconds(300),
        updown: Some("/bin/true a b".to_owned()),
        hostaccess: true,
        policies: false,
        policies_fwd_out: true,
        ipcomp: true,
        reqid: 7,
        priority: 8,
        interface: Some("eth0".to_owned()),
        mark_in: mark(2, 15),
        mark_in_sa: true,
        mark_out: mark(UNIQUE_DIR, 255),
        set_mark_in: mark(UNIQUE, u32::MAX),
        set_mark_out: mark(5, u32::MAX),
        if_id_in: UNIQUE,
        if_id_out: 42,
        label: Some("system_u:object_r:ipsec_t:s0".to_owned()),
        label_mode: LabelMode::Simple,
        tfc_padding: u32::MAX,
        replay_window: Some(0),
        hw_offload: HwOffload::Auto,
        copy_df: false,
        copy_ecn: false,
        per_cpu_sas: PerCpuSas::No,
        icmp: false,
    };
    assert_eq!(child, expected);
}

#[test]
fn times_that_are_not_given_follow_from_those_that_are() {
    let times = |options| {
        let c = connection(options);
        [c.rekey_time, c.reauth_time, c.over_time, c.rand_time].map(|time| time.as_secs())
    };
    assert_eq!(times(json!({"reauth_time": 1000})), [0, 1000, 100, 100]);
    assert_eq!(times(json!({"rekey_time": 0})), [0, 0, 0, 0]);
    assert_eq!(
        times(json!({"rekey_time": 100, "reauth_time": 10000})),
        [100, 10000, 1000, 50]
    );
    assert_eq!(times(json!({"rekey_time": 99})), [99, 0, 9, 9]);

    let forever = child(json!({"rekey_time": 0}));
    assert_eq!(forever.life_time, Duration::ZERO);
    let short = child(json!({"rekey_time": 3600, "life_time": 60}));
    assert_eq!(short.rand_time, Duration::ZERO);
}

#[test]
fn all_shapes_take_the_options_in_all_places() {
    let options = r#""remote_addrs": "10.0.0.1,10.0.0.2", "version": 2, "rekey_time": "1h""#;
    let auth = r#""local_auth": {"auth": "psk", "secret": "x"}, "mobike": "no""#;
    let children = r#""children": {"net": {"rekey_time": 60}}"#;
    let documents = [
        format!(r#"{{"connections": {{"a": {{{options}, {auth}, {children}}}}}}}"#),
        format!(r#"{{"connections": {{"a": {{"ike_cfg": {{{options}}}, {auth}, {children}}}}}}}"#),
        format!(r#"{{"connections": [{{"name": "a", {options}, {auth}, {children}}}]}}"#),
        format!(r#"{{"name": "a", {options}, {auth}, {children}}}"#),
        format!(
            r#"{{"ike_cfg": {{"lifetime": {{"rekey_time": 3600}}, "version": "2",
                "remote_addrs": ["10.0.0.1", "10.0.0.2"]}}, {auth}, "name": "a",
                "children": [{{"name": "net", "lifetime": {{"rekey_time": "1m"}}}}]}}"#
        ),
    ];
    let configurations = documents.map(|document| parse(&document).unwrap());
    for configuration in &configurations {
        assert_eq!(configuration, &configurations[0]);
    }
}

#[test]
fn limits_that_are_not_given_follow_from_those_that_are() {
    let limits = child(json!({"rekey_bytes": 1005, "rekey_packets": 100, "life_packets": 50}));
    let volume = |rekey, life, rand| Volume { rekey, life, rand };
    assert_eq!(limits.bytes, volume(1005, 1105, 100));
    assert_eq!(limits.packets, volume(100, 50, 0));
}

#[test]
fn clear_is_swanctls_or_the_existing_plugins() {
    let swanctls = child(json!({"dpd_action": "clear"}));
    assert_eq!(swanctls.dpd_action, ChildAction::None);
    let existing = r#"{"name": "a", "children": [{"name": "b", "dpd_action": "clear"}]}"#;
    let existing = parse(existing).unwrap();
    assert_eq!(
        existing.connections[0].children[0].dpd_action,
        ChildAction::Trap
    );
}

#[test]
fn a_mediation_server_is_unique_and_a_mediated_peer_has_an_identity() {
    let server = connection(json!({"mediation": true}));
    assert_eq!(server.unique, Unique::Replace);
    let mediated = connection(json!({"mediated_by": "server", "remote_auth": {"id": "peer"}}));
    assert_eq!(mediated.mediation_peer.as_deref(), Some("peer"));
    let both = r#"{"name": "a", "mediation": true, "mediated_by": "server"}"#;
    assert_eq!(
        message(both),
        "mediated_by: a mediation connection cannot be mediated itself"
    );
    assert_eq!(
        message(r#"{"name": "a", "mediated_by": "server"}"#),
        "mediated_by: expected mediation_peer too, as the gateway has no id"
    );
}

#[test]
fn gateways_that_differ_have_no_unique_interface_ids() {
    let over = |second: serde_json::Value, if_id_out: &str| {
        let connection = json!({
            "name": "a",
            "remote_addrs": ["192.0.2.1", second],
            "remote_auth": {"id": "a"},
            "if_id_in": 7,
            "if_id_out": if_id_out,
        });
        connection.to_string()
    };
    let other = json!({"addr": "192.0.2.2", "id": "b"});
    for unique in ["%unique", "%unique-dir"] {
        assert_eq!(
            message(&over(other.clone(), unique)),
            "if_id_out: expected a number, as gateways of remote_addrs differ"
        );
        assert!(parse(&over(json!("192.0.2.2"), unique)).is_ok());
    }
    assert!(parse(&over(other, "8")).is_ok());
}

#[test]
fn traffic_selectors_are_swanctls() {
    for good in [
        "dynamic",
        "dynamic[tcp/http]",
        "10.1.0.0/16",
        "10.1.0.1",
        "fec1::/64[ipv6-icmp]",
        "10.1.0.1-10.1.0.9[17/1024-65535]",
        "10.1.0.0/16[any/any]",
        "10.1.0.0/16[/53]",
        "10.1.0.0/16[tcp/opaque]",
        "10.1.0.0/16[0x11/ftp-data]",
    ] {
        assert_eq!(child(json!({"local_ts": good})).local_ts, [good]);
    }
    for bad in [
        "10.1.0.0/33",
        "10.1.0.0/+8",
        "10.1.0.0/",
        "example.org",
        "10.1.0.9-10.1.0.1",
        "10.1.0.1-fec1::1",
        "10.1.0.1[tcp",
        "10.1.0.1[tcp]x",
        "10.1.0.1[256]",
        "10.1.0.1[tcp/65536]",
        "10.1.0.1[tcp/9-1]",
        "10.1.0.1[tcp/1-]",
        "10.1.0.1[tcp/a b]",
    ] {
        let document = json!({"connections": {"a": {"children": {"b": {"local_ts": bad}}}}});
        let message = message(&document.to_string());
        assert!(message.starts_with("connections.a.children.b.local_ts: expected a subnet"));
        assert!(message.ends_with(&format!("found {bad:?}")), "{message}");
    }
}

#[test]
fn all_errors_are_told_with_line_and_column() {
    let document = r#"{
  "connections": {
    "é": {"version": 3, "mobike": "maybe",
      "children": {"net": {"rekey_tme": "1h", "mode": 5}, "b": []},
      "remote_addrs": ["10.0.0.1",
        7]},
    "b": {"mobike": true, "mobike": false}
  },
  "secrets": {"tokn": {}, "eap": [{}, 5]}
}"#;
    assert_eq!(
        lines(document),
        [
            "connections.b.mobike: given twice at line 7 column 27",
            "connections.é.version: expected one of 0, 1, 2, found 3 at line 3 column 11",
            "connections.é.mobike: expected one of true, false, yes, no, enabled, disabled, 1, 0, \
             found \"maybe\" at line 3 column 25",
            "connections.é.children.b: expected an object, found an array at line 4 column 59",
            "connections.é.children.net.rekey_tme: unknown option, did you mean rekey_time? at line \
             4 column 28",
            "connections.é.children.net.mode: expected one of tunnel, transport, transport_proxy, iptfs, \
             beet, pass, drop, found 5 at line 4 column 47",
            "connections.é.remote_addrs[1]: expected a string, found a number at line 6 column 9",
            "secrets.tokn: unknown option, did you mean token? at line 9 column 15",
            "secrets.eap[1]: expected an object, found a number at line 9 column 39",
            "secrets.eap[0].secret: expected a string, found nothing at line 9 column 35",
        ]
    );
}

/// The connection of options that a later strongSwan than 5.9.8 takes.
fn later(options: &str, strongswan: Version) -> Result<ConnectionConfig> {
    let document = format!(r#"{{"connections": {{"a": {options}}}}}"#);
    super::parse(&document, strongswan).map(|mut read| read.connections.remove(0))
}

#[test]
fn what_came_later_is_refused_before() {
    let child = |option: &str| format!(r#"{{"children": {{"net": {{{option}}}}}}}"#);
    let round = |option: &str| format!(r#"{{"remote": {{{option}}}}}"#);
    for (options, since, named) in [
        (
            r#"{"childless": "prefer"}"#.to_owned(),
            [5, 9, 10],
            r#"childless: "prefer" "#,
        ),
        (r#"{"ocsp": "both"}"#.to_owned(), [5, 9, 14], "ocsp: "),
        (
            child(r#""hw_offload": "crypto""#),
            [5, 9, 11],
            r#"children.net.hw_offload: "crypto" "#,
        ),
        (
            child(r#""hw_offload": "Packet""#),
            [5, 9, 11],
            r#"children.net.hw_offload: "packet" "#,
        ),
        (
            child(r#""mode": "iptfs""#),
            [6, 0, 2],
            r#"children.net.mode: "iptfs" "#,
        ),
        (
            child(r#""per_cpu_sas": true"#),
            [6, 0, 2],
            "children.net.per_cpu_sas: ",
        ),
        (child(r#""icmp": "yes""#), [6, 0, 5], "children.net.icmp: "),
        (
            round(r#""id": "email:^.+@example[.]org$""#),
            [6, 0, 2],
            "remote.id: a regular expression ",
        ),
        (
            round(r#""eap_id": "FQDN:^a$""#),
            [6, 0, 2],
            "remote.eap_id: a regular expression ",
        ),
        (
            r#"{"remote_addrs": [{"addr": "10.0.0.1", "id": "fqdn:^a$"}]}"#.to_owned(),
            [6, 0, 2],
            "remote_addrs[0].id: a regular expression ",
        ),
    ] {
        let since = Version(since);
        later(&options, since).unwrap_or_else(|e| panic!("{options}: {e}"));
        let error = later(&options, Version([5, 9, 9])).unwrap_err();
        let expected = format!(
            "connections.a.{named}needs strongSwan {since} or later, this is for 5.9.9 at line 1"
        );
        assert!(
            error.message.starts_with(&expected),
            "{error} != {expected}"
        );
    }
    let secrets = r#"{"secrets": {"ike": [{"id": ["a", "fqdn:^a$"], "secret": "x"}]}}"#;
    super::parse(secrets, Version([6, 0, 2])).unwrap();
    let error = super::parse(secrets, Version([6, 0, 1])).unwrap_err();
    let expected = "secrets.ike[0].id[1]: a regular expression needs strongSwan 6.0.2 or later";
    assert!(error.message.starts_with(expected), "{error}");
    for id in ["^a$", "keyid:^a$", "fqdn:^a", "fqdn:a$"] {
        later(&round(&format!("\"id\": {id:?}")), Version([5, 9, 8])).unwrap();
    }
}

#[test]
fn defaults_are_those_of_the_strongswan_that_it_is_for() {
    let version = |strongswan| later("{}", Version(strongswan)).unwrap().version;
    assert_eq!(version([6, 0, 1]), IkeVersion::Any);
    assert_eq!(version([6, 1, 0]), IkeVersion::V2);

    let limits = |options: &str, strongswan| {
        let options = format!(r#"{{"children": {{"net": {{{options}}}}}}}"#);
        let child = later(&options, Version(strongswan))
            .unwrap()
            .children
            .remove(0);
        let time = (child.rekey_time, child.life_time, child.rand_time);
        let time = [time.0, time.1, time.2].map(|time| time.as_secs());
        let volume = |volume: Volume| [volume.rekey, volume.life, volume.rand];
        [time, volume(child.bytes), volume(child.packets)]
    };
    let life = r#""life_time": "2h", "life_bytes": 1000, "life_packets": 7"#;
    assert_eq!(
        limits(life, [5, 9, 8]),
        [[3600, 7200, 3600], [0, 1000, 1000], [0, 7, 7]]
    );
    assert_eq!(
        limits(life, [6, 0, 1]),
        [[6545, 7200, 655], [909, 1000, 91], [6, 7, 1]]
    );
    for strongswan in [[5, 9, 8], [6, 1, 0]] {
        assert_eq!(
            limits("", strongswan),
            [[3600, 3960, 360], [0, 0, 0], [0, 0, 0]]
        );
        assert_eq!(
            limits(r#""rekey_time": 100, "life_time": 90"#, strongswan)[0],
            [100, 90, 0]
        );
    }
}

#[test]
fn booleans_are_yes_and_no() {
    let yes = connection(json!({"fragmentation": false, "children": {"a": {"hw_offload": true}}}));
    assert_eq!(yes.fragmentation, Fragmentation::No);
    assert_eq!(yes.children[0].hw_offload, HwOffload::Crypto);
}

#[test]
fn errors_beyond_the_twentieth_are_counted() {
    let options: serde_json::Map<_, _> = (0..5000).map(|n| (format!("x{n}"), json!(n))).collect();
    let lines = lines(&json!({"connections": {"a": options}}).to_string());
    assert_eq!(lines.len(), 21);
    assert_eq!(lines[20], "and 4980 more errors");
}

#[test]
fn connections_and_children_keep_their_order() {
    let configuration = parse(
        r#"{"connections": {"b": {"children": {"z": {}, "a": {}}}, "a": {}}, "secrets": {}}"#,
    )
    .unwrap();
    let names: Vec<&str> = configuration
        .connections
        .iter()
        .map(|c| c.name.as_str())
        .collect();
    assert_eq!(names, ["b", "a"]);
    assert_eq!(configuration.connections[0].children[0].name, "z");
}

#[test]
fn empty_lists_are_as_good_as_none() {
    let lists = json!({
        "local_addrs": [], "remote_addrs": [], "proposals": [], "vips": [],
        "children": {"net": {"local_ts": [], "remote_ts": [], "esp_proposals": []}},
    });
    let plain = json!({"children": {"net": {}}});
    assert_eq!(connection(lists), connection(plain));
    assert_eq!(
        parse(r#"{"connections": []}"#).unwrap(),
        Configuration::default()
    );
}

#[test]
fn secrets_are_read_in_all_notations() {
    let configuration = parse(
        r#"{"secrets": {
            "ike": [{"secret": "any"}, {"id": ["a", "C=CH, CN=b"], "secret": "two"}],
            "ike-site": {"id-1": "c", "id-2": "d", "secret": "0x00ff"},
            "ike2": {"x": {"id": "e", "secret": "0sAAEC"}, "secret": {"secret": "named"}}
        }}"#,
    )
    .unwrap();
    let secrets: Vec<(Vec<&str>, &[u8])> = configuration
        .secrets
        .iter()
        .map(|s| {
            (
                s.ids.iter().map(String::as_str).collect(),
                s.secret.as_bytes(),
            )
        })
        .collect();
    let expected: Vec<(Vec<&str>, &[u8])> = vec![
        (vec![], b"any"),
        (vec!["a", "C=CH, CN=b"], b"two"),
        (vec!["c", "d"], &[0, 0xff]),
        (vec!["e"], &[0, 1, 2]),
        (vec![], b"named"),
    ];
    assert_eq!(secrets, expected);
}

#[test]
fn the_section_tells_what_a_secret_is_for() {
    let configuration = parse(
        r#"{"secrets": {
            "ike-a": {"secret": "a"}, "eap-b": {"id": "b", "secret": "b"},
            "xauth": [{"id": "c", "secret": "c"}], "ppk1": {"id": "d", "secret": "d"},
            "ntlm": {"id": "e", "secret": "0x00112233445566778899aabbccddeeff"}
        }}"#,
    )
    .unwrap();
    let kinds: Vec<_> = configuration.secrets.iter().map(|s| s.kind).collect();
    let expected = [
        SecretKind::Ike,
        SecretKind::Eap,
        SecretKind::Eap,
        SecretKind::Ppk,
        SecretKind::Ntlm,
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn keys_on_tokens_have_handles_and_pins() {
    let document = r#"{"secrets": {"token-a": {"handle": "0x01:fF", "slot": 7, "module": "hsm", "pin": "0x00"},
                                   "token": [{"handle": "123"}], "tokens": {"b": {"handle": "02", "slot": "0x10"}}}}"#;
    let configuration = parse(document).unwrap();
    let [a, second, b] = &configuration.token_keys[..] else {
        panic!("{:?}", configuration.token_keys);
    };
    let object = &a.object;
    assert_eq!(object.handle, [1, 0xff]);
    assert_eq!(object.option("pin"), "secrets.token-a.pin");
    assert_eq!(
        (object.slot, object.module.as_deref()),
        (Some(7), Some("hsm"))
    );
    assert_eq!(a.pin.as_ref().unwrap().as_bytes(), b"0x00");
    assert_eq!(second.object.handle, [1, 0x23]);
    assert_eq!(second.object.option("handle"), "secrets.token[0].handle");
    assert_eq!((second.object.slot, &second.pin), (None, &None));
    assert_eq!(b.object.option("slot"), "secrets.tokens.b.slot");
    assert_eq!(b.object.slot, Some(16));
    assert!(!format!("{configuration:?}").contains("0x00"));
    assert_eq!(
        lines(r#"{"secrets": {"token": {"pin": "1234"}, "token-b": [{"handle": "x", "pin": ""}]}}"#),
        [
            "secrets.token.handle: expected hex digits, the CKA_ID of a private key, found nothing at line 1 column 14",
            "secrets.token-b[0].handle: expected hex digits, the CKA_ID of an object on a token, found \"x\" at line 1 \
             column 53",
            "secrets.token-b[0].pin: expected a string, found an empty one at line 1 column 68",
        ]
    );
}

#[test]
fn containers_are_files_with_passphrases() {
    let document = r#"{"secrets": {"pkcs12-a": {"file": "a.p12", "secret": "0x00"}, "pkcs12": [{"file": "b"}]}}"#;
    let configuration = parse(document).unwrap();
    assert!(configuration.private_keys.is_empty());
    let [first, second] = &configuration.containers[..] else {
        panic!("{configuration:?}");
    };
    assert_eq!(first.directory, "pkcs12");
    assert_eq!(first.file.option, "secrets.pkcs12-a.file");
    assert_eq!(first.file.path, "a.p12");
    assert_eq!(first.passphrase.as_ref().unwrap().as_bytes(), b"0x00");
    assert_eq!(second.file.option, "secrets.pkcs12[0].file");
    assert_eq!(second.passphrase, None);
}

#[test]
fn private_keys_are_in_the_directories_of_their_sections() {
    let configuration = parse(
        r#"{"secrets": {
            "private": {"file": "a.key"}, "rsa-b": {"x": {"file": "b.key", "secret": "0x00"}},
            "ecdsa": [{"file": "c.key"}], "pkcs8": {"file": "d.key", "secret": "s"}
        }}"#,
    )
    .unwrap();
    let keys: Vec<_> = configuration
        .private_keys
        .iter()
        .map(|key| {
            let passphrase = key.passphrase.as_ref().map(Secret::as_bytes);
            let file = &key.file;
            (
                key.directory,
                file.option.as_str(),
                file.path.as_str(),
                passphrase,
            )
        })
        .collect();
    let expected: [(_, _, _, Option<&[u8]>); 4] = [
        ("private", "secrets.private.file", "a.key", None),
        ("rsa", "secrets.rsa-b.x.file", "b.key", Some(b"0x00")),
        ("ecdsa", "secrets.ecdsa[0].file", "c.key", None),
        ("pkcs8", "secrets.pkcs8.file", "d.key", Some(b"s")),
    ];
    assert_eq!(keys, expected);
}

#[test]
fn inline_secrets_belong_to_both_identities() {
    let secrets = |local: &str, remote: &str| {
        let json = format!(r#"{{"name": "a", "local_auth": {local}, "remote_auth": {remote}}}"#);
        let secrets = parse(&json).unwrap().secrets;
        secrets
            .into_iter()
            .map(|s| {
                (
                    s.ids.join(" "),
                    String::from_utf8_lossy(s.secret.as_bytes()).into_owned(),
                )
            })
            .collect::<Vec<_>>()
    };
    let with = |ids: &str, secret: &str| (ids.to_owned(), secret.to_owned());
    assert_eq!(
        secrets(r#"{"id": "me", "secret": "s"}"#, r#"{"id": "gw"}"#),
        [with("me gw", "s")]
    );
    assert_eq!(
        secrets(r#"{"id": "me"}"#, r#"{"id": "gw", "secret": "s"}"#),
        [with("me gw", "s")]
    );
    assert_eq!(secrets("{}", r#"{"secret": "s"}"#), [with("", "s")]);
    assert_eq!(
        secrets(r#"{"secret": "s"}"#, r#"{"id": "gw", "secret": "s"}"#),
        [with("gw", "s")]
    );
    assert_eq!(
        secrets(r#"{"secret": "s"}"#, r#"{"secret": "t"}"#),
        [with("", "s"), with("", "t")]
    );
}

#[test]
fn errors_name_the_path_what_was_expected_and_what_was_found() {
    let cases = [
        ("[]", "configuration: expected an object, found an array"),
        ("{}", "configuration: expected connections, secrets or authorities"),
        (
            r#"{"conections": {}}"#,
            "conections: unknown option, did you mean connections?",
        ),
        (
            r#"{"connections": {}, "name": "a"}"#,
            "name: unknown option, expected one of connections, secrets, authorities",
        ),
        (
            r#"{"connections": "a"}"#,
            "connections: expected an object or an array, found a string",
        ),
        (
            r#"{"connections": {"test": {"remote_addrs": 5}}}"#,
            "connections.test.remote_addrs: expected a string or an array of strings, found a number",
        ),
        (
            r#"{"connections": {"test": {"remote_addrs": ["10.0.0.1", null]}}}"#,
            "connections.test.remote_addrs[1]: expected a string, found null",
        ),
        (
            r#"{"connections": {"test": {"remote_addrs": "10.0.0.1, 10.0.0.300"}}}"#,
            "connections.test.remote_addrs: expected IP addresses, DNS names, ranges, subnets or \
             %any, found \"10.0.0.300\"",
        ),
        (
            r#"{"connections": {"test": {"remote_addrs": " , "}}}"#,
            "connections.test.remote_addrs: expected a string, found \" , \"",
        ),
        (
            r#"{"connections": {"test": {"proposals": [""]}}}"#,
            "connections.test.proposals[0]: expected a string, found an empty one",
        ),
        (
            r#"{"connections": {"test": {"proposals": "a\u0000b"}}}"#,
            "connections.test.proposals: expected a string without control characters, found one \
             with them",
        ),
        (
            r#"{"connections": {"test": {"vips": "gw.example"}}}"#,
            "connections.test.vips: expected IP addresses, found \"gw.example\"",
        ),
        (
            r#"{"connections": {"a.b": {"local_port": 65536}}}"#,
            "connections.\"a.b\".local_port: expected a number from 0 to 65535, found 65536",
        ),
        (
            r#"{"connections": {"test": {"remote_port": "+500"}}}"#,
            "connections.test.remote_port: expected a number from 1 to 65535, found \"+500\"",
        ),
        (
            r#"{"connections": {"test": {"keyingtries": -1}}}"#,
            "connections.test.keyingtries: expected a number from 0 to 4294967295, found -1",
        ),
        (
            r#"{"connections": {"test": {"dscp": 101110}}}"#,
            "connections.test.dscp: expected a string of six binary digits such as \"101110\", \
             found 101110",
        ),
        (
            r#"{"connections": {"test": {"dscp": "101112"}}}"#,
            "connections.test.dscp: expected a string of six binary digits such as \"101110\", \
             found \"101112\"",
        ),
        (
            r#"{"connections": {"test": {"mobike": "maybe"}}}"#,
            "connections.test.mobike: expected one of true, false, yes, no, enabled, \
             disabled, 1, 0, found \"maybe\"",
        ),
        (
            r#"{"connections": {"test": {"dpd_delay": "5w"}}}"#,
            "connections.test.dpd_delay: expected seconds below 2^32, or a string such as \"30s\", \
             \"5m\", \"1h\" or \"1d\", found \"5w\"",
        ),
        (
            r#"{"connections": {"test": {"children": {"net": {"mode": true}}}}}"#,
            "connections.test.children.net.mode: expected one of tunnel, transport, \
             transport_proxy, iptfs, beet, pass, drop, found true",
        ),
        (
            r#"{"connections": {"test": {"children": {"net": {"remote_tss": 1}}}}}"#,
            "connections.test.children.net.remote_tss: unknown option, did you mean remote_ts?",
        ),
        (
            r#"{"connections": [{"name": "a", "ike_cfg": {"version": 3}}]}"#,
            "connections[0].ike_cfg.version: expected one of 0, 1, 2, found 3",
        ),
        (
            r#"{"connections": [{"ike_cfg": {}}]}"#,
            "connections[0].name: expected a name, found nothing",
        ),
        (
            r#"{"connections": [{"name": "a"}, {"name": "a"}]}"#,
            "connections[1].name: expected a name not used before, found \"a\"",
        ),
        (
            r#"{"connections": {"a": {}, "a": {}}}"#,
            "connections.a: given twice",
        ),
        (
            r#"{"connections": {"a": {"children": {"n": {}, "n": {}}}}}"#,
            "connections.a.children.n: given twice",
        ),
        (
            r#"{"connections": {"a": {"version": 1, "ike_cfg": {"version": 1}}}}"#,
            "connections.a.ike_cfg.version: given twice",
        ),
        (
            r#"{"connections": {"a": {"rekey_time": 1, "lifetime": {"rekey_time": 1}}}}"#,
            "connections.a.lifetime.rekey_time: given twice",
        ),
        (
            r#"{"connections": {"a\nb": {}}}"#,
            "connections.\"a\\nb\": expected a name without control characters and surrounding \
             blanks, found \"a\\nb\"",
        ),
        (
            r#"{"connections": {"": {}}}"#,
            "connections.\"\": expected a name without control characters and surrounding blanks, \
             found \"\"",
        ),
        (
            r#"{"name": "a", "ike_cfg": 1}"#,
            "ike_cfg: expected an object, found a number",
        ),
        (
            r#"{"name": "a", "ike_cfg": {"mobike": true}}"#,
            "ike_cfg.mobike: unknown option, expected one of local_addrs, remote_addrs, local_port, \
             remote_port, version, proposals, dscp, encap, fragmentation, childless, send_certreq, \
             rekey_time, lifetime",
        ),
        (
            r#"{"name": "a", "local_auth": {"auth": "psk-sha256"}}"#,
            "local_auth.auth: expected \"psk\", \"pubkey\", \"eap\", \"eap-\" and a method, \"xauth\", \
             \"xauth-\" and a backend, \"any\", or a type of keys with constraints such as \
             \"ike:rsa-2048-sha256\", found \"psk-sha256\"",
        ),
        (
            r#"{"secrets": {"manual": {}}}"#,
            "secrets.manual: unknown option, expected one of ike, eap, xauth, ntlm, ppk, \
             private, rsa, ecdsa, pkcs8, pkcs12, token",
        ),
        (
            r#"{"secrets": {"rsa": [{"secret": "a"}]}}"#,
            "secrets.rsa[0].file: expected a file, found nothing",
        ),
        (
            r#"{"secrets": {"ntlm": {"id": "a", "secret": "0x0011"}}}"#,
            "secrets.ntlm.secret: expected 16 bytes after 0x or 0s, found a string",
        ),
        (
            r#"{"secrets": {"ike": [{"id": "a"}]}}"#,
            "secrets.ike[0].secret: expected a string, found nothing",
        ),
        (
            r#"{"connections": {"a": }}"#,
            "configuration: expected value",
        ),
    ];
    for (json, expected) in cases {
        assert_eq!(message(json), expected, "{json}");
    }
}

#[test]
fn errors_show_no_secret() {
    let secret = "hunter2";
    for json in [
        r#"{"secrets": "hunter2"}"#,
        r#"{"secrets": {"ike": "hunter2"}}"#,
        r#"{"secrets": {"ike": ["hunter2"]}}"#,
        r#"{"secrets": {"ike": {"a": "hunter2"}}}"#,
        r#"{"secrets": {"ike": [{"secret": ["hunter2"]}]}}"#,
        r#"{"secrets": {"ike": [{"secret": "0xhunter2"}]}}"#,
        r#"{"secrets": {"ike": [{"secret": "0s!hunter2"}]}}"#,
        r#"{"secrets": {"ike": [{"secret": "hunter2", "secret": "hunter2"}]}}"#,
        r#"{"secrets": {"ike": [{"password": "hunter2", "secret": "x"}]}}"#,
        r#"{"secrets": {"ike": [{"secret": "hunter2""#,
        r#"{"secrets": {"ike": [{"secret": "hunter2\q"}]}}"#,
        r#"{"secrets": {"ike": [{"secret": "x", "id": "hunter2\n"}]}}"#,
        r#"{"secrets": {"token": "hunter2"}}"#,
        r#"{"secrets": {"token": {"pin": "hunter2"}}}"#,
        r#"{"secrets": {"token": {"handle": "01", "pin": ["hunter2"]}}}"#,
        r#"{"secrets": {"token": {"handle": "01", "pin": "hunter2", "slt": 1}}}"#,
        r#"{"name": "a", "local_auth": "hunter2"}"#,
        r#"{"name": "a", "local_auth": {"auth": "psk", "psk": "hunter2"}}"#,
    ] {
        let message = message(json);
        assert!(!message.contains(secret), "{json}: {message}");
    }
    let configuration = parse(r#"{"name": "a", "local_auth": {"secret": "hunter2"}}"#).unwrap();
    assert!(!format!("{configuration:?}").contains(secret));
}

#[test]
fn long_keys_and_values_are_cut_in_messages() {
    let long = "x".repeat(100_000);
    for json in [
        format!(r#"{{"connections": {{"a": {{"{long}": 1}}}}}}"#),
        format!(r#"{{"connections": {{"{long}": 1}}}}"#),
        format!(r#"{{"connections": {{"a": {{"unique": "{long}"}}}}}}"#),
    ] {
        assert!(message(&json).len() < 1000);
    }
}

#[test]
fn deep_nesting_is_an_error() {
    let deep = "[".repeat(100_000);
    assert!(message(&deep).contains("recursion limit"));
    let deep = r#"{"connections":"#.repeat(100_000);
    assert!(message(&deep).contains("recursion limit"));
}

/// JSON near enough to a configuration to get past the first checks.
fn documents() -> impl Strategy<Value = serde_json::Value> {
    let keys = prop::sample::select(vec![
        "connections",
        "secrets",
        "ike",
        "id",
        "secret",
        "name",
        "ike_cfg",
        "remote_addrs",
        "version",
        "dscp",
        "children",
        "local_auth",
        "auth",
        "lifetime",
        "rekey_time",
        "vips",
        "unique",
        "mobike",
        "local_ts",
        "test",
    ]);
    let leaves = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|b| json!(b)),
        any::<i64>().prop_map(|n| json!(n)),
        any::<f64>().prop_map(|n| json!(n)),
        ".{0,12}".prop_map(|s| json!(s)),
        prop::sample::select(vec![
            "psk",
            "10.0.0.1,10.0.0.2",
            "101110",
            "0x0",
            "1h",
            "default"
        ])
        .prop_map(|s| json!(s)),
    ];
    leaves.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| json!(items)),
            prop::collection::btree_map(keys.clone(), inner, 0..6).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #[test]
    fn any_document_is_read_or_refused(document in documents()) {
        let _ = parse(&document.to_string());
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".*") {
        let _ = parse(&text);
    }

    #[test]
    fn any_secret_and_name_comes_out_as_it_went_in(secret in ".{1,40}", name in "[^\\p{C}\\p{Z}]{1,20}") {
        prop_assume!(!secret.to_lowercase().starts_with("0x"));
        prop_assume!(!secret.to_lowercase().starts_with("0s"));
        let document = json!({
            "connections": {&name: {}},
            "secrets": {"ike": [{"secret": &secret}]},
        });
        let configuration = parse(&document.to_string()).unwrap();
        prop_assert_eq!(configuration.secrets[0].secret.as_bytes(), secret.as_bytes());
        prop_assert_eq!(&configuration.connections[0].name, &name);
    }
}

/// The file as it is committed.
fn committed(name: &str) -> String {
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    std::fs::read_to_string(docs.join(name)).unwrap()
}

#[test]
fn the_committed_schema_and_reference_are_those_of_the_tables() {
    for (name, made) in [
        ("schema.json", json_schema()),
        ("configuration.md", reference()),
    ] {
        assert!(
            committed(name) == made,
            "run `cargo xtask docs` for docs/{name}"
        );
    }
}

#[test]
fn the_schema_takes_the_examples_and_refuses_what_the_reader_refuses() {
    let schema = serde_json::from_str(&json_schema()).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
    let mut count = 0;
    for entry in std::fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let example = std::fs::read_to_string(&path).unwrap();
        let example = serde_json::from_str(&example).unwrap();
        assert!(validator.is_valid(&example), "{}", path.display());
        count += 1;
    }
    assert!(count >= 3);

    let both_of = |document: serde_json::Value| {
        let valid = validator.is_valid(&document);
        assert_eq!(valid, parse(&document.to_string()).is_ok(), "{document}");
        valid
    };
    let both = |options: serde_json::Value| both_of(json!({"connections": {"a": options}}));
    let secrets = |sections: serde_json::Value| both_of(json!({"secrets": sections}));
    for good in [
        json!({"ike": {"secret": "a"}, "eap-1": [{"id": "a", "id-2": ["b", "c"], "secret": "b"}]}),
        json!({"xauth": {"alice": {"id": "a", "secret": "b"}}, "ppk": {"id1": "a", "secret": "0x00"}}),
        json!({"rsa": {"file": "a"}, "pkcs8": [{"file": "a", "secret": "b"}], "pkcs12-a": {"x": {"file": "a"}}}),
        json!({"token": {"handle": "0x01"}, "token-1": [{"handle": "a:b:", "slot": 1, "module": "m", "pin": "1"}]}),
        json!({"token": {"hsm": {"handle": "abc", "slot": "0x10"}}}),
        json!({}),
    ] {
        assert!(secrets(good));
    }
    for bad in [
        json!({"psk": {"secret": "a"}}),
        json!({"ike": "a"}),
        json!({"ike": [{"id": "a"}]}),
        json!({"ike": {"secret": "a", "owner": "b"}}),
        json!({"ike": {"secret": "a", "id": {}}}),
        json!({"eap": {"alice": {"secrt": "b"}}}),
        json!({"private": {"file": "a", "passphrase": "b"}}),
        json!({"pkcs12": [{"secret": "b"}]}),
        json!({"token": {"pin": "1"}}),
        json!({"token": {"slot": 1}}),
        json!({"token": {"handle": ""}}),
        json!({"token": {"handle": ":"}}),
        json!({"token": {"handle": "0x"}}),
        json!({"token": {"handle": "key"}}),
        json!({"token": {"handle": 1}}),
        json!({"token": {"handle": "1", "slot": -1}}),
        json!({"token": {"handle": "1", "slot": 2147483648u32}}),
        json!({"token": {"handle": "1", "module": ""}}),
        json!({"token": {"handle": "1", "secret": "1"}}),
    ] {
        assert!(!secrets(bad));
    }
    // Only a document that is a single connection has these beside its options.
    assert!(both_of(
        json!({"name": "a", "secrets": {}, "authorities": []})
    ));
    assert!(!both_of(
        json!({"connections": [{"name": "a", "secrets": {}}]})
    ));
    assert!(!both_of(json!({"connections": {"a": {"name": "a"}}})));
    for good in [
        json!({"mobike": "Yes", "version": 2, "dscp": "000001", "fragmentation": true}),
        json!({"children": [{"name": "n", "mark_in": "%unique/0xff", "rekey_bytes": "5 M"}]}),
        json!({"failover": {"base_delay": "250ms", "multiplier": 1.5}}),
        json!({"rekey_time": "0x10", "children": {"n": {"start_action": "trap|start"}}}),
        json!({"local-1": {"cert": "a", "cert-b": {"file": "b"}, "certs": "c", "cert_policy": "1.2"}}),
        json!({"local_addrs": [], "local": [{"cacert": {"file": "a"}}, {}], "remote_auth": {"round": 2}}),
        json!({"local_auth": {"ca_chain": {"root_ca": "a", "intermediate_cas": "b"}}}),
        json!({"local": {"cert": {"handle": "01", "slot": 0}, "cert-b": {"handle": "0x02", "module": "m"}}}),
        json!({"remote": {"cacert": {"handle": "01", "slot": "7", "module": "m"}}}),
    ] {
        assert!(both(good));
    }
    for bad in [
        json!({"mobike": "maybe"}),
        json!({"version": 3}),
        json!({"remote_addr": "10.0.0.1"}),
        json!({"children": {"n": {"mode": "x"}}}),
        json!({"children": [{"mode": "tunnel"}]}),
        json!({"failover": {"multiplier": 0.5}}),
        json!({"rekey_time": "5w"}),
        json!({"local": 5}),
        json!({"local-1": 5}),
        json!({"remote": [{"revocation": "hard"}]}),
        json!({"remote-1": {"cert-b": "b"}}),
        json!({"remote-1": {"certs": {"file": "b"}}}),
        json!({"remote_addrs": {"id": "a"}}),
        json!({"local": {"cacert1": {"path": "a"}}}),
        json!({"local": {"ca_chain": {}}}),
        json!({"local": {"cert": {}}}),
        json!({"local": {"cert": {"file": "a", "handle": "01"}}}),
        json!({"local": {"cert": {"file": "a", "slot": 1}}}),
        json!({"remote": {"cacert": {"module": "m"}}}),
        json!({"remote": {"cacert": {"handle": "01", "pin": "1"}}}),
    ] {
        assert!(!both(bad));
    }
}

#[test]
fn a_gateway_that_differs_is_an_object() {
    let connection = connection(json!({
        "remote_port": 501,
        "remote_addrs": [
            "10.0.0.1, 10.0.0.2",
            {"addr": "segw.example", "id": "c.example", "cacerts": "c.pem"},
            {"addr": "10.0.0.4", "port": "4500", "priority": 1},
            {"addr": "10.0.0.5", "priority": 1, "certs": ["e.pem"]},
            {"addr": "10.0.0.6"},
        ],
        "remote": {"auth": "pubkey", "id": "any.example", "certs": "any.pem", "pubkeys": "any.pub"},
    }));
    assert_eq!(
        connection.remote_addrs.as_str(),
        "10.0.0.1,10.0.0.2,segw.example,10.0.0.6,10.0.0.4,10.0.0.5"
    );
    let [c, d, e] = &connection.gateways[..] else {
        panic!("{:?}", connection.gateways);
    };
    assert_eq!((&*c.addr, c.port), ("segw.example", 501));
    assert_eq!(c.remote.section, "remote_addrs[1]");
    assert_eq!(c.remote.id.as_deref(), Some("c.example"));
    assert_eq!(c.remote.cacerts[0].name(), "c.pem");
    assert_eq!(c.remote.certs[0].name(), "any.pem");
    assert_eq!(c.remote.pubkeys.len(), 1);
    assert_eq!((&*d.addr, d.port), ("10.0.0.4", 4500));
    assert_eq!(d.remote, connection.remote[0]);
    assert_eq!((&*e.addr, e.port), ("10.0.0.5", 501));
    assert_eq!(e.remote.certs[0].name(), "e.pem");
    assert!(e.remote.pubkeys.is_empty());
    assert_eq!(e.remote.id.as_deref(), Some("any.example"));
    assert_eq!(connection.first_gateway(), None);
}

#[test]
fn the_gateway_of_the_lowest_number_is_the_first() {
    let connection = connection(json!({"remote_addrs": [
        {"addr": "10.0.0.1", "priority": 2},
        {"addr": "10.0.0.2", "priority": 1, "id": "b"},
        {"addr": "10.0.0.3", "priority": 1},
    ]}));
    assert_eq!(
        connection.remote_addrs.as_str(),
        "10.0.0.2,10.0.0.3,10.0.0.1"
    );
    let first = connection.first_gateway().unwrap();
    assert_eq!(first.addr, "10.0.0.2");
}

#[test]
fn a_secret_of_the_existing_plugin_is_for_all_gateways() {
    let configuration = parse(
        r#"{"name": "a", "remote_addrs": [{"addr": "10.0.0.1", "id": "one"}, {"addr": "10.0.0.2", "id": "two"}],
            "local_auth": {"id": "me", "auth": "psk", "secret": "s"}, "remote_auth": {"auth": "psk"}}"#,
    )
    .unwrap();
    assert_eq!(configuration.secrets[0].ids, ["me", "one", "two"]);
}

#[test]
fn what_is_wrong_with_a_gateway_is_told_with_its_place() {
    let with = |gateways: &str| {
        message(&format!(
            r#"{{"connections": {{"test": {{"remote_addrs": {gateways}}}}}}}"#
        ))
    };
    for (gateways, expected) in [
        (
            r#"["10.0.0.1", {"id": "a"}]"#,
            "[1].addr: expected an IP address or a DNS name, found nothing",
        ),
        (
            r#"[{"addr": "10.0.0.1,10.0.0.2"}]"#,
            "[0].addr: expected an IP address or a DNS name, found \"10.0.0.1,10.0.0.2\"",
        ),
        (
            r#"[{"addr": "%any"}]"#,
            "[0].addr: expected an IP address or a DNS name, found \"%any\"",
        ),
        (
            r#"[["10.0.0.1"], {"addr": "10.0.0.2"}]"#,
            "[0]: expected a string or an object, found an array",
        ),
        (
            r#"["10.0.0.1", {"addr": "10.0.0.2", "id": 5}]"#,
            "[1].id: expected a string, found a number",
        ),
        (
            r#"[{"addr": "10.0.0.2", "port": 0}]"#,
            "[0].port: expected a number from 1 to 65535, found 0",
        ),
        (
            r#"[{"addr": "10.0.0.2", "prio": 0}]"#,
            "[0].prio: unknown option, expected one of addr, port, id, certs, cacerts, priority",
        ),
        (
            r#"["SEGW.example", {"addr": "segw.example"}]"#,
            "[1].addr: expected a gateway not given before, found \"segw.example\"",
        ),
        (
            r#"[{"addr": "10.0.0.2"}, null]"#,
            "[1]: expected a string or an array of strings, found null",
        ),
    ] {
        assert_eq!(
            with(gateways),
            format!("connections.test.remote_addrs{expected}")
        );
    }
}
