// SPDX-License-Identifier: GPL-2.0-or-later

//! The JSON configuration: connections, their secrets and authorities, with the options of swanctl.conf.
//!
//! Besides a format of its own, it reads those of *the existing plugin*: the extsock plugin in C that this one
//! replaces.

mod auth;
mod authorities;
mod child;
mod connection;
mod document;
mod failover;
mod files;
mod gateway;
mod locations;
mod model;
mod reader;
mod rekey_time;
mod report;
mod schema;
mod secret;
mod secrets;
mod setting;
#[cfg(test)]
mod tests;
mod text;
mod token;

pub use locations::{Locations, Problem, Problems};
pub use model::{
    Auth, AuthMethod, Authority, CertificateSource, Child, ChildAction, Childless, Configuration,
    ConnectionConfig, CopyDscp, CredentialFile, Failover, Fragmentation, GatewaySettings,
    HwOffload, IkeVersion, LabelMode, Mark, Mode, Ocsp, PerCpuSas, PrivateKey, Revocation,
    SecretKind, SendCert, SharedSecret, TokenKey, TokenObject, Unique, Volume, UNIQUE, UNIQUE_DIR,
};
pub use schema::{json_schema, reference};
pub use secret::Secret;

use document::Value;
use reader::{Fields, Node};
use report::Report;

use crate::error::Result;
use crate::strongswan::Version;

/// Reads a configuration in any of its formats: `{"connections": {NAME: {...}}, "secrets": {...},
/// "authorities": {NAME: {...}}}`, or, in the formats of the existing plugin,
/// `{"connections": [{"name": NAME, ...}]}` or `{"name": NAME, ...}`. Options and defaults are those of the given
/// version of strongSwan.
///
/// # Errors
///
/// [`ParsingFailed`](crate::error::ErrorCode::ParsingFailed) with all errors, a line for each up to
/// 20. A line names the path of the field, what was expected there, and line and column; none shows a
/// secret.
///
/// ```
/// use extsock_core::config::parse;
/// use extsock_core::strongswan::Version;
///
/// let strongswan = Version([6, 0, 1]);
/// let configuration = parse(
///     r#"{"connections": {"site": {"remote_addrs": "10.0.0.1,10.0.0.2", "children": {"net": {}}}}}"#,
///     strongswan,
/// )?;
/// assert_eq!(configuration.connections[0].remote_addrs.len(), 2);
///
/// let error = parse(r#"{"connections": {"site": {"version": 3}}}"#, strongswan).unwrap_err();
/// assert_eq!(error.message, "connections.site.version: expected one of 0, 1, 2, found 3 at line 1 column 27");
/// # Ok::<(), extsock_core::error::Error>(())
/// ```
pub fn parse(json: &str, strongswan: Version) -> Result<Configuration> {
    let report = Report::new(json, strongswan);
    let configuration = read(Value::parse(json)?, &report);
    let mut configuration = report.conclude(configuration)?;
    configuration.locations = Locations::of(json);
    Ok(configuration)
}

fn read(document: Value, report: &Report) -> Result<Configuration> {
    let mut root = Node::root(document, report).into_fields()?;
    let mut configuration = Configuration::default();
    let secrets = root.take("secrets");
    let authorities = root.take("authorities");
    if let Some(node) = root.take("connections") {
        // An array is a format of the existing plugin, which gives some options another meaning than swanctl.
        let existing = !node.is_object();
        for (name, fields) in report.keep(node.into_named()).unwrap_or_default() {
            configuration.add(name, fields, existing)?;
        }
        root.finish(&ROOT[..3])?;
    } else if root.has("name") || root.has("ike_cfg") {
        let (name, fields) = root.into_named()?;
        configuration.add(name, fields, true)?;
    } else if !root.is_empty() || secrets.is_none() && authorities.is_none() {
        if root.is_empty() {
            return Err(report.refused_document("expected connections, secrets or authorities"));
        }
        root.finish(&ROOT)?;
    }
    if let Some(node) = secrets {
        report.keep(secrets::read(node, &mut configuration));
    }
    if let Some(node) = authorities {
        configuration.authorities = authorities::read(node)?;
    }
    Ok(configuration)
}

const ROOT: [&str; 5] = ["connections", "secrets", "authorities", "name", "ike_cfg"];

impl Configuration {
    fn add(&mut self, name: String, fields: Fields, existing: bool) -> Result<()> {
        let (connection, secrets) = connection::read(name, fields, existing)?;
        self.connections.push(connection);
        self.secrets.extend(secrets);
        Ok(())
    }
}
