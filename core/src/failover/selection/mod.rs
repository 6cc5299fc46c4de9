// SPDX-License-Identifier: GPL-2.0-or-later

//! Which gateway is next, and why.
//!
//! `select` looks at what is known of the gateways (`GatewayTable`) and at what was tried in an outage
//! (`Trials`), and ranks all gateways of a connection. It changes neither, so that the same function serves
//! a failover and the question where charon is to go if the present gateway fails.

mod table;
mod trials;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

pub(super) use self::table::GatewayTable;
pub(super) use self::trials::Trials;

/// All gateways of a connection after the failure of one of them, the next one first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The gateway that failed.
    pub from: String,
    /// The next gateway first; empty if there is none that may be tried.
    pub ranked: Vec<Considered>,
}

/// One gateway in a [`Selection`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Considered {
    /// As it is written in the list.
    pub gateway: String,
    /// What stands for or against it.
    pub standing: Standing,
}

/// What stands for or against a gateway, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It failed at one address, but its name has this other address, which was not tried in this round.
    OtherAddress(IpAddr),
    /// It was not tried in this round.
    Eligible,
    /// It was not tried in this round, as it refused lately and is set aside until that time (monotonic).
    SetAside(Duration),
    /// It was tried in this round: it can only be tried again in the next one.
    Tried,
    /// It was tried in this round, refused, and is set aside until that time (monotonic).
    Refused(Duration),
}

impl Standing {
    /// Whether taking the gateway begins another round.
    pub fn begins_round(self) -> bool {
        matches!(self, Self::Tried | Self::Refused(_))
    }
}

impl Selection {
    /// The next gateway, or the next address of the one that failed.
    pub fn best(&self) -> Option<&Considered> {
        self.ranked.first()
    }

    /// The next gateway, whether the one that failed has other addresses or not.
    pub fn next_gateway(&self) -> Option<&Considered> {
        let other_address =
            |known: &&Considered| matches!(known.standing, Standing::OtherAddress(_));
        self.ranked.iter().find(|known| !other_address(known))
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {}:", self.from)?;
        for (place, known) in self.ranked.iter().enumerate() {
            let separator = if place == 0 { "" } else { "," };
            write!(f, "{separator} {} ({})", known.gateway, known.standing)?;
        }
        if self.ranked.is_empty() {
            f.write_str(" no gateway")?;
        }
        Ok(())
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherAddress(address) => write!(f, "its other address {address}"),
            Self::Eligible => f.write_str("not tried yet"),
            Self::SetAside(_) => f.write_str("not tried yet, refused lately"),
            Self::Tried => f.write_str("tried in this round"),
            Self::Refused(_) => f.write_str("tried in this round, refused"),
        }
    }
}

/// Ranks the gateways after `from` failed at `address`: in the circle of the list, which begins after `from`
/// and ends with it, those that were not tried in this round before those that were, and in both those that
/// are set aside last. A gateway that refused is better than one that just failed. An only gateway comes after
/// itself.
///
/// A gateway that is not in the list counts as the first.
pub(super) fn select(
    table: &GatewayTable,
    trials: &Trials,
    from: &str,
    address: Option<IpAddr>,
    now: Duration,
) -> Selection {
    let other = table
        .addresses(from)
        .iter()
        .find(|known| Some(**known) != address && !trials.has_tried_address(from, **known))
        .filter(|_| trials.may_try_another_address(from, address));
    let mut ranked: Vec<Considered> = circle_after(table, from)
        .map(|gateway| {
            let tried = gateway == from || trials.has_tried(&gateway);
            let standing = match (tried, table.set_aside_until(&gateway, now)) {
                (false, None) => Standing::Eligible,
                (false, Some(until)) => Standing::SetAside(until),
                (true, None) => Standing::Tried,
                (true, Some(until)) => Standing::Refused(until),
            };
            Considered { gateway, standing }
        })
        .collect();
    // Stable: the circle's order remains within each kind.
    ranked.sort_by_key(|known| match known.standing {
        Standing::OtherAddress(_) | Standing::Eligible => 0,
        Standing::SetAside(_) => 1,
        Standing::Tried => 2,
        Standing::Refused(_) => 3,
    });
    if let Some(address) = other {
        let gateway = from.to_owned();
        let standing = Standing::OtherAddress(*address);
        ranked.insert(0, Considered { gateway, standing });
    }
    Selection {
        from: from.to_owned(),
        ranked,
    }
}

