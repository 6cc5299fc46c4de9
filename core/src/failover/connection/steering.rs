// SPDX-License-Identifier: GPL-2.0-or-later

//! Where charon is to go if it retries or re-establishes an IKE_SA by itself.
//!
//! charon asks no plugin then, so that the gateway has to be prepared before. It is derived after each step from
//! the state that the step left the connection in.

use super::common::Common;
use super::state::State;
use crate::failover::action::{Destination, Steering};
use crate::failover::selection::{Selection, Standing, Trials};
use crate::failover::step::Step;

/// Tells charon where the IKE_SA that carries the connection, or is to, has to go if its gateway fails.
pub(super) fn steer(c: &mut Common, state: &State, step: &mut Step) {
    let Some(ike_sa) = state.ike_sa() else {
        return;
    };
    let outage = state.outage();
    let not_tried = Trials::default();
    let trials = outage.map_or(&not_tried, |outage| &outage.trials);
    let Some(known) = c.ike_sas.get(&ike_sa) else {
        return;
    };
    let is_live = known.stage.is_up() || known.stage.is_connecting();
    let is_steered = if c.has_alternative(outage) {
        is_live
    } else {
        // charon's retries at an only gateway are ended, as new attempts have delays: unless they keep CHILD_SAs
        // that are up (an IKEv1 reauthentication).
        c.is_kept(outage) && known.stage.is_connecting() && !known.has_adopted_children()
    };
    if !is_steered {
        return;
    }
    // As they would be ranked if the gateway of that IKE_SA failed now.
    let now = step.now.monotonic;
    let selection = c.rank(trials, &known.gateway, known.remote, now);
    let adopted = known.has_adopted_children();
    let is_tried_again = known.stage.is_connecting() && !adopted;
    let to = destination(c, &selection, trials, is_tried_again);
    let steering = match to {
        None => Steering::Stop,
        Some(to) if adopted => Steering::Replace(to),
        Some(to) => Steering::To(to),
    };
    let name = name_to_look_up(c, &selection);
    let Some(known) = c.ike_sas.get_mut(&ike_sa) else {
        return;
    };
    if let (Some(up), Some(name)) = (known.up_mut(), name) {
        if up.looked_up.as_ref() != Some(&name) {
            step.resolve(&c.name, None, &name);
            up.looked_up = Some(name);
        }
    }
    if known.steering.as_ref() != Some(&steering) {
        known.steering = Some(steering.clone());
        step.steer(&c.name, ike_sa, steering);
    }
}

/// Where charon is to go; None if it is to stop, where it can be stopped: before it tries an IKE_SA again.
fn destination(
    c: &Common,
    selection: &Selection,
    trials: &Trials,
    is_tried_again: bool,
) -> Option<Destination> {
    let best = selection.best()?;
    let to = |address| Destination {
        gateway: best.gateway.clone(),
        address,
    };
    match best.standing {
        Standing::OtherAddress(address) => (!is_tried_again).then(|| to(Some(address))),
        Standing::Tried | Standing::Refused(_) => None,
        Standing::Eligible | Standing::SetAside(_) => {
            if !c.gateways.is_name(&best.gateway) {
                return Some(to(None));
            }
            // charon would hold its thread to look it up. While connecting it is stopped, and we do.
            let addresses = c.gateways.addresses(&best.gateway);
            let known = trials.untried(&best.gateway, addresses)?;
            (!is_tried_again).then(|| to(Some(known)))
        }
    }
}

/// The name that the gateway is followed by, if that is another one: its addresses are to be at hand.
fn name_to_look_up(c: &Common, selection: &Selection) -> Option<String> {
    let next = &selection.next_gateway()?.gateway;
    let is_wanted = c.gateways.is_name(next) && *next != selection.from;
    is_wanted.then(|| next.clone())
}
