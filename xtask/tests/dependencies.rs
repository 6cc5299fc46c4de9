// SPDX-License-Identifier: GPL-2.0-or-later

//! The crates in Cargo.lock have licences that go with ours, and no advisory that is known here.
//!
//! strongSwan and this project are GPL-2.0-or-later. What is linked into one binary with them has to allow
//! the whole to be distributed under the GPL. Permissive licences without further demands ([`PERMISSIVE`])
//! allow that under version 2 and later. Apache-2.0 alone does not under version 2, because of its patent
//! clauses, but does under version 3 (as the FSF says): with such a crate the binary could only be
//! distributed under version 3 or later, which "or later" permits. Nobody has to accept that restriction,
//! as no such crate is in what is distributed: Apache-2.0 alone is taken of crates that only build or test.

use std::collections::{BTreeMap, BTreeSet};

use std::process::Command;

use serde_json::Value;

/// Compatible with GPL-2.0 and later.
const PERMISSIVE: &[&str] = &[
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

const OURS: &str = "GPL-2.0-or-later";

/// For what builds and tests: it is part of nothing that is distributed.
const TOOLS_TOO: &str = "Apache-2.0";

/// What is installed.
const DISTRIBUTED: &[&str] = &["extsock", "extsockctl"];

/// The crates of all systems.
const LOCK: &str = include_str!("../../Cargo.lock");

const ADVISORIES: &str = include_str!("advisories.txt");

#[test]
fn licences_go_with_ours() {
    let metadata = metadata();
    let distributed = distributed(&metadata);
    let packages = items(&metadata["packages"]);
    assert!(distributed.len() < packages.len());
    let mut refused = String::new();
    for package in packages {
        let licence = text(&package["license"]);
        let accepted = |name: &str| {
            let tool = !distributed.contains(text(&package["id"]));
            name == OURS || PERMISSIVE.contains(&name) || tool && name == TOOLS_TOO
        };
        if !allows(licence, &accepted) {
            refused += &format!(
                "{} {}: {licence:?}\n",
                text(&package["name"]),
                text(&package["version"])
            );
        }
    }
    assert!(
        refused.is_empty(),
        "licences to be thought about:\n{refused}"
    );
}

#[test]
fn no_crate_has_a_known_advisory() {
    let mut versions: BTreeMap<&str, Vec<[u64; 3]>> = BTreeMap::new();
    for package in LOCK.split("[[package]]").skip(1) {
        let value = |key: &str| {
            let mut lines = package.lines().filter_map(|line| line.split_once(" = "));
            let (_, value) = lines.find(|(found, _)| *found == key).expect(key);
            value.trim_matches('"')
        };
        let locked = versions.entry(value("name")).or_default();
        locked.push(numbers(value("version")));
    }
    let mut found = String::new();
    let lines = ADVISORIES.lines();
    for line in lines.filter(|line| !line.starts_with('#')) {
        let [id, name, fixed, title] = line.splitn(4, ' ').collect::<Vec<_>>()[..] else {
            panic!("expected identifier, crate, version and title, found {line}");
        };
        match versions.get(name) {
            Some(locked) if locked.iter().all(|version| *version >= numbers(fixed)) => {}
            Some(_) => found += &format!("{name} before {fixed}: {id}, {title}\n"),
            None => found += &format!("{name} is not in Cargo.lock, but {id} is in the list\n"),
        }
    }
    assert!(found.is_empty(), "{found}");
}

#[test]
fn licence_expressions_are_understood() {
    let accepted = |name: &str| ["MIT", "Unicode-3.0"].contains(&name);
    for (expression, expected) in [
        ("MIT", true),
        ("Apache-2.0", false),
        ("Apache-2.0 OR MIT", true),
        ("MIT/Apache-2.0", true),
        ("MIT AND Apache-2.0", false),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("(MIT OR Apache-2.0) AND GPL-3.0-only", false),
        ("Apache-2.0 AND BSD-3-Clause OR MIT", true),
        ("Apache-2.0 WITH LLVM-exception OR MIT", true),
        ("MIT WITH an-exception", false),
        ("", false),
        ("MIT )", false),
        ("(MIT", false),
        ("MIT Unicode-3.0", false),
    ] {
        assert_eq!(allows(expression, &accepted), expected, "{expression}");
    }
}

/// Whether an SPDX expression is satisfied by the accepted licences. What is not understood is not.
fn allows(expression: &str, accepted: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut tokens = spaced.split_whitespace().collect::<Vec<_>>();
    tokens.reverse();
    any(&mut tokens, accepted) == Some(true) && tokens.is_empty()
}

/// AND binds tighter than OR. The next token is the last.
fn any(tokens: &mut Vec<&str>, accepted: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut result = all(tokens, accepted)?;
    while tokens.last() == Some(&"OR") {
        tokens.pop();
        result |= all(tokens, accepted)?;
    }
    Some(result)
}

fn all(tokens: &mut Vec<&str>, accepted: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut result = one(tokens, accepted)?;
    while tokens.last() == Some(&"AND") {
        tokens.pop();
        result &= one(tokens, accepted)?;
    }
    Some(result)
}

fn one(tokens: &mut Vec<&str>, accepted: &dyn Fn(&str) -> bool) -> Option<bool> {
    match tokens.pop()? {
        "(" => {
            let result = any(tokens, accepted)?;
            (tokens.pop()? == ")").then_some(result)
        }
        name if tokens.last() == Some(&"WITH") => {
            tokens.pop();
            Some(accepted(&format!("{name} WITH {}", tokens.pop()?)))
        }
        name => Some(accepted(name)),
    }
}

/// The ids of the packages that are linked into what is installed, or that its code was made with.
fn distributed(metadata: &Value) -> BTreeSet<&str> {
    let nodes: BTreeMap<&str, &Value> = items(&metadata["resolve"]["nodes"])
        .iter()
        .map(|node| (text(&node["id"]), node))
        .collect();
    let mut to_visit: Vec<&str> = items(&metadata["packages"])
        .iter()
        .filter(|package| DISTRIBUTED.contains(&text(&package["name"])))
        .map(|package| text(&package["id"]))
        .collect();
    assert_eq!(to_visit.len(), DISTRIBUTED.len());
    let mut found = BTreeSet::new();
    while let Some(id) = to_visit.pop() {
        if !found.insert(id) {
            continue;
        }
        for dependency in items(&nodes[id]["deps"]) {
            // Those for building and testing have a kind.
            if items(&dependency["dep_kinds"])
                .iter()
                .any(|kind| kind["kind"].is_null())
            {
                to_visit.push(text(&dependency["pkg"]));
            }
        }
    }
    found
}

/// Without the crates of other systems, which nothing has fetched.
fn metadata() -> Value {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--format-version", "1"])
        .args(["--filter-platform", &platform])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).expect("cargo writes JSON")
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn numbers(version: &str) -> [u64; 3] {
    let mut result = [0; 3];
    for (slot, part) in result.iter_mut().zip(version.split(['.', '-', '+'])) {
        *slot = part.parse().unwrap_or(0);
    }
    result
}
