// SPDX-License-Identifier: GPL-2.0-or-later

//! One step of the manager.

use crate::domain::Now;
use crate::error::{Error, ErrorCode};
use crate::failover::action::{Action, Lead, Question};
use crate::failover::connection::Attempt;
use crate::failover::event::Event;

/// When it is taken, and what it leads to.
pub(super) struct Step {
    pub now: Now,
    actions: Vec<Action>,
}

impl Step {
    pub fn new(now: Now) -> Self {
        Self {
            now,
            actions: Vec::new(),
        }
    }

    pub fn into_actions(self) -> Vec<Action> {
        self.actions
    }

    pub fn publish(&mut self, event: Event) {
        self.actions.push(Action::Publish(Box::new(event)));
    }

    pub fn report(&mut self, name: &str, code: ErrorCode, message: String) {
        self.actions.push(Action::Report {
            connection: name.to_owned(),
            error: Error::new(code, message),
        });
    }

    pub fn resolve(&mut self, name: &str, attempt: Option<u64>, gateway: &str) {
        self.actions.push(Action::Resolve {
            connection: name.to_owned(),
            attempt,
            gateway: gateway.to_owned(),
        });
    }

    pub fn check(&mut self, name: &str) {
        self.actions.push(Action::Check {
            connection: name.to_owned(),
        });
    }

    pub fn initiate(&mut self, name: &str, attempt: u64) {
        self.actions.push(Action::Initiate {
            connection: name.to_owned(),
            attempt,
        });
    }

    pub fn initiate_children(&mut self, name: &str, ike_sa: u32, children: Vec<String>) {
        self.actions.push(Action::InitiateChildren {
            connection: name.to_owned(),
            ike_sa,
            children,
        });
    }

    pub fn adopt(&mut self, name: &str, ike_sa: u32) {
        self.actions.push(Action::Adopt {
            connection: name.to_owned(),
            ike_sa,
        });
    }

    pub fn steer(&mut self, name: &str, ike_sa: u32, to: Option<Lead>) {
        self.actions.push(Action::Steer {
            connection: name.to_owned(),
            ike_sa,
            to,
        });
    }

    pub fn unsteer(&mut self, name: &str, ike_sa: u32) {
        self.actions.push(Action::Unsteer {
            connection: name.to_owned(),
            ike_sa,
        });
    }

    pub fn release_clone(&mut self, name: &str, gateway: String) {
        self.actions.push(Action::ReleaseClone {
            connection: name.to_owned(),
            gateway,
        });
    }

    pub fn terminate(&mut self, name: &str) {
        self.actions.push(Action::Terminate {
            connection: name.to_owned(),
        });
    }

    pub fn delete(&mut self, name: &str, ike_sa: u32) {
        self.actions.push(Action::Delete {
            connection: name.to_owned(),
            ike_sa,
        });
    }

    pub fn abandon(&mut self, name: &str, attempt: &Attempt) {
        if attempt.is_begun() {
            self.abandon_ike_sa(name, &attempt.gateway, attempt.ike_sa);
        }
    }

    pub fn abandon_ike_sa(&mut self, name: &str, gateway: &str, ike_sa: Option<u32>) {
        self.actions.push(Action::Abandon {
            connection: name.to_owned(),
            gateway: gateway.to_owned(),
            ike_sa,
        });
    }

    pub fn remember(&mut self, name: &str, gateway: Option<&str>) {
        self.actions.push(Action::Remember {
            connection: name.to_owned(),
            gateway: gateway.map(str::to_owned),
        });
    }

    pub fn probe(&mut self, name: &str, ike_sa: u32, question: Question) {
        self.actions.push(Action::Probe {
            connection: name.to_owned(),
            ike_sa,
            question,
        });
    }
}
