// SPDX-License-Identifier: GPL-2.0-or-later

//! Secrets, as charon's credential manager finds them.

use std::ffi::CString;
use std::sync::{Mutex, MutexGuard, PoisonError};

use extsock::adapter::{Connections, Owner};
use extsock::charon::{sys, Credentials};
use extsock_core::config::SharedSecret;

use super::harness::{backends, init, parse};

/// A secret for any identity is found by every test that looks for one.
fn alone() -> MutexGuard<'static, ()> {
    static CREDENTIALS: Mutex<()> = Mutex::new(());
    init();
    // A failed test leaves no credential set behind: they are removed when dropped.
    CREDENTIALS.lock().unwrap_or_else(PoisonError::into_inner)
}

const IKE: sys::shared_key_type_t::Type = sys::shared_key_type_t::SHARED_IKE;

/// The pre-shared key that charon would authenticate with.
fn found(me: &str, other: &str) -> Option<Vec<u8>> {
    found_for(IKE, me, other)
}

/// The secret of a kind that charon would authenticate with.
fn found_for(kind: sys::shared_key_type_t::Type, me: &str, other: &str) -> Option<Vec<u8>> {
    let [me, other] = [me, other].map(|id| CString::new(id).unwrap());
    // SAFETY: the credential manager is there; the identities and the key's reference are ours.
    unsafe {
        let [me, other] =
            [me, other].map(|id| sys::identification_create_from_string(id.as_ptr().cast_mut()));
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

    credentials.set_shared_secret(IKE, "key", &owners(["gateway"]), b"secret");
    assert_eq!(found("client", "gateway").unwrap(), b"secret");
    assert_eq!(found("client", "stranger"), None);

    credentials.set_shared_secret(IKE, "key", &owners(["gateway"]), b"another");
    assert_eq!(found("client", "gateway").unwrap(), b"another");

    credentials.remove_shared_secret("key");
    assert_eq!(found("client", "gateway"), None);
    credentials.remove_shared_secret("key");
}

#[test]
fn a_secret_replaced_under_its_key_is_lost_to_its_former_owners() {
    let _alone = alone();
    let credentials = Credentials::register();
    credentials.set_shared_secret(IKE, "key", &owners(["one", "two"]), b"secret");
    assert_eq!(found("client", "one").unwrap(), b"secret");
    assert_eq!(found("client", "two").unwrap(), b"secret");

    credentials.set_shared_secret(IKE, "key", &owners(["two"]), b"secret");

    assert_eq!(found("client", "one"), None);
    assert_eq!(found("client", "two").unwrap(), b"secret");
}

#[test]
fn a_secret_without_owners_serves_everyone_but_the_better_match_wins() {
    let _alone = alone();
    let credentials = Credentials::register();

    credentials.set_shared_secret(IKE, "any", &[], b"for any");
    assert_eq!(found("client", "10.0.0.1").unwrap(), b"for any");
    assert_eq!(found("client", "C=CH, CN=gateway").unwrap(), b"for any");

    credentials.set_shared_secret(IKE, "own", &owners(["gateway"]), b"for gateway");
    assert_eq!(found("client", "gateway").unwrap(), b"for gateway");
    assert_eq!(found("client", "other").unwrap(), b"for any");
}

#[test]
fn any_bytes_can_be_a_secret() {
    let _alone = alone();
    let credentials = Credentials::register();
    let secret: Vec<u8> = (0..=255).chain(0..=255).collect();

    credentials.set_shared_secret(IKE, "key", &owners(["gateway"]), &secret);

    assert_eq!(found("client", "gateway").unwrap(), secret);
}

#[cfg(strongswan_6_0_2)]
#[test]
fn a_secret_is_of_everyone_that_its_pattern_matches() {
    let _alone = alone();
    let credentials = Credentials::register();
    let pattern = owners(["fqdn:^vpn[0-9]+[.]example[.]org$"]);
    credentials.set_shared_secret(IKE, "key", &pattern, b"secret");

    assert_eq!(found("client", "vpn7.example.org").unwrap(), b"secret");
    assert_eq!(found("client", "vpn.example.org"), None);
}

#[test]
fn a_dropped_set_leaves_nothing_behind() {
    let _alone = alone();
    let credentials = Credentials::register();
    credentials.set_shared_secret(IKE, "key", &owners(["gateway"]), b"secret");

    drop(credentials);

    assert_eq!(found("client", "gateway"), None);
}

fn connection(name: &str) -> Owner {
    Owner::Connection(name.to_owned())
}

fn secrets(json: &str) -> Vec<SharedSecret> {
    parse(&format!(r#"{{"secrets": {{"ike": {json}}}}}"#))
        .unwrap()
        .secrets
}

#[test]
fn each_use_has_its_own_secret() {
    use sys::shared_key_type_t as kind;
    let (_alone, _backends) = (alone(), backends());
    let connections = Connections::register();
    let hash = "0x00112233445566778899aabbccddeeff";
    let json = format!(
        r#"{{"secrets": {{"ike": {{"id": "a", "secret": "i"}}, "eap": {{"id": "a", "secret": "e"}},
            "ntlm": {{"id": "a", "secret": "{hash}"}}, "ppk": {{"id": "a", "secret": "p"}}}}}}"#
    );
    connections.set_secrets(&[connection("site")], &parse(&json).unwrap().secrets);
    let length = |kind| found_for(kind, "a", "a").map(|secret| secret.len());
    assert_eq!(found_for(kind::SHARED_IKE, "a", "a").unwrap(), b"i");
    assert_eq!(found_for(kind::SHARED_EAP, "a", "a").unwrap(), b"e");
    assert_eq!(found_for(kind::SHARED_PPK, "a", "a").unwrap(), b"p");
    assert_eq!(length(kind::SHARED_NT_HASH), Some(16));
    connections.remove("site");
    assert_eq!(length(kind::SHARED_EAP), None);
    assert_eq!(length(kind::SHARED_PPK), None);
}

#[test]
fn secrets_come_and_go_with_the_connections_that_brought_them() {
    let (_alone, _backends) = (alone(), backends());
    let connections = Connections::register();
    let (one, two) = ([connection("one")], [connection("two")]);
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

#[test]
fn documents_without_connections_leave_each_others_secrets_alone() {
    let (_alone, _backends) = (alone(), backends());
    let connections = Connections::register();
    let [one, two] = ["1.json", "2.json"].map(|file| [Owner::Source(file.to_owned())]);
    connections.set_secrets(&one, &secrets(r#"[{"id": "a", "secret": "first"}]"#));
    connections.set_secrets(&two, &secrets(r#"[{"id": "b", "secret": "second"}]"#));
    // A connection may be called like a file.
    connections.remove("1.json");
    assert_eq!(found("client", "a").unwrap(), b"first");
    assert_eq!(found("client", "b").unwrap(), b"second");
    connections.set_secrets(&one, &[]);
    assert_eq!(found("client", "a"), None);
    assert_eq!(found("client", "b").unwrap(), b"second");
}
