// SPDX-License-Identifier: GPL-2.0-or-later

//! Where secrets are to be found after they were applied: in charon's credential set.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use extsock_lab::{connection, wait, Client, GatewayOptions, Lab, PSK};
use memchr::memmem;
use serde_json::json;

use crate::authentication::EapLab;

/// Not in this file as they are, so that only the test's own memory has them.
fn secret(what: &str) -> String {
    format!("{what}-that-nobody-{}", "may-find")
}

/// Where charon's memory has some bytes.
#[derive(Debug)]
pub(crate) struct Place {
    /// Whether it is in core dumps.
    pub(crate) is_dumped: bool,
    #[expect(dead_code, reason = "for messages")]
    mapping: String,
}

/// All places of charon's memory that have the bytes.
pub(crate) fn places(client: &Client, bytes: &[u8]) -> Vec<Place> {
    let process = format!("/proc/{}", client.pid());
    let smaps = fs::read_to_string(format!("{process}/smaps")).expect("charon runs");
    let memory = File::open(format!("{process}/mem")).expect("the tests run as root");
    let mut places = Vec::new();
    // A mapping's flags are the last of its lines.
    for mapping in smaps
        .split_inclusive("VmFlags:")
        .collect::<Vec<_>>()
        .windows(2)
    {
        let [mapping, flags] = mapping else { continue };
        let flags = flags.lines().next().unwrap_or_default();
        let is_dumped = !flags.split(' ').any(|flag| flag == "dd");
        let line = mapping
            .lines()
            .find(|line| line.contains('-'))
            .expect("a range");
        let (range, rest) = line.split_once(' ').expect("a range and more");
        let (start, end) = range.split_once('-').expect("from and to");
        let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).expect("hex"));
        if !rest.starts_with('r') || rest.contains("[v") {
            continue;
        }
        let mut content = vec![0; usize::try_from(end - start).expect("it is mapped")];
        // What is mapped beyond the end of its file cannot be read.
        if memory.read_exact_at(&mut content, start).is_ok() {
            places.extend(memmem::find_iter(&content, bytes).map(|offset| Place {
                is_dumped,
                mapping: format!("{offset:x} in {line}:{flags}"),
            }));
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
        assert!(!found.iter().any(|place| place.is_dumped), "{found:#?}");
    }
    for name in ["net", "psk", "other"] {
        control.ok(&format!("REMOVE_CONFIG {name}"));
    }
    let events: Vec<String> = control.events().iter().map(|e| format!("{e:?}")).collect();
    let told = [client.full_log(), client.output(), events.concat()];
    for secret in [&psk, &password, &passphrase] {
        for bytes in [secret.clone().into_bytes(), utf16(secret)] {
            let found = places(&client, &bytes);
            assert!(found.is_empty(), "{secret}: {found:#?}");
        }
        assert!(!told.iter().any(|text| text.contains(secret)), "{secret}");
    }
}

#[test]
fn a_request_is_in_no_core_dump_while_it_is_read() {
    let lab = Lab::new();
    let client = lab.client();
    let mut control = client.connect();
    // An escape, for which the parser needs a buffer of its own.
    let secret = secret("esc\u{e9}ped");
    let escaped = secret.replace('\u{e9}', "\\u00e9");
    let begin = format!(r#"APPLY_CONFIG {{"secrets": {{"ike": {{"secret": "{escaped}","#);
    let (done, is_done) = mpsc::channel::<()>();
    let sender = thread::spawn(move || {
        control.send(begin.as_bytes());
        // A pause would end the request.
        while is_done.recv_timeout(Duration::from_millis(50)) == Err(RecvTimeoutError::Timeout) {
            control.send(b" ");
        }
        control
    });
    let found = wait::until("charon has a part of the request", || {
        let found = places(&client, escaped.as_bytes());
        (!found.is_empty()).then_some(found)
    });
    assert!(!found.iter().any(|place| place.is_dumped), "{found:#?}");
    drop(done);

    let mut control = sender.join().expect("the plugin reads");
    control.send(br#" "id": "nobody"}}}"#);
    assert_eq!(control.reply()["ok"], true);
    let found = places(&client, secret.as_bytes());
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(!found[0].is_dumped, "{found:#?}");
    let read = places(&client, escaped.as_bytes());
    assert!(read.is_empty(), "{read:#?}");
}
