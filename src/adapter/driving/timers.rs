// SPDX-License-Identifier: GPL-2.0-or-later

//! Which jobs charon's scheduler is given so that one fires at the core's next deadline.

use std::collections::BTreeSet;
use std::time::Duration;

/// charon's scheduler counts in milliseconds, and so does this.
const MILLISECOND: Duration = Duration::from_millis(1);
/// How late a deadline may be met.
const TOLERANCE: Duration = Duration::from_millis(2);
/// The longest delay of a job (processing/scheduler.c, schedule_job_ms).
const LONGEST: u128 = u32::MAX as u128;

/// The jobs that were scheduled and have not run yet, by the times when they are to run.
///
/// A scheduled job cannot be cancelled. So one is added only if the deadline comes before all of them,
/// and it is to run no later than after half of the time that is left until the first of them; a job that
/// runs before the deadline leads to another one.
///
/// There are never more than 33 of them: each was the first to run when it was added, and its delay was
/// at most half of what was left of the delay of the one added before it. Delays are whole milliseconds
/// below 2^32, which can be halved 31 times until 1 is left, and once more until 0 is.
#[derive(Default)]
pub(super) struct Timers {
    outstanding: BTreeSet<Duration>,
}

impl Timers {
    /// The delay and the time of the job that is to be scheduled for the deadline; None if one that is
    /// outstanding will do.
    pub fn arm(&mut self, deadline: Duration, now: Duration) -> Option<(Duration, Duration)> {
        let wait = deadline.saturating_sub(now);
        let mut millis = wait.as_nanos().div_ceil(MILLISECOND.as_nanos());
        if let Some(first) = self.outstanding.first() {
            let left = first.saturating_sub(now);
            if left <= wait + TOLERANCE {
                return None;
            }
            millis = millis.min(left.as_millis() / 2);
        }
        let delay = Duration::from_millis(millis.min(LONGEST) as u64);
        let at = now + delay;
        self.outstanding.insert(at);
        Some((delay, at))
    }

    /// The job of that time runs.
    pub fn fired(&mut self, at: Duration) {
        self.outstanding.remove(&at);
    }
}
