// SPDX-License-Identifier: GPL-2.0-or-later

//! The names of the configurations whose IKE_SAs are of concern.

use std::collections::HashMap;

/// What a configuration's name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub connection: String,
    /// The gateway of a clone; None for the connection's own configuration.
    pub clone_for: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Names {
    targets: HashMap<String, Target>,
    /// How many IKE_SAs of removed connections have a name.
    orphans: HashMap<String, usize>,
    /// Names that are of concern from now on, or are not any more, since this was last asked for.
    changes: Vec<(String, bool)>,
}

impl Names {
    pub fn get(&self, name: &str) -> Option<&Target> {
        self.targets.get(name)
    }

    pub fn insert(&mut self, name: String, target: Target) {
        self.changes.push((name.clone(), true));
        self.targets.insert(name, target);
    }

    pub fn remove(&mut self, name: &str) {
        self.targets.remove(name);
        self.left(name);
    }

    pub fn is_orphaned(&self, name: &str) -> bool {
        self.orphans.contains_key(name)
    }

    /// An IKE_SA of that name lives on without its connection.
    pub fn orphaned(&mut self, name: &str) {
        *self.orphans.entry(name.to_owned()).or_default() += 1;
        self.changes.push((name.to_owned(), true));
    }

    /// It does not any more.
    pub fn orphan_gone(&mut self, name: &str) {
        if let Some(count) = self.orphans.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                self.orphans.remove(name);
                self.left(name);
            }
        }
    }

    pub fn take_changes(&mut self) -> Vec<(String, bool)> {
        std::mem::take(&mut self.changes)
    }

    pub fn len(&self) -> usize {
        self.targets.len() + self.orphans.len()
    }

    fn left(&mut self, name: &str) {
        if !self.targets.contains_key(name) && !self.orphans.contains_key(name) {
            self.changes.push((name.to_owned(), false));
        }
    }
}
