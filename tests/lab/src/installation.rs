// SPDX-License-Identifier: GPL-2.0-or-later

//! Which charon the lab runs: Debian's, or one at another place.

use std::env;
use std::path::{Path, PathBuf};

const PLUGIN_FILE: &str = "libstrongswan-extsock.so";

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

    /// Whether charon finds the plugin by itself.
    pub fn has_plugin(&self) -> bool {
        self.plugin == self.installed_plugin()
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
