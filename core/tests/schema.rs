// SPDX-License-Identifier: GPL-2.0-or-later

//! docs/schema.json and the reader, on documents that are damaged at random.

use std::path::Path;
use std::sync::LazyLock;

use extsock_core::config::{json_schema, Configuration};
use extsock_core::error::Result;
use extsock_core::strongswan::Version;
use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{json, Map, Value};

/// The schema has the options of all versions.
fn parse(document: &str) -> Result<Configuration> {
    extsock_core::config::parse(document, Version::NEWEST)
}

struct Schema {
    validator: Validator,
    /// All names that it knows, and some with a suffix.
    names: Vec<String>,
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let schema: Value = serde_json::from_str(&json_schema()).unwrap();
    let mut names = Vec::new();
    property_names(&schema, &mut names);
    let suffixed: Vec<String> = names.iter().map(|name| format!("{name}-2")).collect();
    names.extend(suffixed);
    names.extend(["ike", "eap-1", "pkcs12", "connections", "a", ""].map(str::to_owned));
    names.sort();
    names.dedup();
    Schema {
        validator: jsonschema::draft202012::new(&schema).unwrap(),
        names,
    }
});

/// The names of all objects' properties, wherever they are described.
fn property_names(schema: &Value, names: &mut Vec<String>) {
    let inner: Vec<&Value> = match schema {
        Value::Object(fields) => {
            let properties = fields.get("properties").and_then(Value::as_object);
            names.extend(properties.into_iter().flat_map(Map::keys).cloned());
            fields.values().collect()
        }
        Value::Array(items) => items.iter().collect(),
        _ => return,
    };
    for schema in inner {
        property_names(schema, names);
    }
}

/// Documents that are read: the examples, the fuzzer's corpus, and one that has all sections.
static DOCUMENTS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut documents = vec![all_sections()];
    for directory in ["docs/examples", "fuzz/corpus/config"] {
        for entry in std::fs::read_dir(root.join(directory)).unwrap() {
            let text = std::fs::read(entry.unwrap().path()).unwrap();
            let text = String::from_utf8_lossy(&text);
            if parse(&text).is_ok() {
                documents.push(serde_json::from_str(&text).unwrap());
            }
        }
    }
    assert!(documents.len() > 10, "{}", documents.len());
    documents
});

fn all_sections() -> Value {
    let document = json!({
        "connections": {
            "a": {
                "version": 2,
                "remote_addrs": ["10.0.0.1", {"addr": "10.0.0.2", "port": 4510, "id": "b", "priority": 1}],
                "proposals": ["aes128-sha256-modp2048"],
                "rekey_time": "4h",
                "local-1": {"round": 1, "auth": "pubkey", "certs": "a.pem", "cert-2": {"file": "b.pem"}},
                "local-2": [{"round": 2, "auth": "eap", "eap_id": "a"}],
                "remote": {"auth": "pubkey", "cacert": {"file": "ca.pem"}, "cacert-2": {"file": "cb.pem"}},
                "failover": {"connect_timeout": "5s", "multiplier": 1.5, "jitter": "0.5"},
                "children": {
                    "n": {
                        "local_ts": "10.1.0.0/24",
                        "remote_ts": ["10.2.0.0/24", "dynamic"],
                        "start_action": "trap|start",
                        "rekey_bytes": "5 M",
                        "mark_in": "%unique/0xff",
                        "if_id_out": "0x10",
                    },
                },
            },
            "b": {
                "ike_cfg": {"remote_addrs": "10.0.0.3", "version": 1, "lifetime": {"rekey_time": 100}},
                "remote_auth": {
                    "auth": "cert",
                    "ca_chain": {"root_ca": "r.pem", "intermediate_cas": ["i.pem"]},
                },
                "children": [{"name": "n", "lifetime": {"rekey_time": 50}, "dpd_action": "clear"}],
            },
        },
        "secrets": {
            "ike-1": {"id": "a", "id-2": "b", "secret": "c"},
            "eap": [{"secret": "0x00"}],
            "ppk": {"x": {"id": "a", "secret": "0sAAAA"}},
            "private": {"file": "k.pem", "secret": "d"},
            "pkcs12-x": [{"file": "c.p12"}],
        },
        "authorities": {"ca": {"cacert": "ca.pem", "crl_uris": ["http://a.example/"]}},
    });
    parse(&document.to_string()).unwrap();
    document
}

