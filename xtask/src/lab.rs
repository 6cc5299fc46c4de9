// SPDX-License-Identifier: GPL-2.0-or-later

//! Which of the lab's tests a charon cannot run.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Where Debian has it.
pub(crate) const LIBCHARON: &str = "/usr/lib/ipsec/libcharon.so.0";

/// Of libcharon, if it has IKEv1.
const IKEV1: &[u8] = b"task_manager_v1_create";

/// Arguments of the test program that leave out what this libcharon is built without. Tests that need
/// IKEv1 have that in their names.
pub(crate) fn left_out(libcharon: &Path) -> Result<&'static [&'static str]> {
    let image = fs::read(libcharon).with_context(|| libcharon.display().to_string())?;
    let has_ikev1 = image.windows(IKEV1.len()).any(|window| window == IKEV1);
    Ok(if has_ikev1 { &[] } else { &["--skip", "ikev1"] })
}
