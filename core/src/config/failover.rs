// SPDX-License-Identifier: GPL-2.0-or-later

//! Reads the `failover` of a connection.

use std::time::Duration;

use super::model::Failover;
use super::reader::Node;
use super::setting::{Setting, CHILD_FAILURE, GROWTH, NUMBER, PART, PRECISE_TIME};
use crate::domain::failover_options::failover_options;
use crate::domain::policy::FailoverPolicy;
use crate::error::Result;

/// The times of the liveness check.
const LIVENESS: [&str; 2] = ["liveness_interval", "liveness_timeout"];

pub(super) fn read(node: Node) -> Result<Failover> {
    let fields = node.into_fields()?;
    let fields_of_both = LIVENESS.map(|option| fields.field_path(option));
    let mut failover = Failover::default();
    fields.read(&mut failover, &[FAILOVER]);
    // Which of the two is meant: either being 0 turns the liveness check off.
    let given = [failover.liveness_interval, failover.liveness_timeout];
    let [Some(interval), Some(timeout)] = given.map(|time| time.map(|time| time.is_zero())) else {
        return Ok(failover);
    };
    if interval == timeout {
        return Ok(failover);
    }
    let [interval_field, timeout_field] = fields_of_both;
    let (field, other) = match interval {
        true => (interval_field, LIVENESS[1]),
        false => (timeout_field, LIVENESS[0]),
    };
    Err(field.refused(&format!(
        "expected a time above 0, as {other} is, or {other} 0 as well, found 0"
    )))
}

impl Failover {
    /// Of the two times of the liveness check the one that is above 0 here, and the one that nevertheless turns
    /// the check off, as it is not given here and its default in strongswan.conf is 0.
    pub fn liveness_off_by_default(
        &self,
        default: &FailoverPolicy,
    ) -> Option<(&'static str, &'static str)> {
        let [interval, timeout] = LIVENESS;
        let times = [
            (interval, self.liveness_interval, default.liveness_interval),
            (timeout, self.liveness_timeout, default.liveness_timeout),
        ];
        let above_zero = |time: Option<Duration>| time.is_some_and(|time| !time.is_zero());
        let on = times.iter().find(|(_, given, _)| above_zero(*given))?;
        let off = times
            .iter()
            .find(|(_, given, default)| given.is_none() && default.is_zero())?;
        Some((on.0, off.0))
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
