// SPDX-License-Identifier: GPL-2.0-or-later

//! The configuration backend, as charon sees it.

use std::ffi::CString;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use extsock::charon::{peer_cfg_by_name, sys, Backend, PeerCfg};

use super::harness::{backends, items, raw, text};
use super::ledger;
use super::original::Parts;

fn config(name: &str, remote: &str) -> PeerCfg {
    let mut parts = Parts::original();
    parts.name = name.into();
    parts.ike.remote = remote.into();
    parts.build()
}

/// Name and remote address of each connection that charon enumerates, in its order.
fn enumerated() -> Vec<(String, String)> {
    // SAFETY: the backend manager is there; the configurations are valid while the enumerator is,
    // and so is what they lend.
    unsafe {
        let enumerator = call!(
            (*sys::charon).backends,
            create_peer_cfg_enumerator,
            null_mut(),
            null_mut(),
            null_mut(),
            null_mut(),
            sys::ike_version_t::IKE_ANY,
        );
        let mut found = Vec::new();
        let mut config: *mut sys::peer_cfg_t = null_mut();
        while call!(enumerator, enumerate, &raw mut config) {
            let remote = call!(call!(config, get_ike_cfg), get_other_addr);
            found.push((
                text(call!(config, get_name)).unwrap(),
                text(remote).unwrap(),
            ));
        }
        call!(enumerator, destroy);
        found
    }
}

/// The remote address of the ike_cfg that charon finds for a peer's address.
fn ike_cfg_for(remote: &str) -> Option<String> {
    let remote = CString::new(remote).unwrap();
    // SAFETY: the backend manager is there; host and result are ours.
    unsafe {
        let host = sys::host_create_from_string(remote.as_ptr().cast_mut(), 2500);
        let backends = (*sys::charon).backends;
        let ike = call!(
            backends,
            get_ike_cfg,
            null_mut(),
            host,
            sys::ike_version_t::IKEV2
        );
        call!(host, destroy);
        if ike.is_null() {
            return None;
        }
        let found = text(call!(ike, get_other_addr));
        call!(ike, destroy);
        found
    }
}

fn pair(name: &str, remote: &str) -> (String, String) {
    (name.into(), remote.into())
}

#[test]
fn charon_finds_what_is_registered() {
    let (one, two) = (config("one", "10.0.0.1"), config("two", "10.0.0.2"));
    let _alone = backends();
    let backend = Backend::register();
    assert!(peer_cfg_by_name("one").is_none());

    backend.set(one);
    backend.set(two);

    assert_eq!(peer_cfg_by_name("one").unwrap().name(), "one");
    assert!(peer_cfg_by_name("three").is_none());
    assert_eq!(
        enumerated(),
        [pair("one", "10.0.0.1"), pair("two", "10.0.0.2")]
    );
    assert_eq!(ike_cfg_for("10.0.0.2").as_deref(), Some("10.0.0.2"));
    assert_eq!(ike_cfg_for("10.0.0.3"), None);
}

#[test]
fn charon_finds_a_connection_by_the_identities_of_a_peer() {
    let config = config("one", "10.0.0.1");
    let _alone = backends();
    let backend = Backend::register();
    backend.set(config);
    let find = |id: &str| {
        let id = CString::new(id).unwrap();
        // SAFETY: the backend manager is there, the identity is ours.
        unsafe {
            let id = sys::identification_create_from_string(id.as_ptr().cast_mut());
            let found = items::<sys::peer_cfg_t>(call!(
                (*sys::charon).backends,
                create_peer_cfg_enumerator,
                null_mut(),
                null_mut(),
                null_mut(),
                id,
                sys::ike_version_t::IKEV2,
            ));
            call!(id, destroy);
            found.len()
        }
    };

    assert_eq!(find("gateway@example.org"), 1);
    assert_eq!(find("stranger@example.org"), 0);
}

#[test]
fn a_configuration_of_the_same_name_takes_its_place() {
    let (one, two) = (config("one", "10.0.0.1"), config("two", "10.0.0.2"));
    let again = config("one", "10.0.0.9");
    let _alone = backends();
    let backend = Backend::register();
    backend.set(one);
    backend.set(two);

    backend.set(again);

    assert_eq!(
        enumerated(),
        [pair("one", "10.0.0.9"), pair("two", "10.0.0.2")]
    );
    assert_eq!(
        backend.get("one").unwrap().ike_cfg().fields().remote,
        "10.0.0.9"
    );
}

