// SPDX-License-Identifier: GPL-2.0-or-later

//! The clone of a connection for another gateway.

use std::collections::BTreeSet;

use extsock::adapter::{build, create_failover_config};
use extsock::charon::PeerCfg;
use extsock_core::failover::action::Destination;

use extsock_lab::Pki;
use serde_json::json;

use super::harness::{alone, init, parse, raw};
use super::ledger;
use super::original::Parts;
use super::snapshot::{differences, snapshot, EQUALS, IKE_EQUALS};

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

fn to(gateway: &str) -> Destination {
    Destination {
        gateway: gateway.into(),
        address: None,
    }
}

#[test]
fn the_clone_differs_in_name_and_remote_address_only() {
    let parts = Parts::original();
    let original = parts.build();
    let before = snapshot(&original);

    let clone = create_failover_config(&original, &to("10.0.0.2"), None);

    assert_eq!(
        differences(&original, &clone),
        names(["name", "ike.remote", IKE_EQUALS])
    );
    assert!(clone == original, "charon takes them for equal");
    let values = snapshot(&clone);
    assert_eq!(values["name"], "site-failover-10.0.0.2");
    assert_eq!(values["ike.remote"], "10.0.0.2");
    let (ours, theirs) = (clone.child_cfgs(), original.child_cfgs());
    assert_eq!(ours.len(), 2);
    assert!(
        ours.iter().zip(&theirs).all(|(a, b)| a.is(b)),
        "the children are the same objects"
    );
    assert_eq!(snapshot(&original), before, "the original is as it was");
}

#[test]
fn the_wrappers_read_back_what_the_clone_has() {
    let parts = Parts::original();
    let original = parts.build();
    let clone = create_failover_config(&original, &to("10.0.0.2"), None);

    let ike = extsock::charon::IkeCfgFields {
        remote: "10.0.0.2".into(),
        ..parts.ike.clone()
    };
    assert_eq!(clone.ike_cfg().fields(), ike);
    assert!(clone.fields(parts.peer.jitter_time) == parts.peer);
    assert!(clone.ike_cfg().proposals() == original.ike_cfg().proposals());
    assert!(clone.auth_cfgs(true) == original.auth_cfgs(true));
    assert!(clone.auth_cfgs(false) == original.auth_cfgs(false));
    assert!(clone.virtual_ips() == original.virtual_ips());
    assert_eq!(clone.pools(), parts.pools);
}

#[test]
fn a_clone_of_every_changed_original_is_equal_to_it() {
    let changes: [fn(&mut Parts); 9] = [
        |p| p.peer.ppk_id = None,
        |p| p.peer.dpd_timeout = 0,
        |p| p.peer.if_id_in = u32::MAX,
        |p| p.vips.clear(),
        |p| p.pools.clear(),
        |p| p.children.clear(),
        |p| p.local.clear(),
        |p| p.remote.clear(),
        |p| p.proposals.clear(),
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut parts = Parts::original();
        change(&mut parts);
        let original = parts.build();
        let clone = create_failover_config(&original, &to("10.0.0.2"), None);
        assert_eq!(
            differences(&original, &clone),
            names(["name", "ike.remote", IKE_EQUALS]),
            "change {number}"
        );
    }
}

#[cfg(strongswan_me)]
#[test]
fn a_connection_without_mediator_stays_without() {
    let mut parts = Parts::original();
    (
        parts.peer.mediated_by,
        parts.peer.peer_id,
        parts.peer.mediation,
    ) = (None, None, false);
    let original = parts.build();

    let clone = create_failover_config(&original, &to("10.0.0.2"), None);

    assert_eq!(
        differences(&original, &clone),
        names(["name", "ike.remote", IKE_EQUALS])
    );
}

