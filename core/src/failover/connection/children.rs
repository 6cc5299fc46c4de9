// SPDX-License-Identifier: GPL-2.0-or-later

//! The CHILD_SAs of a connection: which are wanted, which are missing, and when those are initiated again.

use std::time::Duration;

use crate::domain::policy::FailoverPolicy;
use crate::domain::Now;
use crate::failover::evidence::{ChildEnd, ChildOrigin};

/// The CHILD_SAs that come back when the IKE_SA is lost, in the order in which they came up or were asked for.
#[derive(Debug, Default)]
pub(in crate::failover) struct Children {
    all: Vec<Child>,
    /// How many were refused while charon makes others: which ones, is known when it makes no more.
    refusals: u32,
}

#[derive(Debug)]
struct Child {
    name: String,
    wish: Wish,
    condition: Condition,
    /// How often it was lost, or could not be had, since it last was up for long enough.
    setbacks: u32,
}

/// Why a CHILD_SA comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// It was asked for: by a client, by its start action, or by others.
    Asked,
    /// A trap has raised it: it comes back with the IKE_SA, and otherwise by its trap.
    Trap,
}

/// How far a CHILD_SA is; times are monotonic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    /// It is to come up with the next IKE_SA.
    Away,
    /// charon was asked to make it.
    Begun {
        since: Duration,
    },
    Up {
        since: Duration,
    },
    /// It could not be had, and is asked for again at that time.
    Waiting {
        until: Duration,
        failure: Failure,
    },
    /// It was lost, and comes back with the next IKE_SA only.
    Lost,
}

/// Why a CHILD_SA is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// It is gone, or was refused: another gateway may be better.
    Refused,
    /// The request for it was not answered, and kept the IKE_SA from asking for anything else. It waits for its
    /// turn on the next IKE_SA as well.
    Unanswered,
}

impl Child {
    fn new(name: &str, wish: Wish) -> Self {
        Self {
            name: name.to_owned(),
            wish,
            condition: Condition::Away,
            setbacks: 0,
        }
    }

    fn is_wanted(&self) -> bool {
        self.wish == Wish::Asked
    }

    fn is_up(&self) -> bool {
        matches!(self.condition, Condition::Up { .. })
    }

    /// Whether it was lost or could not be had, while its IKE_SA is up.
    fn is_missed(&self) -> bool {
        match self.condition {
            Condition::Waiting { .. } | Condition::Lost => true,
            Condition::Begun { .. } => self.setbacks > 0,
            Condition::Away | Condition::Up { .. } => false,
        }
    }

    /// It is gone, or could not be had.
    fn fail(&mut self, failure: Failure, policy: &FailoverPolicy, now: Now) {
        if let Condition::Up { since } = self.condition {
            if now.monotonic.saturating_sub(since) >= policy.stable_after {
                self.setbacks = 0;
            }
        }
        self.wait(failure, policy, now);
        self.setbacks += 1;
    }

    /// Until its next turn, which it has at once for the first time, if it has one before the next IKE_SA.
    fn wait(&mut self, failure: Failure, policy: &FailoverPolicy, now: Now) {
        self.condition = if policy.on_child_failure.initiates_again() {
            let repetition = self.setbacks.checked_sub(1);
            let delay = repetition.map_or(Duration::ZERO, |n| policy.delay(n, now.random));
            let until = now.monotonic.saturating_add(delay);
            Condition::Waiting { until, failure }
        } else {
            Condition::Lost
        };
    }
}

impl Children {
    fn find(&mut self, name: &str) -> Option<&mut Child> {
        self.all.iter_mut().find(|child| child.name == name)
    }

    fn add(&mut self, name: &str, wish: Wish) -> &mut Child {
        let place = match self.all.iter().position(|child| child.name == name) {
            Some(place) => place,
            None => {
                self.all.push(Child::new(name, wish));
                self.all.len() - 1
            }
        };
        let child = &mut self.all[place];
        if wish == Wish::Asked {
            child.wish = wish;
        }
        child
    }

