// SPDX-License-Identifier: GPL-2.0-or-later

//! What is known of one connection.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::action::Settings;
use super::address::AddressList;
use super::policy::RetryPolicy;
use super::verdict::Seen;
use crate::protocol::{ConnectionState, ConnectionStatus};

/// One connection and its IKE_SAs.
#[derive(Debug)]
pub(super) struct Connection {
    pub gateways: AddressList,
    /// Its CHILD_SA configurations.
    pub children: Vec<String>,
    pub policy: RetryPolicy,
    pub state: State,
    /// The gateway in use, being tried, or tried last.
    pub active: Option<String>,
    /// Consecutive failovers without an established IKE_SA.
    pub retries: u32,
    /// Since when the tunnel is wanted and not there (monotonic).
    pub outage_since: Option<Duration>,
    /// CHILD_SAs that are up or were asked for, in that order.
    pub wanted: Vec<String>,
    /// Its IKE_SAs that we initiated, by unique id.
    pub ike_sas: BTreeMap<u32, Sa>,
    /// Gateways for which a clone of the configuration may exist.
    pub clones: BTreeSet<String>,
}

/// What a connection is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing, and nothing is wanted.
    Down,
    /// An attempt is under way, from the decision to initiate on.
    Connecting(Attempt),
    /// The IKE_SA of this unique id is up.
    Established(u32),
    /// Until that time (monotonic), then this gateway is tried.
    Waiting { until: Duration, gateway: String },
    /// Given up.
    Exhausted,
}

/// One attempt to bring the connection up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub number: u64,
    pub gateway: String,
    /// Its IKE_SA, once charon has told of one.
    pub ike_sa: Option<u32>,
}

/// One IKE_SA of a connection.
#[derive(Clone, Debug)]
pub(super) struct Sa {
    pub name: String,
    pub gateway: String,
    pub phase: Phase,
    /// Reported down: what happens to its CHILD_SAs from here on is a consequence.
    pub down: bool,
    /// Its CHILD_SAs that are up.
    pub children: BTreeSet<String>,
    pub seen: Seen,
}

/// How far an IKE_SA is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Made by the rekeying of another one, not yet its successor.
    Successor,
    Connecting,
    Up,
    Closing,
}

impl Connection {
    pub fn new(settings: Settings) -> Self {
        Self {
            gateways: settings.gateways,
            children: settings.children,
            policy: settings.policy,
            state: State::Down,
            active: None,
            retries: 0,
            outage_since: None,
            wanted: Vec::new(),
            ike_sas: BTreeMap::new(),
            clones: BTreeSet::new(),
        }
    }

    /// The first gateway, which the connection's own configuration serves.
    pub fn first_gateway(&self) -> Option<String> {
        self.gateways.get(0).map(ToString::to_string)
    }

    /// The gateway to try after one that failed; one that is not in the list counts as the first.
    pub fn gateway_after(&self, gateway: &str) -> Option<String> {
        let position = self.gateways.position_of_name(gateway).unwrap_or(0);
        let next = self.gateways.next_after(position)?;
        self.gateways.get(next).map(ToString::to_string)
    }

    /// The CHILD_SAs to bring up: what was up or asked for, else all.
    pub fn children_to_initiate(&self) -> Vec<String> {
        let wanted = if self.wanted.is_empty() {
            &self.children
        } else {
            &self.wanted
        };
        wanted
            .iter()
            .filter(|child| self.children.contains(child))
            .cloned()
            .collect()
    }

    pub fn want(&mut self, child: &str) {
        if !self.wanted.iter().any(|known| known == child) {
            self.wanted.push(child.to_owned());
        }
    }

    /// Whether a CHILD_SA of that name is up on one of its IKE_SAs.
    pub fn is_child_up(&self, child: &str) -> bool {
        self.ike_sas
            .values()
            .any(|sa| sa.phase == Phase::Up && sa.children.contains(child))
    }

    /// Back to the start: nothing is up, nothing is wanted.
    pub fn rest(&mut self) {
        self.state = State::Down;
        self.retries = 0;
        self.outage_since = None;
        self.wanted.clear();
    }

    /// An IKE_SA that is up, or else one that is coming up.
    pub fn other_live_sa(&self) -> Option<(u32, &Sa)> {
        let of_phase = |phase| {
            self.ike_sas
                .iter()
                .find(|(_, sa)| sa.phase == phase)
                .map(|(id, sa)| (*id, sa))
        };
        of_phase(Phase::Up).or_else(|| of_phase(Phase::Connecting))
    }

    /// Gateways whose clone nothing uses any more; they are forgotten.
    pub fn take_unused_clones(&mut self) -> Vec<String> {
        let attempted = match &self.state {
            State::Connecting(attempt) => Some(&attempt.gateway),
            State::Waiting { gateway, .. } => Some(gateway),
            State::Down | State::Established(_) | State::Exhausted => None,
        };
        let unused: Vec<String> = self
            .clones
            .iter()
            .filter(|gateway| Some(*gateway) != attempted)
            .filter(|gateway| !self.ike_sas.values().any(|sa| sa.gateway == **gateway))
            .cloned()
            .collect();
        for gateway in &unused {
            self.clones.remove(gateway);
        }
        unused
    }

    pub fn status(&self, name: &str) -> ConnectionStatus {
        let current = match &self.state {
            State::Connecting(attempt) => attempt.ike_sa,
            State::Established(id) => Some(*id),
            State::Down | State::Waiting { .. } | State::Exhausted => None,
        };
        ConnectionStatus {
            name: name.to_owned(),
            gateways: self
                .gateways
                .gateways()
                .iter()
                .map(ToString::to_string)
                .collect(),
            active_gateway: self.active.clone(),
            state: match self.state {
                State::Down => ConnectionState::Down,
                State::Connecting(_) => ConnectionState::Connecting,
                State::Established(_) => ConnectionState::Established,
                State::Waiting { .. } => ConnectionState::Waiting,
                State::Exhausted => ConnectionState::Exhausted,
            },
            retries: self.retries,
            ike_sa_name: current
                .and_then(|id| self.ike_sas.get(&id))
                .map(|sa| sa.name.clone()),
        }
    }
}
