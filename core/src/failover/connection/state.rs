// SPDX-License-Identifier: GPL-2.0-or-later

//! The states of a connection, each with the data that exist in it only.

use std::time::Duration;

use super::attempt::{Attempt, Failure};
use super::network::EarlyTries;
use super::outage::Outage;
use crate::domain::reason::Reason;
use crate::failover::selection::Trials;

/// What a connection is doing.
#[derive(Debug)]
pub(in crate::failover) enum State {
    Idle(Idle),
    Recovering(Recovering),
    Serving(Serving),
    Exhausted(Exhausted),
}

impl Default for State {
    fn default() -> Self {
        Self::Idle(Idle::default())
    }
}

/// A connection of which nothing is wanted.
#[derive(Debug, Default)]
pub(in crate::failover) struct Idle {
    /// Its IKE_SAs are about to be deleted, also one that charon has yet to tell of.
    pub terminating: bool,
}

/// A connection in an outage.
#[derive(Debug)]
pub(in crate::failover) struct Recovering {
    pub outage: Outage,
    pub progress: Progress,
}

/// What is done about an outage.
#[derive(Debug)]
pub(in crate::failover) enum Progress {
    /// The gateway failed, and whether the configuration is still what it was is being looked up.
    Checking(Failure),
    /// Too many attempts are under way for this gateway to be tried now.
    Queued { gateway: String },
    /// Until that time (monotonic), then this gateway is tried.
    Backoff { until: Duration, gateway: String },
    /// An attempt is under way, from the decision to make it.
    Connecting(Attempt),
}

/// A connection whose tunnel is up.
#[derive(Debug)]
pub(in crate::failover) struct Serving {
    /// The IKE_SA that carries it, by unique id.
    pub ike_sa: u32,
    pub recovery: Recovery,
    /// An attempt at another gateway, while this one stays up.
    pub candidate: Option<Candidate>,
    /// How often in a row CHILD_SAs were refused on it, or were not answered, while none was up.
    pub tries: u32,
}

/// What became of the outage before the tunnel.
#[derive(Debug)]
pub(in crate::failover) enum Recovery {
    /// It goes on until a CHILD_SA is up, where only that ends it.
    Awaited(Outage),
    /// It is over.
    Done {
        /// Since when (monotonic).
        since: Duration,
        /// What was tried in it: it goes on if the tunnel does not last.
        trials: Trials,
        /// How changes of the network cut its waits short, for the same case.
        early: EarlyTries,
    },
}

/// An attempt at another gateway while the tunnel is up: its IKE_SA takes over when it is up.
#[derive(Clone, Debug)]
pub(in crate::failover) struct Candidate {
    pub attempt: Attempt,
    pub purpose: Purpose,
    /// The addresses of the gateway's name that were tried.
    pub trials: Trials,
}

/// Why the tunnel is to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::failover) enum Purpose {
    /// An operator asked for it.
    Operator,
}

impl Purpose {
    /// As in events and history.
    pub fn reason(self) -> Reason {
        match self {
            Self::Operator => Reason::Operator,
        }
    }
}

/// A connection whose retries are used up.
#[derive(Debug)]
pub(in crate::failover) struct Exhausted {
    /// The outage, which goes on.
    pub outage: Outage,
    /// The last gateway that was tried.
    pub failure: Failure,
    /// When all gateways are tried again (monotonic); None if somebody has to ask for it.
    pub until: Option<Duration>,
}

impl State {
    /// The IKE_SA that carries the connection, or is to.
    pub fn ike_sa(&self) -> Option<u32> {
        match self {
            Self::Recovering(state) => state.attempting()?.ike_sa(),
            Self::Serving(state) => Some(state.ike_sa),
            Self::Idle(_) | Self::Exhausted(_) => None,
        }
    }

    /// The outage, while there is one.
    pub fn outage(&self) -> Option<&Outage> {
        match self {
            Self::Idle(_) => None,
            Self::Recovering(state) => Some(&state.outage),
            Self::Serving(state) => state.outage(),
            Self::Exhausted(state) => Some(&state.outage),
        }
    }

