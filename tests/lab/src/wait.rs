// SPDX-License-Identifier: GPL-2.0-or-later

//! Waiting for conditions, never for time alone.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that does not promise a time itself: generous, because
/// the tests share few cores.
pub const DEADLINE: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(20);

/// Waits until `condition` yields a value, or panics naming `what` was missing.
#[track_caller]
pub fn until<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    within(DEADLINE, what, condition)
}

/// As [`until`], with a deadline of its own.
#[track_caller]
pub fn within<T>(deadline: Duration, what: &str, condition: impl FnMut() -> Option<T>) -> T {
    match poll(deadline, condition) {
        Some(value) => value,
        None => panic!("not within {deadline:?}: {what}"),
    }
}

/// Watches for `period` and panics with what `violation` yields.
#[track_caller]
pub fn holds_for(period: Duration, what: &str, violation: impl FnMut() -> Option<String>) {
    if let Some(found) = poll(period, violation) {
        panic!("did not hold: {what}: {found}");
    }
}

fn poll<T>(period: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + period;
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(POLL);
    }
}
