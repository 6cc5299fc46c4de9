// SPDX-License-Identifier: GPL-2.0-or-later

//! What is known of one connection.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::action::{Lead, Settings};
use super::deadlines::Timer;
use super::gateways::Gateways;
use super::verdict::Seen;
use crate::domain::address::Gateway;
use crate::domain::policy::{FailoverPolicy, Retransmission};
use crate::domain::reason::Reason;
use crate::domain::Now;
use crate::failover::report::{
    ConnectionDetails, ConnectionState, ConnectionStatus, GatewayStatus, HistoryEntry,
};

/// One connection and its IKE_SAs.
#[derive(Debug)]
pub(super) struct Connection {
    pub gateways: Gateways,
    /// Its CHILD_SA configurations; none are known of a connection that others loaded.
    pub children: Vec<String>,
    pub policy: FailoverPolicy,
    /// Loaded by others (vici, stroke): known for as long as it has something to do.
    pub foreign: bool,
    pub state: State,
    /// Its IKE_SAs are about to be deleted, also one that has yet to be told of.
    pub terminating: bool,
    /// An operator's switch to another gateway, while the IKE_SA to the present one stays up.
    pub switch: Option<Attempt>,
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
    /// Too many attempts are under way for this gateway to be tried now.
    Queued { gateway: String },
    /// The gateway failed, and whether the configuration is still what it was is being looked up.
    Checking(Failure),
    /// An attempt is under way, from the decision to initiate on.
    Connecting(Attempt),
    /// The IKE_SA of this unique id is up.
    Established(u32),
    /// Until that time (monotonic), then this gateway is tried.
    Waiting { until: Duration, gateway: String },
    /// Given up.
    Exhausted,
}

/// A gateway that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub gateway: String,
    pub reason: Reason,
    /// When (monotonic).
    pub at: Duration,
}

/// One attempt to bring the connection up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub number: u64,
    pub gateway: String,
    /// The address of a gateway that is a name, once it was looked up.
    pub address: Option<IpAddr>,
    /// Since when (monotonic).
    pub since: Duration,
    /// Once charon was told to: whether with the connection's own configuration.
    pub own: Option<bool>,
    /// Its IKE_SA, once charon has told of one.
    pub ike_sa: Option<u32>,
    /// Whether charon is yet to be told to, or is not yet done with beginning it.
    pub pending: bool,
    /// Its IKE_SA ended without a reason before that.
    pub ended: bool,
    /// charon took an IKE_SA for it that was there and is about to end.
    pub joined: bool,
    /// charon made it by itself when that gateway failed, which is still to be told.
    pub untold: Option<Failure>,
}

impl Attempt {
    pub fn new(number: u64, gateway: String, now: Duration) -> Self {
        Self {
            number,
            gateway,
            address: None,
            since: now,
            own: None,
            ike_sa: None,
            pending: true,
            ended: false,
            joined: false,
            untold: None,
        }
    }

    pub fn lead(&self) -> Lead {
        Lead {
            gateway: self.gateway.clone(),
            address: self.address,
        }
    }

    /// Whether charon may have an IKE_SA for it.
    pub fn is_begun(&self) -> bool {
        self.own.is_some() || self.ike_sa.is_some()
    }
}

/// One IKE_SA of a connection.
#[derive(Clone, Debug)]
pub(super) struct Sa {
    pub name: String,
    pub gateway: String,
    /// The address of the gateway, once it is known.
    pub remote: Option<IpAddr>,
    pub phase: Phase,
    /// Prepared to replace another one, and not yet initiated.
    pub created: bool,
    /// Initiated with another configuration than the connection's own.
    pub cloned: bool,
    /// charon made it in place of another one, with some of the CHILD_SAs.
    pub replacement: bool,
    /// Reported down: what happens to its CHILD_SAs from here on is a consequence.
    pub down: bool,
    /// Its CHILD_SAs that are up.
    pub children: BTreeSet<String>,
    pub seen: Seen,
    /// When it came up (monotonic).
    pub up_since: Duration,
    /// CHILD_SAs that were closed by themselves, and when (monotonic).
    pub closed: Vec<(String, Duration)>,
    /// When its gateway last gave a sign of life (monotonic).
    pub heard: Duration,
    /// Whether it is being asked for one.
    pub asked: Option<Asked>,
    /// How often a request was repeated since a message of the gateway's came.
    pub repeated: u32,
    /// Where charon was prepared to be led, once it was.
    pub steered_to: Option<Option<Lead>>,
}

/// A request for a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Is about to be made.
    Soon,
    /// Was sent first at that time (monotonic), and so many times again.
    Since { first: Duration, again: u32 },
    /// The time is over, and its traffic is looked at once more.
    Last,
}

