// SPDX-License-Identifier: GPL-2.0-or-later

//! Reads the `failover` of a connection.

use super::connection::set;
use super::model::Failover;
use super::reader::{names, Node, Setting};
use crate::error::Result;

pub(super) fn read(node: Node) -> Result<Failover> {
    let mut fields = node.into_fields()?;
    // One without the other never asks, or never ends.
    for (given, missing) in [
        ("liveness_interval", "liveness_timeout"),
        ("liveness_timeout", "liveness_interval"),
    ] {
        if fields.has(given) && !fields.has(missing) {
            fields.require(missing, &format!("a time, as {given} is given"))?;
        }
    }
    let mut failover = Failover::default();
    fields.read(&mut failover, FAILOVER)?;
    fields.finish(&names(FAILOVER).collect::<Vec<_>>())?;
    Ok(failover)
}

const FAILOVER: &[Setting<Failover>] = &[
    ("connect_timeout", |f, n| {
        set(&mut f.connect_timeout, Some(n.precise_time()?))
    }),
    ("liveness_interval", |f, n| {
        set(&mut f.liveness_interval, Some(n.precise_time()?))
    }),
    ("liveness_timeout", |f, n| {
        set(&mut f.liveness_timeout, Some(n.precise_time()?))
    }),
    ("cool_down", |f, n| {
        set(&mut f.cool_down, Some(n.precise_time()?))
    }),
    ("on_child_failure", |f, n| {
        set(&mut f.on_child_failure, Some(n.boolean()?))
    }),
    ("max_retries", |f, n| {
        set(&mut f.max_retries, Some(n.number(0..=u32::MAX)?))
    }),
    ("base_delay", |f, n| {
        set(&mut f.base_delay, Some(n.precise_time()?))
    }),
    ("max_delay", |f, n| {
        set(&mut f.max_delay, Some(n.precise_time()?))
    }),
    ("multiplier", |f, n| {
        let expected = "a number of at least 1";
        set(
            &mut f.multiplier,
            Some(n.fraction(1.0..=f64::MAX, expected)?),
        )
    }),
    ("jitter", |f, n| {
        let expected = "a number from 0 to 1";
        set(&mut f.jitter, Some(n.fraction(0.0..=1.0, expected)?))
    }),
];
