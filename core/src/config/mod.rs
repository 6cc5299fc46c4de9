// SPDX-License-Identifier: GPL-2.0-or-later

//! The JSON configuration: connections and their secrets, with the options of swanctl.conf.

mod auth;
mod child;
mod connection;
mod document;
mod failover;
mod model;
mod reader;
mod secret;
mod secrets;
#[cfg(test)]
mod tests;

pub use model::{
    Action, Auth, AuthMethod, Child, Configuration, Connection, CopyDscp, CredentialFile, Failover,
    IkeVersion, Mode, PrivateKey, Revocation, SecretKind, SharedSecret, Unique,
};
pub use secret::Secret;

use document::Value;
use reader::{Fields, Node};

use crate::error::Result;

/// Reads a configuration in any of its shapes: `{"connections": {NAME: {...}}, "secrets": {...}}`, or, as
/// the existing plugin has it, `{"connections": [{"name": NAME, ...}]}` or `{"name": NAME, ...}`.
///
/// # Errors
///
/// [`ParsingFailed`](crate::error::ErrorCode::ParsingFailed) with the first error that was found. The
/// message names the path of the field and what was expected there, and shows no secret.
///
/// ```
/// let configuration = extsock_core::config::parse(
///     r#"{"connections": {"site": {"remote_addrs": "10.0.0.1,10.0.0.2", "children": {"net": {}}}}}"#,
/// )?;
/// assert_eq!(configuration.connections[0].remote_addrs.len(), 2);
///
/// let error = extsock_core::config::parse(r#"{"connections": {"site": {"version": 3}}}"#).unwrap_err();
/// assert_eq!(error.message, "connections.site.version: expected one of 0, 1, 2, found 3");
/// # Ok::<(), extsock_core::error::Error>(())
/// ```
pub fn parse(json: &str) -> Result<Configuration> {
    let mut root = Node::root(Value::parse(json)?).into_fields()?;
    let mut configuration = Configuration::default();
    let secrets = root.take("secrets");
    if let Some(node) = root.take("connections") {
        // swanctl's default, but the existing plugin has its own.
        let mobike = node.is_object();
        for (name, fields) in node.into_named()? {
            configuration.add(name, fields, mobike)?;
        }
        root.finish(&ROOT[..2])?;
    } else if root.has("name") || root.has("ike_cfg") {
        let (name, fields) = root.into_named()?;
        configuration.add(name, fields, false)?;
    } else if !root.is_empty() || secrets.is_none() {
        root.finish(&ROOT)?;
        return Err(reader::refused("", "expected connections or secrets"));
    }
    if let Some(node) = secrets {
        secrets::read(node, &mut configuration)?;
    }
    Ok(configuration)
}

const ROOT: [&str; 4] = ["connections", "secrets", "name", "ike_cfg"];

impl Configuration {
    fn add(&mut self, name: String, fields: Fields, mobike: bool) -> Result<()> {
        let (connection, secrets) = connection::read(name, fields, mobike)?;
        self.connections.push(connection);
        self.secrets.extend(secrets);
        Ok(())
    }
}
