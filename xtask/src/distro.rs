// SPDX-License-Identifier: GPL-2.0-or-later

//! A Debian release's own strongSwan package rebuilt with the plugin in its tree, and the laboratory on it.
//! Everything comes from the release's archive and from crates.io.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{bail, ensure, Context, Result};
use xshell::cmd;

use crate::deb::{self, debs};
use crate::lab::{self, Esp};
use crate::root::{self, Network, Root};
use crate::test::E2E_THREADS;
use crate::{checkout, packages, source, Project, VENDORED};

/// A release that the plugin is packaged for.
struct Release {
    codename: &'static str,
    /// Its packages of Rust 1.85 or newer.
    rust: &'static str,
    /// Whether that is the oldest one that is supported.
    oldest: bool,
}

const RELEASES: &[Release] = &[
    Release {
        codename: "bookworm",
        // Its rustc is 1.63; security updates of browsers brought a newer one.
        rust: "cargo-web rustc-web",
        oldest: false,
    },
    Release {
        codename: "trixie",
        rust: "cargo rustc",
        oldest: true,
    },
    Release {
        codename: "sid",
        rust: "cargo rustc",
        oldest: false,
    },
];

/// What strongSwan's build does not bring, but the plugin's and the laboratory do.
const TOOLS: &str =
    "libclang-dev python3 iproute2 nftables netbase iputils-ping openssl procps softhsm2 opensc";

/// The built packages that the laboratory's hosts need.
const WANTED: &[&str] = &[
    PACKAGE,
    "libstrongswan",
    "libstrongswan-extra-plugins",
    "libstrongswan-standard-plugins",
    "libcharon-extauth-plugins",
    "libcharon-extra-plugins",
    "strongswan-charon",
    "strongswan-libcharon",
    "strongswan-starter",
    "strongswan-swanctl",
];

/// Left out of the laboratory: valgrind is not in the root.
const SKIPPED: &str = "--skip valgrind";

/// Where the packages are left.
const PACKAGES: &str = "packages";
const PACKAGE: &str = "libcharon-extsock-plugin";
const PLUGIN_FILE: &str = "libstrongswan-extsock.so";
const PLUGIN: &str = "/usr/lib/ipsec/plugins/libstrongswan-extsock.so";
const BUILD: &str = "/build";
/// The checkout in strongSwan's source tree.
const CHECKOUT: &str = "/build/strongswan/src/libcharon/plugins/extsock";

/// Builds the packages of a release and runs the laboratory on them; says how long each step took.
pub(crate) fn run(project: &Project, codename: &str) -> Result<()> {
    let Some(release) = RELEASES.iter().find(|release| release.codename == codename) else {
        let names: Vec<_> = RELEASES.iter().map(|release| release.codename).collect();
        bail!("no release {codename}; there are {}", names.join(", "));
    };
    packages::install_for_roots(&project.shell)?;
    let begin = Instant::now();
    let step = |name: &str, run: &dyn Fn() -> Result<String>| {
        let begin = Instant::now();
        println!("{codename}: {name}");
        let result = run().with_context(|| format!("{codename}: {name}"))?;
        println!("{codename}: {name}: {result} ({:.0?})", begin.elapsed());
        anyhow::Ok(())
    };
    let directory = project.target().join("distro").join(codename);
    let root = Root::new(&directory.join("root"));
    step("root", &|| root.prepare(project, codename))?;
    step("tools", &|| tools(&root, release))?;
    step("sources", &|| sources(project, &root, codename))?;
    step("packages", &|| build(&root, &directory))?;
    step("lintian", &|| lintian(project, &directory))?;
    step("installation", &|| install(&root, &directory))?;
    step("wrong plugins", &|| wrong(&root, &directory, codename))?;
    step("laboratory", &|| laboratory(&root))?;
    if release.oldest {
        step("tests of the core with the oldest Rust", &|| core(&root))?;
    }
    root::remove(&root.path(BUILD))?;
    println!("{codename}: all done in {:.0?}", begin.elapsed());
    Ok(())
}

fn tools(root: &Root, release: &Release) -> Result<String> {
    let rust = release.rust;
    root.run(
        "tools",
        Network::Shared,
        &format!(
            "apt-get --quiet update\n\
             apt-get --quiet --yes --no-remove upgrade\n\
             apt-get --quiet --yes build-dep strongswan\n\
             apt-get --quiet --yes install {rust} {TOOLS}\n"
        ),
    )?;
    root.read(Network::Off, "rustc --version")
}

/// strongSwan's source package with the checkout and its crates in it.
fn sources(project: &Project, root: &Root, codename: &str) -> Result<String> {
    root::remove(&root.path(BUILD))?;
    fs::create_dir(root.path(BUILD))?;
    let (version, _) = source::RELEASES
        .iter()
        .find(|(_, name)| *name == codename)
        .context("each release has its version")?;
    source::unpack(project, version, &root.path(BUILD).join("strongswan"))?;
    let place = root.path(CHECKOUT);
    checkout::copy(project, &place)?;
    vendor(project, &place)?;
    root.run(
        "insertion",
        Network::Off,
        &format!(
            "cd {BUILD}/strongswan\n\
             sh {CHECKOUT}/debian/into-strongswan\n\
             version=$(dpkg-parsechangelog --show-field Version)+extsock$(cd {CHECKOUT} && \
                 dpkg-parsechangelog --show-field Version)\n\
             {{\n\
               echo \"strongswan ($version) UNRELEASED; urgency=medium\"\n\
               echo\n\
               echo '  * Rebuilt with the plugin extsock in the tree.'\n\
               echo\n\
               echo \" -- $(dpkg-parsechangelog --show-field Maintainer)  $(date -R)\"\n\
               echo\n\
               cat debian/changelog\n\
             }} > debian/changelog.new\n\
             mv debian/changelog.new debian/changelog\n"
        ),
    )?;
    root.read(
        Network::Off,
        &format!("cd {BUILD}/strongswan; dpkg-parsechangelog --show-field Version"),
    )
}