    pub fn outage_mut(&mut self) -> Option<&mut Outage> {
        match self {
            Self::Idle(_) => None,
            Self::Recovering(state) => Some(&mut state.outage),
            Self::Serving(state) => state.outage_mut(),
            Self::Exhausted(state) => Some(&mut state.outage),
        }
    }

    /// The attempts that are under way.
    pub fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        let attempt = match self {
            Self::Recovering(state) => state.attempting(),
            Self::Serving(state) => state.candidate.as_ref().map(|candidate| &candidate.attempt),
            Self::Idle(_) | Self::Exhausted(_) => None,
        };
        attempt.into_iter()
    }

    /// The attempt of that number, and what was tried so far.
    pub fn attempt_mut(&mut self, number: u64) -> Option<(&mut Attempt, &mut Trials)> {
        let (attempt, trials) = match self {
            Self::Recovering(Recovering {
                outage,
                progress: Progress::Connecting(attempt),
            }) => (attempt, &mut outage.trials),
            Self::Serving(state) => {
                let candidate = state.candidate.as_mut()?;
                (&mut candidate.attempt, &mut candidate.trials)
            }
            _ => return None,
        };
        (attempt.number == number).then_some((attempt, trials))
    }
}

impl Progress {
    /// The attempt that is under way.
    pub fn attempt(&self) -> Option<&Attempt> {
        match self {
            Self::Connecting(attempt) => Some(attempt),
            _ => None,
        }
    }
}

impl Recovering {
    /// The IKE_SA of the attempt.
    pub fn ike_sa(&self) -> Option<u32> {
        self.attempting()?.ike_sa()
    }

    /// The attempt that is under way.
    pub fn attempting(&self) -> Option<&Attempt> {
        self.progress.attempt()
    }

    pub fn attempting_mut(&mut self) -> Option<&mut Attempt> {
        match &mut self.progress {
            Progress::Connecting(attempt) => Some(attempt),
            _ => None,
        }
    }
}

impl Serving {
    /// The outage that goes on until a CHILD_SA is up.
    pub fn outage(&self) -> Option<&Outage> {
        match &self.recovery {
            Recovery::Awaited(outage) => Some(outage),
            Recovery::Done { .. } => None,
        }
    }

    pub fn outage_mut(&mut self) -> Option<&mut Outage> {
        match &mut self.recovery {
            Recovery::Awaited(outage) => Some(outage),
            Recovery::Done { .. } => None,
        }
    }

    /// The outage that begins, or goes on, as something else takes the place of the IKE_SA than the failure of its
    /// gateway has it.
    pub fn into_outage(self, now: Duration) -> Outage {
        match self.recovery {
            Recovery::Awaited(outage) => outage,
            Recovery::Done { .. } => Outage::begin(now),
        }
    }

    /// The outage that begins, or goes on, as the gateway failed. For a tunnel that did not last, or a gateway that
    /// was of no use all along, the rounds and delays of the outage before go on, so that nothing circles undamped.
    pub fn into_outage_after(
        self,
        reason: Reason,
        stable_after: Duration,
        now: Duration,
    ) -> Outage {
        let useless = matches!(reason, Reason::ChildFailed | Reason::DataPath);
        let goes_on = useless || !self.is_stable(stable_after, now);
        match self.recovery {
            Recovery::Awaited(outage) => outage,
            Recovery::Done { trials, early, .. } if goes_on => Outage {
                trials,
                early,
                ..Outage::begin(now)
            },
            Recovery::Done { .. } => Outage::begin(now),
        }
    }

    /// Whether the tunnel was up for long enough to have ended the outage before.
    pub fn is_stable(&self, stable_after: Duration, now: Duration) -> bool {
        match self.recovery {
            Recovery::Awaited(_) => false,
            Recovery::Done { since, .. } => now.saturating_sub(since) >= stable_after,
        }
    }
}
