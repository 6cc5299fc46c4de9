// SPDX-License-Identifier: GPL-2.0-or-later

//! Where secrets are to be found after they were applied: in charon's credential set.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use extsock_lab::{connection, Client, GatewayOptions, PSK};
use memchr::memmem;
use serde_json::json;

use crate::authentication::EapLab;

/// Not in this file as they are, so that only the test's own memory has them.
fn secret(what: &str) -> String {
    format!("{what}-that-nobody-{}", "may-find")
}

/// The mappings of charon's memory that have the bytes, one entry for each place.
pub(crate) fn places(client: &Client, bytes: &[u8]) -> Vec<String> {
    let process = format!("/proc/{}", client.pid());
    let maps = fs::read_to_string(format!("{process}/maps")).expect("charon runs");
    let memory = File::open(format!("{process}/mem")).expect("the tests run as root");
    let mut places = Vec::new();
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').expect("a range and more");
        let (start, end) = range.split_once('-').expect("from and to");
        let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).expect("hex"));
        if !rest.starts_with('r') || rest.contains("[v") {
            continue;
        }
        let mut content = vec![0; usize::try_from(end - start).expect("it is mapped")];
        // What is mapped beyond the end of its file cannot be read.
        if memory.read_exact_at(&mut content, start).is_ok() {
            let found = memmem::find_iter(&content, bytes);
            places.extend(found.map(|offset| format!("{offset:x} in {line}")));
        }
    }
    places
}

/// The bytes of a text as Windows has it, of which EAP-MSCHAPv2 makes a hash.
fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn charon_keeps_one_copy_of_a_secret_and_none_of_a_passphrase() {
    let (psk, password, passphrase) = (secret("psk"), secret("password"), secret("passphrase"));
    let lab = EapLab::new("eap-mschapv2");
    lab.pki.openssl(&format!(
        "pkcs8 -topk8 -in client.key -passout pass:{passphrase} -out client.enc"
    ));
    let mut options = GatewayOptions::default().edited(&[(PSK, &psk)]);
    options.networks = vec![3];
    let _psk_gateway = lab.lab.gateway_with(12, options);
    let _eap_gateway = lab.gateway(11, &password);
    let client = lab.client();
    let mut control = client.connect();
    let mut config = lab.config(&password);
    config["connections"]["psk"] = connection("psk", &[12], &[3])["connections"]["psk"].clone();
    config["connections"]["other"] = config["connections"]["psk"].clone();
    config["connections"]["other"]["local_auth"] = json!({
        "auth": "cert",
        "cert": lab.pki.path("client.pem"),
        "private_key": lab.pki.path("client.enc"),
        "private_key_passphrase": passphrase,
    });
    config["secrets"]["ike"] = json!({"id": "segw", "secret": psk});

    // Refused and taken, compact and over many lines.
    let mut refused = config.clone();
    refused["connections"]["other"]["version"] = json!(3);
    control.error(&format!("APPLY_CONFIG {refused}"));
    refused["connections"]["other"]["version"] = json!(2);
    refused["connections"]["other"]["local_auth"]["cert"] = json!("none");
    control.error(&format!("APPLY_CONFIG {refused}"));
    control.ok(&format!("APPLY_CONFIG {config}"));
    control.apply(&config);
    for name in ["net", "psk"] {
        control.ok(&format!("INITIATE {name}"));
        control.wait_event("tunnel_up");
    }

    for (secret, copies) in [(&psk, 1), (&password, 1), (&passphrase, 0)] {
        let found = places(&client, secret.as_bytes());
        assert_eq!(found.len(), copies, "{secret}: {found:#?}");
    }
    for name in ["net", "psk", "other"] {
        control.ok(&format!("REMOVE_CONFIG {name}"));
    }
    let events: Vec<String> = control.events().iter().map(|e| format!("{e:?}")).collect();
    let told = [client.full_log(), client.output(), events.concat()];
    for secret in [&psk, &password, &passphrase] {
        assert_eq!(places(&client, secret.as_bytes()), [""; 0], "{secret}");
        assert_eq!(places(&client, &utf16(secret)), [""; 0], "{secret}");
        assert!(!told.iter().any(|text| text.contains(secret)), "{secret}");
    }
}
