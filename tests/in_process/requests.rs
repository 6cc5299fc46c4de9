// SPDX-License-Identifier: GPL-2.0-or-later

//! What clients ask for, and what charon has of it.

use extsock::adapter::Adapter;
use extsock::charon::sys::certificate_type_t::CERT_X509_CRL;
use extsock_core::domain::failover_name;
use extsock_core::protocol::{Reply, Request};
use extsock_lab::Pki;
use serde_json::{json, Value};

use super::credential_files::distribution_points;
use super::harness::{backends, parse};
use super::ike_sas::adapter;

fn apply(adapter: &Adapter, config: &Value) -> Reply {
    adapter.request(Request::ApplyConfig(parse(&config.to_string()).unwrap()))
}

fn remove(adapter: &Adapter, connection: &str) {
    let connection = connection.to_owned();
    let reply = adapter.request(Request::RemoveConfig { connection });
    assert!(matches!(reply, Reply::RemoveConfig { .. }), "{reply:?}");
}

#[test]
fn an_authority_is_there_while_a_connection_of_its_document_is() {
    let _alone = backends();
    let pki = Pki::with_ca("ca");
    let certificate = std::fs::read(pki.path("ca.pem")).unwrap();
    let known = || !distribution_points(CERT_X509_CRL, &certificate).is_empty();
    let adapter = adapter();
    let config = |connections: [&str; 2]| {
        let [one, two] = connections;
        json!({
            "connections": {
                one: {"remote_addrs": "192.0.2.1,192.0.2.2"},
                two: {"remote_addrs": "192.0.2.1,192.0.2.2"},
            },
            "authorities": {"ca": {"cacert": pki.path("ca.pem"), "crl_uris": "http://a/1"}},
        })
    };

    // Taken by what connection `one` is called at its second gateway.
    let clone = failover_name("one", "192.0.2.2");
    let reply = apply(&adapter, &config(["one", &clone]));
    assert!(matches!(reply, Reply::Failed { .. }), "{reply:?}");
    assert!(!known());

    let reply = apply(&adapter, &config(["one", "two"]));
    assert!(matches!(reply, Reply::ApplyConfig { .. }), "{reply:?}");
    assert!(known());
    // What is refused leaves what there is alone, too.
    let reply = apply(&adapter, &config(["three", &clone]));
    assert!(matches!(reply, Reply::Failed { .. }), "{reply:?}");
    assert!(known());
    remove(&adapter, "two");
    assert!(known());
    remove(&adapter, "one");
    assert!(!known());
}

#[cfg(strongswan_6_0_2)]
#[test]
fn an_owner_that_is_no_valid_pattern_is_refused() {
    let _alone = backends();
    let adapter = adapter();
    let config = |id| json!({"secrets": {"ike": [{"id": ["a", id], "secret": "x"}]}});
    let reply = apply(&adapter, &config("fqdn:^[+$"));
    let Reply::Failed(rejection) = &reply else {
        panic!("{reply:?}");
    };
    let expected =
        "secrets: expected a valid regular expression, found \"fqdn:^[+$\" at line 1 column 2";
    assert_eq!(rejection.error.message, expected);
    let reply = apply(&adapter, &config("fqdn:^[a-z]+$"));
    assert!(matches!(reply, Reply::ApplyConfig { .. }), "{reply:?}");
}
