// SPDX-License-Identifier: GPL-2.0-or-later

//! Replies: one line of JSON to every request, in order.

use std::time::Duration;

use serde::Serialize;

use super::request::{Rejection, Verb};
use crate::error::Error;
use crate::failover::report::{ConnectionDetails, ConnectionStatus, Counters, HistoryEntry};

/// The answer to one request.
#[derive(Serialize, Clone, Debug, PartialEq)]
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
    /// The switch to another gateway is queued.
    Failover {
        /// Name of the connection.
        connection: String,
        /// The gateway.
        gateway: String,
    },
    /// The last failovers.
    History {
        /// Newest first.
        failovers: Vec<HistoryEntry>,
    },
    /// All connections.
    List {
        /// One entry each, in the order of their names.
        connections: Vec<ConnectionStatus>,
    },
    /// Connections in detail.
    Status {
        /// One entry each, in the order of their names.
        connections: Vec<ConnectionDetails>,
    },
    /// The versions.
    Version {
        /// The plugin's.
        version: &'static str,
        /// The strongSwan that it was built for.
        strongswan: &'static str,
    },
    /// The counters.
    Stats(Stats),
    /// The events that this client is sent from now on.
    Subscribe {
        /// Names of events; all if it is empty.
        events: Vec<String>,
        /// Names of connections; all events if it is empty.
        connections: Vec<String>,
    },
    /// The directory of configurations was loaded again.
    Reload {
        /// Names of the connections that its files have.
        connections: Vec<String>,
        /// Names of the connections that were removed.
        removed: Vec<String>,
        /// The files that were not loaded.
        failed: Vec<FileError>,
    },
    /// The verbs.
    Help {
        /// One entry each.
        verbs: Vec<VerbHelp>,
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

    /// The answer to HELP.
    pub fn help() -> Self {
        Self::Help {
            verbs: Verb::ALL
                .map(|verb| VerbHelp {
                    verb: verb.name(),
                    arguments: verb.arguments(),
                    read_only: verb.is_read_only(),
                })
                .to_vec(),
        }
    }

    /// The reply as one line of JSON with its newline.
    pub fn to_line(&self) -> String {
        let (reply, ok) = match self {
            Self::ApplyConfig { .. } => (Verb::ApplyConfig.name(), true),
            Self::RemoveConfig { .. } => (Verb::RemoveConfig.name(), true),
            Self::Initiate { .. } => (Verb::Initiate.name(), true),
            Self::Terminate { .. } => (Verb::Terminate.name(), true),
            Self::StartDpd { .. } => (Verb::StartDpd.name(), true),
            Self::Failover { .. } => (Verb::Failover.name(), true),
            Self::History { .. } => (Verb::History.name(), true),
            Self::List { .. } => (Verb::List.name(), true),
            Self::Status { .. } => (Verb::Status.name(), true),
            Self::Version { .. } => (Verb::Version.name(), true),
            Self::Stats(_) => (Verb::Stats.name(), true),
            Self::Subscribe { .. } => (Verb::Subscribe.name(), true),
            Self::Reload { .. } => (Verb::Reload.name(), true),
            Self::Help { .. } => (Verb::Help.name(), true),
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

/// The reply to STATS.
#[derive(Serialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// When counting began, RFC 3339.
    pub since: String,
    /// Counters of the failover manager.
    #[serde(flatten)]
    pub counters: Counters,
    /// Events that were published.
    pub events: u64,
    /// Counters of the control socket.
    #[serde(flatten)]
    pub clients: ClientStats,
}

/// What the control socket counts.
#[derive(Serialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientStats {
    /// Clients that are connected.
    pub clients: usize,
    /// Clients that were accepted.
    pub clients_accepted: u64,
    /// Clients that were refused.
    pub clients_refused: u64,
    /// Clients that were disconnected because they exceeded a limit or did not read.
    pub clients_dropped: u64,
    /// Bytes that wait for clients to read them.
    pub queued_bytes: usize,
}

impl Stats {
    /// `since` is when counting began, since 1970-01-01 00:00 UTC.
    pub fn new(since: Duration, counters: Counters, events: u64, clients: ClientStats) -> Self {
        Self {
            since: super::rfc3339(since),
            counters,
            events,
            clients,
        }
    }
}

/// A file that was not loaded.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// Its path.
    pub file: String,
    /// The error.
    pub error: Error,
}

