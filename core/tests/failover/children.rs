// SPDX-License-Identifier: GPL-2.0-or-later

//! CHILD_SAs that are wanted and missing while their IKE_SA is up.

use extsock_core::failover::evidence::{ChildEnd, ChildOrigin};

use super::*;

/// With that value of `on_child_failure`, and all CHILD_SAs up on gateway 1.
fn up(addresses: &str, children: &[&str], on_child_failure: ChildFailure) -> (Charon, u32) {
    let mut charon = Charon::default();
    let policy = FailoverPolicy {
        on_child_failure,
        jitter: 0.0,
        ..FailoverPolicy::default()
    };
    charon.configure_with("net", addresses, children, policy);
    charon.initiate("net");
    let sa = charon.begins("net");
    charon.establishes(sa, children);
    charon.take_events();
    (charon, sa)
}

fn names(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(Event::name).collect()
}

#[test]
fn the_gateway_deletes_the_only_child_sa() {
    for value in [
        ChildFailure::Failover,
        ChildFailure::Retry,
        ChildFailure::Yes,
    ] {
        let (mut charon, sa) = up("10.0.0.1,10.0.0.2", &["data"], value);
        let next = charon.child_ends(sa, "data", ChildEnd::Gateway);
        assert_eq!(next, [to("10.0.0.1", &["data"])], "at once");
        let status = charon.status("net");
        assert_eq!(status.state, ConnectionState::Established);
        assert!(status.degraded);
        assert_eq!(
            (status.wanted, status.missing),
            (vec!["data".into()], vec!["data".into()])
        );
        charon.child_up(sa, "data");
        let status = charon.status("net");
        assert!(!status.degraded && status.missing.is_empty());
        assert_eq!(
            names(&charon.take_events()),
            [
                "tunnel_down",
                "degraded_started",
                "tunnel_up",
                "degraded_ended"
            ]
        );
    }
}

#[test]
fn a_missing_child_sa_is_left_alone_where_that_is_configured() {
    let (mut charon, sa) = up("10.0.0.1,10.0.0.2", &["data"], ChildFailure::No);
    assert_eq!(charon.child_ends(sa, "data", ChildEnd::Gateway), []);
    assert_eq!(charon.advance(seconds(3600)), []);
    let status = charon.status("net");
    assert!(status.degraded);
    assert_eq!(status.missing, ["data"]);
    assert_eq!(charon.dies("net"), [to("10.0.0.2", &["data"])]);
    assert!(!charon.status("net").degraded);
}

#[test]
fn the_gateway_deletes_the_child_sa_again_and_again() {
    let (mut charon, sa) = up("10.0.0.1,10.0.0.2", &["data"], ChildFailure::Failover);
    assert_eq!(charon.child_ends(sa, "data", ChildEnd::Gateway).len(), 1);
    for delay in [1, 2, 4, 8, 16, 32, 60, 60] {
        charon.child_up(sa, "data");
        assert_eq!(charon.child_ends(sa, "data", ChildEnd::Gateway), []);
        assert_eq!(
            charon.advance(seconds(delay) - Duration::from_millis(1)),
            []
        );
        let next = charon.advance(Duration::from_millis(1));
        assert_eq!(next, [to("10.0.0.1", &["data"])], "after {delay} s");
    }
    charon.child_up(sa, "data");
    charon.advance(seconds(30));
    let next = charon.child_ends(sa, "data", ChildEnd::Gateway);
    assert_eq!(next, [to("10.0.0.1", &["data"])], "it was stable");
}

#[test]
fn a_gateway_that_gives_no_child_sa_in_three_tries_has_failed() {
    let (mut charon, sa) = up("10.0.0.1,10.0.0.2", &["data"], ChildFailure::Failover);
    assert_eq!(charon.child_ends(sa, "data", ChildEnd::Expired).len(), 1);
    assert_eq!(charon.child_fails(sa), []);
    assert_eq!(charon.advance(seconds(1)), [to("10.0.0.1", &["data"])]);
    assert_eq!(charon.child_fails(sa), []);
    assert_eq!(charon.advance(seconds(2)), [to("10.0.0.1", &["data"])]);
    assert_eq!(charon.child_fails(sa), [to("10.0.0.2", &["data"])]);
    assert_eq!(charon.history()[0].reason, Reason::ChildFailed);
}

