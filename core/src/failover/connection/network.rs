// SPDX-License-Identifier: GPL-2.0-or-later

//! What a change of the network means for a connection that waits: it is tried at once.
//!
//! Routing daemons and updown scripts change the network all the time. So the time between two such tries doubles
//! until the connection has a tunnel that lasts.

use std::time::Duration;

use super::state::{Exhausted, Progress, Recovering, State};
use super::Connection;
use crate::domain::policy::FailoverPolicy;

/// The waits of an outage that were cut short because the network changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::failover) struct EarlyTries {
    /// When the connection may be tried for a change that no wait was cut short for yet (monotonic).
    news: Option<Duration>,
    last: Option<EarlyTry>,
}

/// A try for which a wait was cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EarlyTry {
    /// When (monotonic).
    at: Duration,
    /// How many there were before it.
    before: u32,
}

impl EarlyTries {
    /// The network changed, for which the connection may be tried from that time on (monotonic).
    fn changed(&mut self, at: Duration) {
        self.news.get_or_insert(at);
    }

    /// When a wait until that time ends (monotonic).
    fn cut_short(&mut self, until: Duration, policy: &FailoverPolicy) -> Duration {
        let Some(news) = self.news.take() else {
            return until;
        };
        let (earliest, before) = match self.last {
            Some(last) => {
                let pause = policy.pause_between_changes(last.before);
                (last.at.saturating_add(pause), last.before.saturating_add(1))
            }
            None => (news, 0),
        };
        let at = earliest.max(news);
        if at >= until {
            return until;
        }
        self.last = Some(EarlyTry { at, before });
        at
    }

    /// The tunnel is up: what changed before then is of no interest any more.
    pub fn without_news(self) -> Self {
        Self { news: None, ..self }
    }
}

impl Connection {
    /// The network changed, for which the connection may be tried from that time on (monotonic).
    pub fn network_changed(&mut self, at: Duration) {
        if let Some(outage) = self.state.outage_mut() {
            outage.early.changed(at);
        }
    }

    /// Cuts the wait short in which a step left the connection, if the network has changed.
    pub fn heed_network(&mut self) {
        let policy = &self.common.policy;
        let (outage, until) = match &mut self.state {
            State::Recovering(Recovering {
                outage,
                progress: Progress::Backoff { until, .. },
            })
            | State::Exhausted(Exhausted {
                outage,
                until: Some(until),
                ..
            }) => (outage, until),
            _ => return,
        };
        *until = outage.early.cut_short(*until, policy);
    }
}
