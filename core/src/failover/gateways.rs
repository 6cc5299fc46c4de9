// SPDX-License-Identifier: GPL-2.0-or-later

//! Which gateway is next: what became of each in this outage, and before.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::domain::address::{AddressList, Gateway, GatewayKind};
use crate::domain::reason::Reason;

/// The gateways of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Gateways {
    list: AddressList,
    /// Tried in this round of this outage.
    tried: BTreeSet<String>,
    /// Whole rounds that failed in this outage.
    rounds: u32,
    health: BTreeMap<String, Health>,
    /// The addresses of names.
    lookups: BTreeMap<String, Lookup>,
}

/// How many addresses of one name are tried before the next gateway, should its answers never end.
const MAX_ADDRESSES: usize = 16;

/// What is known of a name's addresses.
#[derive(Clone, Debug, Default)]
struct Lookup {
    /// As they were looked up last.
    found: Vec<IpAddr>,
    /// Tried in this round of this outage.
    tried: BTreeSet<IpAddr>,
    /// Asked for since the last outage, to have them at hand in the next one.
    asked: bool,
}

impl Lookup {
    fn untried(&self) -> Option<IpAddr> {
        let untried = |address: &&IpAddr| !self.tried.contains(*address);
        self.found
            .iter()
            .find(untried)
            .copied()
            .filter(|_| self.tried.len() < MAX_ADDRESSES)
    }
}

/// What became of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Health {
    /// None for success.
    pub last_failure: Option<Reason>,
    /// Since 1970-01-01 00:00 UTC.
    pub last_success: Option<Duration>,
    pub failures_in_a_row: u32,
    /// Until when it is set aside (monotonic).
    pub set_aside_until: Option<Duration>,
}

/// The next gateway, and which repetition of the round it begins, if it begins one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub gateway: String,
    pub repetition: Option<u32>,
}

impl Gateways {
    pub fn new(list: AddressList) -> Self {
        Self {
            list,
            ..Self::default()
        }
    }

    /// Replaces the list; what is known of a gateway that stays is kept.
    pub fn replace(&mut self, list: AddressList) {
        self.list = list;
        let names: BTreeSet<String> = self.names().collect();
        self.health.retain(|gateway, _| names.contains(gateway));
        self.lookups.retain(|gateway, _| names.contains(gateway));
        self.outage_ended();
    }

