// SPDX-License-Identifier: GPL-2.0-or-later

//! `cargo xtask`: sets up, builds, tests and demonstrates the plugin.

mod apt;
mod checkout;
mod deb;
mod distro;
mod fuzz;
mod in_tree;
mod lab;
mod manual;
mod notices;
mod packages;
mod plugin;
mod record;
mod root;
mod source;
mod test;
mod vm;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use anyhow::{bail, Result};
use xshell::{cmd, Shell};

const USAGE: &str = "\
usage: cargo xtask <command>

  build                 sets up what is missing and leaves target/plugin/libstrongswan-extsock.so
  test                  builds, then checks and tests everything
  test <part> [filter]  one part: fmt, clippy, doc, unit, fuzz or e2e; of the last three, what has
                        the filter in its name
  vm [filter]           builds, then runs the tests of e2e with the IPsec of Debian 12's kernel, in a
                        virtual machine; those that have the filter in their names
  vm shell              a shell in that machine
  vm --kernel <codename> ...
                        the same with the kernel of trixie or sid
  demo                  builds, then shows a failover between two gateways
  in-tree [version]     builds strongSwan with the plugin in its tree and tests that charon; version is
                        5.9.8, 6.0.1 or 6.1.0, all of them without it
  record <version>      records what that strongSwan's charon tells in the end-to-end tests, for
                        core/tests/replay.rs
  manual                leaves extsockctl's manual pages and completions in target/extsockctl
  deb                   leaves the Debian package in target/deb
  distro <codename>     builds the packages of strongSwan of bookworm, trixie or sid with the plugin in
                        the tree, in a root directory of that release, and tests failovers on them
  notices               leaves the licences of the crates that are linked in in target/crates
  docs                  writes docs/schema.json and docs/configuration.md
  clean                 removes what the other commands left in target/

Packages are installed as root; tests, vm and demo run as root.";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let project = Project::find()?;
    match arguments[..] {
        ["build"] => plugin::build(&project),
        ["test"] => test::all(&project),
        ["test", part] => test::part(&project, part, None),
        ["test", part, filter] => test::part(&project, part, Some(filter)),
        ["vm", ref arguments @ ..] => vm::run(&project, arguments),
        ["demo"] => demo(&project),
        ["in-tree"] => in_tree::run(&project, None),
        ["in-tree", version] => in_tree::run(&project, Some(version)),
        ["record", version] => record::run(&project, version),
        ["manual"] => manual::make(&project),
        ["deb"] => deb::build(&project),
        ["notices"] => notices::make(&project),
        ["distro", codename] => distro::run(&project, codename),
        ["docs"] => docs(&project),
        ["clean"] => clean(&project),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!("unknown: {}\n\n{USAGE}", arguments.join(" ")),
    }
}

/// Arguments for cargo to take the crates that `cargo vendor` has left in the checkout.
const VENDORED: &str = "--config .cargo/vendored.toml";

/// The checkout and a shell in it.
struct Project {
    root: PathBuf,
    shell: Shell,
}

impl Project {
    fn find() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = fs::canonicalize(manifest.join(".."))?;
        let shell = Shell::new()?;
        shell.change_dir(&root);
        Ok(Self { root, shell })
    }

    /// Where this program keeps what it makes; compiled crates are where cargo puts them.
    fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// [`VENDORED`], if there are such crates.
    fn vendored(&self) -> Vec<&'static str> {
        let there = self.root.join("vendor").exists();
        VENDORED.split(' ').filter(|_| there).collect()
    }
}

fn demo(project: &Project) -> Result<()> {
    need_root("the demonstration makes network namespaces")?;
    plugin::build(project)?;
    cmd!(
        project.shell,
        "cargo run --quiet --package extsock-lab --example demo"
    )
    // A failed step says what it missed; where in the code is not for the onlooker.
    .env("RUST_BACKTRACE", "0")
    .quiet()
    .run()?;
    Ok(())
}

/// What the tables of options say.
fn docs(project: &Project) -> Result<()> {
    use extsock_core::config::{json_schema, reference};

    let docs = project.root.join("docs");
    fs::write(docs.join("schema.json"), json_schema())?;
    fs::write(docs.join("configuration.md"), reference())?;
    Ok(())
}

fn clean(project: &Project) -> Result<()> {
    for name in [
        "strongswan",
        "plugin",
        "plugin-wrong",
        "record",
        "wrong",
        "extsockctl",
        "crates",
        "deb",
        "distro",
        "fuzz",
        "in-tree",
        "vm",
    ] {
        project.shell.remove_path(project.target().join(name))?;
    }
    Ok(())
}

/// Fails unless this process is root, saying what for.
fn need_root(what: &str) -> Result<()> {
    let shell = Shell::new()?;
    if cmd!(shell, "id -u").quiet().read()? != "0" {
        bail!("{what}: run this command as root");
    }
    Ok(())
}
