// SPDX-License-Identifier: GPL-2.0-or-later

//! The client whose charon has the plugin.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::charon::{Charon, CharonOptions, Sanitizer};
use crate::config::PSK;
use crate::extsock::Extsock;
use crate::installation::Installation;
use crate::namespace::Namespace;
use crate::ping::Pings;
use crate::recording;
use crate::wait;

/// Where vici stands in charon's load list.
#[derive(Clone, Copy)]
pub enum Vici {
    /// Before the plugin.
    Before,
    /// After the plugin.
    After,
    /// Nowhere; swanctl cannot be used.
    Absent,
}

/// How charon finds the plugin.
#[derive(Clone, Copy)]
pub enum Loading {
    /// LD_PRELOAD, unless it is installed: the library stays in the process until it ends.
    Preload,
    /// In the plugin directory, as an installed one: charon closes the library when it unloads it.
    Directory,
    /// charon without the plugin.
    Absent,
}

/// How the client is started.
pub struct ClientOptions {
    /// Where vici stands in the load list.
    pub vici: Vici,
    /// How charon finds the plugin.
    pub loading: Loading,
    /// The library; the one that `cargo xtask build` leaves if not given.
    pub plugin: Option<PathBuf>,
    /// Lines of the section `charon` in strongswan.conf.
    pub settings: String,
    /// What charon runs under.
    pub sanitizer: Sanitizer,
    /// Has starter start charon and load this ipsec.conf; the secret is [`crate::PSK`].
    pub ipsec_conf: Option<String>,
    /// Has charon be given this socket, called extsock, as systemd does.
    pub socket: Option<&'static str>,
    /// Variables of charon's environment.
    pub environment: Vec<(&'static str, String)>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            vici: Vici::Before,
            loading: Loading::Preload,
            plugin: None,
            settings: String::new(),
            sanitizer: Sanitizer::None,
            ipsec_conf: None,
            socket: None,
            environment: Vec::new(),
        }
    }
}

impl ClientOptions {
    /// With lines of the section `charon.plugins.extsock.failover`.
    pub fn with_failover(settings: &str) -> Self {
        Self {
            settings: format!("plugins {{\n extsock {{\n failover {{\n {settings}\n }}\n }}\n }}"),
            ..Self::default()
        }
    }
}

/// The client with its charon.
pub struct Client {
    charon: Charon,
}

impl Client {
    pub(crate) fn start(host: Namespace, options: ClientOptions) -> Self {
        let mut preload = None;
        let installation = Installation::find();
        let installed = options.plugin.is_none() && installation.has_plugin();
        let plugin = || {
            let path = options.plugin.as_ref().unwrap_or(&installation.plugin);
            fs::canonicalize(path)
                .unwrap_or_else(|e| panic!("{}: {e}: run `cargo xtask build`", path.display()))
        };
        let extsock = match options.loading {
            Loading::Absent => "",
            Loading::Preload | Loading::Directory if installed => "extsock",
            Loading::Preload => {
                let path = plugin();
                preload = Some(path.to_str().expect("the path is UTF-8").to_owned());
                "extsock"
            }
            Loading::Directory => {
                add_to_plugin_dir(&host, &installation, &plugin());
                "extsock"
            }
        };
        let plugins = match options.vici {
            Vici::Before => format!("vici updown {extsock}"),
            Vici::After => format!("{extsock} vici updown"),
            Vici::Absent => format!("{extsock} updown"),
        };
        let plugins = match options.ipsec_conf {
            None => plugins,
            Some(_) => {
                host.write("ipsec.secrets", &format!("client segw : PSK {PSK}\n"));
                format!("stroke {plugins}")
            }
        };
        let mut charon = Charon::new(
            host,
            CharonOptions {
                plugins,
                settings: options.settings,
                preload,
                sanitizer: options.sanitizer,
                ipsec_conf: options.ipsec_conf,
                socket: options.socket,
                environment: options.environment,
            },
        );
        charon.start();
        Self { charon }
    }

