// SPDX-License-Identifier: GPL-2.0-or-later

//! Authentication with certificates and passwords.

use extsock_lab::{
    net, plugins, Client, ClientOptions, Extsock, Gateway, GatewayOptions, Lab, Pki,
};
use serde_json::{json, Value};

use crate::{expect_failover, Hosts, Tunnel};

/// A gateway that has its certificate, `segw.pem`, and one CA.
pub(crate) fn gateway(segw: &Pki, ca: &Pki) -> GatewayOptions {
    let mut options = GatewayOptions::default().edited(&[
        (
            "auth = psk\n id = segw",
            "auth = pubkey\n id = segw\n certs = segw.pem",
        ),
        ("remote {\n auth = psk", "remote {\n auth = pubkey"),
    ]);
    options.files = vec![
        ("x509/segw.pem", segw.read("segw.pem")),
        ("private/segw.key", segw.read("segw.key")),
        ("x509ca/ca.pem", ca.read("ca.pem")),
    ];
    options
}

/// Connection `net` with the certificates of the client, whose key is in clear.
pub(crate) fn config(pki: &Pki) -> Value {
    let mut config = net(&[11, 12]);
    config.as_object_mut().unwrap().remove("secrets");
    let net = &mut config["connections"]["net"];
    net["local_auth"] = json!({
        "auth": "cert",
        "id": "client",
        "cert": pki.path("client.pem"),
        "private_key": pki.path("client.key"),
    });
    net["remote_auth"] = json!({"auth": "cert", "id": "segw", "ca_cert": pki.path("ca.pem")});
    config
}

/// A CA, a gateway's certificate and the client's.
pub(crate) fn pki() -> Pki {
    let pki = Pki::with_ca("ca");
    pki.add_host("segw", "ca");
    pki.add_host("client", "ca");
    pki
}

#[test]
fn gateways_with_certificates_take_over_from_each_other() {
    let pki = pki();
    let hosts = Hosts::with_gateways(gateway(&pki, &pki));
    let mut tunnel = Tunnel::loaded_at(hosts, &config(&pki)).initiate();

    tunnel.gateway_1.kill();
    expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    tunnel.client.ping("10.2.0.1");
    tunnel.gateway_1.restart();
    tunnel.gateway_2.kill();
    expect_failover(&mut tunnel.control, 12, 11, "dpd_timeout");
    tunnel.client.ping("10.2.0.1");

    // What it brought goes with it.
    assert!(tunnel
        .client
        .swanctl(&["--list-certs"])
        .contains("CN=client"));
    tunnel.control.ok("REMOVE_CONFIG net");
    assert_eq!(tunnel.client.swanctl(&["--list-certs"]), "");
}

#[test]
fn an_encrypted_key_and_a_chain_of_cas_are_used() {
    let pki = Pki::with_ca("ca");
    pki.add_host("segw", "ca");
    pki.add_intermediate("sub", "ca");
    pki.add_host_with(
        "client",
        "sub",
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    );
    pki.openssl("pkcs8 -topk8 -in client.key -passout pass:open-sesame -out client.enc");
    let lab = Lab::new();
    // It knows the root only.
    let _gateway = lab.gateway_with(11, gateway(&pki, &pki));
    let client = lab.client();
    let mut control = client.connect();
    let mut config = config(&pki);
    let local = &mut config["connections"]["net"]["local_auth"];
    local["private_key"] = json!(pki.path("client.enc"));
    local["private_key_passphrase"] = json!("open-sesame");
    local["ca_chain"] =
        json!({"root_ca": pki.path("ca.pem"), "intermediate_cas": [pki.path("sub.pem")]});
    control.apply(&config);
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    client.ping("10.2.0.1");
}

