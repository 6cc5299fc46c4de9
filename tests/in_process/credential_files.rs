// SPDX-License-Identifier: GPL-2.0-or-later

//! Certificates and keys that a connection names.

use extsock::adapter::build;
use extsock_core::config::parse;
use extsock_lab::Pki;
use serde_json::{json, Value};

use super::harness::init;
use super::snapshot::snapshot;

/// The local rounds that charon gets, or the error.
fn local(round: Value) -> Result<String, String> {
    init();
    let json = json!({"name": "site", "local_auth": round}).to_string();
    match build(&parse(&json).unwrap().connections[0]) {
        Ok((config, _)) => Ok(snapshot(&config)["local"].clone()),
        Err(error) => Err(error.message),
    }
}

/// A way to make a key, and the files that it is then in.
const KEYS: [(&str, &[&str]); 3] = [
    (
        "rsa",
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    ),
    (
        "ecdsa",
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    ),
    ("ed25519", &["-algorithm", "ED25519"]),
];

#[test]
fn keys_are_read_in_all_encodings_and_match_their_certificates() {
    let pki = Pki::with_ca("ca");
    for (name, arguments) in KEYS {
        pki.add_host_with(name, "ca", arguments);
        pki.openssl(&format!("x509 -in {name}.pem -outform DER -out {name}.der"));
        for line in [
            format!("pkey -in {name}.key -outform DER -out {name}.key.der"),
            format!("pkcs8 -topk8 -in {name}.key -passout pass:hunter2 -out {name}.enc"),
            format!("pkcs8 -topk8 -in {name}.key -passout pass:hunter2 -outform DER -out {name}.enc.der"),
        ] {
            pki.openssl(&line);
        }
        // What openssl called its own, with the encryption in the header of the PEM file.
        if name != "ed25519" {
            pki.openssl(&format!(
                "pkey -in {name}.key -traditional -out {name}.trad"
            ));
            pki.openssl(&format!(
                "pkey -in {name}.key -traditional -aes128 -passout pass:hunter2 -out {name}.tradenc"
            ));
        }
        for (key, passphrase) in [
            ("key", false),
            ("key.der", false),
            ("enc", true),
            ("enc.der", true),
            ("trad", false),
            ("tradenc", true),
        ] {
            if name == "ed25519" && key.starts_with("trad") {
                continue;
            }
            for cert in ["pem", "der"] {
                let mut round = json!({
                    "auth": "cert",
                    "cert": pki.path(&format!("{name}.{cert}")),
                    "private_key": pki.path(&format!("{name}.{key}")),
                });
                if passphrase {
                    round["private_key_passphrase"] = json!("hunter2");
                }
                let found = local(round.clone());
                assert!(found.is_ok(), "{name}.{key}, {name}.{cert}: {found:?}");
                if passphrase {
                    for wrong in [json!("hunter3"), Value::Null] {
                        let mut round = round.clone();
                        round["private_key_passphrase"] = wrong.clone();
                        if wrong.is_null() {
                            round
                                .as_object_mut()
                                .unwrap()
                                .remove("private_key_passphrase");
                        }
                        let error = local(round).unwrap_err();
                        let path =
                            "connections.site.local_auth.private_key: expected a private key";
                        assert!(error.starts_with(path), "{error}");
                        assert!(!error.contains("hunter"), "{error}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_identity_defaults_to_the_certificates_subject() {
    let pki = Pki::with_ca("ca");
    pki.add_host("me", "ca");
    let cert = pki.path("me.pem");
    let with = local(json!({"auth": "cert", "cert": &cert})).unwrap();
    // 9 is ID_DER_ASN1_DN.
    assert!(with.starts_with("0:9="), "{with}");
    let with = local(json!({"auth": "cert", "cert": &cert, "id": "me"})).unwrap();
    assert!(with.starts_with("0:2=me"), "{with}");
}

#[test]
fn a_file_that_is_of_no_use_is_named_with_its_option() {
    let pki = Pki::with_ca("ca");
    pki.add_host("me", "ca");
    pki.add_host("other", "ca");
    pki.add_expired_host("old", "ca");
    pki.write(
        "garbage",
        "-----BEGIN CERTIFICATE-----\nhello\n-----END CERTIFICATE-----\n",
    );
    pki.write("empty", "");
    let path = |file: &str| pki.path(file);
    let (me, key) = (path("me.pem"), path("me.key"));
    for (round, option, what, file) in [
        (
            json!({"cert": path("none.pem")}),
            "cert",
            "No such file",
            "none.pem",
        ),
        (json!({"cert": path("")}), "cert", "not a regular file", ""),
        (
            json!({"cert": path("garbage")}),
            "cert",
            "an X.509 certificate",
            "garbage",
        ),
        (
            json!({"cert": path("empty")}),
            "cert",
            "an X.509 certificate",
            "empty",
        ),
        (
            json!({"cert": &key}),
            "cert",
            "an X.509 certificate",
            "me.key",
        ),
        (
            json!({"cert": path("old.pem")}),
            "cert",
            "valid now",
            "old.pem",
        ),
        (
            json!({"cert-1": {"file": path("old.pem")}}),
            "cert-1.file",
            "valid now",
            "old.pem",
        ),
        (
            json!({"cert": &me, "private_key": path("other.key")}),
            "private_key",
            "the key of cert",
            "other.key",
        ),
        (
            json!({"cert": &me, "private_key": &me}),
            "private_key",
            "a private key in PEM or DER that needs no passphrase",
            "me.pem",
        ),
        (
            json!({"private_key": path("none")}),
            "private_key",
            "No such file",
            "none",
        ),
        (
            json!({"ca_cert": &me}),
            "ca_cert",
            "a certificate of a CA",
            "me.pem",
        ),
        (
            json!({"cacerts": [&me]}),
            "cacerts",
            "a certificate of a CA",
            "me.pem",
        ),
        (
            json!({"ca_chain": {"root_ca": path("ca.pem"), "intermediate_cas": [&me]}}),
            "ca_chain.intermediate_cas",
            "a certificate of a CA",
            "me.pem",
        ),
        (
            json!({"pubkeys": path("garbage")}),
            "pubkeys",
            "a public key",
            "garbage",
        ),
    ] {
        let error = local(round.clone()).unwrap_err();
        let start = format!("connections.site.local_auth.{option}: expected ");
        assert!(error.starts_with(&start), "{round}: {error}");
        assert!(error.contains(what), "{round}: {error}");
        let end = format!("found {:?}", path(file));
        assert!(error.ends_with(&end), "{round}: {error}");
    }
}

#[test]
fn a_relative_file_is_looked_up_in_swanctls_directory() {
    let error = local(json!({"cert": "no-such.pem"})).unwrap_err();
    assert!(error.contains("/etc/swanctl/x509/no-such.pem"), "{error}");
    let error = local(json!({"private_key": "no-such.key"})).unwrap_err();
    assert!(
        error.contains("/etc/swanctl/private/no-such.key"),
        "{error}"
    );
}

#[test]
fn a_raw_public_key_is_its_owners() {
    let pki = Pki::with_ca("ca");
    pki.add_host("me", "ca");
    pki.openssl("pkey -in me.key -pubout -out me.pub");
    let round = json!({"auth": "pubkey", "id": "me", "pubkeys": pki.path("me.pub"),
                       "private_key": pki.path("me.key")});
    assert!(local(round).is_ok());
}
