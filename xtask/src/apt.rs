// SPDX-License-Identifier: GPL-2.0-or-later

//! Debian's archive, for releases that need not be the machine's.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::{cmd, PushEnv, Shell};

pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What is fetched from an archive.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Source packages.
    Source,
    /// Binary packages of this machine's architecture.
    Binary,
}

/// apt with one source and state of its own, which leaves the system's as they are.
pub(crate) struct PrivateApt<'a> {
    shell: &'a Shell,
    directory: PathBuf,
    suite: String,
}

impl<'a> PrivateApt<'a> {
    pub(crate) fn new(
        shell: &'a Shell,
        directory: PathBuf,
        (uri, suite): (&str, &str),
        kind: Kind,
    ) -> Result<Self> {
        for name in ["lists/partial", "cache/archives/partial", "files"] {
            fs::create_dir_all(directory.join(name))?;
        }
        let options = if Path::new(KEYRING).exists() {
            format!("[signed-by={KEYRING}] ")
        } else {
            String::new()
        };
        let kind = match kind {
            Kind::Source => "deb-src",
            Kind::Binary => "deb",
        };
        fs::write(
            directory.join("sources.list"),
            format!("{kind} {options}{uri} {suite} main\n"),
        )?;
        // What is installed is of no interest.
        fs::write(directory.join("status"), "")?;
        let path = directory.display();
        // The user is root because _apt may not be able to reach the checkout. A mirror of sid may be older
        // than its lists promise to be good for.
        fs::write(
            directory.join("apt.conf"),
            format!(
                "Dir::Etc::sourcelist \"{path}/sources.list\";\n\
                 Dir::Etc::sourceparts \"/dev/null\";\n\
                 Dir::State::lists \"{path}/lists\";\n\
                 Dir::State::status \"{path}/status\";\n\
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

    /// The listed revisions of strongSwan's source.
    pub(crate) fn revisions(&self) -> Result<Vec<String>> {
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
            .map(str::to_owned)
            .collect())
    }

    /// Downloads a revision of strongSwan's source and returns the path of its .dsc file.
    pub(crate) fn download_source(&self, revision: &str) -> Option<PathBuf> {
        let shell = self.shell;
        let suite = &self.suite;
        let _environment = self.environment();
        let _there = shell.push_dir(self.directory.join("files"));
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

    /// The version of a binary package.
    pub(crate) fn version(&self, package: &str) -> Result<Option<String>> {
        let _environment = self.environment();
        // Lists of a suite without the package are no error.
        let shown = cmd!(self.shell, "apt-cache show --no-all-versions {package}")
            .quiet()
            .ignore_status()
            .ignore_stderr()
            .read()?;
        let version = shown
            .lines()
            .find_map(|line| line.strip_prefix("Version: "));
        Ok(version.map(str::to_owned))
    }

    /// A binary package and all that it depends on, directly or not, as far as the suite has it.
    pub(crate) fn with_dependencies(&self, package: &str) -> Result<Vec<String>> {
        let _environment = self.environment();
        let listing = cmd!(
            self.shell,
            "apt-cache depends --recurse --important {package}"
        )
        .quiet()
        .read()?;
        let names = listing.lines().filter(|line| !line.starts_with([' ', '<']));
        Ok(names.map(str::to_owned).collect())
    }

    /// Downloads binary packages, unless the mirror only lists them, and returns the paths.
    pub(crate) fn download(&self, packages: &[String]) -> Result<Option<Vec<PathBuf>>> {
        let shell = self.shell;
        let directory = self.directory.join("files");
        shell.remove_path(&directory)?;
        shell.create_dir(&directory)?;
        let _environment = self.environment();
        let _there = shell.push_dir(&directory);
        let fetched = cmd!(shell, "apt-get download --quiet --quiet {packages...}")
            .quiet()
            .run();
        if fetched.is_err() {
            println!(
                "apt: {} are listed in {}, but not there",
                packages.join(" "),
                self.suite
            );
            return Ok(None);
        }
        let files = fs::read_dir(&directory)?.map(|entry| Ok(entry?.path()));
        files.collect::<Result<Vec<_>>>().map(Some)
    }
}

/// Sorts versions with what belongs to them, the newest first.
pub(crate) fn newest_first<T>(shell: &Shell, versions: &mut [(String, T)]) {
    let newer = |a: &str, b: &str| {
        cmd!(shell, "dpkg --compare-versions {a} gt {b}")
            .quiet()
            .run()
            .is_ok()
    };
    versions.sort_by(|(a, _), (b, _)| newer(b, a).cmp(&newer(a, b)));
}

/// The codename of this machine's release.
pub(crate) fn codename() -> Result<String> {
    let release = fs::read_to_string("/etc/os-release")?;
    release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map(str::to_owned)
        .context("/etc/os-release names no VERSION_CODENAME")
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