#[test]
fn a_key_of_the_secrets_is_used_and_goes_with_its_connections() {
    let pki = pki();
    let lab = Lab::new();
    let _gateway = lab.gateway_with(11, gateway(&pki, &pki));
    let client = lab.client();
    let mut control = client.connect();
    let mut config = config(&pki);
    let local = config["connections"]["net"]["local_auth"].as_object_mut();
    local.unwrap().remove("private_key");
    config["secrets"] = json!({"ecdsa": {"file": pki.path("none.key")}});
    let error = control.error(&format!("APPLY_CONFIG {config}"));
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("secrets.ecdsa.file: "), "{error}");
    expect_nothing(&mut control);

    config["secrets"] = json!({"ecdsa": {"file": pki.path("client.key")}});
    control.apply(&config);
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    client.ping("10.2.0.1");
    let has_key = || {
        client
            .swanctl(&["--list-certs"])
            .contains("has private key")
    };
    assert!(has_key());
    config.as_object_mut().unwrap().remove("secrets");
    control.apply(&config);
    assert!(!has_key());

    // Without connections it is nobody's.
    let key = json!({"secrets": {"private": {"file": pki.path("client.key")}}});
    control.ok(&format!("APPLY_CONFIG {key}"));
    assert!(has_key());
}

#[test]
fn a_container_of_the_secrets_has_all_that_a_round_needs() {
    let pki = pki();
    pki.openssl(
        "pkcs12 -export -in client.pem -inkey client.key -certfile ca.pem -out client.p12 \
         -passout pass:open-sesame",
    );
    let lab = Lab::new();
    let _gateway = lab.gateway_with(11, gateway(&pki, &pki));
    let client = lab.client();
    let mut control = client.connect();
    let mut config = config(&pki);
    let net = &mut config["connections"]["net"];
    net["local_auth"] = json!({"auth": "cert", "id": "client"});
    net["remote_auth"] = json!({"auth": "cert", "id": "segw"});
    config["secrets"] =
        json!({"pkcs12": {"file": pki.path("client.p12"), "secret": "open-sesame"}});
    control.apply(&config);
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    client.ping("10.2.0.1");
    control.ok("REMOVE_CONFIG net");
    let left = client.swanctl(&["--list-certs"]);
    assert!(!left.contains("CN=client"), "{left}");
}

#[test]
fn a_gateway_of_another_ca_is_refused() {
    let foreign = Pki::with_ca("ca");
    foreign.add_host("segw", "ca");
    fails_over_from(|pki| gateway(&foreign, pki));
}

#[test]
fn a_client_of_another_ca_is_refused() {
    let foreign = Pki::with_ca("ca");
    fails_over_from(|pki| gateway(pki, &foreign));
}

/// From a gateway 11 with these options, as authentication fails there.
#[track_caller]
fn fails_over_from(options: impl FnOnce(&Pki) -> GatewayOptions) {
    let pki = pki();
    let lab = Lab::new();
    let _gateway_1 = lab.gateway_with(11, options(&pki));
    let _gateway_2 = lab.gateway_with(12, gateway(&pki, &pki));
    let client = lab.client();
    let mut control = client.connect();
    control.apply(&config(&pki));
    control.ok("INITIATE net");
    expect_failover(&mut control, 11, 12, "auth_failed");
    client.ping("10.2.0.1");
}

/// Gateways 11 and 12 that ask for a password in EAP, of which only the second has Alice's.
pub(crate) struct EapLab {
    pub(crate) lab: Lab,
    pub(crate) pki: Pki,
    method: &'static str,
    settings: String,
}

impl EapLab {
    pub(crate) fn new(method: &'static str) -> Self {
        Self {
            lab: Lab::new(),
            pki: pki(),
            method,
            // charon answers a wrong password in EAP-MSCHAPv2 only after 2 seconds.
            settings: format!(
                "retransmit_tries = 5\n load = {} vici updown eap-identity {method}",
                plugins()
            ),
        }
    }

