// SPDX-License-Identifier: GPL-2.0-or-later

//! The plugin as part of strongSwan: strongSwan's own build with this checkout in its tree, and that
//! charon in the lab.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};
use xshell::{cmd, Cmd, Shell};

use crate::lab::{self, Esp};
use crate::test::{step, E2E_THREADS};
use crate::{checkout, need_root, packages, plugin, source, Project};

/// Where the plugin is in a strongSwan tree.
const PLACE: &str = "src/libcharon/plugins/extsock";

/// What the script changes or makes.
const CHANGED: [&str; 4] = [
    "configure.ac",
    "src/libcharon/Makefile.am",
    "conf/Makefile.am",
    "conf/plugins/extsock.opt",
];

/// charon with what the lab's hosts load, and nothing else.
const PLUGINS: &str = "random nonce aes sha1 sha2 hmac kdf gmp openssl pem pkcs1 pkcs7 pkcs8 pkcs11 pkcs12 x509 pubkey \
                       revocation constraints socket-default kernel-libipsec kernel-netlink vici stroke updown \
                       resolve attr eap-identity eap-md5 eap-mschapv2 md4 xauth-generic extsock";

/// The end-to-end tests that are left out, and why. docs/building.md says so, too.
const SKIPPED: [(&str, &str); 2] = [
    (
        "loading::a_build_for_another_charon_is_refused_in_one_line",
        "the wrong builds are made for Debian's charon only",
    ),
    (
        "socket::systemd_can_hold_the_socket",
        "libstrongswan knows systemd's sockets with --enable-systemd only",
    ),
];

/// What `make install` has to install below the prefix, and `make uninstall` to remove again.
const INSTALLED: [&str; 3] = [
    "bin/extsockctl",
    "lib/ipsec/plugins/libstrongswan-extsock.so",
    "share/strongswan/templates/config/plugins/extsock.conf",
];

/// The same, but strongSwan leaves configurations where they are.
const CONF: &str = "etc/strongswan.d/charon/extsock.conf";

/// Builds and tests one version, or all that are supported; says how long each step and all took.
pub(crate) fn run(project: &Project, wanted: Option<&str>) -> Result<()> {
    need_root("the lab makes network namespaces")?;
    packages::install_for_trees(&project.shell)?;
    let all = source::RELEASES.map(|(version, _)| version);
    let versions = wanted.map_or(all.to_vec(), |version| vec![version]);
    for version in versions {
        step(&format!("strongSwan {version} in-tree"), || {
            let tree = Tree::new(project, version);
            step("source", || tree.source())?;
            step("autogen", || tree.autogen())?;
            step("refusals", || tree.refusals())?;
            step("configure", || tree.configure())?;
            step("make", || tree.make())?;
            step("make install", || tree.install())?;
            step("options", || tree.options())?;
            step("in process", || tree.in_process())?;
            step("lab", || tree.lab())?;
            step("make uninstall and clean", || tree.clean())
        })?;
    }
    Ok(())
}

/// A strongSwan that was built with the plugin in its tree.
pub(crate) struct Installed {
    pub source: PathBuf,
    prefix: PathBuf,
}

impl Installed {
    pub fn libcharon(&self) -> PathBuf {
        self.libraries().join("libcharon.so.0")
    }

    fn libraries(&self) -> PathBuf {
        self.prefix.join("lib/ipsec")
    }

    /// Variables by which builds and tests find it.
    pub fn environment(&self) -> [(&'static str, PathBuf); 5] {
        [
            ("STRONGSWAN_SRC", self.source.clone()),
            ("STRONGSWAN_LIBDIR", self.libraries()),
            ("EXTSOCK_LAB_LIBEXEC", self.prefix.join("libexec/ipsec")),
            ("EXTSOCK_LAB_SBIN", self.prefix.join("sbin")),
            ("EXTSOCK_LAB_PLUGINS", self.libraries().join("plugins")),
        ]
    }
}

/// Builds one version and installs it below target/.
pub(crate) fn installed(project: &Project, version: &str) -> Result<Installed> {
    packages::install_for_trees(&project.shell)?;
    let tree = Tree::new(project, version);
    step("source", || tree.source())?;
    step("autogen", || tree.autogen())?;
    step("configure", || tree.configure())?;
    step("make", || tree.make())?;
    step("make install", || tree.install())?;
    Ok(tree.installed())
}

struct Tree<'a> {
    project: &'a Project,
    version: &'a str,
    /// All that is made for the version.
    directory: PathBuf,
    /// strongSwan's source.
    source: PathBuf,
    /// configure's --prefix.
    prefix: PathBuf,
}

