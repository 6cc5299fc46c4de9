// SPDX-License-Identifier: GPL-2.0-or-later

//! By what charon finds the IKE_SAs at once that are looked at all the time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::charon::{CheckedOutIkeSa, IkeSaId, IkeSaKey};

/// The keys of IKE_SAs that were checked out before and are not known to be gone.
#[derive(Default)]
pub(crate) struct IkeSaKeys {
    /// Listener callbacks take the lock: whoever holds it takes one step on the table and nothing else.
    keys: Mutex<HashMap<IkeSaId, IkeSaKey>>,
}

impl IkeSaKeys {
    /// Checks out the IKE_SA, by its unique id only the first time. May wait.
    pub fn check_out(&self, ike_sa: IkeSaId) -> Option<CheckedOutIkeSa> {
        let known = self.lock().get(&ike_sa).copied();
        match known {
            Some(key) => CheckedOutIkeSa::by_key(ike_sa, key),
            None => {
                let found = CheckedOutIkeSa::by_id(ike_sa)?;
                // While it is checked out it does not go, which would be told before it is kept.
                self.lock().insert(ike_sa, found.ike_sa_key());
                Some(found)
            }
        }
    }

    /// The IKE_SA is gone. Safe in a listener callback.
    pub fn forget(&self, ike_sa: IkeSaId) {
        self.lock().remove(&ike_sa);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IkeSaId, IkeSaKey>> {
        // A table that no panic can leave half-changed.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
