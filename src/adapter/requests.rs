// SPDX-License-Identifier: GPL-2.0-or-later

//! What clients ask for.

use std::sync::Arc;

use extsock_core::error::Result;
use extsock_core::failover::report::HistoryEntry;
use extsock_core::protocol::{Reply, Request, Subscription};

use super::driving::Driver;
use super::loading::{names, ConfigDir, Loader};
use crate::charon::built_for;

/// Answers requests.
pub(super) struct Requests {
    driver: Arc<Driver>,
    loader: Loader,
    config_dir: ConfigDir,
}

impl Requests {
    pub fn new(driver: Arc<Driver>, loader: Loader, config_dir: ConfigDir) -> Self {
        Self {
            driver,
            loader,
            config_dir,
        }
    }

    /// Loads the directory of configurations again.
    pub fn reload(&self) -> Reply {
        self.config_dir.load(&self.loader)
    }

    /// Carries out a request.
    pub fn answer(&self, request: Request) -> Reply {
        let verb = request.verb();
        self.try_answer(request).unwrap_or_else(|error| {
            log::info!("{} failed: {error}", verb.name());
            Reply::failed(verb, error)
        })
    }

    fn try_answer(&self, request: Request) -> Result<Reply> {
        match request {
            Request::ApplyConfig(configuration) => {
                self.loader
                    .apply(&configuration, "")
                    .map(|_| Reply::ApplyConfig {
                        connections: names(&configuration),
                    })
            }
            Request::RemoveConfig { connection } => self
                .loader
                .forget(&connection)
                .map(|()| Reply::RemoveConfig { connection }),
            Request::Reload => Ok(self.reload()),
            Request::Initiate { connection, child } => self.initiate(connection, child),
            Request::Failover {
                connection,
                gateway,
            } => self.fail_over(connection, gateway),
            Request::Terminate { name } => self
                .driver
                .try_with_core(|manager, now| manager.terminate(&name, now))
                .map(|connection| Reply::Terminate { connection }),
            Request::StartDpd { name } => self.start_dpd(&name),
            Request::History { connection, count } => Ok(Reply::History {
                failovers: self.history(connection.as_deref(), count),
            }),
            Request::List => Ok(Reply::List {
                connections: self.driver.ask(|core, now| core.list(now)),
            }),
            Request::Status { name } => self
                .driver
                .ask(|core, now| core.details(name.as_deref(), now))
                .map(|connections| Reply::Status { connections }),
            Request::Version => Ok(Reply::Version {
                version: env!("CARGO_PKG_VERSION"),
                strongswan: built_for().version,
            }),
            Request::Stats => Ok(Reply::Stats(self.driver.stats())),
            // The server has done it.
            Request::Subscribe(Subscription {
                events,
                connections,
            }) => Ok(Reply::Subscribe {
                events,
                connections,
            }),
            Request::Help => Ok(Reply::help()),
        }
    }

    fn initiate(&self, connection: String, child: Option<String>) -> Result<Reply> {
        let gateway = self
            .driver
            .try_with_core(|manager, now| manager.initiate(&connection, child.as_deref(), now))?;
        Ok(Reply::Initiate {
            connection,
            gateway,
        })
    }

    fn fail_over(&self, connection: String, gateway: Option<String>) -> Result<Reply> {
        let gateway = self
            .driver
            .try_with_core(|manager, now| manager.failover(&connection, gateway.as_deref(), now))?;
        Ok(Reply::Failover {
            connection,
            gateway,
        })
    }

    fn start_dpd(&self, name: &str) -> Result<Reply> {
        let ike_sa_name = self.driver.try_with_core(|manager, _| {
            let (ike_sa_name, action) = manager.start_dpd(name)?;
            Ok((ike_sa_name, vec![action]))
        })?;
        Ok(Reply::StartDpd { ike_sa_name })
    }

    fn history(&self, connection: Option<&str>, count: Option<usize>) -> Vec<HistoryEntry> {
        self.driver.ask(|core, _| {
            let latest = core.history().latest(usize::MAX);
            latest
                .filter(|entry| connection.is_none_or(|wanted| entry.connection == wanted))
                .take(count.unwrap_or(usize::MAX))
                .map(HistoryEntry::from)
                .collect()
        })
    }
}
