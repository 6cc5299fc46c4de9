// SPDX-License-Identifier: GPL-2.0-or-later

//! What one gateway of a connection has of its own.

use std::collections::HashMap;

use extsock_core::config::{ConnectionConfig, Problems};

use super::authentication::auth_cfg;
use super::credential_files::Material;
use crate::charon::AuthCfg;

/// What one gateway has in place of what the connection's own configuration has.
#[derive(PartialEq)]
pub struct GatewayCfg {
    /// Its UDP port.
    pub port: u16,
    /// Its first authentication round.
    pub remote: AuthCfg,
}

/// All gateways of a connection, by their entry in its list; none where they do not differ.
pub type GatewayCfgs = HashMap<String, GatewayCfg>;

/// The gateways of the connection, whose path is given, and whose files go to `material`.
pub(super) fn build_gateways(
    connection: &ConnectionConfig,
    path: &str,
    material: &mut Material,
    problems: &mut Problems,
) -> GatewayCfgs {
    let mut gateways = GatewayCfgs::new();
    let Some(first) = connection.remote.first() else {
        return gateways;
    };
    if connection.gateways.is_empty() {
        return gateways;
    }
    for own in &connection.gateways {
        let remote = auth_cfg(&own.remote, false, path, material, problems);
        let port = own.port;
        gateways.insert(own.addr.clone(), GatewayCfg { port, remote });
    }
    let remote = auth_cfg(first, false, path, material, problems);
    for gateway in connection.remote_addrs.gateways() {
        let cfg = || GatewayCfg {
            port: connection.remote_port,
            remote: remote.clone(),
        };
        gateways.entry(gateway.to_string()).or_insert_with(cfg);
    }
    gateways
}
