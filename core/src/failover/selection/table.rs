// SPDX-License-Identifier: GPL-2.0-or-later

//! What is known of each gateway of a connection.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::domain::address::{AddressList, Gateway, GatewayKind};
use crate::domain::reason::Reason;

/// The gateways of a connection, what became of each, and the addresses of those that are names.
#[derive(Clone, Debug, Default)]
pub(in crate::failover) struct GatewayTable {
    list: AddressList,
    health: BTreeMap<String, Health>,
    /// The addresses of names, as they were looked up last.
    addresses: BTreeMap<String, Vec<IpAddr>>,
}

/// What became of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::failover) struct Health {
    /// None for success.
    pub last_failure: Option<Reason>,
    /// Since 1970-01-01 00:00 UTC.
    pub last_success: Option<Duration>,
    pub failures_in_a_row: u32,
    /// Until when it is set aside (monotonic).
    pub set_aside_until: Option<Duration>,
}

impl GatewayTable {
    pub fn new(list: AddressList) -> Self {
        Self {
            list,
            ..Self::default()
        }
    }

    /// Replaces the list; what is known of a gateway that stays is kept.
    pub fn replace(&mut self, list: AddressList) {
        self.list = list;
        let listed: BTreeSet<String> = self.names().collect();
        self.health.retain(|gateway, _| listed.contains(gateway));
        self.addresses.retain(|gateway, _| listed.contains(gateway));
    }

    pub fn list(&self) -> &AddressList {
        &self.list
    }

    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        self.list.gateways().iter().map(Gateway::to_string)
    }

    pub fn first(&self) -> Option<String> {
        self.names().next()
    }

    /// The gateway of that address or name, as it is written in the list.
    pub fn find(&self, wanted: &str) -> Option<String> {
        let position = match wanted.trim().parse() {
            Ok(ip) => self.list.position_of(&ip),
            Err(_) => self.list.position_of_name(wanted),
        };
        self.list.get(position?).map(Gateway::to_string)
    }

    /// The one after it in the circle, whatever became of it.
    pub fn following(&self, gateway: &str) -> Option<String> {
        let position = self.list.position_of_name(gateway).unwrap_or(0);
        let next = self.list.next_after(position)?;
        self.list.get(next).map(Gateway::to_string)
    }

    /// Whether it is a name, which has to be looked up.
    pub fn is_name(&self, gateway: &str) -> bool {
        Gateway::parse(gateway).kind() == GatewayKind::Name
    }

    /// The addresses of a name, in the order in which they are to be tried.
    pub fn looked_up(&mut self, gateway: &str, addresses: Vec<IpAddr>) {
        self.addresses.insert(gateway.to_owned(), addresses);
    }

    /// As they were looked up last; none of a gateway that is no name.
    pub fn addresses(&self, gateway: &str) -> &[IpAddr] {
        self.addresses.get(gateway).map_or(&[], Vec::as_slice)
    }

    /// The gateway that has that address, or was found to have it.
    pub fn at(&self, address: IpAddr) -> Option<String> {
        let position = self.list.position_of(&address);
        let listed = position.and_then(|position| self.list.get(position));
        let listed = listed.map(Gateway::to_string);
        listed.or_else(|| self.name_of(address))
    }

    /// The name that was found to have that address.
    fn name_of(&self, address: IpAddr) -> Option<String> {
        self.addresses
            .iter()
            .find(|(_, known)| known.contains(&address))
            .map(|(gateway, _)| gateway.clone())
    }

    pub fn health(&self, gateway: &str) -> Health {
        self.health.get(gateway).cloned().unwrap_or_default()
    }

    /// Its IKE_SA is up.
    pub fn succeeded(&mut self, gateway: &str, unix: Duration) {
        *self.health_mut(gateway) = Health {
            last_success: Some(unix),
            ..Health::default()
        };
    }

    /// It failed; until when it is set aside for that, if it is.
    pub fn failed(&mut self, gateway: &str, reason: Reason, set_aside_until: Option<Duration>) {
        let health = self.health_mut(gateway);
        health.last_failure = Some(reason);
        if reason != Reason::NoRoute {
            health.failures_in_a_row = health.failures_in_a_row.saturating_add(1);
        }
        if set_aside_until.is_some() {
            health.set_aside_until = set_aside_until;
        }
    }

    /// Whether none of them had a route when it was tried last.
    pub fn lack_routes(&self) -> bool {
        let lacks_route = |gateway: String| {
            let health = self.health.get(&gateway);
            health.is_some_and(|health| health.last_failure == Some(Reason::NoRoute))
        };
        self.names().all(lacks_route)
    }

    /// No gateway is set aside any more.
    pub fn forgive(&mut self) {
        for health in self.health.values_mut() {
            health.set_aside_until = None;
        }
    }

    /// Until when it is set aside (monotonic), if it still is.
    pub fn set_aside_until(&self, gateway: &str, now: Duration) -> Option<Duration> {
        let health = self.health.get(gateway)?;
        health.set_aside_until.filter(|until| *until > now)
    }

    fn health_mut(&mut self, gateway: &str) -> &mut Health {
        self.health.entry(gateway.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_to_their_name() {
        let address: IpAddr = [192, 0, 2, 1].into();
        let mut table = GatewayTable::new(AddressList::parse("segw.example,10.0.0.1"));
        assert!(table.is_name("segw.example") && !table.is_name("10.0.0.1"));
        assert_eq!(table.name_of(address), None);
        table.looked_up("segw.example", vec![address]);
        assert_eq!(table.name_of(address).as_deref(), Some("segw.example"));
        table.replace(AddressList::parse("10.0.0.1"));
        assert_eq!(table.name_of(address), None);
    }
}
