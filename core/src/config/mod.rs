// SPDX-License-Identifier: GPL-2.0-or-later

//! The JSON configuration.

mod model;
mod secret;

pub use model::{
    Action, Auth, AuthMethod, Child, Configuration, Connection, CopyDscp, IkeSecret, IkeVersion,
    Mode, Unique,
};
pub use secret::Secret;

use crate::error::{Error, Result};

/// Reads a configuration in any of the three shapes.
pub fn parse(json: &str) -> Result<Configuration> {
    let _ = json;
    Err(Error::parsing("being written"))
}
