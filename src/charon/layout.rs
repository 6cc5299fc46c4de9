// SPDX-License-Identifier: GPL-2.0-or-later

//! Refuses a charon whose object layouts are not the ones that the bindings were made for.
//!
//! Nothing here touches a charon object: a wrong layout must be found before the first one is used.

use std::ffi::CStr;
use std::fmt;

use extsock_core::strongswan::Version;

/// What the bindings were made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltFor {
    /// strongSwan's version, as in its config.h.
    pub version: &'static str,
    /// Configured with `--enable-mediation`, which changes peer_cfg_t, ike_sa_t and task_type_t.
    pub mediation: bool,
}

/// What can be found out about the charon that loads the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// The version that the daemon's executable names, if it does.
    pub version: Option<String>,
    /// Whether libcharon has the mediation extension.
    pub mediation: bool,
    /// Which of [`MARKERS`] the libraries have.
    pub markers: [bool; MARKERS.len()],
}

/// Symbols that tell the version of the libraries, which carry none: since when each is there. From 6.0.3
/// on charon's loader itself compares the exact version, with `extsock_plugin_version`.
pub const MARKERS: [(&CStr, [u32; 3]); 5] = [
    (c"retransmission_timeout_total", [5, 9, 11]),
    (c"ocsp_responders_create", [5, 9, 12]),
    (c"ocsp_policy_names", [5, 9, 14]),
    (c"ike_sa_is_delete_queued", [6, 0, 0]),
    (c"callback_job_cancel_thread", [6, 0, 2]),
];

/// Why a charon is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The daemon names another version.
    Version {
        /// What the plugin was built for.
        built: &'static str,
        /// What the daemon names.
        running: String,
    },
    /// The libraries have, or lack, a symbol that the version must not, or must have.
    Symbol {
        /// What the plugin was built for.
        built: &'static str,
        /// The symbol.
        symbol: &'static CStr,
        /// Whether the libraries have it.
        present: bool,
    },
    /// The mediation extension is in one of both only.
    Mediation {
        /// Whether the plugin was built for it.
        built: bool,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { built, running } => {
                write!(f, "built for strongSwan {built}, but this is {running}")
            }
            Self::Symbol {
                built,
                symbol,
                present,
            } => write!(
                f,
                "built for strongSwan {built}, but this one has {} {}",
                if *present { "a newer symbol," } else { "no" },
                symbol.to_string_lossy(),
            ),
            Self::Mediation { built: true } => {
                write!(
                    f,
                    "built for a charon with mediation (ME), but this one has none"
                )
            }
            Self::Mediation { built: false } => {
                write!(
                    f,
                    "built for a charon without mediation (ME), but this one has it"
                )
            }
        }
    }
}

/// What this plugin was built for.
pub fn built_for() -> BuiltFor {
    BuiltFor {
        version: env!("EXTSOCK_STRONGSWAN_VERSION"),
        mediation: cfg!(strongswan_me),
    }
}

/// The version that this plugin was built for.
pub fn version() -> Version {
    Version(numbers(built_for().version))
}

impl Running {
    /// Looks at the process that this code runs in.
    pub fn detect() -> Self {
        Self {
            version: std::fs::read("/proc/self/exe")
                .ok()
                .and_then(|image| named_version(&image)),
            mediation: has_symbol(c"mediation_manager_create"),
            markers: MARKERS.map(|(symbol, _)| has_symbol(symbol)),
        }
    }
}

/// Whether the plugin may be used in that charon.
pub fn check(built: &BuiltFor, running: &Running) -> Result<(), Refusal> {
    if let Some(version) = running
        .version
        .as_ref()
        .filter(|version| *version != built.version)
    {
        return Err(Refusal::Version {
            built: built.version,
            running: version.clone(),
        });
    }
    for ((symbol, since), present) in MARKERS.into_iter().zip(running.markers) {
        if present != (numbers(built.version) >= since) {
            return Err(Refusal::Symbol {
                built: built.version,
                symbol,
                present,
            });
        }
    }
    if built.mediation != running.mediation {
        return Err(Refusal::Mediation {
            built: built.mediation,
        });
    }
    Ok(())
}

/// The version in the line that every charon daemon logs when it starts: `(strongSwan 5.9.8, `. An executable
/// that has the plugin in it brings the first part as a constant, with anything after it.
fn named_version(image: &[u8]) -> Option<String> {
    const BEFORE: &[u8] = b"(strongSwan ";
    image
        .windows(BEFORE.len())
        .enumerate()
        .find_map(|(at, window)| {
            let rest = (window == BEFORE).then(|| &image[at + BEFORE.len()..])?;
            let end = rest.iter().take(16).position(|byte| *byte == b',')?;
            let version = std::str::from_utf8(&rest[..end]).ok()?;
            let is_version = version.starts_with(|c: char| c.is_ascii_digit())
                && version.contains('.')
                && version
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
            is_version.then(|| version.to_owned())
        })
}

fn numbers(version: &str) -> [u32; 3] {
    let mut result = [0; 3];
    for (slot, part) in result.iter_mut().zip(version.split('.')) {
        let end = part
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(part.len());
        *slot = part[..end].parse().unwrap_or(0);
    }
    result
}

/// Whether this charon has IKEv1, on which no layout depends.
pub fn has_ikev1() -> bool {
    has_symbol(c"task_manager_v1_create")
}

fn has_symbol(symbol: &CStr) -> bool {
    // SAFETY: dlsym reads the name; the address is not used.
    !unsafe { libc::dlsym(libc::RTLD_DEFAULT, symbol.as_ptr()) }.is_null()
}
