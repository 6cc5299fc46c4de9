// SPDX-License-Identifier: GPL-2.0-or-later

//! A host's network and mount namespaces, which exist as long as their holder process.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Makes the host's own /run, so that charon's default paths are free in every host, and its own
/// names: none but those that a test gives it, and no name server. /etc/resolv.conf may lead into the
/// machine's /run, which is hidden then.
/// `cat` then holds the namespaces until its input, our end of the pipe, closes.
const HOLDER: &str = "mount -t tmpfs -o mode=755 lab /run && mkdir /run/lab && cd /run/lab && \
                      touch hosts resolv.conf && mount --bind hosts /etc/hosts && \
                      resolv=$(readlink -m /etc/resolv.conf) && \
                      case $resolv in /run/*) mkdir -p ${resolv%/*} && touch $resolv; esac && \
                      mount --bind resolv.conf $resolv && \
                      ip link set lo up && echo ready && exec cat";

pub(crate) struct Namespace {
    name: String,
    holder: Child,
}

impl Namespace {
    pub fn new(name: &str) -> Self {
        let mut holder = bound_to_this_thread("unshare")
            .args(["--net", "--mount", "--propagation", "private"])
            .args(["sh", "-c", HOLDER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("setpriv of util-linux starts");
        let mut ready = String::new();
        let stdout = holder.stdout.take().expect("stdout is piped");
        BufReader::new(stdout)
            .read_line(&mut ready)
            .expect("the holder's output is readable");
        let namespace = Self {
            name: name.to_owned(),
            holder,
        };
        assert_eq!(
            ready, "ready\n",
            "namespaces for {name} (this needs root and iproute2)"
        );
        namespace
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// Where the host's `path` is found from outside of it.
    pub fn path(&self, path: &str) -> PathBuf {
        Path::new("/proc")
            .join(self.pid().to_string())
            .join("root")
            .join(path.trim_start_matches('/'))
    }

    /// Writes the host's file `/run/lab/<name>`.
    pub fn write(&self, name: &str, content: &str) {
        fs::write(self.path("/run/lab").join(name), content).expect("the host's /run is writable");
    }

    /// As [`Self::write`], for a program.
    pub fn write_executable(&self, name: &str, content: &str) {
        self.write(name, content);
        let path = self.path("/run/lab").join(name);
        fs::set_permissions(path, Permissions::from_mode(0o755)).expect("the file is ours");
    }

    /// Reads the host's file `/run/lab/<name>`; empty if there is none yet.
    pub fn read(&self, name: &str) -> String {
        let content = fs::read(self.path("/run/lab").join(name)).unwrap_or_default();
        String::from_utf8_lossy(&content).into_owned()
    }

    /// Copies a program into the host. Not in this process: another thread's child would hold the copy
    /// open for writing when it is to be executed.
    #[track_caller]
    pub fn copy(&self, program: &Path, to: &str) {
        let status = self
            .command("cp")
            .arg(program)
            .arg(to)
            .status()
            .expect("nsenter of util-linux starts");
        assert!(
            status.success(),
            "{}: `cargo xtask build` installs Debian's",
            program.display()
        );
    }

    /// A command inside the host, killed when the calling thread dies. Its process is the
    /// program itself, so that the handle's id is the program's.
    pub fn command(&self, program: &str) -> Command {
        let mut command = bound_to_this_thread("nsenter");
        command
            .args(["--target", &self.pid().to_string(), "--net", "--mount"])
            .args(["--", program]);
        command
    }

    /// Sets a kernel parameter of the host, below /proc/sys.
    #[track_caller]
    pub fn write_setting(&self, parameter: &str, value: &str) {
        let status = self
            .command("sh")
            .args(["-c", &format!("echo {value} > /proc/sys/{parameter}")])
            .status()
            .expect("nsenter of util-linux starts");
        assert!(status.success(), "{parameter} in {}", self.name);
    }

    /// Runs `ip` inside the host, one command a line.
    #[track_caller]
    pub fn ip(&self, batch: &str) {
        let mut ip = self
            .command("ip")
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("nsenter of util-linux starts");
        let mut stdin = ip.stdin.take().expect("stdin is piped");
        stdin.write_all(batch.as_bytes()).expect("ip reads");
        stdin.write_all(b"\n").expect("ip reads");
        drop(stdin);
        let status = ip.wait().expect("ip ends");
        assert!(status.success(), "ip in {}: {batch}", self.name);
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Both fail only if the holder has gone by itself.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn bound_to_this_thread(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]);
    command
}