static VALUES: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let list = json!([
        null, true, false, 0, 1, -1, 1.5, 70000, 4294967296_u64, "", "yes", "a", "1", "0x10", "1h",
        "2 M", "250ms", "000001", "%unique", "trap", "psk", "10.0.0.1", "10.0.0.1,10.0.0.2",
        "10.1.0.0/24", [], [[]], ["10.0.0.1"], ["a", 1], ["a", {}], {}, {"file": "a"},
        {"secret": "a"}, {"id": "a", "secret": "b"}, [{"addr": "10.0.0.1", "id": "a"}],
        [{"name": "n"}], {"n": {}}, {"n": {"secret": "a"}}, [{}],
    ]);
    list.as_array().unwrap().clone()
});

#[derive(Clone, Debug)]
enum Damage {
    Replace(Value),
    Remove,
    Rename(String),
    Insert(String, Value),
}

fn damage() -> impl Strategy<Value = Damage> {
    let value = || (0..VALUES.len()).prop_map(|index| VALUES[index].clone());
    let name = || (0..SCHEMA.names.len()).prop_map(|index| SCHEMA.names[index].clone());
    prop_oneof![
        value().prop_map(Damage::Replace),
        Just(Damage::Remove),
        name().prop_map(Damage::Rename),
        (name(), value()).prop_map(|(name, value)| Damage::Insert(name, value)),
    ]
}

/// Pointers to all values but the root.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(k, v)| (k.clone(), v)).collect(),
        Value::Array(items) => (items.iter().enumerate())
            .map(|(index, item)| (index.to_string(), item))
            .collect(),
        _ => return,
    };
    for (key, child) in children {
        let key = key.replace('~', "~0").replace('/', "~1");
        let place = format!("{at}/{key}");
        places(child, &place, found);
        found.push(place);
    }
}

fn apply(document: &mut Value, at: usize, damage: Damage) {
    let mut found = Vec::new();
    places(document, "", &mut found);
    let Some(place) = found.get(at % found.len().max(1)) else {
        return;
    };
    let (parent, key) = place.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/").replace("~0", "~");
    match (damage, document.pointer_mut(parent).unwrap()) {
        (Damage::Replace(by), parent) => match parent {
            Value::Object(fields) => _ = fields.insert(key, by),
            parent => parent[key.parse::<usize>().unwrap()] = by,
        },
        (Damage::Remove, Value::Object(fields)) => _ = fields.remove(&key),
        (Damage::Rename(name), Value::Object(fields)) => {
            let value = fields.remove(&key).unwrap();
            fields.insert(name, value);
        }
        (Damage::Insert(name, value), Value::Object(fields)) => _ = fields.insert(name, value),
        _ => {}
    }
}

fn damaged() -> impl Strategy<Value = Value> {
    let damages = prop::collection::vec((any::<usize>(), damage()), 0..4);
    (0..DOCUMENTS.len(), damages).prop_map(|(index, damages)| {
        let mut document = DOCUMENTS[index].clone();
        for (at, damage) in damages {
            apply(&mut document, at, damage);
        }
        document
    })
}

/// What a schema cannot tell: what is in a text, and what goes with what.
fn is_beyond_a_schema(error: &str) -> bool {
    const TELL: [&str; 5] = [
        "found \"",
        "given twice",
        " is given, found nothing",
        "expected mediation_peer too",
        "expected 16 bytes after 0x or 0s",
    ];
    TELL.iter().any(|told| error.contains(told))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_schema_and_the_reader_take_and_refuse_the_same(document in damaged()) {
        let text = document.to_string();
        let valid = SCHEMA.validator.is_valid(&document);
        match parse(&text) {
            Ok(_) => prop_assert!(valid, "is read: {text}"),
            Err(error) if valid => {
                let beyond = error.message.lines().all(is_beyond_a_schema);
                prop_assert!(beyond, "is valid: {text}: {}", error.message);
            }
            Err(_) => {}
        }
    }
}

#[test]
fn what_the_reader_takes_is_valid() {
    for document in DOCUMENTS.iter() {
        assert!(SCHEMA.validator.is_valid(document), "{document}");
    }
}
