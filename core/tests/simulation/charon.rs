// SPDX-License-Identifier: GPL-2.0-or-later

//! The IKE_SAs of a simulated charon, and what it tells of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;

use extsock_core::failover::action::Destination;
use extsock_core::failover::event::Tunnel;
use extsock_core::failover::evidence::{
    Alert, ChildChange, ChildEnd, ChildOrigin, Evidence, IkeSa, IkeSaState, IkeSpis, Task, Tasks,
};
use fastrand::Rng;

/// An IKE_SA.
#[derive(Clone)]
pub struct Sa {
    pub connection: usize,
    pub name: String,
    pub remote_addrs: String,
    pub gateway: String,
    pub state: IkeSaState,
    pub tasks: Tasks,
    /// Which try of it, or which life of it, is under way.
    pub round: u32,
    /// Made by rekeying.
    pub rekeyed: bool,
    /// What was prepared for its failure.
    pub steered: Option<Option<Destination>>,
}

#[derive(Default)]
pub struct Charon {
    pub ike_sas: BTreeMap<u32, Sa>,
    by_connection: BTreeMap<usize, BTreeSet<u32>>,
    /// Of all IKE_SAs that ever were.
    owners: HashMap<u32, usize>,
    last_id: u32,
    pub told: VecDeque<Evidence>,
}

impl Charon {
    pub fn add(&mut self, connection: usize, name: &str, addresses: &str, gateway: &str) -> u32 {
        self.last_id += 1;
        let sa = Sa {
            connection,
            name: name.into(),
            remote_addrs: addresses.into(),
            gateway: gateway.into(),
            state: IkeSaState::Created,
            tasks: Tasks {
                active: vec![Task::Other],
                ..Tasks::default()
            },
            round: 0,
            rekeyed: false,
            steered: None,
        };
        self.ike_sas.insert(self.last_id, sa);
        self.owners.insert(self.last_id, connection);
        self.by_connection
            .entry(connection)
            .or_default()
            .insert(self.last_id);
        self.last_id
    }

    /// What two connections tell has no order between them.
    pub fn reorder(&mut self, rng: &mut Rng) {
        for index in 1..self.told.len() {
            let [earlier, later] = [index - 1, index].map(|i| self.owner(&self.told[i]));
            if earlier != later && rng.bool() {
                self.told.swap(index - 1, index);
            }
        }
    }

    fn owner(&self, evidence: &Evidence) -> usize {
        let id = match evidence {
            Evidence::State { ike_sa, .. }
            | Evidence::Alert { ike_sa, .. }
            | Evidence::IkeUpdown { ike_sa, .. }
            | Evidence::TookOver { ike_sa }
            | Evidence::Steered { ike_sa, .. } => ike_sa.id,
            Evidence::IkeRekey { new, .. } => new.id,
            Evidence::Reestablished { old }
            | Evidence::Reestablishing { old, .. }
            | Evidence::Migrated { old, .. } => *old,
            Evidence::Received { ike_sa }
            | Evidence::ChildUpdown { ike_sa, .. }
            | Evidence::ChildRekey { ike_sa, .. } => *ike_sa,
            Evidence::Shutdown => return usize::MAX,
        };
        self.owners[&id]
    }

    pub fn of(&self, connection: usize) -> impl Iterator<Item = (u32, &Sa)> {
        let ids = self.by_connection.get(&connection);
        ids.into_iter().flatten().map(|id| (*id, &self.ike_sas[id]))
    }

    /// The IKE_SA that charon takes for another initiation with that configuration.
    pub fn with_config(&self, connection: usize, name: &str) -> Option<u32> {
        self.of(connection)
            .find(|(_, sa)| {
                let usable = matches!(
                    sa.state,
                    IkeSaState::Created | IkeSaState::Connecting | IkeSaState::Established
                );
                usable && !sa.rekeyed_and_connecting() && sa.name == name
            })
            .map(|(id, _)| id)
    }

