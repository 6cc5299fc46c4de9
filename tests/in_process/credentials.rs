// SPDX-License-Identifier: GPL-2.0-or-later

//! Secrets, as charon's credential manager finds them.

use std::ffi::CString;
use std::sync::{Mutex, MutexGuard, PoisonError};

use extsock::adapter::Connections;
use extsock::charon::{sys, Credentials};
use extsock_core::config::{parse, IkeSecret};

use super::harness::{backends, init};

/// A secret for any identity is found by every test that looks for one.
fn alone() -> MutexGuard<'static, ()> {
    static CREDENTIALS: Mutex<()> = Mutex::new(());
    init();
    // A failed test leaves no credential set behind: they are removed when dropped.
    CREDENTIALS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The secret that charon would authenticate with.
fn found(me: &str, other: &str) -> Option<Vec<u8>> {
    let [me, other] = [me, other].map(|id| CString::new(id).unwrap());
    // SAFETY: the credential manager is there; the identities and the key's reference are ours.
    unsafe {
        let [me, other] =
            [me, other].map(|id| sys::identification_create_from_string(id.as_ptr().cast_mut()));
        let kind = sys::shared_key_type_t::SHARED_IKE;
        let shared = call!((*sys::lib).credmgr, get_shared, kind, me, other);
        call!(me, destroy);
        call!(other, destroy);
        if shared.is_null() {
            return None;
        }
        let key = call!(shared, get_key);
        let bytes = std::slice::from_raw_parts(key.ptr, key.len).to_vec();
        call!(shared, destroy);
        Some(bytes)
    }
}

fn owners<const N: usize>(ids: [&str; N]) -> Vec<String> {
    ids.map(str::to_owned).into()
}

#[test]
fn a_secret_is_found_for_its_owner_until_it_is_removed() {
    let _alone = alone();
    let credentials = Credentials::register();
    assert_eq!(found("client", "gateway"), None);

    credentials.set_ike_secret("key", &owners(["gateway"]), b"secret");
    assert_eq!(found("client", "gateway").unwrap(), b"secret");
    assert_eq!(found("client", "stranger"), None);

    credentials.set_ike_secret("key", &owners(["gateway"]), b"another");
    assert_eq!(found("client", "gateway").unwrap(), b"another");

    credentials.remove_ike_secret("key");
    assert_eq!(found("client", "gateway"), None);
    credentials.remove_ike_secret("key");
}

#[test]
fn a_secret_replaced_under_its_key_is_lost_to_its_former_owners() {
    let _alone = alone();
    let credentials = Credentials::register();
    credentials.set_ike_secret("key", &owners(["one", "two"]), b"secret");
    assert_eq!(found("client", "one").unwrap(), b"secret");
    assert_eq!(found("client", "two").unwrap(), b"secret");

    credentials.set_ike_secret("key", &owners(["two"]), b"secret");

    assert_eq!(found("client", "one"), None);
    assert_eq!(found("client", "two").unwrap(), b"secret");
}

#[test]
fn a_secret_without_owners_serves_everyone_but_the_better_match_wins() {
    let _alone = alone();
    let credentials = Credentials::register();

    credentials.set_ike_secret("any", &[], b"for any");
    assert_eq!(found("client", "10.0.0.1").unwrap(), b"for any");
    assert_eq!(found("client", "C=CH, CN=gateway").unwrap(), b"for any");

    credentials.set_ike_secret("own", &owners(["gateway"]), b"for gateway");
    assert_eq!(found("client", "gateway").unwrap(), b"for gateway");
    assert_eq!(found("client", "other").unwrap(), b"for any");
}

#[test]
fn any_bytes_can_be_a_secret() {
    let _alone = alone();
    let credentials = Credentials::register();
    let secret: Vec<u8> = (0..=255).chain(0..=255).collect();

    credentials.set_ike_secret("key", &owners(["gateway"]), &secret);

    assert_eq!(found("client", "gateway").unwrap(), secret);
}

#[test]
fn a_dropped_set_leaves_nothing_behind() {
    let _alone = alone();
    let credentials = Credentials::register();
    credentials.set_ike_secret("key", &owners(["gateway"]), b"secret");

    drop(credentials);

    assert_eq!(found("client", "gateway"), None);
}

fn secrets(json: &str) -> Vec<IkeSecret> {
    parse(&format!(r#"{{"secrets": {{"ike": {json}}}}}"#))
        .unwrap()
        .secrets
}

#[test]
fn secrets_come_and_go_with_the_connections_that_brought_them() {
    let (_alone, _backends) = (alone(), backends());
    let connections = Connections::register();
    let (one, two) = ([String::from("one")], [String::from("two")]);
    let gateway = secrets(r#"[{"id": "gateway", "secret": "first"}]"#);

    connections.set_secrets(&one, &gateway);
    connections.set_secrets(&two, &gateway);
    connections.remove("one");
    assert_eq!(
        found("client", "gateway").unwrap(),
        b"first",
        "the other connection needs it"
    );
    connections.remove("two");
    assert_eq!(found("client", "gateway"), None);

    connections.set_secrets(&one, &gateway);
    connections.set_secrets(&one, &secrets(r#"[{"id": "other", "secret": "second"}]"#));
    assert_eq!(found("client", "gateway"), None, "it was not brought again");
    assert_eq!(found("client", "other").unwrap(), b"second");

    connections.set_secrets(&one, &secrets(r#"[{"id": "other", "secret": "third"}]"#));
    assert_eq!(found("client", "other").unwrap(), b"third");
}
