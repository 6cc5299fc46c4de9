// SPDX-License-Identifier: GPL-2.0-or-later

//! `rekey_time`, which stands in a connection or CHILD_SA itself or, as the existing plugin has it, in its
//! `lifetime`.

use std::time::Duration;

use super::reader::Node;
use super::setting::{settings, Form, Setting};
use crate::error::Result;

/// Error where it was set by the other place.
pub(super) fn set_once(target: &mut Option<Duration>, node: &Node) -> Result<()> {
    if target.is_some() {
        return Err(node.given_twice());
    }
    *target = Some(node.time()?);
    Ok(())
}

/// The existing plugin's place of rekey_time.
pub(super) fn read_lifetime(rekey_time: &mut Option<Duration>, node: Node) -> Result<()> {
    node.into_fields()?.read(rekey_time, &[LIFETIME]);
    Ok(())
}

pub(super) const LIFETIME: &[Setting<Option<Duration>>] = settings!(Option<Duration> {
    "rekey_time" as Form::Time, "none", "Time to rekeying; 0 for none." => |time, n| set_once(time, &n);
});
