// SPDX-License-Identifier: GPL-2.0-or-later

//! One step of the manager: when it is taken, and what it leads to.

use std::time::Duration;

use super::action::{Action, Question, Steering};
use super::event::Event;
use super::history::{Entry, Outcome};
use super::traffic::Packets;
use crate::domain::reason::Reason;
use crate::domain::{millis, Now};
use crate::error::{Error, ErrorCode};

/// What one step of a connection has at hand, and collects.
#[derive(Debug)]
pub(super) struct Step {
    pub now: Now,
    /// Whether the connection may make an attempt, or too many are under way.
    pub has_room: bool,
    /// charon makes an IKE_SA of its own for each CHILD_SA (`charon.reuse_ikesa = no`).
    pub separate_ike_sas: bool,
    /// The number of the last attempt of all connections.
    pub last_attempt: u64,
    effects: Vec<Effect>,
}

/// What a step leads to, applied when it is concluded.
#[derive(Debug)]
pub(super) enum Effect {
    /// Something is to be done outside of the core.
    Act(Action),
    /// A failover began.
    Record(Entry),
    /// The failover that began last is over.
    Conclude {
        outcome: Outcome,
        /// How long the tunnel was away, if it is back.
        outage: Option<Duration>,
    },
    /// The gateway is the connection's last good one; None forgets it.
    GoodGateway(Option<String>),
    /// The connection's retries are used up.
    Exhausted,
}

/// A failover that begins.
pub(super) struct Failover<'a> {
    /// Of the connection.
    pub name: &'a str,
    pub from: &'a str,
    pub to: &'a str,
    pub reason: Reason,
    /// How many failovers there were in a row, with this one.
    pub attempt: u32,
}

impl Step {
    pub fn new(now: Now, has_room: bool, separate_ike_sas: bool, last_attempt: u64) -> Self {
        Self {
            now,
            has_room,
            separate_ike_sas,
            last_attempt,
            effects: Vec::new(),
        }
    }

    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// The number of another attempt.
    pub fn next_attempt(&mut self) -> u64 {
        self.last_attempt += 1;
        self.last_attempt
    }

    pub fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub fn conclude(&mut self, outcome: Outcome) {
        let outage = None;
        self.effect(Effect::Conclude { outcome, outage });
    }

    /// Tells that a failover began.
    pub fn failover_started(&mut self, failover: Failover<'_>) {
        let Failover {
            name,
            from,
            to,
            reason,
            attempt,
        } = failover;
        self.publish(Event::FailoverStarted {
            connection: name.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            reason: reason.as_str().into(),
            attempt,
        });
        self.effect(Effect::Record(Entry {
            time: self.now.unix,
            connection: name.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            reason,
            result: Outcome::Pending,
            attempt,
            outage: None,
        }));
    }

    /// Tells that a failover led to an IKE_SA that is up.
    pub fn recovered(&mut self, name: &str, gateway: &str, attempts: u32, since: Duration) {
        let away = self.now.monotonic.saturating_sub(since);
        self.publish(Event::FailoverEstablished {
            connection: name.to_owned(),
            gateway: gateway.to_owned(),
            attempts,
            outage_ms: millis(away),
        });
        self.effect(Effect::Conclude {
            outcome: Outcome::Established,
            outage: Some(away),
        });
    }

    /// Tells that each IKE_SA would reauthenticate as soon as it is up.
    pub fn reauthentication_loop(&mut self, name: &str, lifetime: Duration, over_time: Duration) {
        let auth_lifetime = lifetime.as_secs();
        self.publish(Event::ReauthenticationLoop {
            connection: name.to_owned(),
            auth_lifetime,
            over_time: over_time.as_secs(),
            advice: format!(
                "set the connection's over_time well below {auth_lifetime} s, or the gateway's reauth_time higher"
            ),
        });
    }

    fn act(&mut self, action: Action) {
        self.effect(Effect::Act(action));
    }

    pub fn publish(&mut self, event: Event) {
        self.act(Action::Publish(Box::new(event)));
    }

    pub fn report(&mut self, name: &str, code: ErrorCode, message: String) {
        self.act(Action::Report {
            connection: name.to_owned(),
            error: Error::new(code, message),
        });
    }

    /// Tells that nothing is done before the delay is over, or before somebody asks for it.
    pub fn waits(&mut self, name: &str, delay: Option<Duration>) {
        self.act(Action::Waits {
            connection: name.to_owned(),
            delay,
        });
    }

    /// Tells that the gateway has no route, and for how long the connection waits if no other has one.
    pub fn no_route(&mut self, name: &str, gateway: &str, wait: Option<Duration>) {
        self.act(Action::NoRoute {
            connection: name.to_owned(),
            gateway: gateway.to_owned(),
            wait,
        });
    }

    pub fn resolve(&mut self, name: &str, attempt: Option<u64>, gateway: &str) {
        self.act(Action::Resolve {
            connection: name.to_owned(),
            attempt,
            gateway: gateway.to_owned(),
        });
    }

    pub fn check(&mut self, name: &str) {
        self.act(Action::Check {
            connection: name.to_owned(),
        });
    }

    pub fn initiate(&mut self, name: &str, attempt: u64) {
        self.act(Action::Initiate {
            connection: name.to_owned(),
            attempt,
        });
    }

    pub fn initiate_children(&mut self, name: &str, ike_sa: u32, children: Vec<String>) {
        self.act(Action::InitiateChildren {
            connection: name.to_owned(),
            ike_sa,
            children,
        });
    }

    pub fn initiate_again(&mut self, name: &str, ike_sa: u32, children: Vec<String>) {
        self.act(Action::InitiateAgain {
            connection: name.to_owned(),
            ike_sa,
            children,
        });
    }

    pub fn adopt(&mut self, name: &str, ike_sa: u32) {
        self.act(Action::Adopt {
            connection: name.to_owned(),
            ike_sa,
        });
    }

    pub fn steer(&mut self, name: &str, ike_sa: u32, steering: Steering) {
        self.act(Action::Steer {
            connection: name.to_owned(),
            ike_sa,
            steering,
        });
    }

    pub fn unsteer(&mut self, name: &str, ike_sa: u32) {
        self.act(Action::Unsteer {
            connection: name.to_owned(),
            ike_sa,
        });
    }

    pub fn release_clone(&mut self, name: &str, gateway: String) {
        self.act(Action::ReleaseClone {
            connection: name.to_owned(),
            gateway,
        });
    }

    pub fn terminate(&mut self, name: &str) {
        self.act(Action::Terminate {
            connection: name.to_owned(),
        });
    }

    pub fn delete(&mut self, name: &str, ike_sa: u32) {
        self.act(Action::Delete {
            connection: name.to_owned(),
            ike_sa,
        });
    }

    pub fn abandon(&mut self, name: &str, gateway: &str, ike_sa: Option<u32>) {
        self.act(Action::Abandon {
            connection: name.to_owned(),
            gateway: gateway.to_owned(),
            ike_sa,
        });
    }

    pub fn look(&mut self, name: &str, ike_sa: u32, inbound: Packets) {
        self.act(Action::Look {
            connection: name.to_owned(),
            ike_sa,
            inbound,
        });
    }

    pub fn check_path(&mut self, name: &str, ike_sa: u32) {
        self.act(Action::CheckPath {
            connection: name.to_owned(),
            ike_sa,
        });
    }

    pub fn probe(&mut self, name: &str, ike_sa: u32, question: Question) {
        self.act(Action::Probe {
            connection: name.to_owned(),
            ike_sa,
            question,
        });
    }
}
