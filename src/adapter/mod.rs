// SPDX-License-Identifier: GPL-2.0-or-later

//! Between charon and the failover core: evidence in, actions out.

mod configuration;
mod driving;
mod execution;
mod loading;
mod registry;
mod requests;

pub use configuration::{build, create_failover_config, Built, GatewayCfg, GatewayCfgs, Material};
pub use driving::{Driver, EventListener, Publisher};
pub use execution::StateFile;
pub use loading::ConfigDir;
pub use registry::{Connections, Owner};
