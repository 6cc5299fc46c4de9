// SPDX-License-Identifier: GPL-2.0-or-later

//! The DPD requests in flight, to send them again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::charon::{IkeSaId, SentRequest};

/// The last DPD request of each IKE_SA that is not known to be answered.
#[derive(Default)]
pub(crate) struct DpdRequests {
    /// How many there are. An IKE_SA's own thread, which alone changes whether there is one of the IKE_SA,
    /// sees its own changes.
    count: AtomicUsize,
    /// Listener callbacks take the lock: whoever holds it takes one step on the table and nothing else.
    requests: Mutex<HashMap<IkeSaId, Arc<SentRequest>>>,
}

impl DpdRequests {
    /// Keeps the request of an IKE_SA in place of an earlier one. Safe in a listener callback.
    pub fn keep(&self, ike_sa: IkeSaId, request: SentRequest) {
        let request = Arc::new(request);
        let mut requests = self.lock();
        let earlier = requests.insert(ike_sa, request);
        self.count.store(requests.len(), Ordering::Relaxed);
        drop(requests);
        drop(earlier);
    }

    /// It is answered, or the IKE_SA is gone. Safe in a listener callback.
    pub fn forget(&self, ike_sa: IkeSaId) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut requests = self.lock();
        let forgotten = requests.remove(&ike_sa);
        self.count.store(requests.len(), Ordering::Relaxed);
        drop(requests);
        drop(forgotten);
    }

    /// The request of an IKE_SA.
    pub fn get(&self, ike_sa: IkeSaId) -> Option<Arc<SentRequest>> {
        self.lock().get(&ike_sa).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IkeSaId, Arc<SentRequest>>> {
        // A table that no panic can leave half-changed.
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
