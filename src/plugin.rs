// SPDX-License-Identifier: GPL-2.0-or-later

//! Puts the parts together when charon registers the plugin's feature, and takes them apart.

use std::sync::Arc;
use std::time::Duration;

use extsock_core::domain::failover_options::OptionSource;
use extsock_core::domain::policy::FailoverPolicy;
use extsock_core::error::{Error, ErrorCode};
use extsock_core::failover::manager::Options;
use extsock_core::protocol::Reply;

use crate::adapter::{Adapter, ConfigDir, Connections, StateFile};
use crate::charon::{
    charon_bool, queue, setting_duration, setting_number, setting_string, Feature,
    NetworkRegistration, Priority, Registration,
};
use crate::control::{Limits, Listening, Server};

/// The running plugin. The order of the fields is the order in which it is taken apart: first no
/// more events, then no more clients, then the configurations go.
struct Extsock {
    _listener: Registration,
    _network: NetworkRegistration,
    _socket: Listening,
    adapter: Arc<Adapter>,
}

impl Feature for Extsock {
    fn reload(&self) {
        load_config_dir(&self.adapter);
    }
}

/// In a job: at start not before all plugins are there, and never under charon's feet.
fn load_config_dir(adapter: &Arc<Adapter>) {
    let adapter = Arc::downgrade(adapter);
    queue(Priority::Medium, move || {
        if let Some(adapter) = adapter.upgrade() {
            adapter.reload();
        }
    });
}

/// Sets everything up.
pub fn start() -> Result<Box<dyn Feature>, String> {
    let server = Arc::new(Server::new(limits()?));
    let policy = failover_policy();
    let adapter = Arc::new(Adapter::new(
        Connections::register(),
        ConfigDir::new(setting_string("config_dir", DEFAULT_CONFIG_DIR).into()),
        Box::new(Arc::clone(&server)),
        policy,
        options(policy),
        state_file(),
    ));
    // Weak: the adapter publishes to the server.
    let handler = Arc::downgrade(&adapter);
    let uri = setting_string("socket", DEFAULT_SOCKET);
    let socket = server.listen(
        &uri,
        Box::new(move |request| match handler.upgrade() {
            Some(adapter) => adapter.request(request),
            None => Reply::failed(request.verb(), unloading()),
        }),
    )?;
    log::info!("loaded, serving {uri}");
    let listener = Registration::new(Box::new(adapter.listener()));
    let network = NetworkRegistration::new(adapter.network_listener());
    load_config_dir(&adapter);
    Ok(Box::new(Extsock {
        _listener: listener,
        _network: network,
        _socket: socket,
        adapter,
    }))
}

/// `charon.plugins.extsock.state_file`: where last good gateways are kept; empty for nowhere.
fn state_file() -> Option<StateFile> {
    let path = setting_string("state_file", "");
    (!path.is_empty()).then(|| StateFile::open(path.into()))
}

/// `charon.plugins.extsock.*`: what clients of the socket may do.
fn limits() -> Result<Limits, String> {
    let default = Limits::default();
    let number = |option, default: usize| setting_number(option, default as f64) as usize;
    Ok(Limits {
        max_clients: number("max_clients", default.max_clients),
        max_request: number("max_request", default.max_request),
        max_queue: number("max_queue", default.max_queue),
        request_timeout: setting_duration("request_timeout", default.request_timeout),
        allowed_uids: ids("allowed_uids")?,
        read_only_gids: ids("read_only_gids")?,
    })
}

/// Numbers of users or groups. One that cannot be read must not open the socket to all.
fn ids(option: &str) -> Result<Vec<u32>, String> {
    setting_string(option, "")
        .split([',', ' '])
        .filter(|id| !id.is_empty())
        .map(|id| {
            id.parse()
                .map_err(|_| format!("{option}: expected numbers, found {id}"))
        })
        .collect()
}

fn unloading() -> Error {
    Error::new(
        ErrorCode::StrongswanApiFailed,
        "the plugin is being unloaded",
    )
}

/// In the directory of charon's own sockets.
const DEFAULT_SOCKET: &str = concat!("unix://", env!("EXTSOCK_PIDDIR"), "/charon.extsock");

/// Beside charon's own configuration.
const DEFAULT_CONFIG_DIR: &str = concat!(env!("EXTSOCK_SYSCONFDIR"), "/extsock.d");

/// strongswan.conf, below `charon.plugins.extsock`.
struct StrongswanConf;

impl OptionSource for StrongswanConf {
    fn time(&self, option: &str, default: Duration) -> Duration {
        setting_duration(option, default)
    }

    fn word<T>(&self, option: &str, expected: &str, parse: fn(&str) -> Option<T>) -> Option<T> {
        let word = setting_string(option, "");
        let value = parse(&word);
        if value.is_none() && !word.is_empty() {
            log::error!("{option}: expected {expected}, found {word:?}; using the default");
        }
        value
    }

    fn number(&self, option: &str, default: f64) -> f64 {
        setting_number(option, default)
    }
}

/// `charon.plugins.extsock.failover.*`: the defaults of a connection's `failover`.
fn failover_policy() -> FailoverPolicy {
    if let Some((off, on)) = FailoverPolicy::liveness_contradiction(&StrongswanConf) {
        log::error!(
            "failover.{off}: expected a time above 0, as failover.{on} is, found 0; \
             the liveness check is off"
        );
    }
    FailoverPolicy::read(&StrongswanConf)
}

/// What holds for all connections.
fn options(policy: FailoverPolicy) -> Options {
    let default = Options::default();
    let all = match setting_string("failover.scope", "all").as_str() {
        "all" => true,
        "extsock" => false,
        other => {
            log::error!("failover.scope: expected all or extsock, found {other:?}; using all");
            true
        }
    };
    let number = |option, default: usize| setting_number(option, default as f64) as usize;
    Options {
        foreign: all.then_some(policy),
        max_concurrent: number("failover.max_concurrent", default.max_concurrent).max(1),
        history_size: number("failover.history_size", default.history_size),
        reuse_ikesa: charon_bool("reuse_ikesa", default.reuse_ikesa),
        remembered: None,
    }
}
