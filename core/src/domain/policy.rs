// SPDX-License-Identifier: GPL-2.0-or-later

//! When a gateway counts as failed, and how soon and how often another one is tried.

use std::time::Duration;

use super::child_failure::ChildFailure;
use super::failover_options::{failover_options, OptionSource, OptionValue, Value};

macro_rules! make {
    ($($name:ident: $type:ty, $kind:ident, $default:literal, $about:literal;)*) => {
        /// The failover policy of a connection; zero switches a deadline off.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct FailoverPolicy {
            $(#[doc = $about] pub $name: $type,)*
        }

        impl Default for FailoverPolicy {
            fn default() -> Self {
                Self {
                    $($name: OptionValue::written($default).expect("a default is a value"),)*
                }
            }
        }

        impl FailoverPolicy {
            /// What `charon.plugins.extsock.failover` says.
            pub fn read(source: &impl OptionSource) -> Self {
                let default = Self::default();
                Self {
                    $($name: OptionValue::read(
                        source,
                        concat!("failover.", stringify!($name)),
                        default.$name,
                    ),)*
                }
            }

            /// The options with their values.
            pub fn values(&self) -> Vec<(&'static str, Value)> {
                vec![$((stringify!($name), self.$name.value()),)*]
            }
        }
    };
}

failover_options!(make);

/// The times of the plugin's liveness check, where it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LivenessTimes {
    /// Silence after which the gateway is asked.
    pub interval: Duration,
    /// What it has to answer.
    pub timeout: Duration,
    /// Without an answer to packets, after which it is asked at once.
    pub traffic: Option<Duration>,
    /// Without ESP although it answers IKE, after which it has failed.
    pub data: Option<Duration>,
}

impl FailoverPolicy {
    /// The times of the plugin's liveness check, if it is on. Either of its own two being 0 turns it off.
    pub fn liveness(&self) -> Option<LivenessTimes> {
        let unless_zero = |time: Duration| (!time.is_zero()).then_some(time);
        Some(LivenessTimes {
            interval: unless_zero(self.liveness_interval)?,
            timeout: unless_zero(self.liveness_timeout)?,
            traffic: unless_zero(self.traffic_timeout),
            data: unless_zero(self.data_timeout),
        })
    }

    /// Of the two times of the liveness check the one that turns it off by 0 and the one that is set above 0
    /// in the same place, if that is so in strongswan.conf.
    pub fn liveness_contradiction(
        source: &impl OptionSource,
    ) -> Option<(&'static str, &'static str)> {
        let is_off = |option: &str| {
            let time = source.time(&format!("failover.{option}"), Duration::MAX);
            time.is_zero()
        };
        let is_on = |option: &str| {
            let time = source.time(&format!("failover.{option}"), Duration::ZERO);
            !time.is_zero()
        };
        let pairs = [
            ("liveness_interval", "liveness_timeout"),
            ("liveness_timeout", "liveness_interval"),
        ];
        pairs.into_iter().find(|(off, on)| is_off(off) && is_on(on))
    }

    /// The delay before a round of attempts to all usable gateways; within a round there is none.
    ///
    /// It is `min(base_delay * multiplier^attempt, max_delay)` less the jitter,
    /// with attempts counted from 0 for the first repetition. `random` is between 0 and 1.
    pub fn delay(&self, attempt: u32, random: f64) -> Duration {
        if self.base_delay.is_zero() {
            return Duration::ZERO;
        }
        let factor = self
            .multiplier
            .max(0.0)
            .powi(attempt.try_into().unwrap_or(i32::MAX));
        let delay = Duration::try_from_secs_f64(self.base_delay.as_secs_f64() * factor)
            .unwrap_or(Duration::MAX)
            .min(self.max_delay);
        self.jittered(delay, random)
    }

    /// The delay between two rounds when the retries are used up; None if somebody has to ask for the next one.
    pub fn exhausted_delay(&self, random: f64) -> Option<Duration> {
        let delay = self.exhausted_delay;
        (!delay.is_zero()).then(|| self.jittered(delay, random))
    }

