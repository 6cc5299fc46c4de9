// SPDX-License-Identifier: GPL-2.0-or-later

//! The packet counters of an IKE_SA's CHILD_SAs, read from time to time.

use std::collections::BTreeMap;

/// How many packets the SAs of one direction have carried, by SPI.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packets(BTreeMap<u32, u64>);

impl Packets {
    /// The most packets that any one SA has carried since. One that was not there had carried none, and one
    /// that has carried fewer was installed anew.
    pub fn growth_since(&self, before: &Self) -> u64 {
        let growth = |(spi, now): (&u32, &u64)| match before.0.get(spi) {
            Some(before) if before <= now => now - before,
            _ => *now,
        };
        self.0.iter().map(growth).max().unwrap_or(0)
    }
}

impl FromIterator<(u32, u64)> for Packets {
    fn from_iter<T: IntoIterator<Item = (u32, u64)>>(counters: T) -> Self {
        Self(counters.into_iter().collect())
    }
}

/// What a look at the counters found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sample {
    /// Packets have come in since the look before.
    Arrived {
        /// The inbound SAs.
        inbound: Packets,
    },
    /// None have.
    Still {
        /// The outbound SAs.
        outbound: Packets,
    },
}

impl Sample {
    /// The outbound SAs are read only where the inbound ones stand still.
    pub fn new(before: &Packets, inbound: Packets, outbound: impl FnOnce() -> Packets) -> Self {
        if inbound.growth_since(before) > 0 {
            Self::Arrived { inbound }
        } else {
            let outbound = outbound();
            Self::Still { outbound }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets<const N: usize>(counters: [(u32, u64); N]) -> Packets {
        counters.into_iter().collect()
    }

    #[test]
    fn growth_is_that_of_the_busiest_sa() {
        let before = packets([(1, 10), (2, 10), (3, 10)]);
        assert_eq!(before.growth_since(&before), 0);
        assert_eq!(packets([(1, 11), (2, 15)]).growth_since(&before), 5);
        assert_eq!(packets([]).growth_since(&before), 0);
        assert_eq!(packets([(4, 2)]).growth_since(&before), 2, "a new one");
        assert_eq!(packets([(3, 4)]).growth_since(&before), 4, "installed anew");
    }

    #[test]
    fn outbound_sas_are_not_read_while_packets_come_in() {
        let before = packets([(1, 10)]);
        let unread = || panic!("it is not asked for");
        let inbound = packets([(1, 11)]);
        let sample = Sample::new(&before, inbound.clone(), unread);
        assert_eq!(sample, Sample::Arrived { inbound });
        let outbound = packets([(2, 7)]);
        let sample = Sample::new(&before, before.clone(), || outbound.clone());
        assert_eq!(sample, Sample::Still { outbound });
    }
}
