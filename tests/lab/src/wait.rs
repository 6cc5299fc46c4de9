// SPDX-License-Identifier: GPL-2.0-or-later

//! Waiting for conditions, never for time alone.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that does not promise a time itself: generous, because
/// the tests share few cores.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Between two looks, at least.
const POLL: Duration = Duration::from_millis(20);
/// Between two looks, as a multiple of what one takes: those that start a program leave the machine to the hosts,
/// also where that is slow, as in an emulated machine.
const PAUSE: u32 = 3;

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
        let begin = Instant::now();
        if let Some(value) = condition() {
            return Some(value);
        }
        let now = Instant::now();
        if now >= end {
            return None;
        }
        thread::sleep(POLL.max((now - begin) * PAUSE));
    }
}
