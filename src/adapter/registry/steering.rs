// SPDX-License-Identifier: GPL-2.0-or-later

//! Where charon is led when it retries or re-establishes an IKE_SA by itself.
//!
//! charon asks nobody then: it resolves the addresses of the IKE_SA's configuration in the middle of
//! a callback. So the configuration that leads to the next gateway is made before it is needed, and
//! only exchanged in the callback.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use extsock_core::failover::action::Lead;

use crate::charon::{IkeSaId, PeerCfg};

/// Some microseconds.
const TRIES: usize = 1000;

/// The prepared configurations, by IKE_SA.
#[derive(Default)]
pub(crate) struct Steering {
    prepared: Mutex<HashMap<IkeSaId, Prepared>>,
}

/// A configuration to exchange.
#[derive(Clone)]
pub(crate) struct Prepared {
    /// Where it leads; None if it ends charon's retries.
    pub to: Option<Lead>,
    pub peer_cfg: PeerCfg,
    /// Whether charon tries again when an initiation is not answered (keyingtries).
    pub keeps_trying: bool,
}

impl Steering {
    pub fn prepare(&self, ike_sa: IkeSaId, prepared: Prepared) {
        let replaced = self.lock().insert(ike_sa, prepared);
        // Freed without the lock.
        drop(replaced);
    }

    pub fn forget(&self, ike_sa: IkeSaId) {
        let forgotten = self.lock().remove(&ike_sa);
        drop(forgotten);
    }

    /// What was prepared. Safe in a listener callback: the lock is only ever held for one step on
    /// the table, and who meets it held for longer than that goes on without.
    pub fn try_get(&self, ike_sa: IkeSaId) -> Option<Prepared> {
        let tries = (0..TRIES).inspect(|_| std::hint::spin_loop());
        let prepared = tries.flat_map(|_| self.prepared.try_lock()).next()?;
        prepared.get(&ike_sa).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IkeSaId, Prepared>> {
        // A table that no panic can leave half-changed.
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
