// SPDX-License-Identifier: GPL-2.0-or-later

//! The Debian packages that build and tests need.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result};
use xshell::{cmd, Shell};

use crate::need_root;

const BUILD: &[&str] = &[
    // the plugin's C shim and strongSwan's ./configure
    "gcc",
    "make",
    "libc6-dev",
    // that of 6.1.0
    "pkg-config",
    // bindgen
    "libclang-dev",
    // strongSwan's source package
    "dpkg-dev",
    "bzip2",
    "xz-utils",
    // tells which version's headers are needed, and is linked by the in-process tests
    "strongswan-libcharon",
];

const TEST: &[&str] = &[
    "iproute2",
    // links that lose packets
    "nftables",
    // libFuzzer
    "g++",
    // /etc/hosts, in whose place each host of the lab has its own
    "netbase",
    "iputils-ping",
    "strongswan-charon",
    "strongswan-swanctl",
    // stroke, its plugin, and starter
    "strongswan-starter",
    "libstrongswan-standard-plugins",
    "libcharon-extra-plugins",
    // xauth-generic
    "libcharon-extauth-plugins",
    // certificates
    "openssl",
    // tokens, and charon's plugin for them
    "softhsm2",
    "opensc",
    "libstrongswan-extra-plugins",
    // the guide's examples
    "jq",
    "python3",
    "socat",
    "valgrind",
    "libc6-dbg",
];

/// What strongSwan's own build needs in addition.
const TREE: &[&str] = &[
    // tells what belongs to the sources, as for the next two
    "git",
    "autoconf",
    "automake",
    "libtool",
    "bison",
    "flex",
    "gettext",
    "gperf",
    "python3",
    "libgmp-dev",
    "libssl-dev",
];

/// What virtual machines need in addition.
const VM: &[&str] = &[
    "qemu-system-x86",
    // what the guest starts with
    "busybox-static",
    "cpio",
    // its modules
    "kmod",
    "xz-utils",
];

/// What the Debian package needs in addition.
const DEB: &[&str] = &[
    "git",
    "debhelper",
    "lintian",
    // strongSwan's formatter of options
    "python3",
];

/// What root directories of releases, with strongSwan's source in them, are made with, and what the packages
/// are looked at with.
const ROOT: &[&str] = &[
    "git",
    "debootstrap",
    "dpkg-dev",
    "bzip2",
    "xz-utils",
    "lintian",
];

/// Its service would be started by the installation.
const SERVICE_PACKAGE: &str = "strongswan-starter";
const SERVICE: &str = "strongswan-starter.service";

/// Installs what is missing for builds and tests of the plugin.
pub(crate) fn install(shell: &Shell) -> Result<()> {
    install_missing(shell, &[BUILD, TEST].concat())
}

/// Installs what is missing for builds of strongSwan, too.
pub(crate) fn install_for_trees(shell: &Shell) -> Result<()> {
    install_missing(shell, &[BUILD, TEST, TREE].concat())
}

/// Installs what is missing for virtual machines, too.
pub(crate) fn install_for_vm(shell: &Shell) -> Result<()> {
    install_missing(shell, &[BUILD, TEST, VM].concat())
}

/// Installs what is missing for the Debian package.
pub(crate) fn install_for_deb(shell: &Shell) -> Result<()> {
    install_missing(shell, &[BUILD, DEB].concat())
}

/// Installs what is missing for root directories of releases.
pub(crate) fn install_for_roots(shell: &Shell) -> Result<()> {
    install_missing(shell, ROOT)
}

fn install_missing(shell: &Shell, wanted: &[&str]) -> Result<()> {
    let installed = installed(shell)?;
    let is_installed = |package: &str| {
        installed.contains(package)
            // Any version of it will do.
            || package == "libclang-dev"
                && installed.iter().any(|name| {
                    name.strip_prefix("libclang-")
                        .and_then(|rest| rest.strip_suffix("-dev"))
                        .is_some_and(|version| version.parse::<u32>().is_ok())
                })
    };
    let missing: Vec<_> = wanted
        .iter()
        .copied()
        .filter(|package| !is_installed(package))
        .collect();
    if missing.is_empty() {
        println!("packages: all installed");
        return Ok(());
    }
    println!("packages: installing {}", missing.join(" "));
    need_root("installing packages")?;
    let _masked = if installed.contains(SERVICE_PACKAGE) {
        None
    } else {
        MaskedService::new(shell)?
    };
    cmd!(shell, "apt-get update --quiet").run()?;
    cmd!(
        shell,
        "apt-get install --quiet --yes --no-install-recommends"
    )
    .args(missing)
    .env("DEBIAN_FRONTEND", "noninteractive")
    .run()
    .context("apt-get could not install the packages")
}

fn installed(shell: &Shell) -> Result<HashSet<String>> {
    let format = "${db:Status-Status} ${Package}\n";
    let listing = cmd!(shell, "dpkg-query --show --showformat {format}")
        .quiet()
        .read()
        .context("dpkg-query: this is made for Debian")?;
    Ok(listing
        .lines()
        .filter_map(|line| line.strip_prefix("installed "))
        .map(str::to_owned)
        .collect())
}

/// Keeps systemd from starting strongSwan's service while its package is being installed.
struct MaskedService<'a>(&'a Shell);

impl<'a> MaskedService<'a> {
    fn new(shell: &'a Shell) -> Result<Option<Self>> {
        if !Path::new("/run/systemd/system").exists() {
            return Ok(None);
        }
        println!(
            "packages: {SERVICE} comes along; it is not started now, but at the next boot unless \
             you run `systemctl disable strongswan-starter`"
        );
        cmd!(shell, "systemctl mask --runtime {SERVICE}").run()?;
        Ok(Some(Self(shell)))
    }
}

impl Drop for MaskedService<'_> {
    fn drop(&mut self) {
        let unmasked = cmd!(self.0, "systemctl unmask --runtime {SERVICE}").run();
        if let Err(problem) = unmasked {
            eprintln!("{problem}");
        }
    }
}
