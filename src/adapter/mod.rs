// SPDX-License-Identifier: GPL-2.0-or-later

//! Between charon and the failover core: evidence in, actions out.

mod authentication;
mod carry_out;
mod config_dir;
mod connections;
mod credential_files;
mod digest;
mod driver;
mod failover_config;
mod gateways;
mod lanes;
mod listener;
mod requests;
mod resolver;
mod selectors;
mod state_file;
mod steering;

pub use config_dir::ConfigDir;
pub use connections::{build, Built, Connections, Owner};
pub use credential_files::Material;
pub use driver::{Driver, Publisher};
pub use failover_config::create_failover_config;
pub use gateways::{GatewayCfg, GatewayCfgs};
pub use listener::EventListener;
pub use state_file::StateFile;
