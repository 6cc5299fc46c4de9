// SPDX-License-Identifier: GPL-2.0-or-later

//! What LIST, STATUS, HISTORY and STATS report of connections and failovers.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::Value as Json;

use super::connection::{Common, Connection, Progress, Recovering, State};
use super::history::Entry;
use crate::domain::failover_options::Value;
use crate::domain::millis;
use crate::domain::policy::FailoverPolicy;

/// What LIST tells of a connection.
#[derive(Serialize, Clone, Debug, PartialEq)]
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
    /// Milliseconds until the next attempt, while one is waited for.
    pub next_retry_ms: Option<u64>,
    /// Name of its IKE_SA, if there is one.
    pub ike_sa_name: Option<String>,
    /// The failover policy in force.
    pub policy: PolicyStatus,
    /// What became of each gateway, in the configured order.
    pub gateway_status: Vec<GatewayStatus>,
    /// The CHILD_SAs that were asked for and have not been closed on this host since.
    pub wanted: Vec<String>,
    /// Those of them that are not up.
    pub missing: Vec<String>,
    /// Whether the IKE_SA is up, and some of them were lost or could not be had.
    pub degraded: bool,
}

/// What STATUS tells of a connection.
#[derive(Serialize, Clone, Debug, PartialEq)]
pub struct ConnectionDetails {
    /// What LIST tells.
    #[serde(flatten)]
    pub status: ConnectionStatus,
    /// charon's unique id of its IKE_SA, if there is one.
    pub ike_sa_uniqueid: Option<u32>,
    /// Milliseconds since its IKE_SA came up.
    pub established_ms: Option<u64>,
    /// Its CHILD_SAs that are up.
    pub child_sas: Vec<String>,
    /// Its last failovers, at most 5, newest first.
    pub last_failovers: Vec<HistoryEntry>,
}

/// What the failover manager counts.
#[derive(Serialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections that are known.
    pub connections: usize,
    /// Attempts that were begun.
    pub attempts: u64,
    /// Attempts that are under way.
    pub attempts_under_way: usize,
    /// Attempts that wait for fewer of them.
    pub attempts_queued: usize,
    /// IKE_SAs of connections that came up.
    pub established: u64,
    /// Times that a connection reached `max_retries`.
    pub exhausted: u64,
    /// Failovers that were begun, by reason.
    pub failovers: BTreeMap<&'static str, u64>,
}

/// A failover policy, as an object of its options; times are in milliseconds, under names that end in `_ms`.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyStatus(FailoverPolicy);

impl From<&FailoverPolicy> for PolicyStatus {
    fn from(policy: &FailoverPolicy) -> Self {
        Self(*policy)
    }
}

impl Serialize for PolicyStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let options = self.0.values().into_iter();
        let options = options.map(|(name, value)| match value {
            Value::Time(time) => (format!("{name}_ms"), millis(time).into()),
            Value::Number(number) => (name.to_owned(), Json::from(number)),
            Value::Fraction(fraction) => (name.to_owned(), fraction.into()),
            // A boolean before it had more than two values.
            Value::ChildFailure(value) => (name.to_owned(), value.tries().is_some().into()),
        });
        let child_failure = self.0.on_child_failure.as_str();
        let word = ("child_failure".to_owned(), child_failure.into());
        serializer.collect_map(options.chain([word]))
    }
}

/// What became of a gateway.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub struct GatewayStatus {
    /// As it is written in remote_addrs.
    pub gateway: String,
    /// `established`, or the reason of its last failure; None if it was not tried.
    pub last_result: Option<&'static str>,
    /// Seconds since 1970-01-01 00:00 UTC.
    pub last_success: Option<u64>,
    /// Failures since then.
    pub failures_in_a_row: u32,
    /// Milliseconds for which it is still set aside.
    pub set_aside_ms: Option<u64>,
}

