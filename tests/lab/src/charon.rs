// SPDX-License-Identifier: GPL-2.0-or-later

//! One host's charon and its log.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

use crate::esp::kernel_has_esp;
use crate::installation::Installation;
use crate::namespace::Namespace;
use crate::wait;

/// The host's copies: the distribution's AppArmor profiles, bound to the original paths,
/// would keep charon from its configuration and log here.
const CHARON: &str = "/run/lab/charon";
const SWANCTL: &str = "/run/lab/swanctl";
const STROKE: &str = "/run/lab/stroke";
/// Of the compiled-in list many are in packages that need not be installed; swanctl names those, and those
/// of this list, too.
const SWANCTL_PLUGINS: &str = "random aes sha1 sha2 hmac gmp openssl pem pkcs1 x509 pubkey pkcs8";

/// What charon needs for PSK and for IKEv2.
const PLUGINS: &str =
    "random nonce aes sha1 sha2 hmac kdf gmp openssl pem pkcs1 x509 pubkey pkcs8 \
                       revocation constraints socket-default";

/// charon's plugins that do ESP, in the kernel or for it.
const KERNEL_ESP: &str = "kernel-netlink";
/// In user space, where the kernel has no ESP. The first plugin that offers ESP provides it.
const USERLAND_ESP: &str = "kernel-libipsec kernel-netlink";

/// The plugins that every charon of the lab has: the common ones, and those that do ESP as this kernel allows.
pub fn plugins() -> String {
    let esp = if kernel_has_esp() {
        KERNEL_ESP
    } else {
        USERLAND_ESP
    };
    format!("{PLUGINS} {esp}")
}

const VALGRIND: [&str; 7] = [
    "valgrind",
    "--log-file=/run/lab/valgrind.log",
    "--vgdb=no",
    "--leak-check=full",
    "--show-leak-kinds=definite",
    "--error-limit=no",
    "--num-callers=40",
];

/// What starter starts, without the arguments: charon, which must not outlive it, and which has its
/// pid file elsewhere than where starter waits for that.
const DAEMON: &str = "#!/bin/sh\n\
                      ln -sf /run/charon.pid /run/lab/daemon.pid\n\
                      exec setpriv --pdeathsig KILL ";

/// Starts what the arguments say as systemd starts a service with a socket, which is its input here.
const ACTIVATED: [&str; 4] = [
    "sh",
    "-c",
    "exec 3<&0 < /dev/null; export LISTEN_FDS=1 LISTEN_FDNAMES=extsock LISTEN_PID=$$; exec \"$@\"",
    "sh",
];

/// A tool that charon runs under.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sanitizer {
    /// Nothing: charon alone.
    None,
    /// valgrind's memcheck; its report is in [`Charon::report`].
    Valgrind,
}

/// How one charon is started.
pub(crate) struct CharonOptions {
    /// Plugins loaded after the common ones.
    pub plugins: String,
    /// Lines of the section `charon` in strongswan.conf.
    pub settings: String,
    pub preload: Option<String>,
    pub sanitizer: Sanitizer,
    /// charon is started by starter, which loads this.
    pub ipsec_conf: Option<String>,
    /// charon is given this socket, called extsock, as systemd does.
    pub socket: Option<&'static str>,
    /// Variables of charon's environment.
    pub environment: Vec<(&'static str, String)>,
}

/// A host with its charon, which may be dead.
pub struct Charon {
    process: Option<Child>,
    host: Namespace,
    options: CharonOptions,
}

impl Charon {
    pub(crate) fn new(host: Namespace, options: CharonOptions) -> Self {
        let Installation { libexec, sbin, .. } = Installation::find();
        for (original, copy) in [
            (libexec.join("charon"), CHARON),
            (sbin.join("swanctl"), SWANCTL),
            (libexec.join("stroke"), STROKE),
        ] {
            host.copy(&original, copy);
        }
        fs::create_dir(host.path("/run/lab/swanctl.d")).expect("the host's /run is writable");
        Self {
            process: None,
            host,
            options,
        }
    }

