// SPDX-License-Identifier: GPL-2.0-or-later

//! The simulated charon: what it reports waits for the plugin.

use std::collections::VecDeque;

use extsock_core::failover::evidence::Evidence;
use extsock_fake_charon::{connection_of, IkeSas};
use fastrand::Rng;

#[derive(Default)]
pub struct Charon {
    pub ike_sas: IkeSas,
    /// With the connection that it is of.
    reported: VecDeque<(String, Evidence)>,
}

impl extsock_fake_charon::Charon for Charon {
    fn ike_sas(&mut self) -> &mut IkeSas {
        &mut self.ike_sas
    }

    fn report(&mut self, evidence: Evidence) {
        let connection = self.connection(&evidence).to_owned();
        self.reported.push_back((connection, evidence));
    }
}

impl Charon {
    pub fn next_report(&mut self) -> Option<Evidence> {
        self.reported.pop_front().map(|(_, evidence)| evidence)
    }

    /// What is reported of two connections has no order between them.
    pub fn reorder(&mut self, rng: &mut Rng) {
        for index in 1..self.reported.len() {
            let [(earlier, _), (later, _)] = [index - 1, index].map(|i| &self.reported[i]);
            if earlier != later && rng.bool() {
                self.reported.swap(index - 1, index);
            }
        }
    }

    fn connection<'a>(&'a self, evidence: &'a Evidence) -> &'a str {
        match evidence {
            Evidence::State { ike_sa, .. }
            | Evidence::Alert { ike_sa, .. }
            | Evidence::IkeUpdown { ike_sa, .. }
            | Evidence::TookOver { ike_sa }
            | Evidence::Steered { ike_sa, .. }
            | Evidence::Reestablishing { new: ike_sa, .. }
            | Evidence::IkeRekey { new: ike_sa, .. } => connection_of(&ike_sa.name),
            Evidence::Reestablished { old: id }
            | Evidence::Migrated { old: id, .. }
            | Evidence::Received { ike_sa: id }
            | Evidence::AuthLifetime { ike_sa: id, .. }
            | Evidence::ChildUpdown { ike_sa: id, .. }
            | Evidence::ChildRekey { ike_sa: id, .. } => self.ike_sas.known(*id).connection(),
            Evidence::NetworkChanged | Evidence::Shutdown => "",
        }
    }
}