    /// It is asked for; a wait for its next turn is over.
    pub fn want(&mut self, name: &str) {
        let child = self.add(name, Wish::Asked);
        if matches!(child.condition, Condition::Waiting { .. } | Condition::Lost) {
            child.condition = Condition::Away;
        }
    }

    /// It is up. What the gateway has initiated is only taken note of if it was wanted before.
    pub fn up(&mut self, name: &str, origin: ChildOrigin, now: Duration) {
        let child = match origin {
            ChildOrigin::Local => Some(self.add(name, Wish::Asked)),
            ChildOrigin::Trap => Some(self.add(name, Wish::Trap)),
            ChildOrigin::Gateway => self.find(name),
        };
        if let Some(child) = child {
            child.condition = Condition::Up { since: now };
        }
    }

    /// It went down while its IKE_SA stays.
    pub fn down(&mut self, name: &str, end: ChildEnd, policy: &FailoverPolicy, now: Now) {
        let Some(child) = self.find(name) else {
            return;
        };
        match end {
            ChildEnd::Gateway | ChildEnd::Expired if child.is_wanted() => {
                child.fail(Failure::Refused, policy, now);
            }
            ChildEnd::Restarted if child.is_wanted() => {
                child.fail(Failure::Refused, policy, now);
                child.condition = Condition::Begun {
                    since: now.monotonic,
                };
            }
            // Its end was asked for, or it comes back by its trap.
            _ => self.all.retain(|child| child.name != name),
        }
    }

    /// One was refused, and charon makes others.
    pub fn refused_one(&mut self) {
        self.refusals += 1;
    }

    /// charon makes none any more, after one that came up.
    pub fn done(&mut self, policy: &FailoverPolicy, now: Now) {
        if self.refusals > 0 {
            self.refused(policy, now);
        }
    }

    /// charon makes none any more: those that it was asked for could not be had. Returns whether there are such.
    pub fn refused(&mut self, policy: &FailoverPolicy, now: Now) -> bool {
        self.refusals = 0;
        self.fail_begun(Failure::Refused, policy, now, |_| true)
    }

    /// charon was asked for them for so long that no answer is expected any more. Returns whether there are such.
    pub fn timed_out(&mut self, policy: &FailoverPolicy, now: Now) -> bool {
        let is_due =
            |since: Duration| since.saturating_add(policy.connect_timeout) <= now.monotonic;
        self.fail_begun(Failure::Unanswered, policy, now, is_due)
    }

    /// The IKE_SA ends as a request to make CHILD_SAs was not answered.
    pub fn unanswered(&mut self, policy: &FailoverPolicy, now: Now) {
        // They are not asked for again at once, which would end the next IKE_SA in the same way.
        for child in &mut self.all {
            if matches!(child.condition, Condition::Begun { .. }) {
                child.setbacks = child.setbacks.max(1);
            }
        }
        self.fail_begun(Failure::Unanswered, policy, now, |_| true);
    }

    fn fail_begun(
        &mut self,
        failure: Failure,
        policy: &FailoverPolicy,
        now: Now,
        is_meant: impl Fn(Duration) -> bool,
    ) -> bool {
        let mut any = false;
        for child in &mut self.all {
            if let Condition::Begun { since } = child.condition {
                if child.is_wanted() && is_meant(since) {
                    child.fail(failure, policy, now);
                    any = true;
                }
            }
        }
        any
    }

    /// An IKE_SA is up: those that were to come up with it are being made, unless they are up.
    pub fn follow_ike_sa(&mut self, is_up: impl Fn(&str) -> bool, now: Duration) {
        for child in &mut self.all {
            match child.condition {
                Condition::Away if is_up(&child.name) => {
                    child.condition = Condition::Up { since: now };
                }
                Condition::Away => child.condition = Condition::Begun { since: now },
                Condition::Up { .. } if !is_up(&child.name) => {
                    child.condition = Condition::Begun { since: now };
                }
                _ => {}
            }
        }
    }

