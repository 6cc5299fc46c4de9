// SPDX-License-Identifier: GPL-2.0-or-later

//! What is to hold for any input that comes from outside.

use extsock_core::config;
use extsock_core::domain::address::AddressList;
use extsock_core::protocol::{parse, Framer, Reply};
use extsock_core::strongswan::Version;
use serde_json::Value;

/// Requests are the same however the stream is cut, and each gets a reply of one line.
pub fn framer(data: &[u8]) {
    const MAX_REQUEST: usize = 64;
    let (cut, stream) = data
        .split_first()
        .map_or((0, data), |(cut, rest)| (*cut, rest));
    let size = usize::from(cut).max(1);
    let requests = |chunks: &mut dyn Iterator<Item = &[u8]>| {
        let mut framer = Framer::new(MAX_REQUEST);
        for chunk in chunks {
            framer.push(chunk);
        }
        framer.end();
        assert!(!framer.is_partial());
        let all = std::iter::from_fn(|| framer.next_request());
        all.map(|request| request.map(|text| text.to_string()))
            .collect::<Vec<_>>()
    };
    let whole = requests(&mut std::iter::once(stream));
    assert_eq!(requests(&mut stream.chunks(size)), whole);
    for request in whole {
        let Err(rejection) = request.and_then(|text| parse(&text, Version::NEWEST)) else {
            continue;
        };
        let line = Reply::from(rejection).to_line();
        assert_eq!(line.find('\n'), Some(line.len() - 1));
    }
}

/// A configuration is read, or refused with a message; either is the same again.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let first = config::parse(text, Version::NEWEST);
    let second = config::parse(text, Version::NEWEST);
    match (first, second) {
        (Ok(one), Ok(two)) => assert!(one == two),
        (Err(one), Err(two)) => {
            assert_eq!(one, two);
            assert!(!one.message.is_empty());
        }
        _ => panic!("once it is read, and once it is not"),
    }
    no_error_shows_a_secret(text);
}

/// The options that are secrets.
const SECRETS: [&str; 3] = ["secret", "private_key_passphrase", "pin"];

/// With a known text in place of each secret.
fn no_error_shows_a_secret(text: &str) {
    const KNOWN: &str = "Xq7-known-Xq7";
    let has_secrets = SECRETS.iter().any(|key| text.contains(key));
    if !has_secrets || text.contains(KNOWN) {
        return;
    }
    let Ok(mut document) = serde_json::from_str(text) else {
        return;
    };
    // Also as what should be hexadecimal, or base64.
    for prefix in ["", "0x", "0s"] {
        replace_secrets(&mut document, &format!("{prefix}{KNOWN}"));
        if let Err(error) = config::parse(&document.to_string(), Version::NEWEST) {
            assert!(!error.message.contains(KNOWN), "{}", error.message);
        }
    }
}

fn replace_secrets(value: &mut Value, by: &str) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(text) if SECRETS.contains(&key.as_str()) => *text = by.to_owned(),
                    other => replace_secrets(other, by),
                }
            }
        }
        Value::Array(array) => array
            .iter_mut()
            .for_each(|value| replace_secrets(value, by)),
        _ => {}
    }
}

/// A list leads round, and what it shows is read as the same list.
pub fn address_list(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let list = AddressList::parse(text);
    let shown: Vec<String> = list.gateways().iter().map(ToString::to_string).collect();
    let again = AddressList::parse(&shown.join(","));
    assert_eq!(again.gateways(), list.gateways());
    if list.len() < 2 {
        assert_eq!(list.next_after(0), None);
        return;
    }
    let mut at = 0;
    for _ in 0..list.len() {
        at = list.next_after(at).expect("there is another one");
        assert!(at < list.len());
    }
    assert_eq!(at, 0);
}
