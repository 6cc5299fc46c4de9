// SPDX-License-Identifier: GPL-2.0-or-later

//! Configurations as charon's objects: built of the model, and copied for other gateways.

mod authentication;
mod child_cfg;
mod credential_files;
mod digest;
mod failover_config;
mod gateway_cfg;
mod peer_cfg;
mod selectors;
mod values;

pub(crate) use authentication::identity;
pub use credential_files::Material;
pub(crate) use credential_files::ReadFile;
pub(crate) use digest::Digest;
pub use failover_config::create_failover_config;
pub(crate) use failover_config::{create_dpd_config, create_gateway_config, create_retry_config};
pub use gateway_cfg::{GatewayCfg, GatewayCfgs};
pub use peer_cfg::{build, Built};
