// SPDX-License-Identifier: GPL-2.0-or-later

//! What was tried in an outage.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::GatewayTable;

/// How many addresses of one name are tried before the next gateway, should its answers never end.
const MAX_ADDRESSES: usize = 16;

/// The gateways, and the addresses of their names, that were tried in the present round of an outage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::failover) struct Trials {
    gateways: BTreeSet<String>,
    addresses: BTreeMap<String, BTreeSet<IpAddr>>,
    /// Rounds that are over.
    rounds: u32,
}

impl Trials {
    /// The gateway is being tried, or failed.
    pub fn tried(&mut self, gateway: &str) {
        self.gateways.insert(gateway.to_owned());
    }

    /// An address of a name is being tried, or failed.
    pub fn tried_address(&mut self, gateway: &str, address: IpAddr) {
        let addresses = self.addresses.entry(gateway.to_owned()).or_default();
        addresses.insert(address);
    }

    pub fn has_tried(&self, gateway: &str) -> bool {
        self.gateways.contains(gateway)
    }

    pub fn has_tried_address(&self, gateway: &str, address: IpAddr) -> bool {
        let addresses = self.addresses.get(gateway);
        addresses.is_some_and(|addresses| addresses.contains(&address))
    }

    /// Whether the name may be tried at one more address, after those that were tried and this one.
    pub fn may_try_another_address(&self, gateway: &str, address: Option<IpAddr>) -> bool {
        let tried = self.addresses.get(gateway).map_or(0, BTreeSet::len);
        let new = address.is_some_and(|address| !self.has_tried_address(gateway, address));
        tried + usize::from(new) < MAX_ADDRESSES
    }

    /// The first address of a name that may still be tried in this round.
    pub fn untried(&self, gateway: &str, addresses: &[IpAddr]) -> Option<IpAddr> {
        let untried = |address: &&IpAddr| !self.has_tried_address(gateway, **address);
        let address = addresses.iter().find(untried).copied();
        address.filter(|_| self.may_try_another_address(gateway, None))
    }

    /// Which repetition this round is, if it is one.
    pub fn repetition(&self) -> Option<u32> {
        self.rounds.checked_sub(1)
    }

    /// All gateways may be tried again; returns how many rounds were repeated before.
    pub fn next_round(&mut self) -> u32 {
        let repeated = self.rounds;
        *self = Self {
            rounds: self.rounds.saturating_add(1),
            ..Self::default()
        };
        repeated
    }

    /// All gateways may be tried again, as nothing came of this round.
    pub fn repeat_round(&mut self) {
        *self = Self {
            rounds: self.rounds,
            ..Self::default()
        };
    }

    /// The list was edited in the middle of the outage, which goes on.
    pub fn keep_only(&mut self, table: &GatewayTable) {
        let listed: BTreeSet<String> = table.names().collect();
        self.gateways.retain(|gateway| listed.contains(gateway));
        self.addresses.retain(|gateway, _| listed.contains(gateway));
    }

    /// What was tried in both is tried.
    pub fn join(&mut self, other: Self) {
        self.gateways.extend(other.gateways);
        for (gateway, addresses) in other.addresses {
            self.addresses.entry(gateway).or_default().extend(addresses);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_a_name_are_tried_in_turn_and_again_in_the_next_round() {
        let [one, two]: [IpAddr; 2] = [[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
        let mut trials = Trials::default();
        assert_eq!(trials.untried("segw.example", &[one, two]), Some(one));
        trials.tried_address("segw.example", one);
        assert_eq!(trials.untried("segw.example", &[two, one]), Some(two));
        trials.tried_address("segw.example", two);
        assert_eq!(trials.untried("segw.example", &[two, one]), None);
        assert_eq!(trials.next_round(), 0);
        assert_eq!(trials.untried("segw.example", &[two, one]), Some(two));
    }

    #[test]
    fn a_name_whose_answers_never_end_is_left_at_last() {
        let mut trials = Trials::default();
        let tried = (0..=u8::MAX).filter(|n| {
            let found = trials.untried("segw.example", &[[192, 0, 2, *n].into()]);
            if let Some(address) = found {
                trials.tried_address("segw.example", address);
            }
            found.is_some()
        });
        assert_eq!(tried.count(), MAX_ADDRESSES);
    }
}
