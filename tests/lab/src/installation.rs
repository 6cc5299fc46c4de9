// SPDX-License-Identifier: GPL-2.0-or-later

//! Which charon the lab runs: Debian's, or one at another place.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const PLUGIN_FILE: &str = "libstrongswan-extsock.so";

/// Of libcharon, if it has IKEv1.
const IKEV1: &str = "task_manager_v1_create";

/// Whether this libcharon can do IKEv1, which can be left out of its build.
pub fn is_built_with_ikev1(libcharon: &Path) -> io::Result<bool> {
    let image = fs::read(libcharon)?;
    Ok(memchr::memmem::find(&image, IKEV1.as_bytes()).is_some())
}

/// Where the files are. All of it can be set in the environment.
pub(crate) struct Installation {
    /// charon, stroke and starter: `EXTSOCK_LAB_LIBEXEC`, configure's libexecdir with `/ipsec`.
    pub libexec: PathBuf,
    /// swanctl: `EXTSOCK_LAB_SBIN`.
    pub sbin: PathBuf,
    /// charon's plugins: `EXTSOCK_LAB_PLUGINS`.
    pub plugins: PathBuf,
    /// extsock: `EXTSOCK_PLUGIN`, or what `cargo xtask build` leaves.
    pub plugin: PathBuf,
}

impl Installation {
    pub fn find() -> Self {
        let path = |variable, default: &str| {
            env::var_os(variable).map_or_else(|| default.into(), PathBuf::from)
        };
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugin");
        Self {
            libexec: path("EXTSOCK_LAB_LIBEXEC", "/usr/lib/ipsec"),
            sbin: path("EXTSOCK_LAB_SBIN", "/usr/sbin"),
            plugins: path("EXTSOCK_LAB_PLUGINS", "/usr/lib/ipsec/plugins"),
            plugin: env::var_os("EXTSOCK_PLUGIN")
                .map_or_else(|| built.join(PLUGIN_FILE), PathBuf::from),
        }
    }

    /// Whether charon can do IKEv1, which can be left out of its build.
    pub fn has_ikev1(&self) -> bool {
        let library = self.plugins.with_file_name("libcharon.so.0");
        is_built_with_ikev1(&library).unwrap_or_else(|e| panic!("{}: {e}", library.display()))
    }

    /// Whether charon finds the plugin by itself.
    pub fn has_plugin(&self) -> bool {
        self.plugin == self.installed_plugin()
    }

    /// Those of a list of plugins that are there.
    pub fn with_plugins(&self, list: &str) -> String {
        let file = |name: &str| self.plugins.join(format!("libstrongswan-{name}.so"));
        let there: Vec<_> = list.split(' ').filter(|name| file(name).exists()).collect();
        there.join(" ")
    }

    /// Where charon looks for the plugin.
    pub fn installed_plugin(&self) -> PathBuf {
        self.plugins.join(PLUGIN_FILE)
    }

    /// `path`, which is absolute, as seen from charon's directory of programs.
    pub fn relative_to_libexec(&self, path: &str) -> String {
        let up = self.libexec.components().count() - 1;
        format!("{}{}", "../".repeat(up), path.trim_start_matches('/'))
    }
}
