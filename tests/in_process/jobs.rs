// SPDX-License-Identifier: GPL-2.0-or-later

//! Work on charon's threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, RecvTimeoutError};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use extsock::charon::{queue, schedule, sys, Priority};

use super::harness::{alone, init, start, PATIENCE};

/// Counts how often it is dropped.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn queued_work_runs_once_on_a_thread_of_charons() {
    start();
    for priority in [Priority::High, Priority::Medium] {
        let (sender, receiver) = channel();
        queue(priority, move || {
            sender.send(thread::current().id()).unwrap()
        });
        assert_ne!(
            receiver.recv_timeout(PATIENCE).unwrap(),
            thread::current().id()
        );
        // The sender went with the work.
        assert_eq!(
            receiver.recv_timeout(PATIENCE),
            Err(RecvTimeoutError::Disconnected)
        );
    }
}

#[test]
fn scheduled_work_waits_for_its_time() {
    start();
    for delay in [
        Duration::ZERO,
        Duration::from_micros(1),
        Duration::from_millis(150),
    ] {
        let (sender, receiver) = channel();
        let begin = Instant::now();
        schedule(delay, move || sender.send(Instant::now()).unwrap());
        let ran = receiver.recv_timeout(PATIENCE).unwrap();
        // charon's clock and ours may differ by what it rounds.
        assert!(
            ran - begin + Duration::from_millis(2) >= delay,
            "{:?}",
            ran - begin
        );
    }
}

#[test]
fn work_may_queue_more_work() {
    start();
    let (sender, receiver) = channel();
    queue(Priority::High, move || {
        schedule(Duration::from_millis(1), move || {
            queue(Priority::Medium, move || sender.send(()).unwrap());
        });
    });
    receiver.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn a_panic_costs_neither_the_process_nor_a_thread() {
    start();
    // More than there are threads.
    const PANICS: usize = 20;
    let dropped = Arc::new(AtomicUsize::new(0));
    for number in 0..PANICS {
        let guard = Dropped(Arc::clone(&dropped));
        queue(Priority::Medium, move || {
            let _guard = guard;
            std::panic::panic_any(format!("a panic that is part of a test, {number}"));
        });
    }
    // A payload that no text can be made of.
    queue(Priority::Medium, || std::panic::panic_any(7));

    let (sender, receiver) = channel();
    queue(Priority::Medium, move || sender.send(()).unwrap());
    receiver.recv_timeout(PATIENCE).unwrap();
    // The last of the panics may still be unwinding.
    let begin = Instant::now();
    while dropped.load(Ordering::SeqCst) < PANICS && begin.elapsed() < PATIENCE {
        thread::yield_now();
    }
    assert_eq!(dropped.load(Ordering::SeqCst), PANICS);
}

#[test]
fn work_that_never_runs_is_freed() {
    alone("jobs::work_that_never_runs_is_freed", || {
        init();
        let dropped = Arc::new(AtomicUsize::new(0));
        let work = |guard: Dropped| move || panic!("it ran: {}", guard.0.load(Ordering::SeqCst));
        queue(Priority::High, work(Dropped(Arc::clone(&dropped))));
        queue(Priority::Medium, work(Dropped(Arc::clone(&dropped))));
        schedule(
            Duration::from_secs(3600),
            work(Dropped(Arc::clone(&dropped))),
        );
        schedule(Duration::MAX, work(Dropped(Arc::clone(&dropped))));
        assert_eq!(dropped.load(Ordering::SeqCst), 0);

        // As charon does when it ends; without threads nothing runs.
        // SAFETY: this process has no other test.
        unsafe { call!((*sys::lib).processor, cancel) };
        assert_eq!(dropped.load(Ordering::SeqCst), 2);
        // SAFETY: as above.
        unsafe { call!((*sys::lib).scheduler, flush) };
        assert_eq!(dropped.load(Ordering::SeqCst), 4);
        Arc::try_unwrap(dropped).expect("nothing else holds it");
    });
}
