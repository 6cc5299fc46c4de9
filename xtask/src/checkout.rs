// SPDX-License-Identifier: GPL-2.0-or-later

//! Copies of this checkout, for builds elsewhere.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use xshell::cmd;

use crate::Project;

/// Copies what belongs to the sources, changed or not, to a directory.
pub(crate) fn copy(project: &Project, to: &Path) -> Result<()> {
    let listing = cmd!(
        project.shell,
        "git ls-files -z --cached --others --exclude-standard"
    )
    .quiet()
    .read()
    .context("the sources are what git knows of")?;
    for name in listing.split_terminator('\0') {
        let file = project.root.join(name);
        // One that is deleted is still listed.
        if !file.exists() {
            continue;
        }
        let copy = to.join(name);
        fs::create_dir_all(copy.parent().context("a file has a directory")?)?;
        fs::copy(&file, &copy).with_context(|| format!("copy {name}"))?;
    }
    Ok(())
}
