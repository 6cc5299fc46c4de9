// SPDX-License-Identifier: GPL-2.0-or-later

//! A Debian release's kernel, unpacked and not installed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context, Result};
use xshell::{cmd, Shell};

use crate::apt::{self, newest_first, Kind, PrivateApt};
use crate::Project;

/// Depends on the release's current kernel.
const PACKAGE: &str = "linux-image-amd64";
/// How the packages begin that have the kernel, its modules, and lists of what is built in: until trixie they
/// are one package, in sid several.
const PARTS: [&str; 4] = [
    "linux-image-",
    "linux-binary-",
    "linux-modules-",
    "linux-base-",
];

/// A kernel and its modules.
pub(super) struct Kernel {
    /// As `uname -r` says.
    pub(super) release: String,
    /// What is booted.
    pub(super) image: PathBuf,
    /// What is to be the guest's /lib/modules.
    pub(super) modules: PathBuf,
    /// The directory that has lib/modules.
    root: PathBuf,
}

impl Kernel {
    /// The kernel of a Debian release, fetched unless it is in that directory.
    pub(super) fn prepare(project: &Project, codename: &str, directory: &Path) -> Result<Self> {
        let root = directory.join("kernel");
        if !root.exists() {
            println!("kernel: fetching that of {codename}");
            let packages = download(&project.shell, codename, &directory.join("apt"))?;
            // Under a name of its own until it is complete.
            let new = directory.join("kernel.new");
            unpack(&project.shell, &packages, &new)?;
            fs::rename(&new, &root)?;
        }
        let kernel = Self::at(root)?;
        println!("kernel: {} of {codename}", kernel.release);
        Ok(kernel)
    }

    fn at(root: PathBuf) -> Result<Self> {
        let modules = root.join("lib/modules");
        let release = fs::read_dir(&modules)?
            .next()
            .context("a kernel has modules")??
            .file_name()
            .into_string()
            .ok()
            .context("a kernel's release is ASCII")?;
        // sid's is beside its modules.
        let images = [
            root.join("boot").join(format!("vmlinuz-{release}")),
            modules.join(&release).join("vmlinuz"),
        ];
        let image = images.into_iter().find(|image| image.exists());
        Ok(Self {
            image: image.with_context(|| format!("no image of {release}"))?,
            release,
            modules,
            root,
        })
    }

    /// The files of modules and of what they need, in the order in which they have to be loaded.
    pub(super) fn files_of(&self, shell: &Shell, modules: &[&str]) -> Result<Vec<PathBuf>> {
        let Self { root, release, .. } = self;
        let mut files = Vec::new();
        for module in modules {
            let needed = cmd!(
                shell,
                "modprobe --config /dev/null --dirname {root} --set-version {release} --show-depends {module}"
            )
            .quiet()
            .read()?;
            // The others are built in.
            let paths = needed
                .lines()
                .filter_map(|line| line.strip_prefix("insmod "));
            for path in paths.map(|path| PathBuf::from(path.trim())) {
                if !files.contains(&path) {
                    files.push(path);
                }
            }
        }
        Ok(files)
    }
}

/// Downloads the packages of the newest kernel that a mirror really has, not only lists.
fn download(shell: &Shell, codename: &str, directory: &Path) -> Result<Vec<PathBuf>> {
    let mut listed = Vec::new();
    for (uri, suite) in apt::repositories(shell, codename) {
        let there = directory.join(&suite);
        let apt = PrivateApt::new(shell, there, (&uri, &suite), Kind::Binary)?;
        if let Some(version) = apt.version(PACKAGE)? {
            listed.push((version, apt));
        }
    }
    newest_first(shell, &mut listed);
    for (_, apt) in &listed {
        let mut packages = apt.with_dependencies(PACKAGE)?;
        packages.retain(|name| {
            let part = PARTS.iter().find_map(|part| name.strip_prefix(part));
            part.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        });
        if let Some(files) = apt.download(&packages)? {
            return Ok(files);
        }
    }
    bail!("no mirror has {PACKAGE} of {codename}")
}

fn unpack(shell: &Shell, packages: &[PathBuf], root: &Path) -> Result<()> {
    shell.remove_path(root)?;
    shell.create_dir(root)?;
    for package in packages {
        cmd!(shell, "dpkg-deb --extract {package} {root}")
            .quiet()
            .run()?;
    }
    // Where /lib is a symbolic link, packages bring what it leads to. depmod looks for the other.
    let merged = root.join("usr/lib/modules");
    if merged.exists() {
        shell.create_dir(root.join("lib"))?;
        fs::rename(merged, root.join("lib/modules"))?;
    }
    let release = Kernel::at(root.to_owned())?.release;
    cmd!(shell, "depmod --basedir {root} {release}")
        .quiet()
        .run()?;
    Ok(())
}
