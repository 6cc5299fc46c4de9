// SPDX-License-Identifier: GPL-2.0-or-later

//! What has to hold after every step, and when everything is quiet.

use std::collections::BTreeSet;
use std::time::Duration;

use extsock_core::domain::policy::FailoverPolicy;
use extsock_core::failover::event::Event;
use extsock_core::failover::report::{ConnectionState, ConnectionStatus};

/// What is watched of one connection.
#[derive(Default)]
pub struct Watch {
    tried: BTreeSet<String>,
    /// An operator's switch began this outage: the round is not known from events.
    by_hand: bool,
    waiting: bool,
    /// As they were at the failover before.
    gateways: Vec<String>,
    /// How many failovers of the outage came before the last change of the gateways.
    before_change: u32,
}

impl Watch {
    /// How many failovers an outage may have: a round that has begun is finished, also with other gateways.
    fn most_failovers(&mut self, attempt: u32, to: &str, gateways: &[String], limit: u32) -> u32 {
        if attempt == 1 {
            self.before_change = 0;
        } else if self.gateways != gateways {
            self.before_change = attempt - 1;
        }
        if !gateways.iter().any(|known| known == to) {
            // charon went on by itself, with the list as it was before.
            self.before_change = attempt;
        }
        self.gateways = gateways.to_vec();
        let round = u32::try_from(gateways.len()).unwrap_or(u32::MAX);
        if self.before_change == 0 {
            limit.saturating_add(round.saturating_sub(1))
        } else {
            limit.max(self.before_change).saturating_add(round)
        }
    }

    /// Never the gateway that failed while another usable one is untried, and no retry too many.
    pub fn event(&mut self, event: &Event, status: &ConnectionStatus, policy: &FailoverPolicy) {
        let Event::FailoverStarted {
            from,
            to,
            reason,
            attempt,
            ..
        } = event
        else {
            return;
        };
        let limit = policy.max_retries;
        let most = self.most_failovers(*attempt, to, &status.gateways, limit);
        assert!(limit == 0 || *attempt <= most, "{event:?}");
        if reason == "operator" {
            self.by_hand = true;
            return;
        }
        if *attempt == 1 {
            self.tried.clear();
            self.by_hand = false;
            if status.next_retry_ms.is_some() {
                // An outage goes on whose tunnel did not last, with its next round.
                self.tried.insert(to.clone());
                return;
            }
        }
        if self.by_hand || from == to {
            // By hand, or another address of the same gateway.
            return;
        }
        self.tried.insert(from.clone());
        if self.tried.contains(to) {
            let untried = status
                .gateway_status
                .iter()
                .find(|known| known.set_aside_ms.is_none() && !self.tried.contains(&known.gateway));
            assert!(untried.is_none(), "{event:?} instead of {untried:?}");
            self.tried.clear();
        }
        self.tried.insert(to.clone());
    }

    /// Delays are as they are configured.
    pub fn status(&mut self, status: &ConnectionStatus, policy: &FailoverPolicy) {
        if let Some(wait) = status.next_retry_ms.map(Duration::from_millis) {
            assert!(wait <= policy.max_delay, "{status:?}");
            let shortest = policy.base_delay.mul_f64(1.0 - policy.jitter);
            let rounding = Duration::from_millis(1);
            assert!(
                self.waiting || wait + rounding >= shortest.min(policy.max_delay),
                "{status:?}"
            );
        }
        self.waiting = status.next_retry_ms.is_some();
    }
}

/// Nothing is under way, and what is up is up once.
pub fn settled(status: &ConnectionStatus, ike_sas: usize) {
    let expected = match status.state {
        ConnectionState::Established => 1,
        ConnectionState::Down | ConnectionState::Exhausted => 0,
        ConnectionState::Connecting | ConnectionState::Waiting => {
            panic!("waits for nothing: {status:?}")
        }
    };
    assert_eq!(ike_sas, expected, "{status:?}");
}
