// SPDX-License-Identifier: GPL-2.0-or-later

//! Authentication with what is on a PKCS#11 token.

use extsock_lab::{plugins, token, Client, ClientOptions, Extsock, Lab, Pki, Token};
use serde_json::{json, Value};

use crate::authentication::{gateway, pki};
use crate::secrecy::places;
use crate::{expect_failover, Hosts, Tunnel};

pub(crate) const PIN: &str = "24681357";
/// Of the client's certificate and key.
const CLIENT: &str = "01";
const CA: &str = "0aff";

/// With all that the client needs.
pub(crate) fn token<'a>(pki: &'a Pki, pin: &str) -> Token<'a> {
    let token = Token::new(pki, pin);
    token.add_key("client", CLIENT);
    token.add_certificate("client", CLIENT);
    token.add_certificate("ca", CA);
    token
}

pub(crate) fn client(lab: &Lab, token: &Token) -> Client {
    lab.client_with(options(token))
}

/// A client that has the token.
fn options(token: &Token) -> ClientOptions {
    let extsock = "extsock {\n config_dir = /run/lab\n }";
    ClientOptions {
        settings: format!(
            "load = {} vici updown pkcs11 extsock\n plugins {{\n {}\n {extsock}\n }}",
            plugins(),
            Token::settings()
        ),
        environment: vec![token.environment()],
        ..ClientOptions::default()
    }
}

/// The guide's example as connection `net`, with the lab's addresses and names.
fn config(token: &Token, pin: &str) -> Value {
    let example = include_str!("../../../../docs/examples/token.json");
    let mut config: Value = serde_json::from_str(example).expect("JSON");
    let site = config["connections"]["site"].take();
    config["connections"] = extsock_lab::net(&[11, 12])["connections"].take();
    let net = config["connections"]["net"]
        .as_object_mut()
        .expect("an object");
    net.retain(|option, _| !option.ends_with("_auth"));
    for (side, id) in [("local", "client"), ("remote", "segw")] {
        net.insert(side.to_owned(), site[side].clone());
        net[side]["id"] = json!(id);
    }
    let key = &mut config["secrets"]["token-site"];
    key["pin"] = json!(pin);
    key["slot"] = json!(token.slot());
    key["module"] = json!(token::MODULE);
    config
}

fn has_key(client: &Client) -> bool {
    let certificates = client.swanctl(&["--list-certs"]);
    certificates.contains("has private key")
}

#[test]
fn a_key_that_asks_for_its_pin_at_each_signature_takes_part_in_a_failover() {
    let pki = pki();
    let token = token(&pki, PIN);
    let hosts = Hosts {
        client: options(&token),
        ..Hosts::with_gateways(gateway(&pki, &pki))
    };
    let mut tunnel = Tunnel::loaded_at(hosts, &config(&token, PIN)).initiate();

    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    tunnel.client.ping("10.2.0.1");

    // What it brought goes with it, and what is there at the end is in charon's way no more.
    assert!(has_key(&tunnel.client));
    tunnel.control.ok("REMOVE_CONFIG net");
    assert_eq!(tunnel.client.swanctl(&["--list-certs"]), "");
    tunnel.control.apply(&config(&token, PIN));
    assert!(has_key(&tunnel.client));
    let (status, _) = tunnel.client.stop();
    assert!(status.success(), "{status}");
}