    /// No IKE_SA is up any more. Those whose request was not answered keep waiting for their turn.
    pub fn lose_ike_sa(&mut self) {
        self.refusals = 0;
        for child in &mut self.all {
            let keeps_waiting = matches!(
                child.condition,
                Condition::Waiting {
                    failure: Failure::Unanswered,
                    ..
                }
            );
            if !keeps_waiting {
                child.condition = Condition::Away;
            }
        }
    }

    /// Those to bring up beside what charon has made on an IKE_SA by itself. As that may be what could not be had
    /// before, others that could not be had wait for their turn.
    pub fn take_ready(
        &mut self,
        is_up: impl Fn(&str) -> bool,
        policy: &FailoverPolicy,
        now: Now,
    ) -> Vec<String> {
        let mut ready = Vec::new();
        for child in self.all.iter_mut().filter(|child| !is_up(&child.name)) {
            if matches!(child.condition, Condition::Waiting { .. }) {
                continue;
            }
            if child.setbacks > 0 && policy.on_child_failure.initiates_again() {
                child.wait(Failure::Refused, policy, now);
            } else {
                ready.push(child.name.clone());
            }
        }
        ready
    }

    /// Those whose turn it is, which are asked for now.
    pub fn take_due(&mut self, now: Duration) -> Vec<String> {
        let mut due = Vec::new();
        for child in &mut self.all {
            if matches!(child.condition, Condition::Waiting { until, .. } if until <= now) {
                child.condition = Condition::Begun { since: now };
                due.push(child.name.clone());
            }
        }
        due
    }

    /// When the next one is asked for again, or is not expected any more.
    pub fn next(&self, connect_timeout: Duration) -> Option<Duration> {
        let times = self.all.iter().filter_map(|child| match child.condition {
            Condition::Waiting { until, .. } => Some(until),
            Condition::Begun { since } if child.is_wanted() && !connect_timeout.is_zero() => {
                Some(since.saturating_add(connect_timeout))
            }
            _ => None,
        });
        times.min()
    }

    /// Those to bring up with an IKE_SA: what waits for its turn is left out, unless it is all there is.
    pub fn to_initiate(&self) -> Vec<String> {
        let is_waiting = |child: &&Child| matches!(child.condition, Condition::Waiting { .. });
        let mut ready: Vec<String> = self
            .all
            .iter()
            .filter(|child| !is_waiting(child))
            .map(|child| child.name.clone())
            .collect();
        if ready.is_empty() {
            ready = self.names();
        }
        ready
    }

    /// All that come back when the IKE_SA is lost.
    pub fn names(&self) -> Vec<String> {
        self.all.iter().map(|child| child.name.clone()).collect()
    }

    /// Those that were asked for.
    pub fn wanted(&self) -> Vec<String> {
        self.select(Child::is_wanted)
    }

    /// Those that were asked for and are not up.
    pub fn missing(&self) -> Vec<String> {
        self.select(|child| child.is_wanted() && !child.is_up())
    }

    /// Those that were lost or could not be had.
    pub fn missed(&self) -> Vec<String> {
        self.select(|child| child.is_wanted() && child.is_missed())
    }

    fn select(&self, is_meant: impl Fn(&Child) -> bool) -> Vec<String> {
        let all = self.all.iter().filter(|child| is_meant(child));
        all.map(|child| child.name.clone()).collect()
    }

    /// Those that are configured no more are not wanted.
    pub fn keep_only(&mut self, configured: &[String]) {
        self.all.retain(|child| configured.contains(&child.name));
    }

    /// Nothing is wanted any more.
    pub fn clear(&mut self) {
        self.all.clear();
    }
}
