// SPDX-License-Identifier: GPL-2.0-or-later

//! `rekey_time` of a connection or a CHILD_SA: an option of its own or, in the formats of the existing plugin,
//! in an object `lifetime`.

use std::time::Duration;

use super::reader::Node;
use super::setting::{settings, Form, Setting};
use crate::error::Result;

/// Reads the time; an error if it was given in the other place already.
pub(super) fn set_once(target: &mut Option<Duration>, node: &Node) -> Result<()> {
    if target.is_some() {
        return Err(node.given_twice());
    }
    *target = Some(node.time()?);
    Ok(())
}

/// Reads the `lifetime` of the existing plugin.
pub(super) fn read_lifetime(rekey_time: &mut Option<Duration>, node: Node) -> Result<()> {
    node.into_fields()?.read(rekey_time, &[LIFETIME]);
    Ok(())
}

pub(super) const LIFETIME: &[Setting<Option<Duration>>] = settings!(Option<Duration> {
    "rekey_time" as Form::Time, "none", "Time until rekeying; 0 for none." => |time, n| set_once(time, &n);
});
