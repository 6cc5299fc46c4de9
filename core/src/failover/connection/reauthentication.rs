// SPDX-License-Identifier: GPL-2.0-or-later

//! A reauthentication that is due at once after each set-up.
//!
//! A gateway that wants its clients to authenticate again says when (AUTH_LIFETIME, RFC 4478). charon does so
//! `over_time` earlier; if the gateway's lifetime is shorter than that, it does so at once (sa/ike_sa.c,
//! set_auth_lifetime), and for ever.

use std::time::Duration;

/// A reauthentication that is due sooner after the set-up is due at once: six IKE_SAs in 30 s.
const AT_ONCE: Duration = Duration::from_secs(5);

/// From which occurrence in a row on it is a loop.
const LOOP: u32 = 2;

/// Which part of the gateway's lifetime is left for the reauthentication in a loop: a tenth, as charon's own
/// over_time is a tenth of its times.
const PART: u32 = 10;

/// The set-ups in a row after which a reauthentication was due at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::failover) struct Reauthentications {
    in_a_row: u32,
}

/// What follows from the lifetime that a gateway gives an IKE_SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::failover) enum LifetimeVerdict {
    /// Nothing.
    Fits,
    /// It fits again: IKE_SAs have their connection's own over_time again.
    FitsAgain,
    /// The reauthentication is due at once.
    Once,
    /// It is again: IKE_SAs that come up from now on are to have this over_time.
    Loop {
        over_time: Duration,
        /// Whether that is new.
        first: bool,
    },
}

impl Reauthentications {
    /// The gateway has given an IKE_SA that is about to be up this lifetime, and the connection has that
    /// over_time.
    pub fn lifetime(&mut self, lifetime: Duration, over_time: Duration) -> LifetimeVerdict {
        if lifetime >= over_time.saturating_add(AT_ONCE) {
            let was_loop = self.is_loop();
            self.in_a_row = 0;
            return if was_loop {
                LifetimeVerdict::FitsAgain
            } else {
                LifetimeVerdict::Fits
            };
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.is_loop() {
            LifetimeVerdict::Loop {
                over_time: lifetime / PART,
                first: self.in_a_row == LOOP,
            }
        } else {
            LifetimeVerdict::Once
        }
    }

    /// Whether IKE_SAs come up with another over_time than the connection's.
    pub fn is_loop(self) -> bool {
        self.in_a_row >= LOOP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Duration = Duration::from_secs(10);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn the_second_one_that_is_due_at_once_is_a_loop() {
        let mut reauthentications = Reauthentications::default();
        let short = |known: &mut Reauthentications| known.lifetime(TEN, MINUTE);
        let over_time = Duration::from_secs(1);
        assert_eq!(short(&mut reauthentications), LifetimeVerdict::Once);
        for first in [true, false, false] {
            let expected = LifetimeVerdict::Loop { over_time, first };
            assert_eq!(short(&mut reauthentications), expected);
        }
        assert!(reauthentications.is_loop());
    }

    #[test]
    fn a_lifetime_that_fits_ends_it() {
        let mut reauthentications = Reauthentications::default();
        assert_eq!(
            reauthentications.lifetime(MINUTE, TEN),
            LifetimeVerdict::Fits
        );
        for _ in 0..LOOP {
            reauthentications.lifetime(TEN, MINUTE);
        }
        assert_eq!(
            reauthentications.lifetime(MINUTE, TEN),
            LifetimeVerdict::FitsAgain
        );
        assert!(!reauthentications.is_loop());
        assert_eq!(
            reauthentications.lifetime(TEN, MINUTE),
            LifetimeVerdict::Once
        );
    }

    #[test]
    fn some_seconds_are_at_once() {
        let mut reauthentications = Reauthentications::default();
        let at = |seconds| TEN + Duration::from_secs(seconds);
        assert_eq!(
            reauthentications.lifetime(at(4), TEN),
            LifetimeVerdict::Once
        );
        assert_eq!(
            reauthentications.lifetime(at(5), TEN),
            LifetimeVerdict::Fits
        );
    }
}