/// One failover.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Milliseconds since 1970-01-01 00:00 UTC.
    pub time_ms: u64,
    /// Name of the connection.
    pub connection: String,
    /// The gateway that failed.
    pub from: String,
    /// The gateway that was tried instead.
    pub to: String,
    /// Why.
    pub reason: &'static str,
    /// `pending`, `established`, `abandoned`, or why the gateway failed.
    pub result: &'static str,
    /// Consecutive failovers without an established IKE_SA, counted from 1.
    pub attempt: u32,
    /// Milliseconds that the tunnel was away, once it is back.
    pub outage_ms: Option<u64>,
}

impl From<&Entry> for HistoryEntry {
    fn from(entry: &Entry) -> Self {
        Self {
            time_ms: millis(entry.time),
            connection: entry.connection.clone(),
            from: entry.from.clone(),
            to: entry.to.clone(),
            reason: entry.reason.as_str(),
            result: entry.result.as_str(),
            attempt: entry.attempt,
            outage_ms: entry.outage.map(millis),
        }
    }
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
    /// All retries failed; the next round waits for its time, or for a request.
    Exhausted,
}

/// What LIST reports of one connection.
pub(super) fn status(connection: &Connection, now: Duration) -> ConnectionStatus {
    let c = &connection.common;
    let wait = |until: Duration| millis(until.saturating_sub(now));
    let retry_at = match &connection.state {
        State::Recovering(Recovering {
            progress: Progress::Backoff { until, .. },
            ..
        }) => Some(*until),
        State::Exhausted(state) => state.until,
        _ => None,
    };
    let ike_sa = connection.state.ike_sa();
    ConnectionStatus {
        name: c.name.clone(),
        gateways: c.gateways.names().collect(),
        active_gateway: c.active.clone(),
        state: ConnectionState::from(&connection.state),
        retries: connection.state.outage().map_or(0, |outage| outage.retries),
        next_retry_ms: retry_at.map(wait),
        ike_sa_name: ike_sa
            .and_then(|id| c.ike_sas.get(&id))
            .map(|known| known.name.clone()),
        policy: (&c.policy).into(),
        gateway_status: c
            .gateways
            .names()
            .map(|gateway| gateway_status(c, gateway, now))
            .collect(),
        wanted: c.wanted.wanted(),
        missing: c.wanted.missing(),
        degraded: !c.told_missing.is_empty(),
    }
}

fn gateway_status(c: &Common, gateway: String, now: Duration) -> GatewayStatus {
    let health = c.gateways.health(&gateway);
    let set_aside = c.gateways.set_aside_until(&gateway, now);
    GatewayStatus {
        last_result: match (health.last_failure, health.last_success) {
            (Some(reason), _) => Some(reason.as_str()),
            (None, Some(_)) => Some("established"),
            (None, None) => None,
        },
        last_success: health.last_success.map(|at| at.as_secs()),
        failures_in_a_row: health.failures_in_a_row,
        set_aside_ms: set_aside.map(|until| millis(until.saturating_sub(now))),
        gateway,
    }
}

/// What STATUS reports of one connection.
pub(super) fn details(
    connection: &Connection,
    last_failovers: Vec<HistoryEntry>,
    now: Duration,
) -> ConnectionDetails {
    let ike_sa = connection.state.ike_sa();
    let known = ike_sa.and_then(|id| connection.common.ike_sas.get(&id));
    let up = known.and_then(|known| known.up());
    ConnectionDetails {
        status: status(connection, now),
        ike_sa_uniqueid: ike_sa,
        established_ms: up.map(|up| millis(now.saturating_sub(up.since))),
        child_sas: known.map_or_else(Vec::new, |known| known.children.iter().cloned().collect()),
        last_failovers,
    }
}

impl From<&State> for ConnectionState {
    fn from(state: &State) -> Self {
        match state {
            State::Idle(_) => Self::Down,
            State::Recovering(Recovering {
                progress: Progress::Connecting(_),
                ..
            }) => Self::Connecting,
            State::Recovering(_) => Self::Waiting,
            State::Serving(_) => Self::Established,
            State::Exhausted(_) => Self::Exhausted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
