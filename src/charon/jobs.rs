// SPDX-License-Identifier: GPL-2.0-or-later

//! Work for charon's threads, now or later.

use std::ffi::c_void;
use std::time::Duration;

use super::guard::guard;
use super::sys;

/// Which of charon's threads may take a job (processing/jobs/job.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Short jobs.
    High,
    /// Jobs that may wait for an IKE_SA or a resolver.
    Medium,
}

type Work = Option<Box<dyn FnOnce() + Send>>;

/// Runs the work on a thread of charon's pool. Never waits: safe in a listener callback.
///
/// The work is dropped without having run when charon shuts down before.
pub fn queue(priority: Priority, work: impl FnOnce() + Send + 'static) {
    let job = job(priority, work);
    // SAFETY: the processor lives as long as charon and adopts the job.
    unsafe { call!((*sys::lib).processor, queue_job, job) }
}

/// Runs the work after the delay (rounded up to milliseconds). Never waits.
pub fn schedule(delay: Duration, work: impl FnOnce() + Send + 'static) {
    let job = job(Priority::High, work);
    let millis = delay
        .as_nanos()
        .div_ceil(1_000_000)
        .try_into()
        .unwrap_or(u32::MAX);
    // SAFETY: the scheduler lives as long as charon and adopts the job.
    unsafe { call!((*sys::lib).scheduler, schedule_job_ms, job, millis) }
}

fn job(priority: Priority, work: impl FnOnce() + Send + 'static) -> *mut sys::job_t {
    let work: Box<Work> = Box::new(Some(Box::new(work)));
    let priority = match priority {
        Priority::High => sys::job_priority_t::JOB_PRIO_HIGH,
        Priority::Medium => sys::job_priority_t::JOB_PRIO_MEDIUM,
    };
    // SAFETY: cleanup() is called exactly once, also for a job that never ran, and frees the box;
    // run() is called at most once before it (processing/jobs/callback_job.c). Without a cancel
    // function the processor waits for a running job and never unwinds its thread.
    unsafe {
        sys::callback_job_create_with_prio(
            Some(run),
            Box::into_raw(work).cast(),
            Some(cleanup),
            None,
            priority,
        )
        .cast()
    }
}

unsafe extern "C" fn run(data: *mut c_void) -> sys::job_requeue_t {
    guard((), || {
        // SAFETY: data is the box of job(), not yet freed, and only this job uses it.
        if let Some(work) = unsafe { (*data.cast::<Work>()).take() } {
            work();
        }
    });
    sys::job_requeue_t {
        type_: sys::job_requeue_type_t::JOB_REQUEUE_TYPE_NONE,
        ..Default::default()
    }
}

unsafe extern "C" fn cleanup(data: *mut c_void) {
    guard((), || {
        // SAFETY: data is the box of job(), freed only here.
        drop(unsafe { Box::from_raw(data.cast::<Work>()) });
    });
}
