// SPDX-License-Identifier: GPL-2.0-or-later

//! Puts the parts together when charon registers the plugin's feature, and takes them apart.

use std::sync::Arc;

use extsock_core::error::{Error, ErrorCode};
use extsock_core::failover::policy::RetryPolicy;
use extsock_core::protocol::Reply;

use crate::adapter::{Connections, Driver, EventListener};
use crate::charon::{setting_number, setting_string, setting_time, Feature, Registration};
use crate::control::{Listening, Server};

/// The running plugin. The order of the fields is the order in which it is taken apart: first no
/// more events, then no more clients, then the configurations go.
struct Extsock {
    _listener: Registration,
    _socket: Listening,
    _driver: Arc<Driver>,
}

impl Feature for Extsock {}

/// Sets everything up.
pub fn start() -> Result<Box<dyn Feature>, String> {
    let server = Arc::new(Server::default());
    let driver = Driver::new(
        Connections::register(),
        Box::new(Arc::clone(&server)),
        retry_policy(),
    );
    // Weak: the driver publishes to the server.
    let handler = Arc::downgrade(&driver);
    let uri = setting_string("socket", DEFAULT_SOCKET);
    let socket = server.listen(
        &uri,
        Box::new(move |request| match handler.upgrade() {
            Some(driver) => driver.request(request),
            None => Reply::failed(request.verb(), unloading()),
        }),
    )?;
    log::info!("loaded, serving {uri}");
    let listener = Registration::new(Box::new(EventListener::new(Arc::clone(&driver))));
    Ok(Box::new(Extsock {
        _listener: listener,
        _socket: socket,
        _driver: driver,
    }))
}

fn unloading() -> Error {
    Error::new(
        ErrorCode::StrongswanApiFailed,
        "the plugin is being unloaded",
    )
}

/// In the directory of charon's own sockets.
const DEFAULT_SOCKET: &str = concat!("unix://", env!("EXTSOCK_PIDDIR"), "/charon.extsock");

fn retry_policy() -> RetryPolicy {
    let default = RetryPolicy::default();
    RetryPolicy {
        base_delay: setting_time("failover.base_delay", default.base_delay),
        max_delay: setting_time("failover.max_delay", default.max_delay),
        multiplier: setting_number("failover.multiplier", default.multiplier),
        max_retries: setting_number("failover.max_retries", default.max_retries.into()) as u32,
    }
}
