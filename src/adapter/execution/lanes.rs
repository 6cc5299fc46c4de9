// SPDX-License-Identifier: GPL-2.0-or-later

//! Work that may wait, in order for each connection, and no connection waiting for another.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::charon::{queue, Priority};

type Work = Box<dyn FnOnce() + Send>;

/// One queue for each connection that has work; each is one job of charon's at a time.
#[derive(Default)]
pub(super) struct Lanes {
    waiting: Mutex<HashMap<String, VecDeque<Work>>>,
}

impl Lanes {
    /// Runs the work after what was pushed before for the same connection. Never waits.
    pub fn push(self: &Arc<Self>, connection: &str, work: impl FnOnce() + Send + 'static) {
        let mut waiting = self.lock();
        match waiting.entry(connection.to_owned()) {
            Entry::Occupied(mut lane) => lane.get_mut().push_back(Box::new(work)),
            Entry::Vacant(lane) => {
                lane.insert(VecDeque::new());
                drop(waiting);
                self.start(connection.to_owned(), Box::new(work));
            }
        }
    }

    fn start(self: &Arc<Self>, connection: String, work: Work) {
        let lanes = Arc::clone(self);
        queue(Priority::Medium, move || {
            // Also after a panic: the lane must not stand still.
            let _next = Next {
                lanes: &lanes,
                connection,
            };
            work();
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, VecDeque<Work>>> {
        // No panic can happen while it is held but out of memory.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the lane's next work when the current one is done.
struct Next<'a> {
    lanes: &'a Arc<Lanes>,
    connection: String,
}

impl Drop for Next<'_> {
    fn drop(&mut self) {
        let mut waiting = self.lanes.lock();
        match waiting
            .get_mut(&self.connection)
            .and_then(VecDeque::pop_front)
        {
            Some(work) => {
                drop(waiting);
                self.lanes.start(std::mem::take(&mut self.connection), work);
            }
            None => {
                waiting.remove(&self.connection);
            }
        }
    }
}
