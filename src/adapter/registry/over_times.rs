// SPDX-License-Identifier: GPL-2.0-or-later

//! With which over_time IKE_SAs come up whose gateway lets them live for a shorter time than the connection's
//! own.
//!
//! charon computes when it reauthenticates after the IKE_SA has gone into ESTABLISHED
//! (sa/ikev2/tasks/ike_auth_lifetime.c), from the configuration that the IKE_SA has then. That is exchanged in the
//! callback; the connection's own is given back in a job.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::charon::{IkeSa, IkeSaId, InStateChange, PeerCfg};

/// The connections with another over_time.
#[derive(Default)]
pub(crate) struct OverTimes {
    /// Whether there are any.
    some: AtomicBool,
    /// Listener callbacks take the lock. Whoever holds it takes one step on the tables and nothing else: calls
    /// nothing of charon's, takes no other lock and frees no configuration. So it is given back within
    /// microseconds of its holder's own running time, and nobody can wait for it who is waited for.
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    limited: HashMap<String, Arc<Limited>>,
    /// What IKE_SAs had before: charon may still read it in the callback in which it is exchanged.
    replaced: HashMap<IkeSaId, PeerCfg>,
}

/// A connection's configuration with another over_time.
pub(crate) struct Limited {
    /// The connection's own, of which it was made.
    pub own: PeerCfg,
    pub limited: PeerCfg,
}

impl OverTimes {
    /// Replaces that of a connection.
    pub fn limit(&self, connection: &str, limited: Limited) {
        let limited = Arc::new(limited);
        let replaced = self.lock().limited.insert(connection.to_owned(), limited);
        self.some.store(true, Ordering::Relaxed);
        // Freed without the lock.
        drop(replaced);
    }

    /// The connection has its own over_time again.
    pub fn forget(&self, connection: &str) {
        let forgotten = self.lock().limited.remove(connection);
        drop(forgotten);
    }

    /// The IKE_SA is up. Safe in a listener callback.
    pub fn established(&self, ike_sa: &mut IkeSa<'_>, hook: &InStateChange) {
        if !self.some.load(Ordering::Relaxed) {
            return;
        }
        let known = ike_sa.with_name(|name| self.lock().limited.get(name).cloned());
        // Not if the connection was replaced meanwhile.
        let Some(known) = known.filter(|known| ike_sa.has_peer_cfg(&known.own)) else {
            return;
        };
        if let Some(before) = ike_sa.exchange_peer_cfg(&known.limited, hook) {
            // Nobody else has this IKE_SA, and so the config in the table.
            let earlier = self.lock().replaced.insert(ike_sa.id(), before);
            drop(earlier);
        }
    }

    /// The IKE_SA is gone. Safe in a listener callback.
    pub fn gone(&self, ike_sa: &IkeSa<'_>) {
        if self.some.load(Ordering::Relaxed) {
            let replaced = self.lock().replaced.remove(&ike_sa.id());
            drop(replaced);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        // Tables that no panic can leave half-changed.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