/// Puts the locked crates beside the sources, where the packages' rules find them.
fn vendor(project: &Project, checkout: &Path) -> Result<()> {
    let crates = checkout.join("vendor");
    cmd!(
        project.shell,
        "cargo vendor --quiet --locked --versioned-dirs {crates}"
    )
    .ignore_stdout()
    .quiet()
    .run()?;
    Ok(())
}

/// The part without strongSwan. The packages are built with this Rust in any case.
fn core(root: &Root) -> Result<String> {
    root.run(
        "core",
        Network::Off,
        &format!(
            "cd {CHECKOUT}\n\
             cargo {VENDORED} test --locked --package extsock-core --target-dir {BUILD}/cargo\n"
        ),
    )?;
    passed(&root.log("core"))
}

fn build(root: &Root, directory: &Path) -> Result<String> {
    root.run(
        "packages",
        Network::Off,
        &format!(
            "cd {BUILD}/strongswan\n\
             DEB_BUILD_OPTIONS=\"nocheck noautodbgsym parallel=$(nproc)\" dpkg-buildpackage --build=any --no-sign\n"
        ),
    )?;
    // Debian's root, not ours, owns what was built.
    let built = debs(&root.path(BUILD))?;
    let kept = directory.join(PACKAGES);
    root::remove(&kept)?;
    fs::create_dir_all(&kept)?;
    for package in &built {
        let name = package.file_name().context("a file has a name")?;
        fs::copy(package, kept.join(name))?;
    }
    Ok(format!("{} in {}", built.len(), kept.display()))
}

/// Of the packages, the one that is ours.
fn lintian(project: &Project, directory: &Path) -> Result<String> {
    let mut packages = debs(&directory.join(PACKAGES))?;
    packages.retain(|path| path.to_string_lossy().contains(PACKAGE));
    ensure!(!packages.is_empty(), "no {PACKAGE} was built");
    deb::lintian(&project.shell, &packages)?;
    Ok("no error or warning".to_owned())
}

fn install(root: &Root, directory: &Path) -> Result<String> {
    let files: Vec<_> = WANTED
        .iter()
        .map(|name| format!("{BUILD}/{name}_*.deb"))
        .collect();
    root.run(
        "installation",
        Network::Shared,
        &format!(
            "apt-get --quiet --yes --allow-downgrades --reinstall install {}\n",
            files.join(" ")
        ),
    )?;
    fs::copy(root.path(PLUGIN), directory.join(PLUGIN_FILE))?;
    root.read(
        Network::Off,
        &format!("dpkg-query --show --showformat '${{Package}} ${{Version}}' {PACKAGE}"),
    )
}

/// Plugins that this charon has to refuse: one without mediation, and those that were built for other releases.
fn wrong(root: &Root, directory: &Path, codename: &str) -> Result<String> {
    let strangers = root.path(CHECKOUT).join("target/plugin-wrong");
    root.run(
        "wrong",
        Network::Off,
        &format!(
            "cd {CHECKOUT}\n\
             mkdir -p {BUILD}/no-me target/plugin-wrong/no-me\n\
             sed '/^#define ME /d' {BUILD}/strongswan/config.h > {BUILD}/no-me/config.h\n\
             STRONGSWAN_SRC={BUILD}/strongswan STRONGSWAN_BUILD={BUILD}/no-me \
                 cargo {VENDORED} build --locked --package extsock --target-dir {BUILD}/cargo\n\
             cp {BUILD}/cargo/debug/libextsock.so target/plugin-wrong/no-me/{PLUGIN_FILE}\n"
        ),
    )?;
    let mut names = vec!["without mediation".to_owned()];
    for other in RELEASES {
        let file = directory.with_file_name(other.codename).join(PLUGIN_FILE);
        if other.codename != codename && file.exists() {
            let to = strangers.join(other.codename);
            fs::create_dir_all(&to)?;
            fs::copy(file, to.join(PLUGIN_FILE))?;
            names.push(format!("of {}", other.codename));
        }
    }
    Ok(names.join(", "))
}

/// The end-to-end tests on the installed charon and plugin, the refusal of the wrong plugins among them.
fn laboratory(root: &Root) -> Result<String> {
    let left_out = lab::left_out(&root.path(lab::LIBCHARON), Esp::here())?.join(" ");
    root.run(
        "laboratory",
        Network::Off,
        &format!(
            "cd {CHECKOUT}\n\
             export EXTSOCK_PLUGIN={PLUGIN}\n\
             cargo {VENDORED} test --locked --package extsock-lab --target-dir {BUILD}/cargo -- --test-threads {E2E_THREADS} {left_out} {SKIPPED}\n"
        ),
    )?;
    passed(&root.log("laboratory"))
}

/// How many tests have passed.
fn passed(log: &Path) -> Result<String> {
    let text = fs::read_to_string(log)?;
    let passed: u32 = text
        .lines()
        .filter_map(|line| line.strip_prefix("test result: ok. "))
        .filter_map(|line| line.split(' ').next()?.parse::<u32>().ok())
        .sum();
    ensure!(passed > 0, "no test ran, see {}", log.display());
    Ok(format!("{passed} passed"))
}