impl<'a> Tree<'a> {
    fn new(project: &'a Project, version: &'a str) -> Self {
        let directory = project.target().join("in-tree").join(version);
        Self {
            project,
            version,
            source: directory.join("strongswan"),
            prefix: directory.join("installed"),
            directory,
        }
    }

    /// strongSwan's source with the checkout, changes that are not committed included.
    fn source(&self) -> Result<()> {
        let shell = &self.project.shell;
        fs::create_dir_all(&self.directory)?;
        source::unpack(self.project, self.version, &self.source)?;
        checkout::copy(self.project, &self.source.join(PLACE))?;
        let _in_tree = shell.push_dir(&self.source);
        let script = Path::new(PLACE).join("add-to-strongswan.sh");
        cmd!(shell, "{script}").run()?;
        let first = self.changed()?;
        cmd!(shell, "{script}").quiet().run()?;
        ensure!(
            first == self.changed()?,
            "a second run of {} changed the tree",
            script.display()
        );
        Ok(())
    }

    fn changed(&self) -> Result<Vec<String>> {
        let read = |file: &str| fs::read_to_string(self.source.join(file)).context(file.to_owned());
        CHANGED.into_iter().map(read).collect()
    }

    fn autogen(&self) -> Result<()> {
        let shell = &self.project.shell;
        let _in_tree = shell.push_dir(&self.source);
        // Released sources come without autogen.sh, which does just this.
        self.logged("autogen", cmd!(shell, "autoreconf --force --install"))
    }

    /// What cannot be built is refused, in one line.
    fn refusals(&self) -> Result<()> {
        let shell = &self.project.shell;
        let unknown = self.directory.join("unknown");
        shell.remove_path(&unknown)?;
        let place = unknown.join(PLACE);
        fs::create_dir_all(&place)?;
        for name in ["configure.m4", "extsock.opt", "add-to-strongswan.sh"] {
            fs::copy(self.source.join(PLACE).join(name), place.join(name))?;
        }
        fs::write(
            unknown.join("configure.ac"),
            "AC_INIT([strongSwan],[7.0])\n",
        )?;
        let script = place.join("add-to-strongswan.sh");
        refused(
            cmd!(shell, "{script} {unknown}"),
            "this version is not supported",
        )?;

        let linked = self.directory.join("linked");
        shell.remove_path(&linked)?;
        let link = linked.join(PLACE);
        fs::create_dir_all(link.parent().context("a plugin has a directory")?)?;
        symlink(&place, &link)?;
        refused(cmd!(shell, "{script} {linked}"), "is a symbolic link")?;

        let old = self.directory.join("old-cargo");
        fs::write(&old, "#!/bin/sh\necho cargo 1.63.0\n")?;
        cmd!(shell, "chmod 755 {old}").quiet().run()?;
        let _in_tree = shell.push_dir(&self.source);
        let configure = "./configure";
        let cache = self.directory.join("refusals.cache");
        let only = ["--quiet", "--disable-defaults", "--enable-extsock"];
        refused(
            cmd!(
                shell,
                "{configure} {only...} --cache-file={cache} --enable-monolithic"
            ),
            "it cannot be part of a monolithic or static build",
        )?;
        refused(
            cmd!(
                shell,
                "{configure} {only...} --cache-file={cache} CARGO={old}"
            ),
            "needs Rust 1.85 or newer",
        )
    }

    fn configure(&self) -> Result<()> {
        let shell = &self.project.shell;
        let _in_tree = shell.push_dir(&self.source);
        let prefix = &self.prefix;
        let enabled = PLUGINS
            .split_whitespace()
            .map(|plugin| format!("--enable-{plugin}"));
        self.logged(
            "configure",
            cmd!(
                shell,
                "./configure --disable-defaults --prefix={prefix} --with-piddir=/run
                 --enable-charon --enable-ikev1 --enable-ikev2 --enable-mediation --enable-swanctl"
            )
            .args(enabled),
        )
    }

    fn make(&self) -> Result<()> {
        let shell = &self.project.shell;
        let _in_tree = shell.push_dir(&self.source);
        let jobs = std::thread::available_parallelism()?.to_string();
        self.logged("make", cmd!(shell, "make --jobs={jobs} V=1"))
    }

