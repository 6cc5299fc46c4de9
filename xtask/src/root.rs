// SPDX-License-Identifier: GPL-2.0-or-later

//! Root directories of Debian releases, and commands that run in them as if they were the machine's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{bail, ensure, Context, Result};
use xshell::cmd;

use crate::{apt, need_root, Project};

/// Enters the root in namespaces of our own: what is mounted and what runs in it ends with the command.
/// Not chroot: who enters the mount namespace of a host of the laboratory has to arrive in this root.
const ENTER: &str = r#"
root=$1; shift
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
cat /etc/resolv.conf > "$root/etc/resolv.conf"
echo "127.0.0.1 localhost" > "$root/etc/hosts"
cd "$root"
mkdir -p run/outside
pivot_root . run/outside
umount --lazy /run/outside
rmdir /run/outside
exec env --ignore-environment \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/root LANG=C.UTF-8 LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
"#;

/// Whether a command may reach the network.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// The machine's.
    Shared,
    /// None at all.
    Off,
}

/// The root directory of a Debian release.
pub(crate) struct Root {
    directory: PathBuf,
}

impl Root {
    /// The one in that directory, which need not be there yet.
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
        }
    }

    /// Makes a minimal system of the release unless it is there already.
    pub(crate) fn prepare(&self, project: &Project, codename: &str) -> Result<String> {
        need_root("a root directory of a release is made and entered as root")?;
        let shell = &project.shell;
        let directory = &self.directory;
        if directory.exists() {
            return Ok(format!("{} was there", directory.display()));
        }
        let archive = apt::repositories(shell, codename);
        // Not the one of its security updates, which has no system in it.
        let (mirror, _) = archive
            .iter()
            .find(|(_, suite)| suite == codename)
            .context("a release has an archive")?;
        // Under a name of its own until it is complete.
        let new = directory.with_extension("new");
        remove(&new)?;
        let log = new.with_extension("log");
        fs::create_dir_all(new.parent().context("a root has a directory")?)?;
        let output = fs::File::create(&log)?;
        let status = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "debootstrap"])
            .args(["--variant=minbase", &format!("--keyring={}", apt::KEYRING)])
            .args([codename.as_ref(), new.as_os_str(), mirror.as_ref()])
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .status()
            .context("unshare of util-linux")?;
        ensure!(
            status.success(),
            "debootstrap failed, see {}",
            log.display()
        );
        let lines: String = archive
            .iter()
            .map(|(uri, suite)| format!("deb {uri} {suite} main\ndeb-src {uri} {suite} main\n"))
            .collect();
        fs::write(new.join("etc/apt/sources.list"), lines)?;
        // A mirror of sid may be older than its lists promise to be good for.
        fs::write(
            new.join("etc/apt/apt.conf.d/90minimal"),
            "APT::Install-Recommends \"false\";\n\
             Acquire::Languages \"none\";\n\
             Acquire::Check-Valid-Until \"false\";\n",
        )?;
        // A root that a crash has spoilt is made again.
        fs::write(
            new.join("etc/dpkg/dpkg.cfg.d/unsafe-io"),
            "force-unsafe-io\n",
        )?;
        // No service is started in a root.
        let policy = new.join("usr/sbin/policy-rc.d");
        fs::write(&policy, "#!/bin/sh\nexit 101\n")?;
        cmd!(shell, "chmod 755 {policy}").quiet().run()?;
        fs::rename(&new, directory)?;
        Ok(format!("made {}", directory.display()))
    }

    /// The path, from outside, of a file in the root.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.directory.join(inside.trim_start_matches('/'))
    }

    /// Runs a shell script in the root; its output goes to a file that a failure names.
    pub(crate) fn run(&self, what: &str, network: Network, script: &str) -> Result<()> {
        let log = self.log(what);
        let output = fs::File::create(&log)?;
        let status = self
            .command(network, script)
            .stdout(output.try_clone()?)
            .stderr(output)
            .status()
            .context("unshare of util-linux")?;
        if !status.success() {
            let text = fs::read(&log)?;
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<_> = text.lines().collect();
            let end = lines[lines.len().saturating_sub(20)..].join("\n");
            bail!("{what} failed, see {}; its end:\n{end}", log.display());
        }
        Ok(())
    }

    /// Runs a shell script in the root and returns what it prints.
    pub(crate) fn read(&self, network: Network, script: &str) -> Result<String> {
        let output = self
            .command(network, script)
            .stderr(Stdio::inherit())
            .output()
            .context("unshare of util-linux")?;
        ensure!(output.status.success(), "failed in the root: {script}");
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }

    /// The file beside the root that has a step's output.
    pub(crate) fn log(&self, what: &str) -> PathBuf {
        let name = what.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        self.directory.with_file_name(format!("{name}.log"))
    }

    fn command(&self, network: Network, script: &str) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]);
        command.args(["--pid", "--fork", "--kill-child"]);
        if network == Network::Off {
            command.arg("--net");
        }
        command
            .args(["sh", "-eu", "-c", ENTER, "sh"])
            .arg(&self.directory)
            .args(["sh", "-eu", "-c", script])
            .stdin(Stdio::null());
        command
    }
}

/// Removes a directory that has roots below it, in which nothing is mounted outside of our commands.
pub(crate) fn remove(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("remove {}", directory.display()))?;
    }
    Ok(())
}
