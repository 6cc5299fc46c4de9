// SPDX-License-Identifier: GPL-2.0-or-later

//! strongSwan's headers: Debian ships none, so they come from its source package.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{bail, Result};
use xshell::{cmd, Shell};

use crate::apt::{self, newest_first, repositories, Kind, PrivateApt};
use crate::Project;

/// What decides the layout of charon's structures, as Debian configures it.
const CONFIGURE: &[&str] = &[
    "--disable-defaults",
    "--enable-charon",
    "--enable-ikev1",
    "--enable-ikev2",
    "--enable-mediation",
];

/// The supported versions, and the Debian release that has each.
pub(crate) const RELEASES: [(&str, &str); 3] =
    [("5.9.8", "bookworm"), ("6.0.1", "trixie"), ("6.1.0", "sid")];

/// A configured source tree of the installed strongSwan: `STRONGSWAN_SRC` if the user has
/// set it, else one fetched into target/strongswan.
pub(crate) fn prepare(project: &Project) -> Result<PathBuf> {
    let directory = project.target().join("strongswan");
    let current = directory.join("current");
    if let Some(given) = env::var_os("STRONGSWAN_SRC").map(PathBuf::from) {
        // .cargo/config.toml sets it to our own place where the user has not.
        if given != current {
            println!("strongSwan: STRONGSWAN_SRC={}", given.display());
            return Ok(given);
        }
    }
    let version = installed_version(&project.shell)?;
    let tree = fetch(project, &apt::codename()?, &version)?;
    if fs::read_link(&current).ok().as_deref() != Some(&tree) {
        project.shell.remove_path(&current)?;
        symlink(&tree, &current)?;
    }
    println!("strongSwan: headers of {version} in {}", tree.display());
    Ok(current)
}

/// Configured trees of the other supported versions.
pub(crate) fn prepare_others(project: &Project) -> Result<Vec<(&'static str, PathBuf)>> {
    let installed = installed_version(&project.shell)?;
    RELEASES
        .into_iter()
        .filter(|(version, _)| *version != installed)
        .map(|(version, codename)| Ok((version, fetch(project, codename, version)?)))
        .collect()
}

/// Unpacks Debian's source of a supported version into `tree`, in place of what is there.
pub(crate) fn unpack(project: &Project, version: &str, tree: &Path) -> Result<()> {
    let Some((_, codename)) = RELEASES.iter().find(|(known, _)| *known == version) else {
        let known = RELEASES.map(|(known, _)| known).join(", ");
        bail!("strongSwan {version} is not supported; there are {known}");
    };
    extract(project, codename, version, tree)
}

/// The upstream version of the package that charon's library is in.
pub(crate) fn installed_version(shell: &Shell) -> Result<String> {
    let format = "${Version}";
    let version = cmd!(
        shell,
        "dpkg-query --show --showformat {format} strongswan-libcharon"
    )
    .quiet()
    .read()?;
    Ok(upstream(&version).to_owned())
}

/// "1:5.9.8-5+deb12u6" -> "5.9.8"
fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    version.rsplit_once('-').map_or(version, |(rest, _)| rest)
}

/// Downloads, unpacks and configures `version` unless that is done already.
fn fetch(project: &Project, codename: &str, version: &str) -> Result<PathBuf> {
    let directory = project.target().join("strongswan");
    let tree = directory.join(format!("strongswan-{version}"));
    if tree.join("config.h").exists() {
        return Ok(tree);
    }
    let shell = &project.shell;
    if !tree.exists() {
        extract(project, codename, version, &tree)?;
    }
    println!("strongSwan: configuring {version}");
    let _in_tree = shell.push_dir(&tree);
    let log = tree.join("configure.output");
    let configured = cmd!(shell, "./configure")
        .args(CONFIGURE)
        .ignore_status()
        .output()?;
    fs::write(&log, [configured.stdout, configured.stderr].concat())?;
    if !configured.status.success() {
        // A config.h of a failed run would pass for a configured tree.
        shell.remove_path("config.h")?;
        bail!("./configure failed, see {}", log.display());
    }
    Ok(tree)
}

fn extract(project: &Project, codename: &str, version: &str, tree: &Path) -> Result<()> {
    println!("strongSwan: fetching Debian's source of {version}");
    let shell = &project.shell;
    let apt = project.target().join("strongswan/apt");
    let description = download(shell, &apt, codename, version)?;
    // Under a name of its own until it is complete.
    let unpacking = tree.with_file_name("unpacking");
    shell.remove_path(&unpacking)?;
    // apt has verified the files against the archive's signature.
    cmd!(
        shell,
        "dpkg-source --no-check --no-copy --extract {description} {unpacking}"
    )
    .ignore_stdout()
    .run()?;
    shell.remove_path(tree)?;
    fs::rename(&unpacking, tree)?;
    Ok(())
}

/// Downloads the newest revision of `version` that a mirror really has, not only lists, and
/// returns the path of its .dsc file.
fn download(shell: &Shell, directory: &Path, codename: &str, version: &str) -> Result<PathBuf> {
    let mut listed = Vec::new();
    for (uri, suite) in repositories(shell, codename) {
        let there = directory.join(&suite);
        let apt = Rc::new(PrivateApt::new(shell, there, (&uri, &suite), Kind::Source)?);
        let revisions = apt.revisions()?.into_iter();
        let wanted = revisions.filter(|revision| upstream(revision) == version);
        listed.extend(wanted.map(|revision| (revision, Rc::clone(&apt))));
    }
    newest_first(shell, &mut listed);
    for (revision, apt) in listed {
        if let Some(description) = apt.download_source(&revision) {
            return Ok(description);
        }
    }
    bail!("no mirror has the source of strongSwan {version}; set STRONGSWAN_SRC to a configured tree of it")
}