/// All gateways, the one that is given last.
fn circle_after<'a>(table: &'a GatewayTable, from: &str) -> impl Iterator<Item = String> + 'a {
    let list = table.list();
    let first = list.position_of_name(from).unwrap_or(0);
    let length = list.len();
    (1..=length)
        .filter_map(move |step| list.get((first + step) % length))
        .map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::address::AddressList;
    use crate::domain::reason::Reason;

    const NOW: Duration = Duration::from_secs(100);
    const LATER: Duration = Duration::from_secs(101);

    struct Outage {
        table: GatewayTable,
        trials: Trials,
    }

    impl Outage {
        fn of(list: &str) -> Self {
            Self {
                table: GatewayTable::new(AddressList::parse(list)),
                trials: Trials::default(),
            }
        }

        /// Fails over, as the connection does it: the gateway, and which repetition it begins.
        fn next(&mut self, after: &str) -> (String, Option<u32>) {
            self.trials.tried(after);
            let selection = select(&self.table, &self.trials, after, None, NOW);
            let best = selection.best().expect("more than one");
            let repetition = best
                .standing
                .begins_round()
                .then(|| self.trials.next_round());
            self.trials.tried(&best.gateway);
            (best.gateway.clone(), repetition)
        }

        fn refused(&mut self, gateway: &str, until: Duration) {
            self.table.failed(gateway, Reason::AuthFailed, Some(until));
        }
    }

    #[test]
    fn rounds_are_repeated() {
        let mut outage = Outage::of("10.0.0.1,10.0.0.2,10.0.0.3");
        assert_eq!(outage.next("10.0.0.1"), ("10.0.0.2".into(), None));
        assert_eq!(outage.next("10.0.0.2"), ("10.0.0.3".into(), None));
        assert_eq!(outage.next("10.0.0.3"), ("10.0.0.1".into(), Some(0)));
        assert_eq!(outage.next("10.0.0.1"), ("10.0.0.2".into(), None));
        assert_eq!(outage.next("10.0.0.2"), ("10.0.0.3".into(), None));
        assert_eq!(outage.next("10.0.0.3"), ("10.0.0.1".into(), Some(1)));
    }

    #[test]
    fn one_that_is_set_aside_comes_last() {
        let mut outage = Outage::of("10.0.0.1,10.0.0.2,10.0.0.3");
        outage.refused("10.0.0.2", LATER);
        assert_eq!(outage.next("10.0.0.1"), ("10.0.0.3".into(), None));
        assert_eq!(outage.next("10.0.0.3"), ("10.0.0.2".into(), None));
        assert_eq!(outage.next("10.0.0.2"), ("10.0.0.3".into(), Some(0)));
    }

    #[test]
    fn all_set_aside_are_tried_in_rounds_all_the_same() {
        let mut outage = Outage::of("10.0.0.1,10.0.0.2,10.0.0.3");
        for gateway in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
            outage.refused(gateway, LATER);
            outage.trials.tried(gateway);
        }
        assert_eq!(outage.next("10.0.0.3"), ("10.0.0.1".into(), Some(0)));
    }

    #[test]
    fn the_time_aside_ends() {
        let mut outage = Outage::of("10.0.0.1,10.0.0.2,10.0.0.3");
        outage.refused("10.0.0.2", NOW);
        assert_eq!(outage.next("10.0.0.1"), ("10.0.0.2".into(), None));
    }

    #[test]
    fn one_that_left_the_list_counts_as_the_first() {
        let mut outage = Outage::of("10.0.0.1,10.0.0.2,10.0.0.3");
        assert_eq!(outage.next("192.0.2.1"), ("10.0.0.2".into(), None));
    }

    #[test]
    fn what_was_tried_counts_with_an_edited_list() {
        let mut outage = Outage::of("10.0.0.1,10.0.0.2,10.0.0.3");
        outage.trials.tried("10.0.0.2");
        let edited = AddressList::parse("10.0.0.9,10.0.0.2,10.0.0.8");
        outage.table.replace(edited);
        outage.trials.keep_only(&outage.table);
        assert_eq!(outage.next("10.0.0.1"), ("10.0.0.8".into(), None));
        assert_eq!(outage.next("10.0.0.8"), ("10.0.0.9".into(), None));
    }

    #[test]
    fn an_only_gateway_comes_after_itself_in_the_next_round() {
        let mut outage = Outage::of("10.0.0.1");
        assert_eq!(outage.next("10.0.0.1"), ("10.0.0.1".into(), Some(0)));
        assert_eq!(outage.next("10.0.0.1"), ("10.0.0.1".into(), Some(1)));
        let none = Outage::of("%any");
        let selection = select(&none.table, &none.trials, "10.0.0.1", None, NOW);
        assert_eq!(selection.to_string(), "after 10.0.0.1: no gateway");
    }

    #[test]
    fn the_other_addresses_of_a_name_come_first() {
        let [one, two]: [IpAddr; 2] = [[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
        let mut outage = Outage::of("segw.example,10.0.0.1");
        outage.table.looked_up("segw.example", vec![one, two]);
        outage.trials.tried_address("segw.example", one);
        let selection = select(
            &outage.table,
            &outage.trials,
            "segw.example",
            Some(one),
            NOW,
        );
        assert_eq!(selection.ranked[0].standing, Standing::OtherAddress(two));
        assert_eq!(
            selection.next_gateway().map(|next| &*next.gateway),
            Some("10.0.0.1")
        );
        assert_eq!(
            selection.to_string(),
            "after segw.example: segw.example (its other address 192.0.2.2), 10.0.0.1 (not tried yet), \
             segw.example (tried in this round)"
        );
        let selection = select(
            &outage.table,
            &outage.trials,
            "segw.example",
            Some(two),
            NOW,
        );
        assert_eq!(selection.ranked[0].standing, Standing::Eligible);
    }
}
