// SPDX-License-Identifier: GPL-2.0-or-later

//! What the kernel starts with: busybox, the modules for the machine's files, and `init.sh`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{bail, ensure, Context, Result};
use xshell::{cmd, Shell};

use super::kernel::Kernel;

const BUSYBOX: &str = "/bin/busybox";
const INIT: &str = include_str!("init.sh");

/// Those that it takes to find all others.
const MODULES: [&str; 5] = [
    "virtio_pci",
    "virtio_console",
    "9pnet_virtio",
    "9p",
    "overlay",
];

/// Makes it for that kernel, in that directory, and returns its path.
pub(super) fn make(shell: &Shell, kernel: &Kernel, directory: &Path) -> Result<PathBuf> {
    let tree = directory.join("initramfs.d");
    shell.remove_path(&tree)?;
    for name in ["bin", "modules"] {
        fs::create_dir_all(tree.join(name))?;
    }
    fs::copy(BUSYBOX, tree.join("bin/busybox")).context(BUSYBOX)?;
    let init = tree.join("init");
    fs::write(&init, INIT)?;
    cmd!(shell, "chmod 755 {init}").quiet().run()?;
    for (number, file) in kernel.files_of(shell, &MODULES)?.iter().enumerate() {
        // The shell's order of names is the one in which they are loaded.
        copy_module(file, &tree.join("modules").join(format!("{number:02}.ko")))?;
    }
    let archive = directory.join("initramfs");
    pack(&tree, &archive)?;
    shell.remove_path(&tree)?;
    Ok(archive)
}

/// Copies a module without its compression, which busybox may not know.
fn copy_module(file: &Path, to: &Path) -> Result<()> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("ko") => {
            fs::copy(file, to)?;
        }
        Some("xz") => {
            let status = Command::new("xz")
                .args(["--decompress", "--stdout"])
                .arg(file)
                .stdout(File::create(to)?)
                .status()
                .context("xz")?;
            ensure!(status.success(), "xz could not read {}", file.display());
        }
        _ => bail!("{}: not a module as Debian has them", file.display()),
    }
    Ok(())
}

fn pack(tree: &Path, archive: &Path) -> Result<()> {
    let mut find = Command::new("find")
        .arg(".")
        .current_dir(tree)
        .stdout(Stdio::piped())
        .spawn()
        .context("find")?;
    let names = find.stdout.take().context("it is piped")?;
    let status = Command::new("cpio")
        .args(["--create", "--format=newc", "--quiet"])
        .current_dir(tree)
        .stdin(names)
        .stdout(File::create(archive)?)
        .status()
        .context("cpio")?;
    ensure!(
        status.success() && find.wait()?.success(),
        "cpio made no {}",
        archive.display()
    );
    Ok(())
}
