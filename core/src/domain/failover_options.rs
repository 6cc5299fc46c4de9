// SPDX-License-Identifier: GPL-2.0-or-later

//! The options of `failover`: one table, of which everything else is made.

use std::time::Duration;

use super::child_failure::ChildFailure;
use super::time;

/// The options of `failover`, in the order in which programs and people see them. A line has the option's name,
/// the Rust type of its value, the constant of `config/setting.rs` that reads it from JSON, its default as it is
/// written in strongswan.conf, and a sentence about it.
///
/// `failover_options!(make)` invokes `make!` with the whole table. It makes
///
/// - here, [`OPTIONS`], which tests compare with extsock.opt and docs/options.md;
/// - in `domain/policy.rs`, the fields and defaults of `FailoverPolicy`, how they are read from strongswan.conf,
///   and how they are listed in the replies to LIST and STATUS;
/// - in `config/model.rs`, the fields of `Failover`, which a connection's `failover` sets, and in
///   `config/failover.rs`, what reads it; docs/schema.json and docs/configuration.md are made of that.
macro_rules! failover_options {
    ($make:ident) => {
        $make! {
            connect_timeout: Duration, PRECISE_TIME, "10s",
                "Time that an attempt may take until it is established; with 0 only charon's retransmission limits it.";
            liveness_interval: Duration, PRECISE_TIME, "10s",
                "Silence of the gateway after which the plugin's liveness check sends it a request; 0 for no liveness check.";
            liveness_timeout: Duration, PRECISE_TIME, "5s",
                "Time without an answer to that request after which the gateway has failed; 0 for no liveness check.";
            cool_down: Duration, PRECISE_TIME, "10m",
                "How long a gateway that refused is passed over.";
            on_child_failure: ChildFailure, CHILD_FAILURE, "failover",
                "What is done if a CHILD_SA that is wanted cannot be had while the IKE_SA is up.";
            max_retries: u32, NUMBER, "5",
                "Failovers in a row without an established IKE_SA, after which each gateway is tried once in `exhausted_delay` only; 0 for no limit.";
            base_delay: Duration, PRECISE_TIME, "1s",
                "Delay before the second round of all gateways.";
            max_delay: Duration, PRECISE_TIME, "60s",
                "Upper bound of that delay, and of a wait for the network.";
            multiplier: f64, GROWTH, "2",
                "Factor by which that delay grows with each round.";
            jitter: f64, PART, "0.1",
                "Largest part of that delay that is randomly subtracted from it.";
            traffic_timeout: Duration, PRECISE_TIME, "2s",
                "Time in which packets went out and none came back after which the liveness check asks at once; 0 for never.";
            data_timeout: Duration, PRECISE_TIME, "0",
                "Time in which a gateway that answers IKE sends no ESP, though packets went out to it, after which it has failed; 0 for never.";
            stable_after: Duration, PRECISE_TIME, "30s",
                "How long a tunnel has to be up for what failed before to be forgotten.";
            exhausted_delay: Duration, PRECISE_TIME, "1m",
                "Time between two rounds when `max_retries` is reached; 0 if the connection waits until somebody asks for it.";
        }
    };
}

pub(crate) use failover_options;

/// An option of `failover`.
#[derive(Clone, Copy, Debug)]
pub struct FailoverOption {
    /// Its name in a connection's `failover` and below `charon.plugins.extsock.failover`.
    pub name: &'static str,
    /// As it is written in strongswan.conf.
    pub default: &'static str,
}

macro_rules! list {
    ($($name:ident: $type:ty, $kind:ident, $default:literal, $about:literal;)*) => {
        /// All options of `failover`.
        pub const OPTIONS: &[FailoverOption] = &[$(FailoverOption {
            name: stringify!($name),
            default: $default,
        }),*];
    };
}

failover_options!(list);

/// Where options are read from, namely strongswan.conf. An option that is not there has the default.
pub trait OptionSource {
    /// A time.
    fn time(&self, option: &str, default: Duration) -> Duration;
    /// One of some words, which the text `expected` names; None if there is none.
    fn word<T>(&self, option: &str, expected: &str, parse: fn(&str) -> Option<T>) -> Option<T>;
    /// A number that is not negative.
    fn number(&self, option: &str, default: f64) -> f64;
}

/// The value of any option.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A time.
    Time(Duration),
    /// What is done about missing CHILD_SAs.
    ChildFailure(ChildFailure),
    /// A whole number.
    Number(u32),
    /// A number that need not be whole.
    Fraction(f64),
}

/// The types that values of options have.
pub(super) trait OptionValue: Copy {
    /// A default of the table.
    fn written(text: &str) -> Option<Self>;
    fn read(source: &impl OptionSource, option: &str, default: Self) -> Self;
    fn value(self) -> Value;
}

impl OptionValue for Duration {
    fn written(text: &str) -> Option<Self> {
        time::parse(text)
    }

    fn read(source: &impl OptionSource, option: &str, default: Self) -> Self {
        source.time(option, default)
    }

    fn value(self) -> Value {
        Value::Time(self)
    }
}

impl OptionValue for ChildFailure {
    fn written(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    fn read(source: &impl OptionSource, option: &str, default: Self) -> Self {
        let word = source.word(option, "failover, retry, no or yes", Self::parse);
        word.unwrap_or(default)
    }

    fn value(self) -> Value {
        Value::ChildFailure(self)
    }
}

impl OptionValue for u32 {
    fn written(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn read(source: &impl OptionSource, option: &str, default: Self) -> Self {
        source.number(option, default.into()) as u32
    }

    fn value(self) -> Value {
        Value::Number(self)
    }
}

impl OptionValue for f64 {
    fn written(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn read(source: &impl OptionSource, option: &str, default: Self) -> Self {
        source.number(option, default)
    }

    fn value(self) -> Value {
        Value::Fraction(self)
    }
}