#[test]
fn every_jitter_gives_an_equal_clone() {
    const DAY: u32 = 24 * 3600;
    // Rekeying, reauthentication, over time, jitter.
    let cases = [
        (14400, 0, 1440, 0),
        (14400, 0, 1440, 1440),
        (14400, 0, 1440, 1),
        (14400, 0, 1440, 2),
        (14400, 0, 1440, 137),
        (14400, 0, 1440, 1000),
        (14400, 0, 1440, 5400),
        (14400, 0, 1440, 14400),
        (14400, 28800, 1440, 137),
        (28800, 14400, 1440, 5400),
        (0, 14400, 1440, 137),
        (0, 14400, 20000, 7200),
        (100, 0, 200, 50),
        (14400, 0, 0, 720),
        (30 * DAY, 0, 1440, 7 * DAY),
        (0, 0, 0, 0),
        (0, 0, 1440, 1440),
    ];
    for (rekey_time, reauth_time, over_time, jitter_time) in cases {
        let mut parts = Parts::original();
        parts.peer.rekey_time = rekey_time;
        parts.peer.reauth_time = reauth_time;
        parts.peer.over_time = over_time;
        parts.peer.jitter_time = jitter_time;
        let original = parts.build();
        let clone = create_failover_config(&original, &to("10.0.0.2"), None);
        assert!(
            clone == original,
            "rekey {rekey_time}, reauth {reauth_time}, over {over_time}, jitter {jitter_time}"
        );

        parts.peer.jitter_time += 1;
        // More than the time it is subtracted from is cut by charon.
        if [rekey_time, reauth_time]
            .iter()
            .all(|time| *time == 0 || *time > jitter_time)
        {
            assert!(clone != parts.build(), "charon compares the jitter");
        }
    }
}

#[test]
fn clones_for_one_gateway_are_equal_and_have_one_name() {
    let original = Parts::original().build();
    let first = create_failover_config(&original, &to("10.0.0.2"), None);
    let second = create_failover_config(&original, &to("10.0.0.2"), None);

    assert_eq!(differences(&first, &second), names([]));
    assert_eq!(first.name(), "site-failover-10.0.0.2");
    assert_eq!(original.name(), "site");
}

#[test]
fn a_gateway_is_an_address_of_either_family_or_a_name() {
    let original = Parts::original().build();
    for gateway in ["10.0.0.2", "2001:db8::2", "gw2.example.org"] {
        let clone = create_failover_config(&original, &to(gateway), None);
        assert_eq!(clone.name(), format!("site-failover-{gateway}"));
        assert_eq!(clone.ike_cfg().fields().remote, gateway);
        assert!(clone == original, "{gateway}");
    }
}

#[test]
fn a_name_that_was_looked_up_leads_to_its_address() {
    let original = Parts::original().build();
    let to = Destination {
        gateway: "gw2.example.org".into(),
        address: Some([10, 0, 0, 7].into()),
    };
    let clone = create_failover_config(&original, &to, None);
    assert_eq!(clone.name(), "site-failover-gw2.example.org");
    assert_eq!(clone.ike_cfg().fields().remote, "10.0.0.7");
}

#[test]
fn a_clone_has_what_its_gateway_has_of_its_own() {
    init();
    let pki = Pki::with_ca("one");
    pki.add_ca("two");
    let json = json!({"connections": {"site": {
        "remote_addrs": [
            {"addr": "10.0.0.1", "id": "a.example", "port": 4001},
            "10.0.0.2",
            {"addr": "10.0.0.3", "id": "c.example", "cacerts": [pki.path("two.pem")], "port": 4003},
        ],
        "remote": {"auth": "pubkey", "id": "b.example", "cacerts": [pki.path("one.pem")]},
    }}});
    let configuration = parse(&json.to_string()).unwrap();
    let built = build(&configuration.connections[0]).unwrap();
    let (own, gateways) = (built.peer_cfg, built.gateways);

    let values = snapshot(&own);
    assert!(values["remote"].contains("a.example"), "{values:?}");
    assert_eq!(values["ike.remote_port"], "4001");
    for (gateway, id, port, ca) in [
        ("10.0.0.1", "a.example", 4001, "one"),
        ("10.0.0.2", "b.example", 500, "one"),
        ("10.0.0.3", "c.example", 4003, "two"),
    ] {
        let clone = create_failover_config(&own, &to(gateway), gateways.get(gateway));
        let fields = clone.ike_cfg().fields();
        assert_eq!((&*fields.remote, fields.remote_port), (gateway, port));
        let remote = clone.auth_cfgs(false);
        assert_eq!(remote.len(), 1);
        let json = json!({"connections": {"site": {"remote":
            {"auth": "pubkey", "id": id, "cacerts": [pki.path(&format!("{ca}.pem"))]}}}});
        let alike = parse(&json.to_string()).unwrap();
        let alike = build(&alike.connections[0]).unwrap().peer_cfg;
        assert!(remote == alike.auth_cfgs(false), "{gateway}");
        assert!(clone.auth_cfgs(true) == own.auth_cfgs(true));
        let differ = differences(&clone, &own);
        let expected = [
            "name",
            "remote",
            "ike.remote",
            "ike.remote_port",
            IKE_EQUALS,
            EQUALS,
        ];
        assert!(differ.is_subset(&names(expected)), "{gateway}: {differ:?}");
    }
}