    /// The outage goes on that had come so far with another list.
    pub fn resume(&mut self, before: &Self) {
        let names: BTreeSet<String> = self.names().collect();
        self.tried = before.tried.intersection(&names).cloned().collect();
        self.rounds = before.rounds;
        for (gateway, lookup) in &mut self.lookups {
            if let Some(known) = before.lookups.get(gateway) {
                lookup.tried.clone_from(&known.tried);
            }
        }
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

    /// Whether any of them is a name.
    pub fn has_names(&self) -> bool {
        let mut gateways = self.list.gateways().iter();
        gateways.any(|gateway| gateway.kind() == GatewayKind::Name)
    }

    /// Whether it is a name, which has to be looked up.
    pub fn is_name(&self, gateway: &str) -> bool {
        Gateway::parse(gateway).kind() == GatewayKind::Name
    }

    /// The addresses of a name, as they were looked up; returns the one to try.
    pub fn found(&mut self, gateway: &str, addresses: Vec<IpAddr>) -> Option<IpAddr> {
        let lookup = self.lookups.entry(gateway.to_owned()).or_default();
        lookup.found = addresses;
        let address = lookup.untried()?;
        lookup.tried.insert(address);
        Some(address)
    }

    /// The addresses of a name that is not tried now.
    pub fn prepare(&mut self, gateway: &str, addresses: Vec<IpAddr>) {
        let lookup = self.lookups.entry(gateway.to_owned()).or_default();
        lookup.found = addresses;
    }

    /// Whether a name is to be looked up to have its addresses at hand; once between two outages.
    pub fn ask_for(&mut self, gateway: &str) -> bool {
        let lookup = self.lookups.entry(gateway.to_owned()).or_default();
        !std::mem::replace(&mut lookup.asked, true)
    }

    /// An address of the gateway that was not tried yet, where it has several.
    pub fn untried_address(&self, gateway: &str) -> Option<IpAddr> {
        self.lookups.get(gateway)?.untried()
    }

    /// The name that led to the address when it was looked up last.
    pub fn name_of(&self, address: IpAddr) -> Option<String> {
        self.lookups
            .iter()
            .find(|(_, lookup)| lookup.found.contains(&address))
            .map(|(gateway, _)| gateway.clone())
    }

    /// Whether there is anything else to try when that gateway fails.
    pub fn has_alternative(&self, gateway: Option<&str>) -> bool {
        self.list.len() >= 2 || gateway.is_some_and(|known| self.untried_address(known).is_some())
    }

    pub fn health(&self, gateway: &str) -> Health {
        self.health.get(gateway).cloned().unwrap_or_default()
    }

    /// It is being tried.
    pub fn trying(&mut self, gateway: &str) {
        self.tried.insert(gateway.to_owned());
    }

    /// Its IKE_SA is up.
    pub fn succeeded(&mut self, gateway: &str, unix: Duration) {
        *self.health_mut(gateway) = Health {
            last_success: Some(unix),
            ..Health::default()
        };
        self.outage_ended();
    }

    /// An address of it failed, if it is a name.
    pub fn failed_at(&mut self, gateway: &str, address: Option<IpAddr>) {
        if let (Some(address), true) = (address, self.is_name(gateway)) {
            let lookup = self.lookups.entry(gateway.to_owned()).or_default();
            lookup.tried.insert(address);
        }
    }

    /// It failed; until when it is set aside for that, if it is.
    pub fn failed(&mut self, gateway: &str, reason: Reason, set_aside_until: Option<Duration>) {
        self.tried.insert(gateway.to_owned());
        let health = self.health_mut(gateway);
        health.last_failure = Some(reason);
        health.failures_in_a_row = health.failures_in_a_row.saturating_add(1);
        if set_aside_until.is_some() {
            health.set_aside_until = set_aside_until;
        }
    }

    /// The next outage begins with the first round.
    pub fn outage_ended(&mut self) {
        self.begin_round();
        self.rounds = 0;
    }

    fn begin_round(&mut self) {
        self.tried.clear();
        for lookup in self.lookups.values_mut() {
            lookup.tried.clear();
            lookup.asked = false;
        }
    }

    /// All gateways may be tried again.
    pub fn forgive(&mut self) {
        self.outage_ended();
        for health in self.health.values_mut() {
            health.set_aside_until = None;
        }
    }

    /// The gateway after one that failed, circularly: one not yet tried in this round, those that are
    /// set aside last; else a new round begins. None if there are fewer than two.
    ///
    /// A gateway that is not in the list counts as the first.
    pub fn next_after(&mut self, gateway: &str, now: Duration) -> Option<Next> {
        let mut circle = Vec::new();
        let position = self.list.position_of_name(gateway).unwrap_or(0);
        let mut at = self.list.next_after(position)?;
        while circle.len() < self.list.len() {
            circle.extend(self.list.get(at).map(Gateway::to_string));
            at = self.list.next_after(at)?;
        }

        let usable = |gateway: &&String| !self.is_set_aside(gateway, now);
        let untried = |gateway: &&String| !self.tried.contains(*gateway);
        // One that refused is better than one that just failed.
        let next = circle.iter().filter(usable).find(untried);
        if let Some(gateway) = next.or_else(|| circle.iter().find(untried)) {
            return Some(Next {
                gateway: gateway.clone(),
                repetition: None,
            });
        }
        let gateway = circle.iter().find(usable).or(circle.first())?.clone();
        self.begin_round();
        let repetition = self.rounds;
        self.rounds = self.rounds.saturating_add(1);
        Some(Next {
            gateway,
            repetition: Some(repetition),
        })
    }

    fn is_set_aside(&self, gateway: &str, now: Duration) -> bool {
        self.health
            .get(gateway)
            .and_then(|health| health.set_aside_until)
            .is_some_and(|until| until > now)
    }

    fn health_mut(&mut self, gateway: &str) -> &mut Health {
        self.health.entry(gateway.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn gateways() -> Gateways {
        Gateways::new(AddressList::parse("10.0.0.1,10.0.0.2,10.0.0.3"))
    }

    fn next(gateways: &mut Gateways, after: &str) -> (String, Option<u32>) {
        let next = gateways.next_after(after, NOW).expect("more than one");
        gateways.trying(&next.gateway);
        (next.gateway, next.repetition)
    }

    #[test]
    fn rounds_are_repeated() {
        let mut gateways = gateways();
        gateways.failed("10.0.0.1", Reason::DpdTimeout, None);
        assert_eq!(next(&mut gateways, "10.0.0.1"), ("10.0.0.2".into(), None));
        assert_eq!(next(&mut gateways, "10.0.0.2"), ("10.0.0.3".into(), None));
        assert_eq!(
            next(&mut gateways, "10.0.0.3"),
            ("10.0.0.1".into(), Some(0))
        );
        assert_eq!(next(&mut gateways, "10.0.0.1"), ("10.0.0.2".into(), None));
        assert_eq!(next(&mut gateways, "10.0.0.2"), ("10.0.0.3".into(), None));
        assert_eq!(
            next(&mut gateways, "10.0.0.3"),
            ("10.0.0.1".into(), Some(1))
        );
    }

    #[test]
    fn one_that_is_set_aside_comes_last() {
        let mut gateways = gateways();
        gateways.failed(
            "10.0.0.2",
            Reason::AuthFailed,
            Some(NOW + Duration::from_secs(1)),
        );
        gateways.outage_ended();
        gateways.failed("10.0.0.1", Reason::DpdTimeout, None);
        assert_eq!(next(&mut gateways, "10.0.0.1"), ("10.0.0.3".into(), None));
        assert_eq!(next(&mut gateways, "10.0.0.3"), ("10.0.0.2".into(), None));
        assert_eq!(
            next(&mut gateways, "10.0.0.2"),
            ("10.0.0.3".into(), Some(0))
        );
    }

    #[test]
    fn all_set_aside_are_tried_in_rounds_all_the_same() {
        let mut gateways = gateways();
        for gateway in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
            gateways.failed(
                gateway,
                Reason::AuthFailed,
                Some(NOW + Duration::from_secs(1)),
            );
        }
        assert_eq!(
            next(&mut gateways, "10.0.0.3"),
            ("10.0.0.1".into(), Some(0))
        );
    }

    #[test]
    fn the_time_aside_ends() {
        let mut gateways = gateways();
        gateways.failed("10.0.0.2", Reason::AuthFailed, Some(NOW));
        gateways.outage_ended();
        assert_eq!(next(&mut gateways, "10.0.0.1"), ("10.0.0.2".into(), None));
    }

    #[test]
    fn one_that_left_the_list_counts_as_the_first() {
        assert_eq!(
            next(&mut gateways(), "192.0.2.1"),
            ("10.0.0.2".into(), None)
        );
    }

    #[test]
    fn what_was_tried_counts_with_an_edited_list() {
        let mut before = gateways();
        before.trying("10.0.0.2");
        let mut edited = before.clone();
        edited.replace(AddressList::parse("10.0.0.9,10.0.0.2,10.0.0.8"));
        edited.resume(&before);
        assert_eq!(next(&mut edited, "10.0.0.1"), ("10.0.0.8".into(), None));
        assert_eq!(next(&mut edited, "10.0.0.8"), ("10.0.0.9".into(), None));
    }

    #[test]
    fn the_addresses_of_a_name_are_tried_in_turn_and_again_in_the_next_round() {
        let [one, two]: [IpAddr; 2] = [[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
        let mut gateways = Gateways::new(AddressList::parse("segw.example,10.0.0.1"));
        assert!(gateways.is_name("segw.example") && !gateways.is_name("10.0.0.1"));
        assert_eq!(gateways.found("segw.example", vec![one, two]), Some(one));
        assert_eq!(gateways.untried_address("segw.example"), Some(two));
        assert_eq!(gateways.name_of(two).as_deref(), Some("segw.example"));
        assert_eq!(gateways.found("segw.example", vec![one, two]), Some(two));
        assert_eq!(gateways.untried_address("segw.example"), None);
        assert_eq!(gateways.found("segw.example", vec![two, one]), None);

        gateways.trying("segw.example");
        gateways.trying("10.0.0.1");
        assert!(gateways.next_after("10.0.0.1", NOW).is_some());
        assert_eq!(gateways.found("segw.example", vec![two, one]), Some(two));
    }

    #[test]
    fn a_name_whose_answers_never_end_is_left_at_last() {
        let mut gateways = Gateways::new(AddressList::parse("segw.example,10.0.0.1"));
        let tried = (0..=u8::MAX)
            .filter_map(|n| gateways.found("segw.example", vec![[192, 0, 2, n].into()]))
            .count();
        assert_eq!(tried, MAX_ADDRESSES);
    }

    #[test]
    fn fewer_than_two_have_no_next() {
        let mut gateways = Gateways::new(AddressList::parse("10.0.0.1"));
        assert_eq!(gateways.next_after("10.0.0.1", NOW), None);
    }
}
