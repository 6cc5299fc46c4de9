// SPDX-License-Identifier: GPL-2.0-or-later

//! Reads the `failover` of a connection.

use super::model::Failover;
use super::reader::Node;
use super::setting::{Setting, CHILD_FAILURE, GROWTH, NUMBER, PART, PRECISE_TIME};
use crate::domain::failover_options::failover_options;
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