    pub(crate) fn gateway(&self, number: u8, password: &str) -> Gateway {
        let mut options = gateway(&self.pki, &self.pki);
        options.settings.clone_from(&self.settings);
        let remote = format!("remote {{\n auth = {}\n eap_id = %any", self.method);
        let secret = format!("secrets {{\n eap {{\n id = alice\n secret = {password}\n }}\n ");
        let options = options.edited(&[
            ("remote {\n auth = pubkey", &remote),
            ("secrets {\n", &secret),
        ]);
        self.lab.gateway_with(number, options)
    }

    pub(crate) fn client(&self) -> Client {
        self.lab.client_with(ClientOptions {
            settings: format!("{} extsock", self.settings),
            ..ClientOptions::default()
        })
    }

    pub(crate) fn config(&self, password: &str) -> Value {
        let mut config = config(&self.pki);
        config["connections"]["net"]["local_auth"] =
            json!({"auth": self.method, "id": "client", "eap_id": "alice"});
        config["secrets"] = json!({"eap-alice": {"id": "alice", "secret": password}});
        config
    }
}

#[track_caller]
fn test_password(method: &'static str) {
    let lab = EapLab::new(method);
    let _gateway_1 = lab.gateway(11, "hare");
    let _gateway_2 = lab.gateway(12, "rabbit");
    let client = lab.client();
    let mut control = client.connect();
    control.apply(&lab.config("rabbit"));
    control.ok("INITIATE net");
    expect_failover(&mut control, 11, 12, "auth_failed");
    client.ping("10.2.0.1");
}

#[test]
fn a_password_in_eap_md5() {
    test_password("eap-md5");
}

#[test]
fn a_password_in_eap_mschapv2() {
    test_password("eap-mschapv2");
}

#[test]
fn a_password_in_xauth_after_a_pre_shared_key_with_ikev1() {
    let lab = Lab::new();
    let with = |more: &str| format!("load = {} vici updown xauth-generic {more}", plugins());
    let mut gateway = GatewayOptions::ikev1().edited(&[
        (
            "remote {\n auth = psk\n }",
            "remote {\n auth = psk\n }\n remote-user {\n auth = xauth\n }",
        ),
        (
            "secrets {\n",
            "secrets {\n xauth {\n id = alice\n secret = rabbit\n }\n ",
        ),
    ]);
    gateway.settings = with("");
    let _gateway = lab.gateway_with(11, gateway);
    let client = lab.client_with(ClientOptions {
        settings: with("extsock"),
        ..ClientOptions::default()
    });
    let mut control = client.connect();
    let mut config = net(&[11, 12]);
    let connection = &mut config["connections"]["net"];
    connection["version"] = json!(1);
    connection.as_object_mut().unwrap().remove("local_auth");
    connection["local"] = json!([
        {"auth": "psk", "id": "client"},
        {"auth": "xauth", "xauth_id": "alice"},
    ]);
    config["secrets"]["xauth"] = json!([{"id": "alice", "secret": "rabbit"}]);
    control.apply(&config);
    control.ok("INITIATE net");
    control.wait_event("tunnel_up");
    client.ping("10.2.0.1");
}

#[test]
fn a_bad_file_leaves_everything_as_it_is() {
    let pki = pki();
    let lab = Lab::new();
    let client = lab.client();
    let mut control = client.connect();
    let good = config(&pki);
    let bad = |field: &str, file: &str| {
        let mut config = good.clone();
        config["connections"]["other"] = config["connections"]["net"].clone();
        config["connections"]["other"]["local_auth"][field] = json!(pki.path(file));
        config
    };
    for (field, file) in [("cert", "none.pem"), ("private_key", "segw.key")] {
        let error = control.error(&format!("APPLY_CONFIG {}", bad(field, file)));
        let message = error["message"].as_str().unwrap_or_default();
        let path = format!("connections.other.local_auth.{field}: ");
        assert!(message.starts_with(&path), "{error}");
        assert!(message.contains(file), "{error}");
        expect_nothing(&mut control);
        assert_eq!(client.swanctl(&["--list-certs"]), "");
    }
}

fn expect_nothing(control: &mut Extsock) {
    assert_eq!(control.ok("LIST")["connections"], json!([]));
}
