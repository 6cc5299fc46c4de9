// SPDX-License-Identifier: GPL-2.0-or-later

//! Which of the lab's tests a charon and a kernel cannot run.

use std::path::Path;

use anyhow::{Context, Result};

/// Where Debian has it.
pub(crate) const LIBCHARON: &str = "/usr/lib/ipsec/libcharon.so.0";

/// Who does ESP for the hosts of the lab.
#[derive(Clone, Copy)]
pub(crate) enum Esp {
    /// The kernel.
    Kernel,
    /// charon, as the kernel cannot.
    Userland,
}

impl Esp {
    /// On this machine; root may see.
    pub(crate) fn here() -> Self {
        if extsock_lab::kernel_has_esp() {
            Self::Kernel
        } else {
            Self::Userland
        }
    }

    /// What the names of tests have in them that need the other one.
    fn left_out(self) -> &'static str {
        match self {
            Self::Kernel => "userland_esp",
            Self::Userland => "kernel::",
        }
    }
}

/// Arguments of the test program that leave out what this libcharon is built without, and what is not for
/// this ESP. Tests that need IKEv1 or ESP in user space have `ikev1` and `userland_esp` in their names; those that
/// need the kernel's are in a module `kernel`.
pub(crate) fn left_out(libcharon: &Path, esp: Esp) -> Result<Vec<&'static str>> {
    let has_ikev1 = extsock_lab::is_built_with_ikev1(libcharon)
        .with_context(|| libcharon.display().to_string())?;
    let mut arguments = vec!["--skip", esp.left_out()];
    if !has_ikev1 {
        arguments.extend(["--skip", "ikev1"]);
    }
    Ok(arguments)
}
