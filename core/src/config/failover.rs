// SPDX-License-Identifier: GPL-2.0-or-later

//! Reads the `failover` of a connection.

use super::model::Failover;
use super::reader::Node;
use super::setting::{settings, Setting, BOOLEAN, GROWTH, NUMBER, PART, PRECISE_TIME};
use crate::error::Result;

pub(super) fn read(node: Node) -> Result<Failover> {
    let fields = node.into_fields()?;
    let missing = [
        ("liveness_interval", "liveness_timeout"),
        ("liveness_timeout", "liveness_interval"),
    ]
    .map(|(given, missing)| {
        let place = fields.place(missing);
        (fields.has(given) && !fields.has(missing)).then_some((place, given))
    });
    let mut failover = Failover::default();
    fields.read(&mut failover, &[FAILOVER]);
    // One without the other never asks, or never ends.
    match missing.into_iter().flatten().next() {
        Some((place, given)) => Err(place.refused(&format!(
            "expected a time, as {given} is given, found nothing"
        ))),
        None => Ok(failover),
    }
}

pub(super) const FAILOVER: &[Setting<Failover>] = settings!(Failover {
    "connect_timeout": PRECISE_TIME, "10s",
        "Limit of an attempt until it is established; 0 for charon's retransmission alone."
        => |f, v| f.connect_timeout = Some(v);
    "liveness_interval": PRECISE_TIME, "0",
        "Silence after which the gateway is asked for a sign of life; 0 for never."
        => |f, v| f.liveness_interval = Some(v);
    "liveness_timeout": PRECISE_TIME, "0", "Limit of its answer."
        => |f, v| f.liveness_timeout = Some(v);
    "cool_down": PRECISE_TIME, "10m", "How long a gateway that refused is passed over."
        => |f, v| f.cool_down = Some(v);
    "on_child_failure": BOOLEAN, "no",
        "Whether an IKE_SA without any of its CHILD_SAs is a failure of the gateway."
        => |f, v| f.on_child_failure = Some(v);
    "max_retries": NUMBER, "5",
        "Failovers in a row without an established IKE_SA until the connection is given up; 0 for never."
        => |f, v| f.max_retries = Some(v);
    "base_delay": PRECISE_TIME, "1s", "Delay before the second round of all gateways."
        => |f, v| f.base_delay = Some(v);
    "max_delay": PRECISE_TIME, "60s", "Upper bound of that delay."
        => |f, v| f.max_delay = Some(v);
    "multiplier": GROWTH, "2", "Growth of that delay with each round."
        => |f, v| f.multiplier = Some(v);
    "jitter": PART, "0.1", "Up to which part of that delay is randomly subtracted."
        => |f, v| f.jitter = Some(v);
});
