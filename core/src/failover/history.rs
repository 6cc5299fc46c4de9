// SPDX-License-Identifier: GPL-2.0-or-later

//! The last failovers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::domain::reason::Reason;

/// How many entries are kept by default.
pub const DEFAULT_SIZE: usize = 1000;

/// One failover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it started, since 1970-01-01 00:00 UTC.
    pub time: Duration,
    /// The connection.
    pub connection: String,
    /// The gateway that failed.
    pub from: String,
    /// The gateway that was tried instead.
    pub to: String,
    /// Why the former failed.
    pub reason: Reason,
    /// What became of it.
    pub result: Outcome,
    /// Consecutive failovers without an established IKE_SA, counted from 1.
    pub attempt: u32,
    /// How long the tunnel was away, once it is back.
    pub outage: Option<Duration>,
}

/// What became of a failover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The attempt is under way.
    Pending,
    /// The IKE_SA was established.
    Established,
    /// The gateway failed, too.
    Failed(Reason),
    /// Ended by a command, by a termination or with the connection.
    Abandoned,
}

/// A bounded list of failovers, oldest first.
#[derive(Debug)]
pub struct History {
    entries: VecDeque<Entry>,
    size: usize,
    /// How many were ever added, by reason.
    counts: BTreeMap<&'static str, u64>,
}

impl Default for History {
    fn default() -> Self {
        Self::new(DEFAULT_SIZE)
    }
}

impl Outcome {
    /// As in replies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Established => "established",
            Self::Failed(reason) => reason.as_str(),
            Self::Abandoned => "abandoned",
        }
    }
}

impl History {
    /// Keeps at most `size` entries.
    pub fn new(size: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            size,
            counts: BTreeMap::new(),
        }
    }

    /// Adds an entry; the oldest one goes when there are too many.
    pub fn add(&mut self, entry: Entry) {
        *self.counts.entry(entry.reason.as_str()).or_default() += 1;
        self.entries.push_back(entry);
        while self.entries.len() > self.size {
            self.entries.pop_front();
        }
    }

    /// Sets the result of the connection's pending failover, if it has one, and how long the tunnel
    /// was away.
    pub fn conclude(&mut self, connection: &str, result: Outcome, outage: Option<Duration>) {
        let pending = self
            .entries
            .iter_mut()
            .rev()
            .find(|entry| entry.connection == connection)
            .filter(|entry| entry.result == Outcome::Pending);
        if let Some(entry) = pending {
            entry.result = result;
            entry.outage = outage;
        }
    }

    /// How many were ever added, by reason.
    pub fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// The latest `n` entries, newest first.
    pub fn latest(&self, n: usize) -> impl Iterator<Item = &Entry> {
        self.entries.iter().rev().take(n)
    }

    /// Removes the entries from before `time` (since 1970-01-01 00:00 UTC).
    pub fn clear_older_than(&mut self, time: Duration) {
        self.entries.retain(|entry| entry.time >= time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seconds: u64, connection: &str) -> Entry {
        Entry {
            time: Duration::from_secs(seconds),
            connection: connection.into(),
            from: "10.0.0.1".into(),
            to: "10.0.0.2".into(),
            reason: Reason::DpdTimeout,
            result: Outcome::Pending,
            attempt: 1,
            outage: None,
        }
    }

    fn times(history: &History, n: usize) -> Vec<u64> {
        history
            .latest(n)
            .map(|entry| entry.time.as_secs())
            .collect()
    }

    #[test]
    fn keeps_the_latest() {
        let mut history = History::new(3);
        for seconds in 1..=5 {
            history.add(entry(seconds, "net"));
        }
        assert_eq!(times(&history, 10), [5, 4, 3]);
        assert_eq!(times(&history, 2), [5, 4]);
    }

    #[test]
    fn clears_what_is_older() {
        let mut history = History::default();
        for seconds in 1..=5 {
            history.add(entry(seconds, "net"));
        }
        history.clear_older_than(Duration::from_secs(4));
        assert_eq!(times(&history, 10), [5, 4]);
    }

    #[test]
    fn concludes_only_the_pending_entry_of_the_connection() {
        let mut history = History::default();
        history.add(entry(1, "net"));
        history.add(entry(2, "other"));
        history.conclude("net", Outcome::Established, Some(Duration::from_millis(5)));
        history.conclude("net", Outcome::Abandoned, None);
        let results: Vec<Outcome> = history.latest(2).map(|entry| entry.result).collect();
        assert_eq!(results, [Outcome::Pending, Outcome::Established]);
    }
}
