// SPDX-License-Identifier: GPL-2.0-or-later

//! The plugin's liveness check of one gateway: when it is asked for a sign of life, asked again, and dead.

use std::time::Duration;

use crate::domain::policy::FailoverPolicy;
use crate::failover::action::{Probed, Question};

/// Within how many parts of the timeout a gateway is asked at most.
const MOST_QUESTIONS: u32 = 10;

/// Within how many parts of the timeout a gateway is asked whose round trips are not known.
const FEWEST_QUESTIONS: u32 = 3;

/// The liveness of a gateway whose IKE_SA is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::failover) struct Liveness {
    /// When the gateway last gave a sign of life (monotonic).
    heard: Duration,
    asking: Asking,
    /// What its answers took, smoothed; None before the first one.
    round_trip: Option<Duration>,
}

/// How far the question for a sign of life is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    Not,
    /// It is about to be asked.
    Soon,
    /// It was asked first at that time (monotonic), and so many times again.
    Since {
        first: Duration,
        again: u32,
    },
    /// The time is over, and its traffic is looked at once more.
    Last,
}

/// What is to be done next about a gateway's liveness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::failover) enum Next {
    /// It is asked, or asked again.
    Ask(Duration),
    /// The time for its answer is over.
    GiveUp(Duration),
}

impl Liveness {
    /// It came up just now.
    pub fn new(now: Duration) -> Self {
        Self {
            heard: now,
            asking: Asking::Not,
            round_trip: None,
        }
    }

    /// From now on it is watched, or watched again.
    pub fn restart(&mut self, now: Duration) {
        self.heard = now;
        self.asking = Asking::Not;
    }

    /// An authenticated message of the gateway came.
    pub fn heard(&mut self, now: Duration) {
        if let Asking::Since { first, again: 0 } = self.asking {
            // Of a request that was repeated it is not known which one was answered (Karn's algorithm).
            let sample = now.saturating_sub(first);
            self.round_trip = Some(match self.round_trip {
                Some(known) => (known * 3 + sample) / 4,
                None => sample,
            });
        }
        self.restart(now);
    }

    /// It was silent for long enough to be asked, or to be asked again.
    pub fn ask(&mut self) -> Question {
        match &mut self.asking {
            Asking::Since { again, .. } => {
                *again += 1;
                Question::Again
            }
            asking => {
                *asking = Asking::Soon;
                Question::First
            }
        }
    }

    /// The time to answer is over; packets of the CHILD_SAs may have come in it.
    pub fn ask_last(&mut self) -> Question {
        self.asking = Asking::Last;
        Question::Last
    }

    /// What came of a question; returns whether the gateway is dead.
    pub fn probed(&mut self, probed: Probed, now: Duration) -> bool {
        match (probed, self.asking) {
            (Probed::Asked(_), Asking::Last) => return true,
            (Probed::Heard(at), _) => {
                self.heard = self.heard.max(at);
                self.asking = Asking::Not;
            }
            // The answer was there before this report.
            (Probed::Asked(at), _) if self.heard >= at => self.asking = Asking::Not,
            (Probed::Asked(first), Asking::Soon) => self.asking = Asking::Since { first, again: 0 },
            (Probed::Asked(_), _) => {}
            (Probed::Impossible, _) => self.restart(now),
        }
        false
    }

    /// What comes next, and when (monotonic).
    pub fn next(&self, policy: &FailoverPolicy) -> Vec<Next> {
        let Some((interval, timeout)) = policy.liveness() else {
            return Vec::new();
        };
        match self.asking {
            Asking::Not => vec![Next::Ask(self.heard.saturating_add(interval))],
            Asking::Soon | Asking::Last => Vec::new(),
            Asking::Since { first, again } => {
                let mut next = vec![Next::GiveUp(first.saturating_add(timeout))];
                let pause = self.pause(timeout);
                let ask = pause * (again + 1);
                // An answer to a later one would not come in time.
                if ask + pause / 2 < timeout {
                    next.push(Next::Ask(first.saturating_add(ask)));
                }
                next
            }
        }
    }

    /// Between two questions: long enough for the answer to come, as far as that is known, so that a lost
    /// packet is not the gateway's death, and no request is sent without need.
    fn pause(&self, timeout: Duration) -> Duration {
        let shortest = timeout / MOST_QUESTIONS;
        let longest = timeout / FEWEST_QUESTIONS;
        match self.round_trip {
            Some(round_trip) => (round_trip * 2).clamp(shortest, longest),
            None => longest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(2);

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn policy() -> FailoverPolicy {
        FailoverPolicy {
            liveness_interval: Duration::from_secs(1),
            liveness_timeout: TIMEOUT,
            ..FailoverPolicy::default()
        }
    }

    /// How often it is asked from now on until it is given up.
    fn questions(mut liveness: Liveness, mut now: Duration) -> u32 {
        let mut asked = 0;
        loop {
            let next = liveness.next(&policy());
            let ask = next.iter().find_map(|next| match next {
                Next::Ask(at) => Some(*at),
                Next::GiveUp(_) => None,
            });
            let Some(at) = ask else {
                return asked;
            };
            assert!(at >= now);
            now = at;
            liveness.ask();
            assert!(!liveness.probed(Probed::Asked(now), now));
            asked += 1;
        }
    }

    /// After an answer that took so long.
    fn answered_after(round_trip: Duration) -> Liveness {
        let mut liveness = Liveness::new(Duration::ZERO);
        let asked = Duration::from_secs(1);
        liveness.ask();
        assert!(!liveness.probed(Probed::Asked(asked), asked));
        liveness.heard(asked + round_trip);
        liveness
    }

    #[test]
    fn a_gateway_of_unknown_round_trips_is_asked_thrice() {
        let liveness = Liveness::new(Duration::ZERO);
        assert_eq!(questions(liveness, Duration::ZERO), 3);
    }

    #[test]
    fn one_that_answers_at_once_is_asked_ten_times() {
        let liveness = answered_after(millis(5));
        assert_eq!(questions(liveness, Duration::ZERO), 10);
    }

    #[test]
    fn one_that_is_far_is_given_the_time_to_answer() {
        let liveness = answered_after(millis(300));
        // At 0, 0.6 and 1.2 s; the answer to one at 1.8 s would come too late.
        assert_eq!(questions(liveness, Duration::ZERO), 3);
    }

    #[test]
    fn an_answer_to_a_repetition_tells_no_round_trip() {
        let mut liveness = Liveness::new(Duration::ZERO);
        let asked = Duration::from_secs(1);
        liveness.ask();
        liveness.probed(Probed::Asked(asked), asked);
        liveness.ask();
        liveness.heard(asked + millis(700));
        assert_eq!(liveness.round_trip, None);
    }
}
