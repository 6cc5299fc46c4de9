// SPDX-License-Identifier: GPL-2.0-or-later

//! The plugin's library, and the wrong ones that charon has to be protected from.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::cmd;

use crate::{packages, source, Project};

/// The name charon's loader looks for.
pub(crate) const FILE: &str = "libstrongswan-extsock.so";
/// The name cargo gives it.
const ARTIFACT: &str = "libextsock.so";

/// Sets up what is missing and builds the plugin.
pub(crate) fn build(project: &Project) -> Result<()> {
    packages::install(&project.shell)?;
    let headers = source::prepare(project)?;
    cmd!(project.shell, "cargo build --release --package extsock")
        .env("STRONGSWAN_SRC", &headers)
        .run()?;
    let cargo_target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| project.target(), PathBuf::from);
    let artifact = project
        .root
        .join(cargo_target)
        .join("release")
        .join(ARTIFACT);
    let plugin = project.target().join("plugin").join(FILE);
    install(&artifact, &plugin)?;
    let size = fs::metadata(&plugin)?.len();
    println!("plugin: {} ({size} bytes)", plugin.display());
    Ok(())
}

/// Builds the plugin for charons that are not the installed one, for the tests that such
/// a library is refused.
pub(crate) fn build_wrong(project: &Project, headers: &Path) -> Result<()> {
    let without_me = project.target().join("strongswan/no-me");
    project.shell.create_dir(&without_me)?;
    let config_h = fs::read_to_string(headers.join("config.h"))?;
    let config_h: String = config_h
        .lines()
        .filter(|line| !line.split_whitespace().take(2).eq(["#define", "ME"]))
        .map(|line| format!("{line}\n"))
        .collect();
    write_if_changed(&without_me.join("config.h"), &config_h)?;
    build_wrong_one(project, "no-me", headers, &without_me)?;

    for (version, tree) in source::prepare_others(project)? {
        build_wrong_one(project, version, &tree, &tree)?;
    }
    Ok(())
}

fn build_wrong_one(project: &Project, name: &str, src: &Path, build: &Path) -> Result<()> {
    // Apart from the other builds, which would else be redone after each of these.
    let target = project.target().join("wrong").join(name);
    cmd!(
        project.shell,
        "cargo build --quiet --package extsock --target-dir {target}"
    )
    .env("STRONGSWAN_SRC", src)
    .env("STRONGSWAN_BUILD", build)
    .run()?;
    let plugin = project.target().join("plugin-wrong").join(name).join(FILE);
    install(&target.join("debug").join(ARTIFACT), &plugin)
}

/// Copies a library to a new file: a charon that runs keeps the old one.
fn install(artifact: &Path, plugin: &Path) -> Result<()> {
    let directory = plugin.parent().context("a file has a directory")?;
    fs::create_dir_all(directory)?;
    let new = plugin.with_extension("new");
    fs::copy(artifact, &new).with_context(|| format!("copy {}", artifact.display()))?;
    fs::rename(&new, plugin)?;
    Ok(())
}

/// Leaves the time of an unchanged file alone, by which cargo decides what to rebuild.
fn write_if_changed(path: &Path, content: &str) -> Result<()> {
    if fs::read_to_string(path).ok().as_deref() != Some(content) {
        fs::write(path, content)?;
    }
    Ok(())
}
