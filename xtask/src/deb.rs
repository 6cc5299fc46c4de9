// SPDX-License-Identifier: GPL-2.0-or-later

//! The Debian package for the installed strongSwan.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use xshell::{cmd, Shell};

use crate::{checkout, packages, root, source, Project};

/// What lintian has to say is an error.
const LINTIAN: &[&str] = &["--fail-on", "error,warning", "--allow-root"];

/// Builds the package and leaves it in target/deb.
pub(crate) fn build(project: &Project) -> Result<()> {
    packages::install_for_deb(&project.shell)?;
    let headers = source::prepare(project)?;
    let shell = &project.shell;
    let directory = project.target().join("deb");
    for old in debs(&directory)? {
        fs::remove_file(old)?;
    }
    let source = directory.join("source");
    root::remove(&source)?;
    checkout::copy(project, &source)?;
    println!("package: building");
    {
        let _there = shell.push_dir(&source);
        // Where cargo is not a package, those that dpkg would look for are not there.
        cmd!(
            shell,
            "dpkg-buildpackage --build=binary --no-sign --no-check-builddeps"
        )
        .env("STRONGSWAN_SRC", headers)
        .env("CARGO_TARGET_DIR", directory.join("cargo"))
        .env_remove("RUSTFLAGS")
        .quiet()
        .run()?;
    }
    let built = debs(&directory)?;
    lintian(shell, &built)?;
    for package in built {
        println!("package: {}", package.display());
    }
    root::remove(&source)
}

/// Has lintian look at packages.
pub(crate) fn lintian(shell: &Shell, packages: &[PathBuf]) -> Result<()> {
    cmd!(shell, "lintian").args(LINTIAN).args(packages).run()?;
    Ok(())
}

/// The packages in a directory.
pub(crate) fn debs(directory: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(directory)?;
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