#[test]
fn what_a_token_does_not_have_is_told_and_leaves_everything_as_it_is() {
    let pki = pki();
    pki.add_expired_host("old", "ca");
    let token = token(&pki, PIN);
    token.add_certificate("old", "02");
    let lab = Lab::new();
    let client = client(&lab, &token);
    let mut control = client.connect();
    let good = config(&token, PIN);
    let local = |options: Value| json!({"connections": {"net": {"local": options}}});
    let key = "secrets.token-site";
    let cert = "connections.net.local";
    for (bad, expected) in [
        (
            json!({"secrets": {"token-site": {"handle": CLIENT, "pin": "12345678"}}}),
            format!("{key}.pin: expected the PIN of a token that has a private key with the handle, found another"),
        ),
        (
            json!({"secrets": {"token-site": {"handle": CLIENT}}}),
            format!("{key}.handle: expected the CKA_ID of a private key on a token that needs no PIN, found \"01\""),
        ),
        (
            json!({"secrets": {"token-site": {"handle": "0xAB:c", "pin": PIN}}}),
            format!("{key}.handle: expected the CKA_ID of a private key on a token, found \"0abc\""),
        ),
        (
            json!({"secrets": {"token-site": {"handle": CLIENT, "slot": 7, "pin": PIN}}}),
            format!("{key}.handle: expected the CKA_ID of a private key on a token in slot 7, found \"01\""),
        ),
        (
            json!({"secrets": {"token-site": {"handle": CLIENT, "slot": 7, "module": "softhsm", "pin": PIN}}}),
            format!("{key}.handle: expected the CKA_ID of a private key on a token in slot 7 of module softhsm, found \"01\""),
        ),
        (
            json!({"secrets": {"token-site": {"handle": CLIENT, "slot": 7, "module": "opensc", "pin": PIN}}}),
            format!("{key}.module: expected one of charon.plugins.pkcs11.modules in strongswan.conf (softhsm), found \"opensc\""),
        ),
        // Which charon would pass over.
        (
            json!({"secrets": {"token-site": {"handle": CLIENT, "module": "opensc", "pin": PIN}}}),
            format!("{key}.module: expected one of charon.plugins.pkcs11.modules in strongswan.conf (softhsm), found \"opensc\""),
        ),
        (
            local(json!({"cert": {"handle": "03"}})),
            format!("{cert}.cert.handle: expected the CKA_ID of an X.509 certificate on a token, found \"03\""),
        ),
        (
            local(json!({"cert-1": {"handle": CLIENT, "slot": 7}})),
            format!("{cert}.cert-1.handle: expected the CKA_ID of an X.509 certificate on a token in slot 7, found \"01\""),
        ),
        (
            local(json!({"cert": {"handle": CLIENT, "module": "opensc"}})),
            format!("{cert}.cert.module: expected one of charon.plugins.pkcs11.modules in strongswan.conf (softhsm), found \"opensc\""),
        ),
        (
            local(json!({"cert": {"handle": "02"}})),
            format!("{cert}.cert.handle: expected a certificate that is valid now, neither expired nor of the future, found \"02\""),
        ),
        (
            local(json!({"cacert": {"handle": CLIENT}})),
            format!("{cert}.cacert.handle: expected a certificate of a CA, found \"01\""),
        ),
        (
            local(json!({"cert": {"handle": CLIENT}, "private_key": pki.path("segw.key")})),
            format!("{cert}.private_key: expected the key of cert.handle \"01\", found {:?}", pki.path("segw.key")),
        ),
        (
            json!({"authorities": {"ca": {"handle": "04"}}}),
            "authorities.ca.handle: expected the CKA_ID of an X.509 certificate on a token, found \"04\"".to_owned(),
        ),
    ] {
        let error = control.error(&format!("APPLY_CONFIG {bad}"));
        let message = error["message"].as_str().unwrap_or_default();
        let (message, place) = message.rsplit_once(" at line 1 column ").expect(message);
        assert_eq!(message, expected);
        assert!(place.parse::<u32>().is_ok_and(|column| column > 10), "{error}");
        assert_eq!(control.ok("LIST")["connections"], json!([]));
        assert_eq!(client.swanctl(&["--list-certs"]), "");
    }
    // No attempt too many: the token is opened by the next one.
    assert_eq!(client.log().matches("PIN_INCORRECT").count(), 1);
    control.apply(&good);
    assert!(has_key(&client));
    // Nor is there one while charon is logged in.
    let wrong = json!({"secrets": {"token-b": {"handle": CLIENT, "pin": "12345678"}}});
    control.ok(&format!("APPLY_CONFIG {wrong}"));
    assert_eq!(client.log().matches("PIN_INCORRECT").count(), 1);
}

