// SPDX-License-Identifier: GPL-2.0-or-later

//! The configuration has the options of the swanctl.conf of the strongSwan that is built for.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use extsock_core::config::json_schema;
use serde_json::Value;

/// What is left out, and why.
const NOT_TAKEN: [(&str, &str); 1] = [("pools.*", "it is gateways that give out addresses")];

/// The options of swanctl.opt, each a path with its placeholders.
fn swanctls() -> BTreeSet<String> {
    let source = env::var_os("STRONGSWAN_SRC").expect("set by .cargo/config.toml");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = workspace.join(PathBuf::from(source).join("src/swanctl/swanctl.opt"));
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|option| option.contains('.') && !option.starts_with("include"))
        .map(str::to_owned)
        .collect()
}

/// Follows a path through the schema: names as they are, placeholders as some name.
fn is_taken(schema: &Value, option: &str) -> bool {
    let mut places = vec![schema];
    for part in option.split('.') {
        let name = match part.split_once('<') {
            Some((name, _)) => format!("{name}x"),
            None => part.to_owned(),
        };
        places = places
            .into_iter()
            .flat_map(|place| forms(schema, place))
            .filter_map(|form| field(form, &name))
            .collect();
    }
    !places.is_empty()
}

/// What a value may be, with references and arrays resolved.
fn forms<'a>(schema: &'a Value, place: &'a Value) -> Vec<&'a Value> {
    let Some(object) = place.as_object() else {
        return Vec::new();
    };
    let mut found = vec![place];
    if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
        let target = schema.pointer(&reference[1..]).expect(reference);
        found.extend(forms(schema, target));
    }
    for inner in object
        .get("anyOf")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        found.extend(forms(schema, inner));
    }
    found
}

/// The schema of a field of an object.
fn field<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let by_pattern = || {
        let patterns = object.get("patternProperties")?.as_object()?;
        let begins = |pattern: &str| {
            // "^name" or "^name(?!(others)$)"
            let pattern = pattern.trim_start_matches('^');
            name.starts_with(pattern.split('(').next().unwrap_or(pattern))
        };
        patterns
            .iter()
            .find(|(pattern, _)| begins(pattern))
            .map(|(_, schema)| schema)
    };
    let any = || {
        object
            .get("additionalProperties")
            .filter(|schema| schema.is_object())
    };
    let named = object.get("properties").and_then(|fields| fields.get(name));
    named.or_else(by_pattern).or_else(any)
}

/// Whether the option is that of the exception, which may have `*` in place of some of it.
fn is_excepted(option: &str, exception: &str) -> bool {
    match exception.split_once('*') {
        Some((begin, end)) => option.starts_with(begin) && option.ends_with(end),
        None => option == exception,
    }
}

#[test]
fn every_option_of_swanctl_conf_is_taken_or_left_out_for_a_reason() {
    let schema: Value = serde_json::from_str(&json_schema()).unwrap();
    let options = swanctls();
    assert!(options.len() > 150, "{options:?}");
    let sections = ["connections.", "secrets.", "authorities."];
    for section in sections {
        assert!(options.iter().any(|option| option.starts_with(section)));
    }
    let missing: Vec<_> = options
        .iter()
        .filter(|option| !is_taken(&schema, option))
        .filter(|option| {
            !NOT_TAKEN
                .iter()
                .any(|(exception, _)| is_excepted(option, exception))
        })
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn what_is_left_out_is_not_taken() {
    let schema: Value = serde_json::from_str(&json_schema()).unwrap();
    for option in swanctls() {
        let exception = NOT_TAKEN
            .iter()
            .find(|(exception, _)| is_excepted(&option, exception));
        if let Some((_, why)) = exception {
            assert!(!is_taken(&schema, &option), "{option}: {why}?");
        }
    }
    assert!(is_taken(
        &schema,
        "connections.<conn>.local<suffix>.cert<suffix>.file"
    ));
    assert!(!is_taken(
        &schema,
        "connections.<conn>.local<suffix>.cert<suffix>.path"
    ));
    assert!(!is_taken(&schema, "secrets.psk<suffix>.secret"));
}
