// SPDX-License-Identifier: GPL-2.0-or-later

//! Where charon is led when it retries or re-establishes an IKE_SA by itself.
//!
//! charon asks nobody then: it resolves the addresses of the IKE_SA's configuration in the middle of
//! a callback. So the configuration that leads to the next gateway is made before it is needed, and
//! only exchanged in the callback.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use extsock_core::failover::action::Steering;

use crate::charon::{IkeSaId, PeerCfg};

/// The prepared configurations, by IKE_SA.
#[derive(Default)]
pub(crate) struct RetryConfigs {
    /// Listener callbacks take the lock. Whoever holds it takes one step on the table and nothing else: calls
    /// nothing of charon's, takes no other lock and frees no configuration. So it is given back within
    /// microseconds of its holder's own running time, and nobody can wait for it who is waited for.
    prepared: Mutex<HashMap<IkeSaId, Arc<RetryConfig>>>,
}

/// A configuration to exchange.
pub(crate) struct RetryConfig {
    /// What it has charon do.
    pub steering: Steering,
    pub peer_cfg: PeerCfg,
    /// Whether charon tries again when an initiation is not answered (keyingtries).
    pub keeps_trying: bool,
}

impl RetryConfigs {
    pub fn prepare(&self, ike_sa: IkeSaId, prepared: RetryConfig) {
        let prepared = Arc::new(prepared);
        let replaced = self.lock().insert(ike_sa, prepared);
        // Freed without the lock.
        drop(replaced);
    }

    pub fn forget(&self, ike_sa: IkeSaId) {
        let forgotten = self.lock().remove(&ike_sa);
        drop(forgotten);
    }

    /// What was prepared. Safe in a listener callback.
    pub fn get(&self, ike_sa: IkeSaId) -> Option<Arc<RetryConfig>> {
        self.lock().get(&ike_sa).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IkeSaId, Arc<RetryConfig>>> {
        // A table that no panic can leave half-changed.
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