#[test]
fn a_charon_without_the_plugin_is_told_of() {
    let lab = Lab::new();
    let client = lab.client();
    let mut control = client.connect();
    let key = json!({"secrets": {"token": {"handle": CLIENT, "pin": PIN}}});
    let authority = json!({"authorities": {"ca": {"handle": CA}}});
    for (document, section) in [(key, "secrets.token"), (authority, "authorities.ca")] {
        let error = control.error(&format!("APPLY_CONFIG {document}"));
        let message = error["message"].as_str().unwrap_or_default();
        let expected = format!(
            "{section}.handle: expected charon to have the plugin pkcs11, for tokens, found "
        );
        assert!(message.starts_with(&expected), "{error}");
    }
}

#[test]
fn a_strongswan_conf_without_modules_is_told_of() {
    let lab = Lab::new();
    let client = lab.client_with(ClientOptions {
        settings: format!("load = {} vici updown pkcs11 extsock", plugins()),
        ..ClientOptions::default()
    });
    let authority = json!({"authorities": {"ca": {"handle": CA, "module": token::MODULE}}});
    let error = client.connect().error(&format!("APPLY_CONFIG {authority}"));
    let expected = "authorities.ca.module: expected none, as strongswan.conf has no \
                    charon.plugins.pkcs11.modules, found \"softhsm\"";
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.starts_with(expected), "{error}");
}

#[test]
fn the_pin_of_an_rsa_key_is_there_once_and_as_long_as_the_key() {
    // Not in this file as it is, so that only the test's own memory has it.
    let pin = format!("pin-{}", "that-nobody-may-find");
    let pki = Pki::with_ca("ca");
    pki.add_host("segw", "ca");
    let rsa = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    pki.add_host_with("client", "ca", &rsa);
    let token = token(&pki, &pin);
    let lab = Lab::new();
    let _gateway = lab.gateway_with(11, gateway(&pki, &pki));
    let client = client(&lab, &token);
    let mut control = client.connect();
    let found = || places(&client, pin.as_bytes());
    let expect_one = || {
        let found = found();
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(!found[0].is_dumped, "{found:#?}");
    };

    let mut refused = config(&token, &pin);
    refused["authorities"]["site-ca"]["handle"] = json!("04");
    control.error(&format!("APPLY_CONFIG {refused}"));
    assert!(found().is_empty(), "{:#?}", found());
    control.apply(&config(&token, &pin));
    control.ok(&format!("APPLY_CONFIG {}", config(&token, &pin)));
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    expect_one();
    control.ok("REMOVE_CONFIG net");
    assert!(found().is_empty(), "{:#?}", found());

    // Of a document without connections.
    let mut alone = config(&token, &pin);
    alone.as_object_mut().unwrap().remove("connections");
    control.ok(&format!("APPLY_CONFIG {alone}"));
    expect_one();
    control.ok(r#"APPLY_CONFIG {"secrets": {}}"#);
    assert!(found().is_empty(), "{:#?}", found());

    let events: Vec<String> = control.events().iter().map(|e| format!("{e:?}")).collect();
    let told = [client.full_log(), client.output(), events.concat()];
    assert!(!told.iter().any(|text| text.contains(&pin)));
}

#[test]
fn a_certificate_that_was_renewed_on_the_token_is_taken_at_a_reload() {
    let pki = pki();
    let token = token(&pki, PIN);
    let lab = Lab::new();
    let client = client(&lab, &token);
    let mut control = client.connect();
    client.write("net.json", &config(&token, PIN).to_string());
    let loaded = |control: &mut Extsock| {
        assert_eq!(control.ok("RELOAD")["failed"], json!([]));
        client.swanctl(&["--list-certs", "--type", "x509", "--flag", "none"])
    };
    let first = loaded(&mut control);
    assert!(first.contains("has private key"), "{first}");
    let applied = |control: &Extsock| control.events_named("config_applied").len();
    let count = applied(&control);
    assert_eq!(loaded(&mut control), first);
    assert_eq!(applied(&control), count, "left alone");

    let before = pki.read("client.pem");
    pki.renew("client", "ca");
    assert_ne!(pki.read("client.pem"), before);
    token.remove_certificate(CLIENT);
    token.add_certificate("client", CLIENT);
    let second = loaded(&mut control);
    assert_ne!(second, first);
    assert!(second.contains("has private key"), "{second}");
}
