// SPDX-License-Identifier: GPL-2.0-or-later

//! A reauthentication that is due at once after each set-up.
//!
//! A gateway that wants its clients to authenticate again says when (AUTH_LIFETIME, RFC 4478). charon does so
//! `over_time` earlier; if the gateway's lifetime is shorter than that, it does so at once (sa/ike_sa.c,
//! set_auth_lifetime), and for ever.

use std::time::Duration;

/// A reauthentication that is due sooner after the set-up is due at once: of such there are six IKE_SAs in 30 s.
const AT_ONCE: Duration = Duration::from_secs(5);

/// How many in a row are a loop.
const LOOP: u32 = 2;

/// Which part of the gateway's lifetime is left for the reauthentication then: a tenth, as charon's own over_time
/// is a tenth of its times.
const PART: u32 = 10;

/// The lifetime of which charon is to know in place of the gateway's, so that it reauthenticates shortly before the
/// end of that; None where the over_time fits.
pub fn fitting_lifetime(lifetime: Duration, over_time: Duration) -> Option<Duration> {
    let at_once = lifetime < over_time.saturating_add(AT_ONCE);
    at_once.then(|| (lifetime - lifetime / PART).saturating_add(over_time))
}

/// The set-ups in a row after which a reauthentication would have been due at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reauthentications {
    at_once: u32,
}

impl Reauthentications {
    /// The gateway has given an IKE_SA that is about to be up this lifetime, and the connection has that
    /// over_time. Whether that is a loop now.
    pub fn begins_loop(&mut self, lifetime: Duration, over_time: Duration) -> bool {
        self.at_once = match fitting_lifetime(lifetime, over_time) {
            Some(_) => self.at_once.saturating_add(1),
            None => 0,
        };
        self.at_once == LOOP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Duration = Duration::from_secs(10);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn charon_reauthenticates_before_the_end_of_a_short_lifetime() {
        let lifetime = fitting_lifetime(TEN, MINUTE).expect("it is too short");
        assert_eq!(lifetime - MINUTE, Duration::from_secs(9));
    }

    #[test]
    fn some_seconds_are_at_once() {
        let at = |seconds| fitting_lifetime(TEN + Duration::from_secs(seconds), TEN);
        assert!(at(4).is_some());
        assert_eq!(at(5), None);
    }

    #[test]
    fn the_second_in_a_row_begins_a_loop() {
        let mut reauthentications = Reauthentications::default();
        let begins =
            [TEN, TEN, TEN].map(|lifetime| reauthentications.begins_loop(lifetime, MINUTE));
        assert_eq!(begins, [false, true, false]);
        assert!(!reauthentications.begins_loop(TEN, Duration::ZERO));
        let begins = [TEN, TEN].map(|lifetime| reauthentications.begins_loop(lifetime, MINUTE));
        assert_eq!(begins, [false, true], "it had ended");
    }
}