/// How far an IKE_SA is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Made by the rekeying of another one, not yet its successor.
    Successor,
    Connecting,
    Up,
    /// Being deleted, or given up by us.
    Closing,
}

impl Sa {
    pub fn new(name: &str, gateway: String, now: Duration) -> Self {
        Self {
            name: name.to_owned(),
            gateway,
            remote: None,
            phase: Phase::Connecting,
            created: false,
            cloned: false,
            replacement: false,
            down: false,
            children: BTreeSet::new(),
            seen: Seen::default(),
            up_since: now,
            closed: Vec::new(),
            heard: now,
            asked: None,
            repeated: 0,
            steered_to: None,
        }
    }
}

impl Connection {
    pub fn new(settings: Settings, foreign: bool) -> Self {
        Self {
            gateways: Gateways::new(settings.gateways),
            children: settings.children,
            policy: settings.policy,
            foreign,
            state: State::Down,
            terminating: false,
            switch: None,
            active: None,
            retries: 0,
            outage_since: None,
            wanted: Vec::new(),
            ike_sas: BTreeMap::new(),
            clones: BTreeSet::new(),
        }
    }

    /// The CHILD_SAs to bring up: what was up or asked for, else all.
    pub fn children_to_initiate(&self) -> Vec<String> {
        if self.wanted.is_empty() {
            self.children.clone()
        } else {
            self.wanted.clone()
        }
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

    /// Its state for who wants it up: an IKE_SA that is being deleted is none.
    pub fn standing(&self) -> State {
        match &self.state {
            State::Established(id) if !self.is_up(*id) => State::Down,
            state => state.clone(),
        }
    }

    fn is_up(&self, ike_sa: u32) -> bool {
        let sa = self.ike_sas.get(&ike_sa);
        sa.is_some_and(|sa| sa.phase == Phase::Up)
    }

    /// Back to the start: nothing is up, nothing is wanted.
    pub fn rest(&mut self) {
        self.state = State::Down;
        self.switch = None;
        self.retries = 0;
        self.outage_since = None;
        self.wanted.clear();
        self.gateways.forgive();
    }

    /// Whether a CHILD_SA of that name may be asked for; which there are is not known of a connection
    /// that others loaded.
    pub fn knows_child(&self, child: &str) -> bool {
        self.foreign || self.children.iter().any(|known| known == child)
    }

    /// A new start, after which nothing of the last outage counts.
    pub fn afresh(&mut self, now: Now) {
        self.retries = 0;
        self.outage_since = Some(now.monotonic);
        self.gateways.forgive();
    }

    /// An operator's switch is all that is left.
    pub fn carry_on_with(&mut self, switch: Attempt) {
        self.gateways.trying(&switch.gateway);
        self.retries = 1;
        self.active = Some(switch.gateway.clone());
        self.state = State::Connecting(switch);
    }

    /// What becomes of the IKE_SA does not matter any more.
    pub fn give_up(&mut self, ike_sa: Option<u32>) {
        if let Some(sa) = ike_sa.and_then(|id| self.ike_sas.get_mut(&id)) {
            sa.phase = Phase::Closing;
        }
    }

    /// An IKE_SA that is up, or else one that is coming up.
    pub fn live_sa(&self) -> Option<u32> {
        self.sa_in(Phase::Up)
            .or_else(|| self.sa_in(Phase::Connecting))
    }

    /// An IKE_SA that is coming up at another gateway than that, if there is another one to go to; the
    /// addresses of a name are told apart only where charon is asked.
    pub fn connecting_elsewhere(&self, gateway: &str) -> Option<u32> {
        let id = self.sa_in(Phase::Connecting)?;
        let same = self.ike_sas[&id].gateway == gateway && !self.gateways.is_name(gateway);
        (!same || !self.has_alternative()).then_some(id)
    }

    pub fn sa_in(&self, phase: Phase) -> Option<u32> {
        self.ike_sas
            .iter()
            .find(|(_, sa)| sa.phase == phase)
            .map(|(id, _)| *id)
    }

    /// Whether the outage ends when the IKE_SA is up, or only with a CHILD_SA.
    pub fn needs_child(&self) -> bool {
        self.policy.on_child_failure && (self.foreign || !self.children.is_empty())
    }

    /// The attempt of that number.
    pub fn attempt(&mut self, number: u64) -> Option<&mut Attempt> {
        self.attempts().find(|attempt| attempt.number == number)
    }

    /// The one to bring it up, and an operator's switch.
    pub fn attempts(&mut self) -> impl Iterator<Item = &mut Attempt> {
        let connecting = match &mut self.state {
            State::Connecting(attempt) => Some(attempt),
            _ => None,
        };
        connecting.into_iter().chain(&mut self.switch)
    }

    /// The gateway of an IKE_SA with the connection's own configuration. charon itself takes the first
    /// address that resolves; which name that was is only known where we looked it up or asked for it.
    pub fn gateway_at(&self, remote: Option<IpAddr>) -> Option<String> {
        let list = self.gateways.list();
        let known = remote
            .and_then(|remote| list.position_of(&remote))
            .and_then(|position| list.get(position));
        if let Some(gateway) = known {
            return Some(gateway.to_string());
        }
        if let Some(gateway) = remote.and_then(|remote| self.gateways.name_of(remote)) {
            return Some(gateway);
        }
        let asked = match &self.state {
            State::Connecting(attempt) => Some(&attempt.gateway),
            State::Established(id) => self.ike_sas.get(id).map(|sa| &sa.gateway),
            _ => None,
        };
        let is_name = |gateway: &&Gateway| gateway.ip().is_none();
        asked
            .and_then(|asked| list.get(list.position_of_name(asked)?))
            .filter(|gateway| is_name(gateway))
            .or_else(|| list.gateways().iter().find(is_name))
            .map(Gateway::to_string)
            .or_else(|| self.gateways.first())
    }

    /// Whether an attempt is under way that makes others wait: not for a gateway without alternative,
    /// as charon may try that for ever.
    pub fn is_half_open(&self) -> bool {
        let attempted = matches!(self.state, State::Connecting(_)) || self.switch.is_some();
        attempted && self.has_alternative()
    }

    /// Whether there is another gateway, or another address of a gateway's name.
    pub fn has_alternative(&self) -> bool {
        self.gateways.has_alternative(self.active.as_deref())
    }

    /// When it has to be looked at again. A connection without another gateway gains nothing from
    /// giving up the one that it has.
    pub fn deadlines(&self, retransmission: Retransmission) -> Vec<(Timer, Duration)> {
        if !self.has_alternative() {
            return Vec::new();
        }
        let timeout = self.policy.connect_timeout;
        let limit = |attempt: &Attempt| attempt.since.saturating_add(timeout);
        let mut deadlines = Vec::new();
        match &self.state {
            State::Waiting { until, .. } => deadlines.push((Timer::Retry, *until)),
            State::Checking(failure) if !timeout.is_zero() => {
                deadlines.push((Timer::Check, failure.at.saturating_add(timeout)));
            }
            State::Connecting(attempt) if !timeout.is_zero() => {
                deadlines.push((Timer::Connect, limit(attempt)));
            }
            State::Established(id) => {
                let sa = self.ike_sas.get(id).filter(|sa| sa.phase == Phase::Up);
                let bare = self.needs_child() && self.outage_since.is_some();
                if let Some(sa) = sa.filter(|_| bare && !timeout.is_zero()) {
                    deadlines.push((Timer::Child, sa.up_since.saturating_add(timeout)));
                }
                if let (Some(sa), Some((interval, timeout))) = (sa, self.policy.liveness()) {
                    deadlines.extend(liveness_deadlines(sa, interval, timeout, retransmission));
                }
            }
            _ => {}
        }
        if let Some(switch) = self.switch.as_ref().filter(|_| !timeout.is_zero()) {
            deadlines.push((Timer::Switch, limit(switch)));
        }
        deadlines
    }

    /// Where charon is to be led if the gateway of that IKE_SA fails and charon goes on by itself;
    /// None if it is to stop, where it can be stopped: while connecting.
    pub fn steer(&self, sa: &Sa, now: Duration) -> Option<Lead> {
        let mut gateways = self.gateways.clone();
        gateways.trying(&sa.gateway);
        gateways.failed_at(&sa.gateway, sa.remote);
        if let Some(address) = gateways.untried_address(&sa.gateway) {
            return Some(Lead {
                gateway: sa.gateway.clone(),
                address: Some(address),
            })
            .filter(|_| sa.phase == Phase::Up);
        }
        let next = gateways.next_after(&sa.gateway, now)?;
        if next.repetition.is_some() || !self.policy.allows(self.retries) {
            return None;
        }
        let mut lead = Lead {
            gateway: next.gateway,
            address: None,
        };
        if gateways.is_name(&lead.gateway) {
            // charon would hold its thread to look it up. While connecting it is stopped, and we do.
            let known = gateways.untried_address(&lead.gateway);
            lead.address = Some(known.filter(|_| sa.phase == Phase::Up)?);
        }
        Some(lead)
    }

    /// The name that the gateway of that IKE_SA is followed by, if that is one that has yet to be looked
    /// up for it.
    pub fn name_to_look_up(&mut self, ike_sa: u32, now: Duration) -> Option<String> {
        let sa = self.ike_sas.get(&ike_sa)?;
        if sa.phase != Phase::Up || !self.gateways.has_names() {
            return None;
        }
        let mut gateways = self.gateways.clone();
        gateways.trying(&sa.gateway);
        let next = gateways.next_after(&sa.gateway, now)?.gateway;
        let wanted = self.gateways.is_name(&next) && self.gateways.ask_for(&next);
        wanted.then_some(next)
    }

    /// Gateways whose clone nothing uses any more; they are forgotten.
    pub fn take_unused_clones(&mut self) -> Vec<String> {
        let planned = match &self.state {
            State::Connecting(attempt) => Some(&attempt.gateway),
            State::Waiting { gateway, .. } | State::Queued { gateway } => Some(gateway),
            State::Down | State::Checking(_) | State::Established(_) | State::Exhausted => None,
        };
        let switch = self.switch.as_ref().map(|attempt| &attempt.gateway);
        let unused: Vec<String> = self
            .clones
            .iter()
            .filter(|gateway| Some(*gateway) != planned && Some(*gateway) != switch)
            .filter(|gateway| !self.ike_sas.values().any(|sa| sa.gateway == **gateway))
            .cloned()
            .collect();
        for gateway in &unused {
            self.clones.remove(gateway);
        }
        unused
    }

    /// The IKE_SA that carries it, or is to.
    fn current(&self) -> Option<u32> {
        match &self.state {
            State::Connecting(attempt) => attempt.ike_sa,
            State::Established(id) => Some(*id),
            _ => None,
        }
    }

    pub fn details(
        &self,
        name: &str,
        last_failovers: Vec<HistoryEntry>,
        now: Duration,
    ) -> ConnectionDetails {
        let sa = self.current().and_then(|id| self.ike_sas.get(&id));
        ConnectionDetails {
            status: self.status(name, now),
            ike_sa_uniqueid: self.current(),
            established_ms: sa
                .filter(|sa| sa.phase == Phase::Up)
                .map(|sa| millis(now.saturating_sub(sa.up_since))),
            child_sas: sa
                .map(|sa| sa.children.iter().cloned().collect())
                .unwrap_or_default(),
            last_failovers,
        }
    }

    pub fn status(&self, name: &str, now: Duration) -> ConnectionStatus {
        let current = self.current();
        let wait = |until: Duration| millis(until.saturating_sub(now));
        ConnectionStatus {
            name: name.to_owned(),
            gateways: self.gateways.names().collect(),
            active_gateway: self.active.clone(),
            state: match self.state {
                State::Down => ConnectionState::Down,
                State::Connecting(_) => ConnectionState::Connecting,
                State::Established(_) => ConnectionState::Established,
                State::Waiting { .. } | State::Queued { .. } | State::Checking(_) => {
                    ConnectionState::Waiting
                }
                State::Exhausted => ConnectionState::Exhausted,
            },
            retries: self.retries,
            next_retry_ms: match self.state {
                State::Waiting { until, .. } => Some(wait(until)),
                _ => None,
            },
            ike_sa_name: current
                .and_then(|id| self.ike_sas.get(&id))
                .map(|sa| sa.name.clone()),
            policy: (&self.policy).into(),
            gateway_status: self
                .gateways
                .names()
                .map(|gateway| {
                    let health = self.gateways.health(&gateway);
                    GatewayStatus {
                        last_result: match (health.last_failure, health.last_success) {
                            (Some(reason), _) => Some(reason.as_str()),
                            (None, Some(_)) => Some("established"),
                            (None, None) => None,
                        },
                        last_success: health.last_success.map(|at| at.as_secs()),
                        failures_in_a_row: health.failures_in_a_row,
                        set_aside_ms: health
                            .set_aside_until
                            .filter(|until| *until > now)
                            .map(wait),
                        gateway,
                    }
                })
                .collect(),
        }
    }
}

/// When a gateway is asked for a sign of life, is asked again, and counts as dead. It is asked again at
/// thirds of the timeout, so that a lost packet is not its death, unless charon does that earlier or
/// would give up for it.
fn liveness_deadlines(
    sa: &Sa,
    interval: Duration,
    timeout: Duration,
    retransmission: Retransmission,
) -> Vec<(Timer, Duration)> {
    match sa.asked {
        None => vec![(Timer::Probe, sa.heard.saturating_add(interval))],
        Some(Asked::Soon | Asked::Last) => Vec::new(),
        Some(Asked::Since { first, again }) => {
            let mut deadlines = vec![(Timer::Dead, first.saturating_add(timeout))];
            let next = timeout / 3 * (again + 1);
            let spare = sa.repeated < retransmission.spare();
            if again < 2 && spare && next < retransmission.timeout {
                deadlines.push((Timer::Probe, first.saturating_add(next)));
            }
            deadlines
        }
    }
}

/// For people and programs.
pub(super) fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}
