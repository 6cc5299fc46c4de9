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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    fn site() -> String {
        "site".to_owned()
    }

    #[test]
    fn replies_have_the_documented_lines() {
        let status = ConnectionStatus {
            name: site(),
            gateways: vec!["10.0.0.1".to_owned(), "10.0.0.2".to_owned()],
            active_gateway: Some("10.0.0.2".to_owned()),
            state: ConnectionState::Established,
            retries: 1,
            ike_sa_name: Some("site-failover-10.0.0.2".to_owned()),
        };
        let idle = ConnectionStatus {
            name: "idle".to_owned(),
            gateways: vec![],
            active_gateway: None,
            state: ConnectionState::Down,
            retries: 0,
            ike_sa_name: None,
        };
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
                Reply::List {
                    connections: vec![status, idle],
                },
                concat!(
                    r#"{"reply":"LIST","ok":true,"connections":[{"name":"site","#,
                    r#""gateways":["10.0.0.1","10.0.0.2"],"active_gateway":"10.0.0.2","#,
                    r#""state":"established","retries":1,"ike_sa_name":"site-failover-10.0.0.2"},"#,
                    r#"{"name":"idle","gateways":[],"active_gateway":null,"state":"down","#,
                    r#""retries":0,"ike_sa_name":null}]}"#,
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
                super::super::parse("APPLY_CONFIG {\"connections\": {\"test\": 1}}")
                    .unwrap_err()
                    .into(),
                concat!(
                    r#"{"reply":"APPLY_CONFIG","ok":false,"error":{"code":7,"#,
                    r#""name":"PARSING_FAILED","message":"#,
                    r#""connections.test: expected an object, found a number"}}"#,
                ),
            ),
        ] {
            assert_eq!(reply.to_line(), format!("{line}\n"));
        }
    }

    #[test]
    fn states_are_lower_case() {
        let states = [
            ConnectionState::Down,
            ConnectionState::Connecting,
            ConnectionState::Established,
            ConnectionState::Waiting,
            ConnectionState::Exhausted,
        ];
        assert_eq!(
            serde_json::to_string(&states).unwrap(),
            r#"["down","connecting","established","waiting","exhausted"]"#
        );
    }
}
