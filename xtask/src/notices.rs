// SPDX-License-Identifier: GPL-2.0-or-later

//! The licences of the crates that are linked into what is distributed, which those licences ask for.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use xshell::cmd;

use crate::Project;

/// How the names of such files begin.
const FILES: &[&str] = &["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"];

/// Leaves them in target/crates.
pub(crate) fn make(project: &Project) -> Result<()> {
    let shell = &project.shell;
    let vendored = &project.vendored();
    let tree = cmd!(
        shell,
        "cargo {vendored...} tree --locked --package extsock --package extsockctl --edges normal --prefix none --format '{p}'"
    )
    .quiet()
    .read()?;
    // "name v1.0.0", and for our own the directory.
    let linked: BTreeSet<(&str, &str)> = tree
        .lines()
        .filter(|line| !line.contains(" (/"))
        .filter_map(|line| line.split_once(" v"))
        .map(|(name, version)| (name, version.split(' ').next().unwrap_or(version)))
        .collect();
    let metadata = cmd!(
        shell,
        "cargo {vendored...} metadata --locked --format-version 1"
    )
    .quiet()
    .read()?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("no packages")?;

    let mut notices = String::new();
    let mut told = HashSet::new();
    for (name, version) in linked {
        let package = packages
            .iter()
            .find(|package| package["name"] == name && package["version"] == version)
            .with_context(|| format!("{name} {version} is not in cargo's metadata"))?;
        let text = |key: &str| package[key].as_str().unwrap_or("none");
        writeln!(notices, "==== {name} {version}: {}", text("license"))?;
        let manifest = Path::new(text("manifest_path"));
        for (file, content) in files(manifest.parent().context("a file has a directory")?)? {
            if told.insert(content.clone()) {
                writeln!(notices, "\n{}\n", content.trim_end())?;
            } else {
                writeln!(notices, "{file}: as above")?;
            }
        }
    }
    let file = project.target().join("crates");
    fs::write(&file, notices)?;
    println!("licences of crates: {}", file.display());
    Ok(())
}

fn files(directory: &Path) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let upper = name.to_uppercase();
        if FILES.iter().any(|file| upper.starts_with(file)) && entry.file_type()?.is_file() {
            found.push((name, fs::read_to_string(entry.path())?));
        }
    }
    found.sort();
    Ok(found)
}
