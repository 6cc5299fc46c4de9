// SPDX-License-Identifier: GPL-2.0-or-later

//! The one table of deadlines.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Why the manager wants to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The wait before the next attempt is over.
    Retry,
    /// Looking at the configuration took too long.
    Check,
    /// The attempt took too long.
    Connect,
    /// The operator's switch to another gateway took too long.
    Switch,
    /// No CHILD_SA came up on the IKE_SA.
    Child,
    /// The traffic of the IKE_SA is to be looked at, for a sign of life of its gateway.
    Look,
    /// The network changed: it is to be looked whether it has another way to the gateway.
    Path,
}

/// Deadlines (monotonic) of all connections.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    by_time: BTreeSet<(Duration, String, Timer)>,
    by_connection: BTreeMap<String, Vec<(Timer, Duration)>>,
}

impl Deadlines {
    /// Replaces the connection's deadlines.
    pub fn set(&mut self, connection: &str, deadlines: Vec<(Timer, Duration)>) {
        if self
            .by_connection
            .get(connection)
            .map_or(&[][..], Vec::as_slice)
            == deadlines
        {
            return;
        }
        for (timer, at) in self.by_connection.remove(connection).unwrap_or_default() {
            self.by_time.remove(&(at, connection.to_owned(), timer));
        }
        for (timer, at) in &deadlines {
            self.by_time.insert((*at, connection.to_owned(), *timer));
        }
        if !deadlines.is_empty() {
            self.by_connection.insert(connection.to_owned(), deadlines);
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_time.len()
    }

    /// The earliest.
    pub fn next(&self) -> Option<Duration> {
        self.by_time.first().map(|(at, _, _)| *at)
    }

    /// Takes the earliest out if it has come.
    pub fn take_due(&mut self, now: Duration) -> Option<(String, Timer)> {
        self.by_time.first().filter(|(at, _, _)| *at <= now)?;
        let (_, connection, timer) = self.by_time.pop_first()?;
        if let Some(deadlines) = self.by_connection.get_mut(&connection) {
            deadlines.retain(|(known, _)| *known != timer);
            if deadlines.is_empty() {
                self.by_connection.remove(&connection);
            }
        }
        Some((connection, timer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn come_in_their_order_and_once() {
        let mut deadlines = Deadlines::default();
        deadlines.set("b", vec![(Timer::Retry, at(2))]);
        deadlines.set("a", vec![(Timer::Connect, at(3)), (Timer::Look, at(1))]);
        assert_eq!(deadlines.next(), Some(at(1)));
        assert_eq!(deadlines.take_due(at(0)), None);
        assert_eq!(deadlines.take_due(at(3)), Some(("a".into(), Timer::Look)));
        assert_eq!(deadlines.take_due(at(3)), Some(("b".into(), Timer::Retry)));
        assert_eq!(
            deadlines.take_due(at(3)),
            Some(("a".into(), Timer::Connect))
        );
        assert_eq!(deadlines.take_due(at(3)), None);
        assert_eq!(deadlines.next(), None);
        assert!(deadlines.by_connection.is_empty());
    }

    #[test]
    fn are_replaced_as_a_whole() {
        let mut deadlines = Deadlines::default();
        deadlines.set("a", vec![(Timer::Connect, at(1))]);
        deadlines.set("a", vec![(Timer::Retry, at(5))]);
        assert_eq!(deadlines.next(), Some(at(5)));
        deadlines.set("a", Vec::new());
        assert_eq!(deadlines.next(), None);
    }
}
