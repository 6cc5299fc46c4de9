// SPDX-License-Identifier: GPL-2.0-or-later

//! strongSwan's headers: Debian ships none, so they come from its source package.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{bail, Context, Result};
use xshell::{cmd, PushEnv, Shell};

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

pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

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
    let tree = fetch(project, &codename()?, &version)?;
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

fn codename() -> Result<String> {
    let release = fs::read_to_string("/etc/os-release")?;
    release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map(str::to_owned)
        .context("/etc/os-release names no VERSION_CODENAME")
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
        let apt = Rc::new(PrivateApt::new(
            shell,
            directory.join(&suite),
            &uri,
            &suite,
        )?);
        for revision in apt.revisions(version)? {
            listed.push((revision, Rc::clone(&apt)));
        }
    }
    let newer = |a: &str, b: &str| {
        cmd!(shell, "dpkg --compare-versions {a} gt {b}")
            .quiet()
            .run()
            .is_ok()
    };
    listed.sort_by(|(a, _), (b, _)| newer(b, a).cmp(&newer(a, b)));
    for (revision, apt) in listed {
        if let Some(description) = apt.download_source(&revision) {
            return Ok(description);
        }
    }
    bail!("no mirror has the source of strongSwan {version}; set STRONGSWAN_SRC to a configured tree of it")
}

/// apt with one source and state of its own, which leaves the system's as they are.
struct PrivateApt<'a> {
    shell: &'a Shell,
    directory: PathBuf,
    suite: String,
}

impl<'a> PrivateApt<'a> {
    fn new(shell: &'a Shell, directory: PathBuf, uri: &str, suite: &str) -> Result<Self> {
        for name in ["lists/partial", "cache/archives/partial", "sources"] {
            fs::create_dir_all(directory.join(name))?;
        }
        let options = if Path::new(KEYRING).exists() {
            format!("[signed-by={KEYRING}] ")
        } else {
            String::new()
        };
        fs::write(
            directory.join("sources.list"),
            format!("deb-src {options}{uri} {suite} main\n"),
        )?;
        let path = directory.display();
        // The user is root because _apt may not be able to reach the checkout. A mirror of sid may be older
        // than its lists promise to be good for.
        fs::write(
            directory.join("apt.conf"),
            format!(
                "Dir::Etc::sourcelist \"{path}/sources.list\";\n\
                 Dir::Etc::sourceparts \"/dev/null\";\n\
                 Dir::State::lists \"{path}/lists\";\n\
                 Dir::Cache \"{path}/cache\";\n\
                 APT::Sandbox::User \"root\";\n\
                 Acquire::Check-Valid-Until \"false\";\n"
            ),
        )?;
        let apt = Self {
            shell,
            directory,
            suite: suite.to_owned(),
        };
        let environment = apt.environment();
        cmd!(shell, "apt-get update --quiet --quiet")
            .quiet()
            .run()?;
        drop(environment);
        Ok(apt)
    }

    fn environment(&self) -> PushEnv<'a> {
        self.shell
            .push_env("APT_CONFIG", self.directory.join("apt.conf"))
    }

    /// The listed revisions of an upstream version.
    fn revisions(&self, version: &str) -> Result<Vec<String>> {
        let _environment = self.environment();
        // Lists of a suite without the package are no error.
        let listing = cmd!(self.shell, "apt-cache showsrc --only-source strongswan")
            .quiet()
            .ignore_status()
            .ignore_stderr()
            .read()?;
        Ok(listing
            .lines()
            .filter_map(|line| line.strip_prefix("Version: "))
            .filter(|revision| upstream(revision) == version)
            .map(str::to_owned)
            .collect())
    }

    fn download_source(&self, revision: &str) -> Option<PathBuf> {
        let shell = self.shell;
        let suite = &self.suite;
        let _environment = self.environment();
        let _there = shell.push_dir(self.directory.join("sources"));
        let fetched = cmd!(
            shell,
            "apt-get source --quiet --quiet --download-only --only-source strongswan={revision}"
        )
        .quiet()
        .ignore_stderr()
        .run();
        if fetched.is_err() {
            println!("strongSwan: {revision} is listed in {suite}, but not there");
            return None;
        }
        println!("strongSwan: got {revision} from {suite}");
        let file = revision.split_once(':').map_or(revision, |(_, rest)| rest);
        Some(shell.current_dir().join(format!("strongswan_{file}.dsc")))
    }
}

/// Where Debian's `codename` is: the system's own mirrors if it has them, else the canonical ones.
pub(crate) fn repositories(shell: &Shell, codename: &str) -> Vec<(String, String)> {
    let targets = cmd!(
        shell,
        "apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' 'Origin: Debian' 'Component: main'"
    )
    .quiet()
    .read()
    .unwrap_or_default();
    let mut found: Vec<(String, String)> = targets
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(_, suite)| suite.split('-').next() == Some(codename))
        .map(|(uri, suite)| (uri.to_owned(), suite.to_owned()))
        .collect();
    found.sort();
    found.dedup();
    if found.is_empty() {
        let all = [
            ("http://deb.debian.org/debian", ""),
            ("http://deb.debian.org/debian", "-updates"),
            ("http://deb.debian.org/debian-security", "-security"),
        ];
        // sid has no others beside it.
        let there = if codename == "sid" { &all[..1] } else { &all };
        found = there
            .iter()
            .map(|(uri, suffix)| ((*uri).to_owned(), format!("{codename}{suffix}")))
            .collect();
    }
    found
}
