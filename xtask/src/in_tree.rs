// SPDX-License-Identifier: GPL-2.0-or-later

//! The plugin as part of strongSwan: strongSwan's own build with this checkout in its tree, and that
//! charon in the lab.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};
use xshell::cmd;

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
const PLUGINS: &str = "random nonce aes sha1 sha2 hmac kdf gmp openssl pem pkcs1 pkcs7 pkcs8 pkcs12 x509 pubkey \
                       revocation constraints socket-default kernel-libipsec kernel-netlink vici stroke updown \
                       resolve attr eap-identity eap-md5 eap-mschapv2 md4 xauth-generic extsock";

/// A wrong build is refused; which ones are wrong is known for Debian's charon only.
const SKIPPED: &str = "loading::a_build_for_another_charon_is_refused_in_one_line";

/// Builds and tests one version, or all that are supported.
pub(crate) fn run(project: &Project, wanted: Option<&str>) -> Result<()> {
    need_root("the lab makes network namespaces")?;
    packages::install_for_trees(&project.shell)?;
    let all = source::RELEASES.map(|(version, _)| version);
    let versions = wanted.map_or(all.to_vec(), |version| vec![version]);
    for version in versions {
        step(&format!("strongSwan {version} in-tree"), || {
            let tree = Tree::new(project, version);
            step("source", || tree.source())?;
            step("autogen and configure", || tree.configure())?;
            step("make", || tree.make())?;
            step("make install", || tree.install())?;
            step("in process", || tree.in_process())?;
            step("lab", || tree.lab())
        })?;
    }
    Ok(())
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

    fn configure(&self) -> Result<()> {
        let shell = &self.project.shell;
        let _in_tree = shell.push_dir(&self.source);
        // Released sources come without autogen.sh, which does just this.
        self.logged("autogen", cmd!(shell, "autoreconf --force --install"))?;
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
        let conf = self.prefix.join("etc/strongswan.d/charon/extsock.conf");
        let content = fs::read_to_string(&conf).with_context(|| conf.display().to_string())?;
        ensure!(
            content.contains("load = yes"),
            "{}: {content}",
            conf.display()
        );
        ensure!(
            self.prefix.join("sbin/extsockctl").exists(),
            "no extsockctl"
        );
        Ok(())
    }

    /// The tests that link libcharon, with the libraries that were made.
    fn in_process(&self) -> Result<()> {
        // Apart from the builds for Debian's, which would else be redone.
        let target = self.directory.join("in-process");
        cmd!(
            self.project.shell,
            "cargo test --quiet --package extsock --tests --target-dir {target}"
        )
        .env("STRONGSWAN_SRC", &self.source)
        .env("STRONGSWAN_LIBDIR", self.prefix.join("lib/ipsec"))
        .run()?;
        Ok(())
    }

    fn lab(&self) -> Result<()> {
        let plugins = self.prefix.join("lib/ipsec/plugins");
        cmd!(
            self.project.shell,
            "cargo test --package extsock-lab --test e2e -- --test-threads {E2E_THREADS} --skip {SKIPPED}"
        )
        // The lab needs no headers, but cargo looks at those of the whole workspace.
        .env("STRONGSWAN_SRC", source::prepare(self.project)?)
        .env("EXTSOCK_LAB_LIBEXEC", self.prefix.join("libexec/ipsec"))
        .env("EXTSOCK_LAB_SBIN", self.prefix.join("sbin"))
        .env("EXTSOCK_PLUGIN", plugins.join(plugin::FILE))
        .env("EXTSOCK_LAB_PLUGINS", plugins)
        .run()?;
        Ok(())
    }

    /// Runs a command with its output in a file, which a failure names.
    fn logged(&self, name: &str, command: xshell::Cmd) -> Result<()> {
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
