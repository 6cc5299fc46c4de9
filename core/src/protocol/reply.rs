// SPDX-License-Identifier: GPL-2.0-or-later

//! Replies: one line of JSON to every request, in order.

use serde::Serialize;

use super::request::{Rejection, Verb};
use crate::error::Error;

/// The answer to one request.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(untagged)]
pub enum Reply {
    /// The configuration was applied.
    ApplyConfig {
        /// Names of its connections.
        connections: Vec<String>,
    },
    /// The connection was unloaded.
    RemoveConfig {
        /// Its name.
        connection: String,
    },
    /// The attempt is queued.
    Initiate {
        /// Name of the connection.
        connection: String,
        /// The gateway that is tried.
        gateway: String,
    },
    /// The IKE_SAs of the connection are being terminated.
    Terminate {
        /// Name of the connection.
        connection: String,
    },
    /// Dead peer detection was started.
    StartDpd {
        /// Name of the IKE_SA.
        ike_sa_name: String,
    },
    /// All connections.
    List {
        /// One entry each, in the order in which they were loaded.
        connections: Vec<ConnectionStatus>,
    },
    /// The request failed and changed nothing.
    Failed(Rejection),
}

impl Reply {
    /// The answer to a well-formed request that failed.
    pub fn failed(verb: Verb, error: Error) -> Self {
        Self::Failed(Rejection {
            verb: verb.name().to_owned(),
            error,
        })
    }

    /// The reply as one line of JSON with its newline.
    pub fn to_line(&self) -> String {
        let (reply, ok) = match self {
            Self::ApplyConfig { .. } => (Verb::ApplyConfig.name(), true),
            Self::RemoveConfig { .. } => (Verb::RemoveConfig.name(), true),
            Self::Initiate { .. } => (Verb::Initiate.name(), true),
            Self::Terminate { .. } => (Verb::Terminate.name(), true),
            Self::StartDpd { .. } => (Verb::StartDpd.name(), true),
            Self::List { .. } => (Verb::List.name(), true),
            Self::Failed(rejection) => (rejection.verb.as_str(), false),
        };
        super::to_line(&Line {
            reply,
            ok,
            result: self,
        })
    }
}

impl From<Rejection> for Reply {
    fn from(rejection: Rejection) -> Self {
        Self::Failed(rejection)
    }
}

/// What LIST tells of a connection.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub struct ConnectionStatus {
    /// Name of the connection.
    pub name: String,
    /// Its gateways, in the configured order.
    pub gateways: Vec<String>,
    /// The gateway that is in use or being tried.
    pub active_gateway: Option<String>,
    /// What the connection is doing.
    pub state: ConnectionState,
    /// Consecutive failovers without an established IKE_SA.
    pub retries: u32,
    /// Name of its IKE_SA, if there is one.
    pub ike_sa_name: Option<String>,
}

/// What a connection is doing.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// There is no IKE_SA, and none is wanted.
    Down,
    /// A gateway is being initiated to.
    Connecting,
    /// The IKE_SA is established.
    Established,
    /// The next attempt waits for its time.
    Waiting,
    /// All retries failed; only a request starts it again.
    Exhausted,
}

#[derive(Serialize)]
struct Line<'a> {
    reply: &'a str,
    ok: bool,
    #[serde(flatten)]
    result: &'a Reply,
}