#[test]
fn it_is_tried_for_ever_where_that_is_configured() {
    let (mut charon, sa) = up("10.0.0.1,10.0.0.2", &["data"], ChildFailure::Retry);
    let mut next = charon.child_ends(sa, "data", ChildEnd::Gateway);
    for _ in 0..20 {
        assert_eq!(next, [to("10.0.0.1", &["data"])]);
        assert_eq!(charon.child_fails(sa), []);
        next = charon.advance(seconds(60));
    }
    assert_eq!(charon.history(), []);
}

#[test]
fn the_only_gateway_gives_no_child_sa() {
    let (mut charon, sa) = up("10.0.0.1", &["data"], ChildFailure::Failover);
    assert_eq!(charon.child_ends(sa, "data", ChildEnd::Gateway).len(), 1);
    assert_eq!(charon.child_fails(sa), []);
    assert_eq!(charon.advance(seconds(1)).len(), 1);
    assert_eq!(charon.child_fails(sa), []);
    assert_eq!(charon.advance(seconds(2)).len(), 1);
    assert_eq!(charon.child_fails(sa), []);
    let deleted =
        |action: &Action| matches!(action, Action::Delete { ike_sa, .. } if *ike_sa == sa);
    assert!(charon.take_done().iter().any(deleted));
    charon.destroys(sa);
    assert_eq!(
        charon.advance(seconds(1)),
        [to("10.0.0.1", &["data"])],
        "anew"
    );
    let sa = charon.begins("net");
    charon.establishes(sa, &["data"]);
    let events = charon.take_events();
    assert!(events.iter().any(|event| matches!(event,
        Event::FailoverStarted { from, to, .. } if from == "10.0.0.1" && to == "10.0.0.1")));
    assert_eq!(charon.status("net").state, ConnectionState::Established);
}

#[test]
fn the_gateway_is_not_left_while_another_child_sa_is_up() {
    let (mut charon, sa) = up("10.0.0.1,10.0.0.2", &["a", "b"], ChildFailure::Failover);
    assert_eq!(
        charon.child_ends(sa, "b", ChildEnd::Gateway),
        [to("10.0.0.1", &["b"])]
    );
    for _ in 0..10 {
        assert_eq!(charon.child_fails(sa), []);
        assert_eq!(charon.advance(seconds(60)), [to("10.0.0.1", &["b"])]);
    }
    assert_eq!(charon.status("net").missing, ["b"]);
    assert_eq!(charon.history(), []);
}

#[test]
fn a_child_sa_that_the_gateway_closed_comes_back_with_the_next_gateway() {
    for value in [ChildFailure::Failover, ChildFailure::No] {
        let (mut charon, sa) = up("10.0.0.1,10.0.0.2", &["a", "b"], value);
        charon.child_ends(sa, "b", ChildEnd::Gateway);
        if value == ChildFailure::Failover {
            assert_eq!(charon.child_fails(sa), []);
        }
        assert_eq!(charon.dies("net"), [to("10.0.0.2", &["a", "b"])]);
    }
}

#[test]
fn a_child_sa_that_an_operator_closed_is_not_wanted() {
    let (mut charon, sa) = up("10.0.0.1,10.0.0.2", &["a", "b"], ChildFailure::Failover);
    assert_eq!(charon.child_ends(sa, "b", ChildEnd::Local), []);
    let status = charon.status("net");
    assert_eq!(status.wanted, ["a"]);
    assert!(!status.degraded);
    assert_eq!(charon.dies("net"), [to("10.0.0.2", &["a"])]);
}

#[test]
fn charon_brings_a_child_sa_back_by_itself() {
    let (mut charon, sa) = up("10.0.0.1,10.0.0.2", &["data"], ChildFailure::Failover);
    assert_eq!(charon.child_ends(sa, "data", ChildEnd::Restarted), []);
    assert!(charon.status("net").degraded);
    assert_eq!(charon.child_fails(sa), []);
    assert_eq!(
        charon.advance(seconds(1)),
        [to("10.0.0.1", &["data"])],
        "in vain"
    );
}

