// SPDX-License-Identifier: GPL-2.0-or-later

//! The files that the lab's hosts open all the time. The guest has them in memory from the start, because to open a
//! file by 9p takes an emulated guest longer than all else that a program does until it runs.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{ensure, Context, Result};
use xshell::{cmd, Shell};

/// What the hosts are made with.
const PROGRAMS: [&str; 18] = [
    "bash", "cat", "cp", "env", "ip", "mkdir", "modprobe", "mount", "nsenter", "openssl", "ping",
    "readlink", "setpriv", "sh", "swanctl", "tc", "touch", "unshare",
];

/// Whole directories: of strongSwan, and of what programs read as they start.
const DIRECTORIES: [&str; 3] = ["/usr/lib/ipsec", "/usr/lib/locale/C.utf8", "/etc"];

/// Where programs with plugins are, whose libraries are needed as well.
const PLUGINS: &str = "/usr/lib/ipsec";

/// Leaves an archive of the files.
pub(super) fn make(shell: &Shell, archive: &Path) -> Result<()> {
    let mut roots = programs()?;
    for directory in [PLUGINS.to_owned(), format!("{PLUGINS}/plugins")] {
        for entry in fs::read_dir(&directory).context(directory)? {
            let path = entry?.path();
            if path.is_file() {
                roots.push(path);
            }
        }
    }
    let mut files = BTreeSet::new();
    for path in roots.iter().cloned().chain(libraries(shell, &roots)?) {
        with_links(path, &mut files)?;
    }
    // The names as the guest has them, from the root on.
    let names = files.iter().filter_map(|path| path.strip_prefix("/").ok());
    let directories = DIRECTORIES.iter().filter(|path| Path::new(path).exists());
    let directories = directories.map(|path| Path::new(path.trim_start_matches('/')));
    let status = Command::new("tar")
        .args(["--create", "--directory", "/", "--file"])
        .arg(archive)
        .args(names.chain(directories))
        .stderr(Stdio::inherit())
        .status()
        .context("tar")?;
    ensure!(status.success(), "tar made no {}", archive.display());
    Ok(())
}

fn programs() -> Result<Vec<PathBuf>> {
    let path = env::var_os("PATH").context("there is a PATH")?;
    let find = |name: &str| {
        env::split_paths(&path)
            .map(|directory| directory.join(name))
            .find(|file| file.is_file())
    };
    Ok(PROGRAMS.iter().filter_map(|name| find(name)).collect())
}

/// What is linked to these files, directly or not.
fn libraries(shell: &Shell, files: &[PathBuf]) -> Result<Vec<PathBuf>> {
    // Scripts have none, of which ldd makes an error.
    let listing = cmd!(shell, "ldd {files...}")
        .quiet()
        .ignore_stderr()
        .ignore_status()
        .read()?;
    let paths = listing
        .lines()
        .filter(|line| line.starts_with('\t'))
        .flat_map(|line| line.split_whitespace())
        .filter(|word| word.starts_with('/'));
    Ok(paths.map(PathBuf::from).collect())
}

/// Adds a file and the symbolic links that lead to it, each below its real directory.
fn with_links(path: PathBuf, files: &mut BTreeSet<PathBuf>) -> Result<()> {
    let mut path = path;
    loop {
        let directory = path.parent().context("a file has a directory")?;
        let name = path.file_name().context("a file has a name")?;
        let there = fs::canonicalize(directory)
            .with_context(|| path.display().to_string())?
            .join(name);
        let target = fs::read_link(&there).ok();
        let is_new = files.insert(there.clone());
        match target {
            Some(target) if is_new => path = there.with_file_name(target),
            _ => return Ok(()),
        }
    }
}