#[test]
fn a_file_of_a_gateway_is_named_with_its_place() {
    init();
    let json = json!({"connections": {"site": {
        "remote_addrs": ["10.0.0.1", {"addr": "10.0.0.2", "cacerts": "/none.pem"}],
    }}});
    let configuration = parse(&json.to_string()).unwrap();
    let problems = build(&configuration.connections[0]).err();
    let error = (problems.unwrap().located(&configuration.locations)).unwrap_err();
    let path = "connections.site.remote_addrs[1].cacerts: expected ";
    assert!(error.message.starts_with(path), "{error}");
}

#[test]
fn the_clone_holds_what_it_shares_and_gives_it_back() {
    let parts = Parts::original();
    let original = parts.build();
    let this = raw(&original);
    // SAFETY: no other thread knows these objects.
    let (peer, ike, children) = unsafe {
        let children: Vec<_> = super::harness::items(call!(this, create_child_cfg_enumerator))
            .into_iter()
            .map(|child| ledger::child_cfg::watch(child))
            .collect();
        let ike = ledger::ike_cfg::watch(call!(this, get_ike_cfg));
        (ledger::peer_cfg::watch(this), ike, children)
    };
    let held = || {
        children
            .iter()
            .map(ledger::Count::balance)
            .collect::<Vec<_>>()
    };

    let clone = create_failover_config(&original, &to("10.0.0.2"), None);
    assert_eq!((peer.balance(), ike.balance(), held()), (0, 0, vec![1, 1]));
    drop(clone);
    assert_eq!((peer.balance(), ike.balance(), held()), (0, 0, vec![0, 0]));
    assert_eq!(original.name(), "site");

    // The clone outlives its original.
    let clone = create_failover_config(&original, &to("10.0.0.3"), None);
    drop(original);
    assert_eq!(
        (peer.balance(), ike.balance(), held()),
        (-1, -1, vec![0, 0])
    );
    assert_eq!(clone.child_cfgs().len(), 2);
    drop(clone);
    assert_eq!(held(), [-1, -1], "only the test's own references are left");
    assert_eq!(parts.children[0].name(), "net-a");
}

#[test]
fn building_and_cloning_leaks_nothing() {
    alone(
        "failover_config::building_and_cloning_leaks_nothing",
        || {
            let parts = Parts::original();
            let round = || {
                let original = parts.build();
                drop(create_failover_config(&original, &to("2001:db8::2"), None));
                drop::<PeerCfg>(original);
            };
            const ROUNDS: usize = 1000;
            for _ in 0..100 {
                round();
            }
            let before = allocated();
            for _ in 0..ROUNDS {
                round();
            }
            let grown = allocated().saturating_sub(before);
            // The smallest object takes 32 bytes; what the allocator keeps for reuse is a few KiB.
            assert!(grown < ROUNDS * 16, "{grown} bytes in {ROUNDS} rounds");
        },
    );
}

fn allocated() -> usize {
    // SAFETY: only reads the allocator's counters.
    unsafe { libc::mallinfo2() }.uordblks
}

#[test]
fn the_comparison_of_clones_can_fail() {
    let mut parts = Parts::original();
    let original = parts.build();
    parts.peer.jitter_time += 1;
    let clone = create_failover_config(&parts.build(), &to("10.0.0.2"), None);

    assert!(differences(&original, &clone).contains(EQUALS));
}
