// SPDX-License-Identifier: GPL-2.0-or-later

//! Recordings of what charon tells, which the core's tests replay.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{bail, Result};
use xshell::{cmd, Cmd};

use crate::lab::{left_out, Esp, LIBCHARON};
use crate::test::E2E_THREADS;
use crate::{in_tree, need_root, packages, source, Project};

/// The tests that are recorded: what ends IKE_SAs, and what only seems to. What operators do at random times,
/// and what others do with their configurations, is in no evidence.
const SITUATIONS: &str =
    "causes gateways::ikev1 gateways::redirect ikev1 no_failover::reauthentication \
                          no_failover::rekeying no_failover::removal no_failover::retries";

/// What no recording has the answers to: the questions of the liveness check, what charon refuses at once, and
/// whether others have removed a connection of theirs.
const UNANSWERED: &[&str] = &[
    "--skip",
    "liveness",
    "--skip",
    "sign_of_life",
    "--skip",
    "silent_gateway",
    "--skip",
    "charon_cannot_begin",
    "--skip",
    "removal::of_swanctls",
];

/// Records with the installed charon, or with that of another version, built for it.
pub(crate) fn run(project: &Project, version: &str) -> Result<()> {
    need_root("the tests make network namespaces")?;
    let directory = project.root.join("core/tests/recordings").join(version);
    if source::RELEASES.iter().all(|(known, _)| *known != version) {
        bail!("strongSwan {version} is not supported");
    }
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    if version != source::installed_version(&project.shell)? {
        let installed = in_tree::installed(project, version)?;
        let plugin = build(project, version, &installed.source)?;
        tests(project, &installed.libcharon(), &directory, &plugin)?
            .envs(installed.environment())
            .run()?;
        return Ok(());
    }
    packages::install(&project.shell)?;
    let headers = source::prepare(project)?;
    let plugin = build(project, version, &headers)?;
    tests(project, Path::new(LIBCHARON), &directory, &plugin)?.run()?;
    Ok(())
}

/// The plugin with its recorder.
fn build(project: &Project, version: &str, headers: &Path) -> Result<PathBuf> {
    let target = project.target().join("record").join(version);
    cmd!(
        project.shell,
        "cargo build --release --package extsock --features record --target-dir {target}"
    )
    .env("STRONGSWAN_SRC", headers)
    .run()?;
    Ok(target.join("release/libextsock.so"))
}

/// The tests, which leave their recordings in the directory.
fn tests<'s>(
    project: &'s Project,
    libcharon: &Path,
    directory: &Path,
    plugin: &Path,
) -> Result<Cmd<'s>> {
    let left_out = left_out(libcharon, Esp::here())?;
    let situations = SITUATIONS.split_whitespace();
    Ok(cmd!(
        project.shell,
        "cargo test --package extsock-lab --test e2e -- --test-threads {E2E_THREADS}"
    )
    .args(left_out)
    .args(UNANSWERED)
    .args(situations)
    .env("EXTSOCK_PLUGIN", plugin)
    .env("EXTSOCK_RECORD", directory))
}
