// SPDX-License-Identifier: GPL-2.0-or-later

//! The IKE_SAs of a fake charon.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use extsock_core::failover::action::Steering;
use extsock_core::failover::evidence::{IkeSa, IkeSaState, Task, Tasks};

/// An IKE_SA.
#[derive(Clone, Debug)]
pub struct FakeIkeSa {
    /// What the plugin can see of it.
    pub seen: IkeSa,
    /// Whether it was made by rekeying another one.
    pub rekeyed: bool,
    /// Its CHILD_SAs that are up.
    pub children: Vec<String>,
    /// How often it was tried again or began to end. What was planned for an earlier round does not happen.
    pub round: u32,
    /// What the plugin prepared for the retries that charon makes by itself (`Action::Steer`).
    pub steered: Option<Steering>,
}

/// An IKE_SA that charon is about to initiate; [`IkeSas::add`] gives it an id.
pub fn initiator(name: &str, remote_addrs: &str, remote: Option<IpAddr>) -> IkeSa {
    IkeSa {
        id: 0,
        name: name.into(),
        remote_addrs: remote_addrs.into(),
        remote,
        initiator: true,
        state: IkeSaState::Created,
        tasks: Tasks {
            active: vec![Task::Other],
            ..Tasks::default()
        },
    }
}

/// All IKE_SAs.
#[derive(Default)]
pub struct IkeSas {
    by_id: BTreeMap<u32, FakeIkeSa>,
    /// Those of each connection, whichever gateway they are with.
    by_connection: BTreeMap<String, BTreeSet<u32>>,
    last_id: u32,
}

impl IkeSas {
    /// Adds an IKE_SA; its new id.
    pub fn add(&mut self, ike_sa: IkeSa) -> u32 {
        let id = self.next_id();
        let connection = connection_of(&ike_sa.name).to_owned();
        self.by_connection.entry(connection).or_default().insert(id);
        let added = FakeIkeSa {
            seen: IkeSa { id, ..ike_sa },
            rekeyed: false,
            children: Vec::new(),
            round: 0,
            steered: None,
        };
        self.by_id.insert(id, added);
        id
    }

    /// An id that no IKE_SA has or had.
    pub fn next_id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }

    /// Removes an IKE_SA that is there.
    pub fn remove(&mut self, id: u32) -> FakeIkeSa {
        let removed = self.by_id.remove(&id).expect("an IKE_SA of that id");
        if let Some(ids) = self
            .by_connection
            .get_mut(connection_of(&removed.seen.name))
        {
            ids.remove(&id);
        }
        removed
    }

    /// One of them, if it is there.
    pub fn get(&self, id: u32) -> Option<&FakeIkeSa> {
        self.by_id.get(&id)
    }

    /// One of them, if it is there.
    pub fn get_mut(&mut self, id: u32) -> Option<&mut FakeIkeSa> {
        self.by_id.get_mut(&id)
    }

    /// One that is there.
    pub fn known(&self, id: u32) -> &FakeIkeSa {
        self.get(id).expect("an IKE_SA of that id")
    }

    /// One that is there.
    pub fn known_mut(&mut self, id: u32) -> &mut FakeIkeSa {
        self.get_mut(id).expect("an IKE_SA of that id")
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &FakeIkeSa> {
        self.by_id.values()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.by_id.len()
    }

    /// Those of a connection, oldest first.
    pub fn of(&self, connection: &str) -> impl Iterator<Item = &FakeIkeSa> {
        let ids = self.by_connection.get(connection);
        ids.into_iter().flatten().map(|id| &self.by_id[id])
    }

    /// The IKE_SA that charon uses for another initiation with the configuration of that name
    /// (`checkout_by_config`).
    pub fn with_config(&self, name: &str) -> Option<u32> {
        let usable = |ike_sa: &&FakeIkeSa| match ike_sa.seen.state {
            IkeSaState::Created | IkeSaState::Established => true,
            IkeSaState::Connecting => !ike_sa.rekeyed,
            _ => false,
        };
        self.of(connection_of(name))
            .filter(|ike_sa| ike_sa.seen.name == name)
            .find(usable)
            .map(|ike_sa| ike_sa.seen.id)
    }
}

impl FakeIkeSa {
    /// The connection that its configuration is of, or is a clone of.
    pub fn connection(&self) -> &str {
        connection_of(&self.seen.name)
    }
}

/// The connection that a configuration of that name is of, or is a clone of.
pub fn connection_of(name: &str) -> &str {
    name.split("-failover-").next().unwrap_or(name)
}
