// SPDX-License-Identifier: GPL-2.0-or-later

//! Where secrets are to be found after they were applied: in charon's credential set.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use extsock_lab::{net, Client, Lab, Pki};
use memchr::memmem;
use serde_json::json;

/// Not in this file as they are, so that only the test's own memory has them.
fn secret(what: &str) -> String {
    format!("{what}-that-nobody-{}", "may-find")
}

/// The mappings of charon's memory that have the bytes, one entry for each place.
fn places(client: &Client, bytes: &[u8]) -> Vec<String> {
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

#[test]
fn charon_keeps_one_copy_of_a_secret_and_none_of_a_passphrase() {
    let pki = Pki::with_ca("ca");
    pki.add_host("client", "ca");
    let (psk, password, passphrase) = (secret("psk"), secret("password"), secret("passphrase"));
    pki.openssl(&format!(
        "pkcs8 -topk8 -in client.key -passout pass:{passphrase} -out client.enc"
    ));
    let lab = Lab::new();
    let client = lab.client();
    let mut control = client.connect();
    let mut config = net(&[11, 12]);
    let auth = json!({
        "auth": "cert",
        "cert": pki.path("client.pem"),
        "private_key": pki.path("client.enc"),
        "private_key_passphrase": passphrase,
    });
    config["connections"]["other"] = config["connections"]["net"].clone();
    config["connections"]["other"]["local_auth"] = auth;
    config["secrets"] = json!({
        "ike": {"id": "segw", "secret": psk},
        "eap": {"id": "alice", "secret": password},
    });

    // Refused and taken, compact and over many lines.
    let mut refused = config.clone();
    refused["connections"]["other"]["version"] = json!(3);
    control.error(&format!("APPLY_CONFIG {refused}"));
    refused["connections"]["other"]["version"] = json!(2);
    refused["connections"]["other"]["local_auth"]["cert"] = json!("none");
    control.error(&format!("APPLY_CONFIG {refused}"));
    control.ok(&format!("APPLY_CONFIG {config}"));
    control.apply(&config);

    for (secret, copies) in [(&psk, 1), (&password, 1), (&passphrase, 0)] {
        let found = places(&client, secret.as_bytes());
        assert_eq!(found.len(), copies, "{secret}: {found:#?}");
    }
    control.ok("REMOVE_CONFIG net");
    control.ok("REMOVE_CONFIG other");
    let events: Vec<String> = control.events().iter().map(|e| format!("{e:?}")).collect();
    let told = [client.full_log(), client.output(), events.concat()];
    for secret in [&psk, &password, &passphrase] {
        assert_eq!(places(&client, secret.as_bytes()), [""; 0], "{secret}");
        assert!(!told.iter().any(|text| text.contains(secret)), "{secret}");
    }
}
