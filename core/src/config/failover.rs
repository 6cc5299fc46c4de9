// SPDX-License-Identifier: GPL-2.0-or-later

//! The `failover` of a connection, made of the table of its options.

use std::time::Duration;

use super::reader::Node;
use super::setting::{Setting, BOOLEAN, GROWTH, NUMBER, PART, PRECISE_TIME};
use crate::domain::failover_options::failover_options;
use crate::domain::policy::FailoverPolicy;
use crate::error::Result;

pub(super) fn read(node: Node) -> Result<Failover> {
    let fields = node.into_fields()?;
    let missing = [
        ("liveness_interval", "liveness_timeout"),
        ("liveness_timeout", "liveness_interval"),
    ]
    .map(|(given, missing)| {
        let field = fields.field_path(missing);
        (fields.has(given) && !fields.has(missing)).then_some((field, given))
    });
    let mut failover = Failover::default();
    fields.read(&mut failover, &[FAILOVER]);
    // The liveness check needs both times.
    match missing.into_iter().flatten().next() {
        Some((field, given)) => Err(field.refused(&format!(
            "expected a time, as {given} is given, found nothing"
        ))),
        None => Ok(failover),
    }
}

macro_rules! make {
    ($($name:ident: $type:ty, $kind:ident, $default:literal, $about:literal;)*) => {
        /// The `failover` of a connection; for options that are None, strongswan.conf applies. Zero switches a
        /// deadline off.
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        pub struct Failover {
            $(#[doc = $about] pub $name: Option<$type>,)*
        }

        impl Failover {
            /// The policy of a connection with these options, where `default` is the policy of strongswan.conf.
            pub fn over(&self, default: &FailoverPolicy) -> FailoverPolicy {
                FailoverPolicy {
                    $($name: self.$name.unwrap_or(default.$name),)*
                }
            }
        }

        pub(super) const FAILOVER: &[Setting<Failover>] = &[$(Setting {
            name: stringify!($name),
            since: None,
            form: $kind.form,
            default: $default,
            about: $about,
            set: |failover, node| {
                failover.$name = Some(($kind.read)(node)?);
                Ok(())
            },
        }),*];
    };
}

failover_options!(make);
