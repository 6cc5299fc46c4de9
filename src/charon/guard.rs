// SPDX-License-Identifier: GPL-2.0-or-later

//! Panics end at the border to C.

use std::panic::{catch_unwind, AssertUnwindSafe};

/// Runs the body of an `extern "C"` entry; a panic is logged and answered with `otherwise`.
///
/// Unwinding into charon's frames would be undefined behaviour.
pub(super) fn guard<R>(otherwise: R, body: impl FnOnce() -> R) -> R {
    // Unwind safety: what a panic leaves half-done is behind mutexes, whose poisoning is handled
    // where they are locked.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        log::error!("internal error, the event is lost: {text}");
        otherwise
    })
}