    /// Connects to the plugin's socket at its default path.
    #[track_caller]
    pub fn connect(&self) -> Extsock {
        self.connect_at("/run/charon.extsock")
    }

    /// Connects to the plugin's socket at the host's `path`.
    #[track_caller]
    pub fn connect_at(&self, path: &str) -> Extsock {
        Extsock::connect(self.charon.path(path).as_ref())
    }

    /// The socket as seen from outside of the host, for clients of one's own.
    pub fn socket_path(&self) -> PathBuf {
        self.charon
            .path("/run/charon.extsock")
            .as_ref()
            .to_path_buf()
    }

    /// A command on the host, killed when the calling thread dies.
    pub fn command(&self, program: &str) -> Command {
        self.charon.host().command(program)
    }

    /// Copies a program to the host's /run/lab, where all users find it.
    #[track_caller]
    pub fn install(&self, program: &str, name: &str) -> String {
        let path = format!("/run/lab/{name}");
        self.charon.host().copy(program.as_ref(), &path);
        path
    }

    /// Puts a file into the host's /run/lab.
    pub fn write(&self, name: &str, content: &str) {
        self.charon.host().write(name, content);
    }

    /// Removes a file from there.
    pub fn remove(&self, name: &str) {
        let path = self.charon.host().path(&format!("/run/lab/{name}"));
        std::fs::remove_file(path).expect("the file is there");
    }

    /// Replaces the names that the host knows, in the format of /etc/hosts.
    pub fn set_names(&self, hosts: &str) {
        self.charon.host().write("hosts", hosts);
    }

    /// Makes that address the host's name server.
    pub fn set_name_server(&self, address: &str) {
        let line = format!("nameserver {address}\n");
        self.charon.host().write("resolv.conf", &line);
    }

    /// Waits until a ping through the tunnel is answered.
    #[track_caller]
    pub fn ping(&self, address: &str) {
        wait::until(&format!("a ping to {address} is answered"), || {
            self.ping_once(address).then_some(())
        });
    }

    /// Whether one ping is answered within a second.
    pub fn ping_once(&self, address: &str) -> bool {
        self.charon
            .host()
            .command("ping")
            .args(["-q", "-c", "1", "-W", "1", address])
            .output()
            .expect("nsenter of util-linux starts")
            .status
            .success()
    }

    /// Pings 20 times a second until [`Pings::finish`].
    #[track_caller]
    pub fn pings(&self, address: &str) -> Pings {
        self.pings_every(Duration::from_millis(50), address)
    }

    /// As [`Self::pings`], with an interval of its own.
    #[track_caller]
    pub fn pings_every(&self, interval: Duration, address: &str) -> Pings {
        Pings::start(self.charon.host(), address, interval)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.charon.kill();
        recording::save(&self.charon.full_log());
    }
}

impl Deref for Client {
    type Target = Charon;

    fn deref(&self) -> &Charon {
        &self.charon
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut Charon {
        &mut self.charon
    }
}

/// Has this host see the plugin in charon's plugin directory, and no other host.
fn add_to_plugin_dir(host: &Namespace, installation: &Installation, plugin: &Path) {
    let directory = host.path("/run/lab/plugins");
    fs::create_dir(&directory).expect("the host's /run is writable");
    for entry in fs::read_dir(&installation.plugins).expect("strongSwan is installed") {
        let original = entry.expect("the plugin directory is readable");
        fs::copy(original.path(), directory.join(original.file_name())).expect("plugins are files");
    }
    let installed = installation.installed_plugin();
    let name = installed.file_name().expect("a plugin has a name");
    fs::copy(plugin, directory.join(name)).expect("the plugin is readable");
    let mounted = host
        .command("mount")
        .args(["--bind", "/run/lab/plugins"])
        .arg(&installation.plugins)
        .status()
        .expect("nsenter of util-linux starts");
    assert!(
        mounted.success(),
        "mount over {}",
        installation.plugins.display()
    );
}
