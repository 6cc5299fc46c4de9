// SPDX-License-Identifier: GPL-2.0-or-later

//! How often, and how soon, a connection is tried again.

use std::time::Duration;

/// Retry policy of a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Delay before the first failover; zero switches immediately, whatever the multiplier.
    pub base_delay: Duration,
    /// Upper bound of the delay.
    pub max_delay: Duration,
    /// What the delay grows by with each failover.
    pub multiplier: f64,
    /// Consecutive failovers without an established IKE_SA, 0 for no limit.
    pub max_retries: u32,
}

impl Default for RetryPolicy {
    /// Immediate switching, five times.
    fn default() -> Self {
        Self {
            base_delay: Duration::ZERO,
            max_delay: Duration::from_secs(60),
            multiplier: 2.0,
            max_retries: 5,
        }
    }
}

impl RetryPolicy {
    /// The delay before a failover: `min(base_delay * multiplier^attempt, max_delay)`, with attempts
    /// counted from 0.
    pub fn delay(&self, attempt: u32) -> Duration {
        let factor = self
            .multiplier
            .max(0.0)
            .powi(attempt.try_into().unwrap_or(i32::MAX));
        let seconds = self.base_delay.as_secs_f64() * factor;
        // Also catches NaN (0 * infinity), for which an immediate switch is right.
        Duration::try_from_secs_f64(seconds)
            .unwrap_or(if self.base_delay.is_zero() {
                Duration::ZERO
            } else {
                self.max_delay
            })
            .min(self.max_delay)
    }

    /// Whether another failover is allowed after so many in a row.
    pub fn allows(&self, retries: u32) -> bool {
        self.max_retries == 0 || retries < self.max_retries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_default_switches_immediately_and_five_times() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.delay(0), Duration::ZERO);
        assert_eq!(policy.delay(1000), Duration::ZERO);
        assert!(policy.allows(4));
        assert!(!policy.allows(5));
    }

    #[test]
    fn the_delay_grows_to_its_bound() {
        let policy = RetryPolicy {
            base_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(10),
            multiplier: 2.0,
            max_retries: 0,
        };
        let seconds: Vec<u64> = (0..6).map(|n| policy.delay(n).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 10, 10]);
        assert!(policy.allows(u32::MAX));
    }

    proptest! {
        #[test]
        fn the_delay_never_exceeds_its_bound(
            base in 0.0..1e6f64, max in 0.0..1e6f64, multiplier in -1.0..1e3f64, attempt: u32,
        ) {
            let policy = RetryPolicy {
                base_delay: Duration::from_secs_f64(base),
                max_delay: Duration::from_secs_f64(max),
                multiplier,
                max_retries: 0,
            };
            prop_assert!(policy.delay(attempt) <= policy.max_delay);
        }
    }
}
