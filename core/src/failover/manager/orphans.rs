// SPDX-License-Identifier: GPL-2.0-or-later

//! IKE_SAs that live on although their connection was removed: they are its IKE_SAs again if it is loaded
//! again, and are of no concern otherwise.

use std::collections::{BTreeMap, HashMap};

use crate::domain::failover_name;
use crate::failover::ike_sa::IkeSaRecord;
use crate::failover::names::Names;

/// All of them, by unique id.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    ike_sas: HashMap<u32, Orphan>,
}

/// An IKE_SA without its connection.
#[derive(Debug)]
pub(super) struct Orphan {
    pub connection: String,
    pub record: IkeSaRecord,
}

impl Orphan {
    /// By which charon may tell of it: one that was initiated with a clone has the connection's name only
    /// once charon was told so, for which the connection may have gone too early.
    fn names(&self) -> impl Iterator<Item = String> + '_ {
        let clone = || failover_name(&self.connection, &self.record.gateway);
        let own = std::iter::once(self.record.name.clone());
        own.chain(self.record.cloned.then(clone))
    }
}

impl Orphans {
    pub fn len(&self) -> usize {
        self.ike_sas.len()
    }

    pub fn get_mut(&mut self, ike_sa: u32) -> Option<&mut Orphan> {
        self.ike_sas.get_mut(&ike_sa)
    }

    /// The IKE_SA lives on without its connection.
    pub fn insert(&mut self, ike_sa: u32, orphan: Orphan, names: &mut Names) {
        for name in orphan.names() {
            names.orphaned(&name);
        }
        self.remove(ike_sa, names);
        self.ike_sas.insert(ike_sa, orphan);
    }

    /// It is gone, or its connection is loaded again.
    pub fn remove(&mut self, ike_sa: u32, names: &mut Names) -> Option<Orphan> {
        let orphan = self.ike_sas.remove(&ike_sa)?;
        for name in orphan.names() {
            names.orphan_gone(&name);
        }
        Some(orphan)
    }

    /// The removed connection whose IKE_SA one of that name takes the place of.
    pub fn connection_of(&self, name: &str) -> Option<String> {
        let mut all = self.ike_sas.values();
        let orphan = all.find(|orphan| orphan.names().any(|own| own == name))?;
        Some(orphan.connection.clone())
    }

    /// Those of a connection that are being deleted.
    pub fn closing_of(&self, connection: &str) -> Vec<u32> {
        let all = self.ike_sas.iter();
        all.filter(|(_, orphan)| orphan.connection == connection)
            .filter(|(_, orphan)| orphan.record.stage.is_closing())
            .map(|(id, _)| *id)
            .collect()
    }

    /// Those of a connection that is loaded again, by unique id.
    pub fn take_of(&mut self, connection: &str, names: &mut Names) -> BTreeMap<u32, IkeSaRecord> {
        let all = self.ike_sas.iter();
        let ids: Vec<u32> = all
            .filter(|(_, orphan)| orphan.connection == connection)
            .map(|(id, _)| *id)
            .collect();
        let taken = ids.into_iter();
        taken
            .filter_map(|id| Some((id, self.remove(id, names)?.record)))
            .collect()
    }
}
