// SPDX-License-Identifier: GPL-2.0-or-later

//! The plugin's part: the calls of the manager that belong to an action, as src/adapter/execution/executor.rs makes
//! them.

use extsock_core::domain::address::AddressList;
use extsock_core::domain::Now;
use extsock_core::failover::action::{Action, Begin};
use extsock_core::failover::manager::FailoverManager;

/// What carries out the manager's actions.
pub trait Plugin {
    /// Calls the manager, and has the actions that follow carried out, now or later.
    fn step(&mut self, call: impl FnOnce(&mut FailoverManager, Now) -> Vec<Action>);

    /// The remote addresses of a connection as charon has it now, if it is still loaded.
    fn configured(&self, connection: &str) -> Option<AddressList>;

    /// charon is asked to initiate. [`Plugin::initiated`] follows when it has returned.
    fn initiate(&mut self, begin: Begin);

    /// Carries out an action that only concerns charon or clients.
    fn perform(&mut self, action: Action);

    /// Carries out an action.
    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Check { connection } => {
                let list = self.configured(&connection);
                self.step(|manager, now| manager.checked(&connection, list, now));
            }
            Action::Initiate {
                connection,
                attempt,
            } => {
                let list = self.configured(&connection);
                let mut wanted = None;
                self.step(|manager, now| {
                    let (begin, actions) = manager.begin(&connection, attempt, list, now);
                    wanted = begin;
                    actions
                });
                if let Some(begin) = wanted {
                    self.initiate(begin);
                }
            }
            action => self.perform(action),
        }
    }

    /// charon has returned from an initiation: whether it began, and with which CHILD_SAs it was called.
    fn initiated(&mut self, begin: Begin, begun: bool, asked: &[String]) {
        self.step(|manager, now| manager.initiated(begin, begun, asked, now));
    }
}