    /// As a package is made: into a directory of its own, from which the files go to their place.
    fn install(&self) -> Result<()> {
        let shell = &self.project.shell;
        let staging = self.directory.join("staging");
        shell.remove_path(&staging)?;
        shell.remove_path(&self.prefix)?;
        {
            let _in_tree = shell.push_dir(&self.source);
            self.logged("install", cmd!(shell, "make install DESTDIR={staging}"))?;
        }
        fs::rename(staging.join(self.prefix.strip_prefix("/")?), &self.prefix)?;
        for file in INSTALLED {
            ensure!(self.prefix.join(file).exists(), "no {file} was installed");
        }
        let conf = self.prefix.join(CONF);
        let content = fs::read_to_string(&conf).with_context(|| conf.display().to_string())?;
        ensure!(
            content.contains("load = yes"),
            "{}: {content}",
            conf.display()
        );
        Ok(())
    }

    /// That all options of its swanctl.conf are taken.
    fn options(&self) -> Result<()> {
        self.test(|shell, target| {
            cmd!(
                shell,
                "cargo test --quiet --locked --package xtask --test swanctl --target-dir {target}"
            )
        })
    }

    /// The tests that link libcharon, with the libraries that were made.
    fn in_process(&self) -> Result<()> {
        self.test(|shell, target| {
            cmd!(
                shell,
                "cargo test --quiet --locked --package extsock --tests --target-dir {target}"
            )
        })
    }

    fn lab(&self) -> Result<()> {
        let left_out = lab::left_out(&self.installed().libcharon(), Esp::here())?;
        for (test, why) in SKIPPED {
            println!("left out: {test}, as {why}");
        }
        self.test(|shell, target| {
            let skipped = SKIPPED.iter().flat_map(|(test, _)| ["--skip", test]);
            cmd!(
                shell,
                "cargo test --locked --package extsock-lab --test e2e --target-dir {target} --
                 --test-threads {E2E_THREADS}"
            )
            .args(left_out)
            .args(skipped)
        })
    }

    /// What [`Self::install`] leaves.
    fn installed(&self) -> Installed {
        Installed {
            source: self.source.clone(),
            prefix: self.prefix.clone(),
        }
    }

    /// Runs a command with those tests that are in the tree.
    fn test<'s>(&'s self, command: impl FnOnce(&'s Shell, &Path) -> Cmd<'s>) -> Result<()> {
        let shell = &self.project.shell;
        let _in_checkout = shell.push_dir(self.source.join(PLACE));
        // One for all versions; apart from the builds for Debian's, which would else be redone.
        let target = self.project.target().join("in-tree/tests");
        let installed = self.installed();
        command(shell, &target)
            .envs(installed.environment())
            .env(
                "EXTSOCK_PLUGIN",
                installed.libraries().join("plugins").join(plugin::FILE),
            )
            .run()?;
        Ok(())
    }

    /// Nothing of ours is left installed, nor, of what was made, in the tree.
    fn clean(&self) -> Result<()> {
        let shell = &self.project.shell;
        let _in_tree = shell.push_dir(&self.source);
        self.logged("uninstall", cmd!(shell, "make uninstall"))?;
        for file in INSTALLED {
            ensure!(
                !self.prefix.join(file).exists(),
                "{file} is still installed"
            );
        }
        self.logged("clean", cmd!(shell, "make clean"))?;
        for made in ["libstrongswan-extsock.so", "extsockctl", "target"] {
            let made = Path::new(PLACE).join(made);
            ensure!(
                !self.source.join(&made).exists(),
                "{} is left",
                made.display()
            );
        }
        Ok(())
    }

    /// Runs a command with its output in a file, which a failure names.
    fn logged(&self, name: &str, command: Cmd) -> Result<()> {
        let log = self.directory.join(format!("{name}.output"));
        let output = command.ignore_status().output()?;
        fs::write(&log, [output.stdout, output.stderr].concat())?;
        ensure!(
            output.status.success(),
            "{name} failed, see {}",
            log.display()
        );
        Ok(())
    }
}

/// Fails unless the command fails, and its last line tells why.
fn refused(command: Cmd, why: &str) -> Result<()> {
    let output = command.quiet().ignore_status().output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().last().unwrap_or_default();
    ensure!(
        !output.status.success() && last.contains(why),
        "expected a refusal, {why:?}, got {}: {text}",
        output.status
    );
    println!("{last}");
    Ok(())
}
