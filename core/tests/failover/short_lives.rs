// SPDX-License-Identifier: GPL-2.0-or-later

//! Tunnels that do not last: the outage before goes on.

use extsock_core::failover::evidence::ChildEnd;
use extsock_fake_charon::situations::{self, DeletedBy};

use super::*;

/// The gateway deletes the IKE_SA as soon as it is up. Returns the time until the next attempt, and its gateway.
fn thrown_out(charon: &mut Charon, sa: u32) -> (Duration, String) {
    charon.establishes(sa, &["data"]);
    let since = charon.now.monotonic;
    let mut next = charon.peer_deletes("net");
    if next.is_empty() {
        next = charon.waits(seconds(3600));
    }
    let waited = charon.now.monotonic - since;
    (waited, next[0].gateway.clone())
}

/// How long it takes until the next attempt each time, where each gateway throws out.
fn delays(charon: &mut Charon, times: usize) -> Vec<u64> {
    let mut gateway = "10.0.0.1".to_owned();
    let mut delays = Vec::new();
    for _ in 0..times {
        let sa = charon.begins_to("net", &gateway);
        let (waited, next) = thrown_out(charon, sa);
        delays.push(waited.as_secs());
        gateway = next;
    }
    delays
}

#[test]
fn both_gateways_delete_the_ike_sa_as_soon_as_it_is_up() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data"]);
    charon.initiate("net");
    assert_eq!(
        delays(&mut charon, 14),
        [0, 1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 32, 32, 60]
    );
    let status = charon.status("net");
    assert_eq!(status.retries, 1, "each success resets what people see");
    assert!(status.gateway_status[1].set_aside_ms.is_some());
}

#[test]
fn the_only_gateway_deletes_the_ike_sa_as_soon_as_it_is_up() {
    let mut charon = Charon::with("net", "10.0.0.1", &["data"]);
    charon.initiate("net");
    assert_eq!(delays(&mut charon, 4), [1, 2, 4, 8]);
}

#[test]
fn one_that_throws_out_is_passed_over() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2,10.0.0.3", &["data"]);
    charon.initiate("net");
    let sa = charon.begins("net");
    let (_, next) = thrown_out(&mut charon, sa);
    assert_eq!(next, "10.0.0.2");
    let sa = charon.begins_to("net", "10.0.0.2");
    charon.establishes(sa, &["data"]);
    charon.lasts();
    assert_eq!(charon.dies("net"), [to("10.0.0.3", &["data"])]);
    let sa = charon.begins_to("net", "10.0.0.3");
    charon.establishes(sa, &["data"]);
    charon.lasts();
    assert_eq!(
        charon.dies("net"),
        [to("10.0.0.2", &["data"])],
        "the first is still set aside"
    );
}

#[test]
fn a_deletion_after_a_long_life_is_no_throwing_out() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    charon.lasts();
    assert_eq!(charon.peer_deletes("net"), [to("10.0.0.2", &["data"])]);
    assert_eq!(charon.status("net").gateway_status[0].set_aside_ms, None);
}

#[test]
fn a_tunnel_that_dies_soon_goes_on_with_the_round() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    assert_eq!(charon.dies("net"), [to("10.0.0.2", &["data"])]);
    let sa = charon.begins_to("net", "10.0.0.2");
    charon.establishes(sa, &["data"]);
    assert_eq!(charon.dies("net"), [], "both were tried");
    assert_eq!(charon.advance(seconds(1)), [to("10.0.0.1", &["data"])]);
}

/// However long the tunnel was up: such gateways would take turns for ever.
#[test]
fn a_gateway_that_is_of_no_use_ends_no_outage() {
    let policy = FailoverPolicy {
        on_child_failure: ChildFailure::Yes,
        ..FailoverPolicy::default()
    };
    let mut charon = with_policy("10.0.0.1,10.0.0.2", policy);
    let mut gateway = "10.0.0.1".to_owned();
    for delay in [0, 1, 0, 2, 0, 4] {
        let sa = charon.begins_to("net", &gateway);
        charon.establishes(sa, &["data"]);
        charon.lasts();
        charon.child_ends(sa, "data", ChildEnd::Gateway);
        let mut next = charon.child_fails(sa);
        charon.destroys(sa);
        if delay > 0 {
            assert_eq!(next, [], "a wait of {delay} s");
            next = charon.advance(seconds(delay));
        }
        gateway.clone_from(&next[0].gateway);
    }
}

/// Its `close_action` is `start`.
#[test]
fn charon_is_not_followed_back_to_a_gateway_that_throws_out() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    let old = charon.manager.ike_sas("net")[0];
    charon.take_done();
    situations::begins_deleting(&mut charon, old, DeletedBy::Peer);
    let new = charon.goes_on_with_another(old);
    charon.reestablished(old);
    assert_eq!(charon.destroys(old), [to("10.0.0.2", &["data"])]);
    let abandoned =
        |action: &Action| matches!(action, Action::Abandon { ike_sa: Some(id), .. } if *id == new);
    assert!(charon.take_done().iter().any(abandoned));
}