#[test]
fn what_is_removed_is_no_longer_found() {
    let (one, two) = (config("one", "10.0.0.1"), config("two", "10.0.0.2"));
    let _alone = backends();
    let backend = Backend::register();
    backend.set(one);
    backend.set(two);

    assert_eq!(backend.remove("one").unwrap().name(), "one");

    assert!(backend.remove("one").is_none());
    assert!(backend.get("one").is_none());
    assert!(peer_cfg_by_name("one").is_none());
    assert_eq!(enumerated(), [pair("two", "10.0.0.2")]);
    drop(backend);
    assert!(peer_cfg_by_name("two").is_none());
    assert_eq!(enumerated(), []);
}

#[test]
fn charon_gives_back_every_reference_that_it_got() {
    let one = config("one", "10.0.0.1");
    let this = raw(&one);
    let _alone = backends();
    // SAFETY: no other thread knows these objects, and no other test enumerates backends now.
    let (peer, ike) = unsafe {
        (
            ledger::peer_cfg::watch(this),
            ledger::ike_cfg::watch(call!(this, get_ike_cfg)),
        )
    };
    let balances = || (peer.balance(), ike.balance());

    let backend = Backend::register();
    backend.set(one.clone());
    assert_eq!(balances(), (1, 0));
    drop((
        peer_cfg_by_name("one"),
        peer_cfg_by_name("two"),
        backend.get("one"),
    ));
    assert_eq!(enumerated().len(), 1);
    assert!(ike_cfg_for("10.0.0.1").is_some());
    assert!(ike_cfg_for("10.0.0.7").is_none());
    assert_eq!(balances(), (1, 0));

    backend.set(one.clone());
    assert_eq!(balances(), (1, 0), "the replaced reference is given back");
    drop(backend.remove("one"));
    assert_eq!(balances(), (0, 0));
    backend.set(one.clone());
    drop(backend);
    assert_eq!(balances(), (0, 0));
    drop(one);
    assert_eq!(balances(), (-1, -1));
}

#[test]
fn an_abandoned_enumeration_gives_its_references_back() {
    let (one, two) = (config("one", "10.0.0.1"), config("two", "10.0.0.2"));
    let (first, second) = (raw(&one), raw(&two));
    let _alone = backends();
    // SAFETY: no other thread knows these objects, and no other test enumerates backends now.
    let (first, second) = unsafe {
        (
            ledger::peer_cfg::watch(first),
            ledger::peer_cfg::watch(second),
        )
    };
    let backend = Backend::register();
    backend.set(one);
    backend.set(two);
    // SAFETY: the backend manager is there; one pointer is the enumerator's output.
    unsafe {
        let (none, any) = (null_mut(), sys::ike_version_t::IKE_ANY);
        let enumerator = call!(
            (*sys::charon).backends,
            create_peer_cfg_enumerator,
            none,
            none,
            null_mut(),
            null_mut(),
            any,
        );
        let mut config: *mut sys::peer_cfg_t = null_mut();
        assert!(call!(enumerator, enumerate, &raw mut config));
        // What is removed meanwhile stays valid for the enumeration.
        drop(backend.remove("one"));
        assert_eq!(text(call!(config, get_name)).unwrap(), "one");
        call!(enumerator, destroy);
    }

    assert_eq!(
        (first.balance(), second.balance()),
        (-1, 0),
        "the test's own reference is left"
    );
}

#[test]
fn enumerating_and_replacing_at_once_is_safe() {
    const ROUNDS: usize = 300;
    let configs: Vec<_> = (0..4)
        .map(|n| config(&format!("conn-{n}"), "10.0.0.1"))
        .collect();
    let others: Vec<_> = (0..4)
        .map(|n| config(&format!("conn-{n}"), "10.0.0.2"))
        .collect();
    let _alone = backends();
    let backend = Backend::register();
    let done = AtomicBool::new(false);

    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..ROUNDS {
                for config in if round % 2 == 0 { &configs } else { &others } {
                    backend.set(config.clone());
                }
                if round % 7 == 0 {
                    backend.remove("conn-2");
                }
            }
            done.store(true, Ordering::Release);
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let mut rounds = 0;
                while rounds < ROUNDS || !done.load(Ordering::Acquire) {
                    for (name, remote) in enumerated() {
                        assert!(name.starts_with("conn-") && remote.starts_with("10.0.0."));
                    }
                    assert!(peer_cfg_by_name("conn-0").is_none_or(|c| c.name() == "conn-0"));
                    let _ = ike_cfg_for("10.0.0.1");
                    rounds += 1;
                }
            });
        }
    });

    assert_eq!(enumerated().len(), 4);
}
