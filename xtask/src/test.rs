// SPDX-License-Identifier: GPL-2.0-or-later

//! Checks and tests, in steps that say how long they took.

use std::path::Path;
use std::time::Instant;

use anyhow::{bail, Context, Result};
use xshell::cmd;

use crate::lab::{self, Esp};
use crate::{fuzz, need_root, plugin, source, Project};

/// More than there are cores, because end-to-end tests mostly wait.
pub(crate) const E2E_THREADS: &str = "8";

const PARTS: &[(&str, Part)] = &[
    ("fmt", fmt),
    ("clippy", clippy),
    ("doc", doc),
    ("unit", unit),
    ("fuzz", fuzz::run),
    ("e2e", e2e),
];

type Part = fn(&Project, Option<&str>) -> Result<()>;

/// Builds, then runs all parts.
pub(crate) fn all(project: &Project) -> Result<()> {
    let begin = Instant::now();
    need_root("the tests make network namespaces")?;
    step("build", || plugin::build(project))?;
    for (name, part) in PARTS {
        step(name, || part(project, None))?;
    }
    println!("=== all passed in {:.0?}", begin.elapsed());
    Ok(())
}

/// Builds, then runs one part.
pub(crate) fn part(project: &Project, wanted: &str, filter: Option<&str>) -> Result<()> {
    let Some((name, part)) = PARTS.iter().find(|(name, _)| *name == wanted) else {
        let names: Vec<_> = PARTS.iter().map(|(name, _)| *name).collect();
        bail!("no part {wanted}; there are {}", names.join(", "));
    };
    step("build", || plugin::build(project))?;
    step(name, || part(project, filter))
}

/// Runs one step and says how long it took.
pub(crate) fn step(name: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("=== {name}");
    let begin = Instant::now();
    run().with_context(|| format!("step {name} failed"))?;
    println!("=== {name}: {:.1?}", begin.elapsed());
    Ok(())
}

fn fmt(project: &Project, _: Option<&str>) -> Result<()> {
    cmd!(project.shell, "cargo fmt --all --check").run()?;
    Ok(())
}

fn clippy(project: &Project, _: Option<&str>) -> Result<()> {
    cmd!(
        project.shell,
        "cargo clippy --workspace --all-targets -- -D warnings"
    )
    .run()?;
    Ok(())
}

fn doc(project: &Project, _: Option<&str>) -> Result<()> {
    cmd!(project.shell, "cargo doc --workspace --no-deps")
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()?;
    Ok(())
}

/// Everything in process: unit, property and libcharon tests.
fn unit(project: &Project, filter: Option<&str>) -> Result<()> {
    cmd!(
        project.shell,
        "cargo test --workspace --exclude extsock-lab --exclude extsockctl -- {filter...}"
    )
    .run()?;
    Ok(())
}

/// Everything on real charons.
fn e2e(project: &Project, filter: Option<&str>) -> Result<()> {
    need_root("the tests make network namespaces")?;
    let headers = source::prepare(project)?;
    plugin::build_wrong(project, &headers)?;
    let left_out = lab::left_out(Path::new(lab::LIBCHARON), Esp::here())?;
    cmd!(
        project.shell,
        "cargo test --package extsock-lab --package extsockctl -- --test-threads {E2E_THREADS} {left_out...} {filter...}"
    )
    .run()?;
    Ok(())
}