/// A verb in the reply to HELP.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub struct VerbHelp {
    /// The verb.
    pub verb: &'static str,
    /// Its arguments, those in brackets optional.
    pub arguments: &'static str,
    /// Whether clients that may only read may use it.
    pub read_only: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    reply: &'a str,
    ok: bool,
    #[serde(flatten)]
    result: &'a Reply,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reason::Reason;
    use crate::error::ErrorCode;
    use crate::failover::history::Entry;
    use crate::failover::history::Outcome;
    use crate::strongswan::Version;

    fn site() -> String {
        "site".to_owned()
    }

    #[test]
    fn replies_have_the_documented_lines() {
        for (reply, line) in [
            (
                Reply::ApplyConfig {
                    connections: vec![site()],
                },
                r#"{"reply":"APPLY_CONFIG","ok":true,"connections":["site"]}"#,
            ),
            (
                Reply::RemoveConfig { connection: site() },
                r#"{"reply":"REMOVE_CONFIG","ok":true,"connection":"site"}"#,
            ),
            (
                Reply::Initiate {
                    connection: site(),
                    gateway: "10.0.0.1".to_owned(),
                },
                r#"{"reply":"INITIATE","ok":true,"connection":"site","gateway":"10.0.0.1"}"#,
            ),
            (
                Reply::Terminate { connection: site() },
                r#"{"reply":"TERMINATE","ok":true,"connection":"site"}"#,
            ),
            (
                Reply::StartDpd {
                    ike_sa_name: site(),
                },
                r#"{"reply":"START_DPD","ok":true,"ike_sa_name":"site"}"#,
            ),
            (
                Reply::Failover {
                    connection: site(),
                    gateway: "10.0.0.2".to_owned(),
                },
                r#"{"reply":"FAILOVER","ok":true,"connection":"site","gateway":"10.0.0.2"}"#,
            ),
            (
                Reply::History {
                    failovers: vec![HistoryEntry::from(&Entry {
                        time: Duration::from_millis(1500),
                        connection: site(),
                        from: "10.0.0.1".to_owned(),
                        to: "10.0.0.2".to_owned(),
                        reason: Reason::DpdTimeout,
                        result: Outcome::Established,
                        attempt: 1,
                        outage: Some(Duration::from_millis(70)),
                    })],
                },
                concat!(
                    r#"{"reply":"HISTORY","ok":true,"failovers":[{"time_ms":1500,"#,
                    r#""connection":"site","from":"10.0.0.1","to":"10.0.0.2","#,
                    r#""reason":"dpd_timeout","result":"established","attempt":1,"#,
                    r#""outage_ms":70}]}"#,
                ),
            ),
            (
                Reply::failed(
                    Verb::Initiate,
                    Error::new(ErrorCode::NoAlternativeSegw, "site has \"no\" gateway"),
                ),
                concat!(
                    r#"{"reply":"INITIATE","ok":false,"error":{"code":3,"#,
                    r#""name":"NO_ALTERNATIVE_SEGW","message":"site has \"no\" gateway"}}"#,
                ),
            ),
            (
                super::super::parse(
                    "APPLY_CONFIG {\"connections\": {\"test\": 1}}",
                    Version::NEWEST,
                )
                .unwrap_err()
                .into(),
                concat!(
                    r#"{"reply":"APPLY_CONFIG","ok":false,"error":{"code":7,"#,
                    r#""name":"PARSING_FAILED","message":"#,
                    r#""connections.test: expected an object, found a number at line 1 column 18"}}"#,
                ),
            ),
        ] {
            assert_eq!(reply.to_line(), format!("{line}\n"));
        }
    }
}
