// SPDX-License-Identifier: GPL-2.0-or-later

//! The options of strongswan.conf are the same in the code, in extsock.opt and in docs/options.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use extsock_core::domain::failover_options::OPTIONS;
use extsock_core::failover::manager::Options;

const SECTION: &str = "charon.plugins.extsock.";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Name and default of each option of extsock.opt.
fn documented() -> BTreeMap<String, String> {
    read("extsock.opt")
        .lines()
        .filter_map(|line| line.strip_prefix(SECTION)?.split_once('='))
        .map(|(name, default)| (name.trim().to_owned(), default.trim().to_owned()))
        .collect()
}

/// The options that the code reads: those of the core's table, and literals in calls of functions whose first
/// parameter is `option`, which are those of `src/charon/settings.rs` and each file's own.
fn read_by_code() -> BTreeSet<String> {
    let settings = read("src/charon/settings.rs");
    let mut readers = readers(&settings);
    // Those of charon's own options.
    for reader in ["charon_bool", "charon_number", "charon_string"] {
        assert!(readers.remove(reader), "{readers:?}");
    }
    assert!(readers.contains("setting_string"), "{readers:?}");

    let mut files = Vec::new();
    find(&root().join("src"), &mut files);
    let table = OPTIONS.iter();
    let mut options: BTreeSet<String> = table.map(|o| format!("failover.{}", o.name)).collect();
    for file in files {
        let text = read(&file);
        if text == settings {
            continue;
        }
        for reader in readers.union(&self::readers(&text)) {
            collect(&text, reader, &mut options);
        }
    }
    options
}

/// The functions and closures of a file whose first parameter is `option`.
fn readers(text: &str) -> BTreeSet<String> {
    let mut readers = BTreeSet::new();
    for (before, after) in [("fn ", "(option: &str"), ("let ", " = |option")] {
        for (end, _) in text.match_indices(after) {
            let start = text[..end].rfind(before).unwrap() + before.len();
            readers.insert(text[start..end].to_owned());
        }
    }
    readers
}

/// The literals with which `reader` is called.
fn collect(text: &str, reader: &str, options: &mut BTreeSet<String>) {
    for (start, call) in text.match_indices(&format!("{reader}(")) {
        // Not the end of a longer name, or the definition.
        let name = |c: char| c.is_alphanumeric() || c == '_';
        if text[..start].ends_with(name) || text[..start].ends_with("fn ") {
            continue;
        }
        let argument = text[start + call.len()..].trim_start();
        if let Some(literal) = argument.strip_prefix('"') {
            options.insert(literal.split('"').next().unwrap().to_owned());
        } else {
            // A reader that hands its option on.
            assert!(
                argument.starts_with("option"),
                "{reader}({argument:.60}: which option is that?"
            );
        }
    }
}

fn find(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, files);
        } else {
            files.push(path);
        }
    }
}

#[test]
fn extsock_opt_has_the_options_that_the_code_reads() {
    let documented: BTreeSet<String> = documented().into_keys().collect();
    assert_eq!(documented, read_by_code());
}

#[test]
fn the_guide_has_the_options_of_extsock_opt() {
    let page = read("docs/options.md");
    let mut listed: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    // strongSwan's own, which every plugin has.
    assert!(listed.remove("load"));
    let documented: BTreeSet<String> = documented().into_keys().collect();
    assert_eq!(listed, documented);
}

#[test]
fn the_defaults_of_failover_are_those_of_the_core() {
    let documented = documented();
    for option in OPTIONS {
        let name = format!("failover.{}", option.name);
        assert_eq!(documented[&name], option.default, "{name}");
    }
    let options = Options::default();
    for (name, default) in [
        ("failover.max_concurrent", options.max_concurrent),
        ("failover.history_size", options.history_size),
    ] {
        assert_eq!(documented[name], default.to_string(), "{name}");
    }
}