    /// The shortest time between two tries for changes of the network, after so many before the first of both: one
    /// second, and twice as long each time, up to `max_delay`.
    pub fn pause_between_changes(&self, before: u32) -> Duration {
        const SHORTEST: Duration = Duration::from_secs(1);
        let factor = 2_u32.saturating_pow(before);
        SHORTEST
            .saturating_mul(factor)
            .min(self.max_delay.max(SHORTEST))
    }

    /// How long a connection without a route waits for news of the network.
    pub fn wait_for_network(&self, random: f64) -> Duration {
        self.jittered(self.max_delay, random)
            .max(Duration::from_secs(1))
    }

    fn jittered(&self, delay: Duration, random: f64) -> Duration {
        delay.mul_f64(1.0 - self.jitter.clamp(0.0, 1.0) * random.clamp(0.0, 1.0))
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
    fn the_delay_grows_to_its_bound() {
        let policy = FailoverPolicy {
            base_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(10),
            ..FailoverPolicy::default()
        };
        let seconds: Vec<u64> = (0..6).map(|n| policy.delay(n, 0.0).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 10, 10]);
        assert_eq!(policy.delay(4, 1.0), Duration::from_secs(9), "a tenth less");
    }

    #[test]
    fn no_base_delay_is_no_delay() {
        let policy = FailoverPolicy {
            base_delay: Duration::ZERO,
            ..FailoverPolicy::default()
        };
        assert_eq!(policy.delay(u32::MAX, 0.0), Duration::ZERO);
    }

    #[test]
    fn retries_are_limited_unless_the_limit_is_zero() {
        let mut policy = FailoverPolicy::default();
        assert!(policy.allows(4));
        assert!(!policy.allows(5));
        policy.max_retries = 0;
        assert!(policy.allows(u32::MAX));
    }

    #[test]
    fn liveness_is_on_unless_one_of_its_times_is_zero() {
        let default = FailoverPolicy::default();
        let times = LivenessTimes {
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            traffic: Some(Duration::from_secs(2)),
            data: None,
        };
        assert_eq!(default.liveness(), Some(times));
        let without_interval = FailoverPolicy {
            liveness_interval: Duration::ZERO,
            ..default
        };
        assert_eq!(without_interval.liveness(), None);
        let without_timeout = FailoverPolicy {
            liveness_timeout: Duration::ZERO,
            ..default
        };
        assert_eq!(without_timeout.liveness(), None);
    }

    struct Conf(&'static [(&'static str, u64)]);

    impl OptionSource for Conf {
        fn time(&self, option: &str, default: Duration) -> Duration {
            let all = &mut self.0.iter();
            let set = all.find(|(name, _)| option == format!("failover.{name}"));
            set.map_or(default, |(_, seconds)| Duration::from_secs(*seconds))
        }

        fn word<T>(&self, _: &str, _: &str, _: fn(&str) -> Option<T>) -> Option<T> {
            None
        }

        fn number(&self, _: &str, default: f64) -> f64 {
            default
        }
    }

    #[test]
    fn one_time_of_the_liveness_check_off_and_the_other_set_is_a_contradiction() {
        let (interval, timeout) = ("liveness_interval", "liveness_timeout");
        let found = |conf| FailoverPolicy::liveness_contradiction(&Conf(conf));
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[("liveness_interval", 0)]), None);
        assert_eq!(found(&[("liveness_timeout", 3)]), None);
        let both = &[("liveness_interval", 0), ("liveness_timeout", 0)];
        assert_eq!(found(both), None);
        let one = &[("liveness_interval", 0), ("liveness_timeout", 3)];
        assert_eq!(found(one), Some((interval, timeout)));
        let other = &[("liveness_interval", 1), ("liveness_timeout", 0)];
        assert_eq!(found(other), Some((timeout, interval)));
    }

    proptest! {
        #[test]
        fn the_delay_never_exceeds_its_bound(
            base in 0.0..1e6f64, max in 0.0..1e6f64, multiplier in -1.0..1e3f64, attempt: u32,
            jitter in -1.0..2.0f64, random in 0.0..1.0f64,
        ) {
            let policy = FailoverPolicy {
                base_delay: Duration::from_secs_f64(base),
                max_delay: Duration::from_secs_f64(max),
                multiplier,
                jitter,
                ..FailoverPolicy::default()
            };
            prop_assert!(policy.delay(attempt, random) <= policy.max_delay);
        }
    }
}
