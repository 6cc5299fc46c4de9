// SPDX-License-Identifier: GPL-2.0-or-later

//! Between charon and the failover core.
//!
//! - `driving`: the loop that owns the core; charon's callbacks as evidence
//! - `execution`: the core's actions, done in charon's jobs
//! - `loading`: configurations are loaded and removed
//! - `registry`: what is there for charon to find
//! - `configuration`: configurations as charon's objects
//! - `requests`: what clients of the socket ask for

mod configuration;
mod driving;
mod execution;
mod loading;
mod registry;
mod requests;

use std::sync::Arc;

use extsock_core::domain::policy::FailoverPolicy;
use extsock_core::failover::manager::Options;
use extsock_core::protocol::{Reply, Request};

pub use configuration::{build, create_failover_config, Built, GatewayCfg, GatewayCfgs, Material};
pub use driving::{EventListener, Publisher};
pub use execution::StateFile;
pub use loading::ConfigDir;
pub use registry::{Connections, Owner};

/// The failover core with all that it needs of charon and for it.
pub struct Adapter {
    executor: Arc<execution::Executor>,
    requests: requests::Requests,
}

impl Adapter {
    /// One without connections; `policy` is the default of those loaded through the socket or from the
    /// directory.
    pub fn new(
        connections: Connections,
        config_dir: ConfigDir,
        publisher: Box<dyn Publisher>,
        policy: FailoverPolicy,
        options: Options,
        state_file: Option<StateFile>,
    ) -> Self {
        let connections = Arc::new(connections);
        let executor = execution::Executor::new(connections, publisher, options, state_file);
        let loader = loading::Loader::new(Arc::clone(&executor), policy);
        let driver = Arc::clone(&executor.driver);
        Self {
            executor,
            requests: requests::Requests::new(driver, loader, config_dir),
        }
    }

    /// Hands what charon tells to the failover core.
    pub fn listener(&self) -> EventListener {
        let executor = &self.executor;
        EventListener::new(
            Arc::clone(&executor.driver),
            Arc::clone(&executor.connections),
            Arc::clone(&executor.retry_configs),
            Arc::clone(&executor.dpd_requests),
            Arc::clone(&executor.keys),
        )
    }

    /// Tells the failover core that the network changed.
    pub fn network_listener(&self) -> impl Fn() + Send + Sync + 'static {
        let driver = Arc::clone(&self.executor.driver);
        move || driver.observe_network()
    }

    /// Carries out a request.
    pub fn request(&self, request: Request) -> Reply {
        self.requests.answer(request)
    }

    /// Loads the directory of configurations again.
    pub fn reload(&self) -> Reply {
        self.requests.reload()
    }
}