    /// Starts charon and waits until it serves.
    #[track_caller]
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "{} runs", self.host.name());
        self.host.write("strongswan.conf", &self.strongswan_conf());
        let started = self.log().len();
        let mut arguments = Vec::new();
        if self.options.sanitizer == Sanitizer::Valgrind {
            assert!(
                self.options.preload.is_none(),
                "valgrind itself would load the plugin: use Loading::Directory"
            );
            arguments.extend(VALGRIND);
        }
        let preload = self.options.preload.as_ref();
        let preload = preload.map(|library| format!("LD_PRELOAD={library}"));
        if let Some(preload) = &preload {
            arguments.extend(["env", preload]);
        }
        arguments.push(CHARON);
        let (starter, daemon_path);
        if let Some(ipsec_conf) = &self.options.ipsec_conf {
            self.host.write("ipsec.conf", ipsec_conf);
            let daemon = format!("{DAEMON}{}\n", arguments.join(" "));
            self.host.write_executable("daemon", &daemon);
            let installation = Installation::find();
            starter = installation.libexec.join("starter");
            // starter looks for its daemon beside itself.
            daemon_path = installation.relative_to_libexec("/run/lab/daemon");
            arguments = vec![
                starter.to_str().expect("the path is UTF-8"),
                "--nofork",
                "--conf",
                "/run/lab/ipsec.conf",
                "--daemon",
                &daemon_path,
            ];
        }
        let mut input = Stdio::null();
        if let Some(path) = self.options.socket {
            let path = self.host.path(path);
            // Of an earlier start.
            let _ = fs::remove_file(&path);
            let socket = UnixListener::bind(path).expect("the host's /run is writable");
            input = OwnedFd::from(socket).into();
            arguments.splice(..0, ACTIVATED);
        }
        let mut command = self.host.command(arguments[0]);
        command.args(&arguments[1..]);
        let output = File::options()
            .create(true)
            .append(true)
            .open(self.host.path("/run/lab/output"))
            .expect("the host's /run is writable");
        let process = command
            .env("STRONGSWAN_CONF", "/run/lab/strongswan.conf")
            .env("RUST_BACKTRACE", "1")
            .envs(self.options.environment.iter().cloned())
            .stdin(input)
            .stdout(output.try_clone().expect("a file descriptor is free"))
            .stderr(output)
            .spawn()
            .expect("nsenter of util-linux starts");
        self.process = Some(process);
        wait::until(&format!("{} serves", self.host.name()), || {
            let ended = self.process.as_mut()?.try_wait().expect("charon is ours");
            if let Some(status) = ended {
                panic!("{} ended at once: {status}", self.host.name());
            }
            self.log()[started..]
                .contains(" worker threads")
                .then_some(())
        });
    }

    fn strongswan_conf(&self) -> String {
        let CharonOptions {
            plugins, settings, ..
        } = &self.options;
        // valgrind needs the library still mapped when it reports at the end.
        let dlclose = match self.options.sanitizer {
            Sanitizer::None => "yes",
            Sanitizer::Valgrind => "no",
        };
        let stroke = match self.options.ipsec_conf {
            None => "",
            Some(_) => "plugins {\n stroke {\n secrets_file = /run/lab/ipsec.secrets\n }\n }",
        };
        let common = crate::plugins();
        let swanctl = Installation::find().with_plugins(SWANCTL_PLUGINS);
        // One retransmission schedule for all: a silent peer is given up after 1.5 s.
        format!(
            "charon {{\n\
             load = {common} {plugins}\n\
             dlclose = {dlclose}\n\
             retransmit_tries = 2\n\
             retransmit_timeout = 0.5\n\
             retransmit_base = 1.0\n\
             filelog {{\n\
             main {{\n path = /run/lab/charon.log\n default = 1\n flush_line = yes\n ike_name = yes\n time_format = %H:%M:%S\n time_add_ms = yes\n }}\n\
             all {{\n path = /run/lab/all.log\n default = 4\n }}\n\
             }}\n\
             {stroke}\n\
             {settings}\n\
             }}\n\
             swanctl {{\n load = {swanctl}\n }}\n"
        )
    }

    /// The host's name in messages.
    pub fn name(&self) -> &str {
        self.host.name()
    }

    /// charon's log at the default levels, of all its runs.
    pub fn log(&self) -> String {
        self.host.read("charon.log")
    }

    /// charon's log with every group at the highest level, which includes private data.
    pub fn full_log(&self) -> String {
        self.host.read("all.log")
    }

    /// What charon wrote to stdout and stderr.
    pub fn output(&self) -> String {
        self.host.read("output")
    }

    /// What valgrind reported.
    pub fn report(&self) -> String {
        self.host.read("valgrind.log")
    }

    /// Waits for a line of the log that contains `text`.
    #[track_caller]
    pub fn wait_log(&self, text: &str) {
        wait::until(&format!("{}'s log has `{text}`", self.name()), || {
            self.log().contains(text).then_some(())
        });
    }

    /// The id of charon's process, or of starter's if that started it.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("charon runs").id()
    }

    /// Whether charon still runs.
    pub fn is_running(&mut self) -> bool {
        self.process
            .as_mut()
            .is_some_and(|process| process.try_wait().expect("charon is ours").is_none())
    }

    /// Ends charon as a crash or a power failure would: nobody is told.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Fails only if charon has gone by itself.
            let _ = process.kill();
            process.wait().expect("charon is ours");
        }
    }

    /// Asks charon to end, and returns its exit status and how long it took.
    #[track_caller]
    pub fn stop(&mut self) -> (ExitStatus, Duration) {
        let asked = Instant::now();
        self.signal(Signal::SIGTERM);
        let process = self.process.as_mut().expect("charon runs");
        let status = wait::until("charon ends after SIGTERM", || {
            process.try_wait().expect("charon is ours")
        });
        self.process = None;
        (status, asked.elapsed())
    }

    /// Has charon read strongswan.conf again.
    pub fn reload(&self) {
        self.signal(Signal::SIGHUP);
    }

    /// Stops charon without ending it: it receives, and neither reads nor answers.
    #[track_caller]
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
        // Its threads stop one after the other.
        wait::until(&format!("{} is frozen", self.name()), || {
            let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).ok()?;
            let mut states = threads.map(|thread| state(&thread.ok()?.path()));
            states.all(|state| state == Some('T')).then_some(())
        });
    }

    /// Reverts [`Self::freeze`]: charon reads what has come meanwhile.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).expect("process ids are small");
        kill(Pid::from_raw(pid), signal).expect("charon is ours");
    }

    /// Runs swanctl against this charon and returns its output.
    #[track_caller]
    pub fn swanctl(&self, arguments: &[&str]) -> String {
        match self.try_swanctl(arguments) {
            Ok(output) => output,
            Err(output) => panic!("swanctl {arguments:?} in {}: {output}", self.name()),
        }
    }

    /// As [`Self::swanctl`], with the output of a failed command as the error.
    pub fn try_swanctl(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self
            .host
            .command(SWANCTL)
            .args(arguments)
            .env("SWANCTL_DIR", "/run/lab/swanctl.d")
            .env("STRONGSWAN_CONF", "/run/lab/strongswan.conf")
            .output()
            .expect("nsenter of util-linux starts");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        if output.status.success() {
            Ok(text)
        } else {
            Err(text)
        }
    }

    /// Runs stroke against this charon, as `ipsec` does, and returns its output.
    #[track_caller]
    pub fn stroke(&self, arguments: &[&str]) -> String {
        let output = self
            .host
            .command(STROKE)
            .args(arguments)
            .env("STRONGSWAN_CONF", "/run/lab/strongswan.conf")
            .output()
            .expect("nsenter of util-linux starts");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    /// Has starter load this in place of the ipsec.conf that there is, as `ipsec update` does.
    pub fn load_ipsec_conf(&self, ipsec_conf: &str) {
        assert!(self.options.ipsec_conf.is_some(), "starter runs");
        self.host.write("ipsec.conf", ipsec_conf);
        self.signal(Signal::SIGHUP);
    }

    /// Loads connections and secrets, given in swanctl.conf's format, in place of those there are.
    #[track_caller]
    pub fn load(&self, swanctl_conf: &str) {
        self.host.write("swanctl.conf", swanctl_conf);
        self.swanctl(&[
            "--load-all",
            "--clear",
            "--noprompt",
            "--file",
            "/run/lab/swanctl.conf",
        ]);
    }

    /// The lines of `swanctl --list-sas` that have an IKE_SA's name, unique id, state and SPIs.
    #[track_caller]
    pub fn ike_sas(&self) -> Vec<String> {
        self.sas("")
    }

    /// The lines of `swanctl --list-sas` that have a CHILD_SA's name, unique id and state.
    #[track_caller]
    pub fn child_sas(&self) -> Vec<String> {
        self.sas("  ")
    }

    #[track_caller]
    fn sas(&self, indent: &str) -> Vec<String> {
        let heads = |line: &&str| {
            let name = line.strip_prefix(indent).unwrap_or_default();
            name.contains(": #") && !name.starts_with(' ')
        };
        let list = self.swanctl(&["--list-sas"]);
        list.lines().filter(heads).map(str::to_owned).collect()
    }

    /// Runs `ip` on the host, one command a line.
    #[track_caller]
    pub fn ip(&self, batch: &str) {
        self.host.ip(batch);
    }

    pub(crate) fn host(&self) -> &Namespace {
        &self.host
    }

    /// Where the host's `path` is found from outside of it.
    pub(crate) fn path(&self, path: &str) -> impl AsRef<Path> {
        self.host.path(path)
    }
}

impl Drop for Charon {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            for file in ["charon.log", "output", "valgrind.log"] {
                let content = self.host.read(file);
                if !content.is_empty() {
                    eprintln!(
                        "--- {}, end of {file}:\n{}",
                        self.name(),
                        tail(&content, 80)
                    );
                }
            }
        }
    }
}

/// The state of a thread, given by its directory in /proc: `T` if it is stopped.
fn state(thread: &Path) -> Option<char> {
    let stat = fs::read_to_string(thread.join("stat")).ok()?;
    // The name, in parentheses before it, may have anything in it.
    stat.rsplit_once(") ")?.1.chars().next()
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