    pub fn snapshot(&self, id: u32) -> IkeSa {
        let sa = &self.ike_sas[&id];
        IkeSa {
            id,
            name: sa.name.clone(),
            remote_addrs: sa.remote_addrs.clone(),
            remote: sa.gateway.parse::<IpAddr>().ok(),
            initiator: true,
            state: sa.state,
            tasks: sa.tasks.clone(),
        }
    }

    pub fn moves(&mut self, id: u32, to: IkeSaState) {
        let ike_sa = self.snapshot(id);
        self.told.push_back(Evidence::State { ike_sa, to });
        if let Some(sa) = self.ike_sas.get_mut(&id) {
            sa.state = to;
            if to == IkeSaState::Established {
                sa.tasks = Tasks::default();
            }
        }
        if to == IkeSaState::Destroying {
            if let Some(sa) = self.ike_sas.remove(&id) {
                self.by_connection
                    .entry(sa.connection)
                    .or_default()
                    .remove(&id);
            }
        }
    }

    pub fn alerts(&mut self, id: u32, alert: Alert) {
        let ike_sa = self.snapshot(id);
        self.told.push_back(Evidence::Alert { ike_sa, alert });
    }

    pub fn updown(&mut self, id: u32, up: bool) {
        let ike_sa = self.snapshot(id);
        self.told.push_back(Evidence::IkeUpdown { ike_sa, up });
    }

    pub fn child(&mut self, id: u32, up: bool) {
        let tunnel = tunnel(&self.ike_sas[&id].name);
        self.told.push_back(Evidence::ChildUpdown {
            ike_sa: id,
            tunnel,
            change: if up {
                ChildChange::Up(ChildOrigin::Local)
            } else {
                ChildChange::Down(ChildEnd::Local)
            },
            more: false,
        });
    }

    pub fn goes_down(&mut self, id: u32) {
        self.updown(id, false);
        self.child(id, false);
    }

    pub fn ends(&mut self, id: u32) {
        self.goes_down(id);
        self.moves(id, IkeSaState::Destroying);
    }

    /// Not answered, and not tried again.
    pub fn unreachable(&mut self, id: u32) {
        self.alerts(id, Alert::RetransmitSendTimeout);
        self.alerts(id, Alert::PeerInitUnreachable);
        self.moves(id, IkeSaState::Destroying);
    }

    pub fn begins_deleting(&mut self, id: u32, by_peer: bool) {
        if let Some(sa) = self.ike_sas.get_mut(&id) {
            let tasks = vec![Task::IkeDelete];
            if by_peer {
                sa.tasks.passive = tasks;
            } else {
                sa.tasks.active = tasks;
            }
            sa.round += 1;
        }
        self.moves(id, IkeSaState::Deleting);
    }

    pub fn rekeys(&mut self, old: u32) -> u32 {
        let sa = self.ike_sas[&old].clone();
        let new = self.add(sa.connection, &sa.name, &sa.remote_addrs, &sa.gateway);
        if let Some(sa) = self.ike_sas.get_mut(&new) {
            sa.tasks = Tasks::default();
            sa.rekeyed = true;
        }
        self.moves(new, IkeSaState::Connecting);
        self.moves(new, IkeSaState::Established);
        let (old_sa, new_sa) = (self.snapshot(old), self.snapshot(new));
        self.told.push_back(Evidence::IkeRekey {
            old: old_sa,
            new: new_sa,
            old_spis: IkeSpis::default(),
            new_spis: IkeSpis::default(),
        });
        if let Some(sa) = self.ike_sas.get_mut(&old) {
            sa.state = IkeSaState::Rekeyed;
            sa.tasks.active = vec![Task::IkeRekey];
        }
        self.moves(old, IkeSaState::Deleting);
        self.moves(old, IkeSaState::Destroying);
        new
    }
}

impl Sa {
    fn rekeyed_and_connecting(&self) -> bool {
        self.rekeyed && self.state == IkeSaState::Connecting
    }
}

fn tunnel(ike_sa_name: &str) -> Tunnel {
    Tunnel {
        ike_sa_name: ike_sa_name.into(),
        child_sa_name: "data".into(),
        ..Tunnel::default()
    }
}