#[test]
fn a_trap_brings_its_child_sa_back() {
    let (mut charon, sa) = up("10.0.0.1,10.0.0.2", &["a"], ChildFailure::Failover);
    charon.child_comes_by(sa, "b", ChildOrigin::Trap);
    assert_eq!(charon.status("net").wanted, ["a"]);
    assert_eq!(charon.child_ends(sa, "b", ChildEnd::Gateway), []);
    assert!(!charon.status("net").degraded);
    charon.child_comes_by(sa, "b", ChildOrigin::Trap);
    assert_eq!(charon.dies("net"), [to("10.0.0.2", &["a", "b"])]);
}

#[test]
fn a_child_sa_of_the_gateways_own_is_not_wanted() {
    let (mut charon, sa) = up("10.0.0.1,10.0.0.2", &["a"], ChildFailure::Failover);
    charon.child_comes_by(sa, "b", ChildOrigin::Gateway);
    assert_eq!(charon.status("net").wanted, ["a"]);
    assert_eq!(charon.child_ends(sa, "b", ChildEnd::Gateway), []);
    charon.child_comes_by(sa, "b", ChildOrigin::Gateway);
    assert_eq!(charon.dies("net"), [to("10.0.0.2", &["a"])]);
}

#[test]
fn one_of_two_child_sas_is_refused_from_the_beginning() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["a", "b"]);
    charon.initiate("net");
    let sa = charon.begins("net");
    charon.establishes(sa, &[]);
    charon.queues_child(sa);
    assert_eq!(charon.child_fails(sa), [], "another one is to come");
    charon.begins_child(sa);
    assert_eq!(
        charon.child_comes_up(sa, "b"),
        [to("10.0.0.1", &["a"])],
        "at once"
    );
    assert!(charon.status("net").degraded);
}

#[test]
fn gateways_leave_the_request_for_the_second_child_sa_unanswered() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["a", "b"]);
    charon.initiate("net");
    let sa = charon.begins("net");
    charon.establishes(sa, &["a"]);
    charon.initiate_child("net", "b");
    charon.is_making_a_child(sa);
    assert_eq!(charon.dies("net"), [to("10.0.0.2", &["a"])]);
    let sa = charon.begins_to("net", "10.0.0.2");
    charon.establishes(sa, &["a"]);
    assert_eq!(charon.status("net").missing, ["b"]);
    charon.child_ends(sa, "a", ChildEnd::Local);
}

#[test]
fn an_ikev1_gateway_refuses_the_child_sa_three_times() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data"]);
    charon.initiate("net");
    let sa = charon.begins("net");
    charon.establishes(sa, &[]);
    for try_number in 1..3 {
        let next = charon.advance(seconds(10));
        assert_eq!(
            next,
            if try_number == 1 {
                vec![to("10.0.0.1", &["data"])]
            } else {
                vec![]
            }
        );
        if try_number == 2 {
            assert_eq!(charon.advance(seconds(1)), [to("10.0.0.1", &["data"])]);
        }
    }
    assert_eq!(charon.advance(seconds(10)), [to("10.0.0.2", &["data"])]);
    assert_eq!(charon.history()[0].reason, Reason::ChildFailed);
}

#[test]
fn an_ike_sa_that_wants_no_child_sa_is_never_degraded() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &[]);
    charon.initiate("net");
    let sa = charon.begins("net");
    charon.establishes(sa, &[]);
    assert_eq!(charon.advance(seconds(3600)), []);
    let status = charon.status("net");
    assert!(status.wanted.is_empty() && !status.degraded);
}

#[test]
fn what_charon_does_not_make_by_itself_waits_if_it_could_not_be_had_before() {
    let (mut charon, sa) = up("10.0.0.1,10.0.0.2", &["a", "b"], ChildFailure::Failover);
    charon.child_ends(sa, "b", ChildEnd::Gateway);
    let new = charon.led_from("net", "10.0.0.2");
    charon.establishes(new, &[]);
    assert_eq!(charon.child_comes_up(new, "a"), [], "not at once");
    assert_eq!(charon.status("net").missing, ["b"]);
    assert!(charon.status("net").degraded);
    let next = charon.advance(seconds(1));
    assert_eq!(
        (&*next[0].gateway, &*next[0].children),
        ("10.0.0.2", &["b".to_owned()][..])
    );
}
