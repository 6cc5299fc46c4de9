// SPDX-License-Identifier: GPL-2.0-or-later

//! Certificates and keys that a connection names.

use std::ffi::{c_char, CStr};
use std::ptr;

use extsock::adapter::{build, Material};
use extsock::charon::sys;
use extsock_core::config::Locations;
use extsock_lab::Pki;
use serde_json::{json, Value};

use super::harness::{alone, init, init_with, parse};
use super::snapshot::snapshot;

/// The local rounds that charon gets, or the error.
fn local(round: Value) -> Result<String, String> {
    init();
    let json = json!({"name": "site", "local_auth": round}).to_string();
    match build(&parse(&json).unwrap().connections[0]) {
        Ok(built) => Ok(snapshot(&built.peer_cfg)["local"].clone()),
        Err(problems) => Err(problems.located(&Locations::default()).unwrap_err().message),
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
            json!({"cacerts": [path("ca.pem"), &me]}),
            "cacerts[1]",
            "a certificate of a CA",
            "me.pem",
        ),
        (
            json!({"ca_chain": {"root_ca": path("ca.pem"), "intermediate_cas": [&me]}}),
            "ca_chain.intermediate_cas[0]",
            "a certificate of a CA",
            "me.pem",
        ),
        (
            json!({"pubkeys": path("garbage")}),
            "pubkeys[0]",
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

/// The subject of a certificate, or what identifies its key; to be destroyed.
fn identity(of_key: bool, certificate: &[u8]) -> *mut sys::identification_t {
    // SAFETY: libstrongswan is initialized; the certificate is ours and lends its subject, the public key is
    // ours and lends its fingerprint.
    unsafe {
        let encoded = sys::chunk_t {
            ptr: certificate.as_ptr().cast_mut(),
            len: certificate.len(),
        };
        let certificate = call!(
            (*sys::lib).creds,
            create,
            sys::credential_type_t::CRED_CERTIFICATE,
            sys::certificate_type_t::CERT_X509,
            sys::builder_part_t::BUILD_BLOB_PEM,
            encoded,
            sys::builder_part_t::BUILD_END,
        )
        .cast::<sys::certificate_t>();
        let id = if of_key {
            let public = call!(certificate, get_public_key);
            let mut fingerprint = sys::chunk_t::default();
            let sha1 = sys::cred_encoding_type_t::KEYID_PUBKEY_SHA1;
            assert!(call!(public, get_fingerprint, sha1, &mut fingerprint));
            let key_id = sys::id_type_t::ID_KEY_ID;
            let id = sys::identification_create_from_encoding(key_id, fingerprint);
            call!(public, destroy);
            id
        } else {
            let subject = call!(certificate, get_subject);
            call!(subject, clone)
        };
        call!(certificate, destroy);
        id
    }
}

/// Where charon would look for what has to do with a certificate of this issuer.
pub fn distribution_points(kind: sys::certificate_type_t::Type, issuer: &[u8]) -> Vec<String> {
    let id = identity(kind != sys::certificate_type_t::CERT_X509, issuer);
    let mut found = Vec::new();
    // SAFETY: libstrongswan is initialized; the identity is ours; the enumerator lends its strings until the
    // next step.
    unsafe {
        let points = call!((*sys::lib).credmgr, create_cdp_enumerator, kind, id);
        let mut uri: *mut c_char = ptr::null_mut();
        while call!(points, enumerate, &mut uri as *mut *mut c_char) {
            found.push(CStr::from_ptr(uri).to_str().unwrap().to_owned());
        }
        call!(points, destroy);
        call!(id, destroy);
    }
    found
}

#[test]
fn an_authority_tells_charon_where_to_ask() {
    use sys::certificate_type_t::{CERT_X509, CERT_X509_CRL, CERT_X509_OCSP_RESPONSE};
    init();
    let pki = Pki::with_ca("ca");
    pki.add_ca("stranger");
    let points = |kind, name: &str| {
        let certificate = std::fs::read(pki.path(&format!("{name}.pem"))).unwrap();
        distribution_points(kind, &certificate)
    };
    let authorities = json!({"authorities": {"ca": {
        "cacert": pki.path("ca.pem"), "crl_uris": "http://a/1,http://b/2", "ocsp_uris": ["http://c"],
        "cert_uri_base": "http://d/",
    }}});
    let mut material = Material::default();
    let authorities = parse(&authorities.to_string()).unwrap().authorities;
    material.add_authority(&authorities[0]).unwrap();
    assert_eq!(points(CERT_X509_CRL, "ca"), [""; 0], "not registered yet");
    let credentials = material.register();
    assert_eq!(points(CERT_X509_CRL, "ca"), ["http://a/1", "http://b/2"]);
    assert_eq!(points(CERT_X509_OCSP_RESPONSE, "ca"), ["http://c"]);
    assert_eq!(points(CERT_X509, "ca"), ["http://d/"]);
    for kind in [CERT_X509_CRL, CERT_X509_OCSP_RESPONSE, CERT_X509] {
        assert_eq!(points(kind, "stranger"), [""; 0]);
    }
    drop(credentials);
    for kind in [CERT_X509_CRL, CERT_X509_OCSP_RESPONSE, CERT_X509] {
        assert_eq!(points(kind, "ca"), [""; 0]);
    }
}

#[test]
fn an_authority_is_a_ca() {
    init();
    let pki = Pki::with_ca("ca");
    pki.add_host("me", "ca");
    let file = pki.path("me.pem");
    let authorities = json!({"authorities": {"mine": {"file": &file}}}).to_string();
    let error = Material::default().add_authority(&parse(&authorities).unwrap().authorities[0]);
    let problem = error.unwrap_err();
    assert_eq!(problem.path, "authorities.mine.file");
    let why = format!("expected a certificate of a CA, found {file:?}");
    assert_eq!(problem.why, why);
}

/// Reads the only container of a document.
fn container(entry: Value) -> Result<Material, String> {
    let document = json!({"secrets": {"pkcs12": entry}}).to_string();
    let mut material = Material::default();
    let containers = parse(&document).unwrap().containers;
    match material.add_container(&containers[0]) {
        Ok(()) => Ok(material),
        Err(problem) => Err(format!("{}: {}", problem.path, problem.why)),
    }
}

/// Whether charon has the private key of the certificate.
fn has_key(pki: &Pki, certificate: &str) -> bool {
    let id = identity(true, pki.read(certificate).as_bytes());
    let (any, no_auth) = (sys::key_type_t::KEY_ANY, ptr::null_mut());
    // SAFETY: libstrongswan is initialized; the identity is ours, and the key a new reference.
    unsafe {
        let key = call!((*sys::lib).credmgr, get_private, any, id, no_auth);
        call!(id, destroy);
        if key.is_null() {
            return false;
        }
        call!(key, destroy);
    }
    true
}

#[test]
fn a_container_has_keys_and_certificates() {
    init();
    let pki = Pki::with_ca("ca");
    for (name, arguments) in &KEYS[..2] {
        pki.add_host_with(name, "ca", arguments);
        for (file, passphrase) in [("with", "hunter2"), ("without", "")] {
            pki.openssl(&format!(
                "pkcs12 -export -in {name}.pem -inkey {name}.key -certfile ca.pem -out {file}.p12 \
                 -passout pass:{passphrase}"
            ));
        }
        for entry in [
            json!({"file": pki.path("with.p12"), "secret": "hunter2"}),
            json!({"file": pki.path("without.p12")}),
        ] {
            let certificate = format!("{name}.pem");
            let material = container(entry).map_err(|e| panic!("{e}")).unwrap();
            assert!(!has_key(&pki, &certificate), "not registered yet");
            let credentials = material.register();
            assert!(has_key(&pki, &certificate));
            drop(credentials);
            assert!(!has_key(&pki, &certificate));
        }
    }
}

#[test]
fn a_container_that_is_of_no_use_is_named_with_its_path() {
    init();
    let pki = Pki::with_ca("ca");
    pki.add_host("me", "ca");
    pki.add_expired_host("old", "ca");
    for name in ["me", "old"] {
        pki.openssl(&format!(
            "pkcs12 -export -in {name}.pem -inkey {name}.key -out {name}.p12 -passout pass:hunter2"
        ));
    }
    for (file, secret, what) in [
        ("me.p12", Some("hunter3"), "that the passphrase decrypts"),
        ("me.p12", None, "that needs no passphrase"),
        ("me.pem", Some("hunter2"), "a PKCS#12 container"),
        ("none.p12", Some("hunter2"), "No such file"),
        ("old.p12", Some("hunter2"), "valid now"),
    ] {
        let mut entry = json!({"file": pki.path(file)});
        if let Some(secret) = secret {
            entry["secret"] = json!(secret);
        }
        let error = container(entry).err().unwrap();
        assert!(
            error.starts_with("secrets.pkcs12.file: expected "),
            "{error}"
        );
        assert!(error.contains(what), "{error}");
        assert!(
            error.ends_with(&format!("found {:?}", pki.path(file))),
            "{error}"
        );
        assert!(!error.contains("hunter"), "{error}");
    }
    let error = container(json!({"file": "no-such.p12"})).err().unwrap();
    assert!(error.contains("/etc/swanctl/pkcs12/no-such.p12"), "{error}");
}

#[test]
fn a_container_needs_a_plugin_of_charon() {
    alone(
        "credential_files::a_container_needs_a_plugin_of_charon",
        || {
            init_with(c"random nonce aes sha1 sha2 hmac kdf gmp pem pkcs1 x509 pubkey pkcs8");
            let error = container(json!({"file": "me.p12"})).err().unwrap();
            assert_eq!(
            error,
            "secrets.pkcs12.file: expected charon to have the plugin pkcs12, or openssl, for containers, \
             found \"me.p12\""
        );
        },
    );
}
