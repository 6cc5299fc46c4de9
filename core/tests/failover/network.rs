// SPDX-License-Identifier: GPL-2.0-or-later

//! The network says when to try.

use std::time::Duration;

use extsock_core::domain::policy::FailoverPolicy;
use extsock_core::domain::reason::Reason;
use extsock_core::failover::action::{Action, NewPath};
use extsock_core::failover::event::Event;
use extsock_core::failover::history::Outcome;
use extsock_core::failover::report::ConnectionState;

use crate::charon::Charon;
use crate::{established, exhausted, slow, to, waiting, MILLISECOND};

const SECOND: Duration = Duration::from_secs(1);

/// All retries of it failed, and the next round is an hour away.
fn far_from_the_next_round() -> Charon {
    exhausted(FailoverPolicy {
        exhausted_delay: Duration::from_secs(3600),
        ..FailoverPolicy::default()
    })
}

/// Both gateways are tried in vain, the first of which is tried already.
fn round_fails(charon: &mut Charon) {
    let sa = charon.begins("net");
    assert_eq!(charon.unreachable(sa), [to("10.0.0.2", &["data"])]);
    let sa = charon.begins_to("net", "10.0.0.2");
    assert_eq!(charon.unreachable(sa), []);
}

#[test]
fn a_change_of_the_network_ends_the_wait_for_the_next_round() {
    let mut charon = waiting();
    let retries = charon.status("net").retries;
    assert_eq!(charon.network_changes(), [to("10.0.0.1", &["data"])]);
    assert_eq!(charon.status("net").retries, retries, "it counts for none");
}

#[test]
fn a_change_of_the_network_ends_the_wait_of_an_exhausted_connection() {
    let mut charon = far_from_the_next_round();
    assert_eq!(charon.advance(Duration::from_secs(600)), []);
    assert_eq!(charon.network_changes(), [to("10.0.0.1", &["data"])]);
    let sa = charon.begins("net");
    charon.establishes(sa, &["data"]);
    assert_eq!(charon.status("net").state, ConnectionState::Established);
}

#[test]
fn a_connection_that_waits_for_a_request_does_not_heed_the_network() {
    let mut charon = exhausted(FailoverPolicy {
        exhausted_delay: Duration::ZERO,
        ..FailoverPolicy::default()
    });
    assert_eq!(charon.network_changes(), []);
    assert_eq!(charon.manager.next_deadline(), None);
}

#[test]
fn a_network_that_changes_all_the_time_is_heeded_ever_more_seldom() {
    let mut charon = far_from_the_next_round();
    assert_eq!(charon.network_changes(), [to("10.0.0.1", &["data"])]);
    for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
        round_fails(&mut charon);
        for _ in 1..pause * 10 {
            assert_eq!(charon.network_changes(), []);
            assert_eq!(charon.advance(SECOND / 10), [], "within {pause} s");
        }
        assert_eq!(charon.network_changes(), []);
        let tried = charon.advance(SECOND / 10);
        assert_eq!(tried, [to("10.0.0.1", &["data"])], "after {pause} s");
    }
}

#[test]
fn a_change_long_after_the_last_try_is_heeded_at_once() {
    let mut charon = far_from_the_next_round();
    for _ in 0..5 {
        assert_eq!(charon.network_changes(), [to("10.0.0.1", &["data"])]);
        round_fails(&mut charon);
        assert_eq!(charon.advance(Duration::from_secs(60)), []);
    }
}

#[test]
fn a_change_during_an_attempt_ends_the_wait_after_it() {
    let mut charon = far_from_the_next_round();
    assert_eq!(charon.network_changes(), [to("10.0.0.1", &["data"])]);
    let sa = charon.begins("net");
    charon.unreachable(sa);
    let sa = charon.begins_to("net", "10.0.0.2");
    charon.advance(5 * SECOND);
    assert_eq!(charon.network_changes(), []);
    assert_eq!(charon.unreachable(sa), []);
    let tried = charon.advance(Duration::ZERO);
    assert_eq!(tried, [to("10.0.0.1", &["data"])]);
}

#[test]
fn a_tunnel_that_lasts_makes_the_next_change_count_at_once() {
    let mut charon = far_from_the_next_round();
    for _ in 0..5 {
        charon.network_changes();
        round_fails(&mut charon);
        charon.advance(100 * SECOND);
    }
    charon.network_changes();
    let sa = charon.begins("net");
    charon.establishes(sa, &["data"]);
    charon.lasts();
    assert_eq!(charon.dies("net"), [to("10.0.0.2", &["data"])]);
    let sa = charon.begins_to("net", "10.0.0.2");
    assert_eq!(charon.unreachable(sa), []);
    assert_eq!(charon.network_changes(), [to("10.0.0.1", &["data"])]);
}

/// Its updown script changes routes each time.
#[test]
fn gateways_that_throw_out_are_not_tried_at_each_change() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data"]);
    let mut tried = charon.initiate("net");
    let mut initiations = 0;
    let end = charon.now.monotonic + Duration::from_secs(600);
    while charon.now.monotonic < end {
        for known in std::mem::take(&mut tried) {
            initiations += 1;
            let sa = charon.begins_to("net", &known.gateway);
            charon.establishes(sa, &["data"]);
            assert_eq!(charon.network_changes(), []);
            tried.extend(charon.peer_deletes("net"));
        }
        tried.extend(charon.network_changes());
        if tried.is_empty() {
            tried = charon.advance(SECOND / 10);
        }
    }
    assert!(initiations <= 40, "{initiations} in ten minutes");
}

#[test]
fn many_connections_that_wait_are_tried_within_a_second() {
    let mut charon = Charon::default();
    let names: Vec<String> = (0..100).map(|n| format!("c{n:02}")).collect();
    for name in &names {
        charon.configure_with(name, "10.0.0.1,10.0.0.2", &["data"], slow());
        charon.initiate(name);
        for gateway in ["10.0.0.1", "10.0.0.2"] {
            let sa = charon.begins_to(name, gateway);
            charon.unreachable(sa);
        }
    }
    let mut tried = charon.network_changes().len();
    assert_eq!(tried, 1);
    for _ in 0..10 {
        let part = charon.advance(SECOND / 10).len();
        assert!(part <= 10, "{part} in a tenth of a second");
        tried += part;
    }
    assert_eq!(tried, 100);
}

fn waits_for_network(charon: &Charon, retries: u32) {
    let status = charon.status("net");
    assert_eq!(status.state, ConnectionState::Waiting);
    assert_eq!(status.retries, retries);
    for gateway in &status.gateway_status {
        assert_eq!(gateway.last_result, Some("no_route"), "{gateway:?}");
        assert_eq!(gateway.set_aside_ms, None);
    }
}

#[test]
fn no_gateway_has_a_route() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data"]);
    charon.unrouted = ["10.0.0.1", "10.0.0.2"].into();
    assert_eq!(charon.initiate("net"), []);
    waits_for_network(&charon, 0);
    assert_eq!(charon.status("net").next_retry_ms, Some(60_000));
    for _ in 0..20 {
        assert_eq!(charon.advance(60 * SECOND), []);
        waits_for_network(&charon, 0);
    }
    assert_eq!(charon.take_events(), []);
    let failures = charon.status("net").gateway_status[0].failures_in_a_row;
    assert_eq!(failures, 0);

    charon.unrouted.clear();
    assert_eq!(charon.network_changes(), [to("10.0.0.1", &["data"])]);
    let sa = charon.begins("net");
    charon.establishes(sa, &["data"]);
    let status = charon.status("net");
    assert_eq!(status.state, ConnectionState::Established);
    assert_eq!(status.gateway_status[0].last_result, Some("established"));
}

#[test]
fn the_network_is_looked_at_from_time_to_time() {
    let mut charon = Charon::with("net", "10.0.0.1", &["data"]);
    charon.unrouted = ["10.0.0.1"].into();
    assert_eq!(charon.initiate("net"), []);
    waits_for_network(&charon, 0);
    charon.unrouted.clear();
    assert_eq!(charon.advance(60 * SECOND - MILLISECOND), []);
    assert_eq!(charon.advance(MILLISECOND), [to("10.0.0.1", &["data"])]);
}

#[test]
fn a_route_that_comes_after_many_changes_is_found_within_a_second() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data"]);
    charon.unrouted = ["10.0.0.1", "10.0.0.2"].into();
    charon.initiate("net");
    for _ in 0..600 {
        assert_eq!(charon.network_changes(), []);
        assert_eq!(charon.advance(SECOND / 2), []);
    }
    charon.unrouted.clear();
    let mut tried = charon.network_changes();
    tried.extend(charon.advance(SECOND));
    assert_eq!(tried, [to("10.0.0.1", &["data"])]);
}

#[test]
fn a_gateway_without_a_route_is_passed_over() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data"]);
    charon.unrouted = ["10.0.0.1"].into();
    assert_eq!(charon.initiate("net"), [to("10.0.0.2", &["data"])]);
    let status = charon.status("net");
    assert_eq!(status.gateway_status[0].last_result, Some("no_route"));
    assert_eq!(status.retries, 0);
    let sa = charon.begins_to("net", "10.0.0.2");
    charon.establishes(sa, &["data"]);
    let failovers = |event: &Event| matches!(event, Event::FailoverStarted { .. });
    assert!(!charon.take_events().iter().any(failovers));
}

#[test]
fn a_failover_passes_a_gateway_without_a_route_over() {
    let mut charon = established("10.0.0.1,10.0.0.2,10.0.0.3");
    charon.unrouted = ["10.0.0.2"].into();
    assert_eq!(charon.dies("net"), [to("10.0.0.3", &["data"])]);
    let started: Vec<_> = charon
        .take_events()
        .into_iter()
        .filter_map(|event| match event {
            Event::FailoverStarted {
                to,
                reason,
                attempt,
                ..
            } => Some((to, reason, attempt)),
            _ => None,
        })
        .collect();
    assert_eq!(
        started,
        [
            ("10.0.0.2".into(), "dpd_timeout".into(), 1),
            ("10.0.0.3".into(), "no_route".into(), 1)
        ]
    );
    let sa = charon.begins_to("net", "10.0.0.3");
    charon.establishes(sa, &["data"]);
    let results: Vec<Outcome> = charon.history().iter().map(|entry| entry.result).collect();
    assert_eq!(
        results,
        [Outcome::Established, Outcome::Failed(Reason::NoRoute)]
    );
}

/// The uplink is lost, which is seen by the silence of the gateway first.
#[test]
fn the_tunnel_is_lost_with_all_routes() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    charon.unrouted = ["10.0.0.1", "10.0.0.2"].into();
    assert_eq!(charon.dies("net"), []);
    assert_eq!(charon.advance(SECOND), [], "the second round");
    waits_for_network(&charon, 1);
    charon.unrouted.clear();
    assert_eq!(charon.network_changes(), [to("10.0.0.1", &["data"])]);
}

#[test]
fn one_gateway_fails_and_the_other_has_no_route() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data"]);
    charon.unrouted = ["10.0.0.2"].into();
    let mut tried = charon.initiate("net");
    for _ in 0..6 {
        assert_eq!(tried, [to("10.0.0.1", &["data"])]);
        let sa = charon.begins("net");
        assert_eq!(charon.unreachable(sa), []);
        tried = charon.advance(60 * SECOND);
    }
    let told = |event: &Event| matches!(event, Event::FailoverExhausted { .. });
    let exhausted = charon.take_events().into_iter().filter(told).count();
    assert_eq!(exhausted, 1, "tried in vain as often as is allowed");
}

#[test]
fn one_address_of_a_name_has_no_route() {
    let mut charon = Charon::default();
    let addresses = ["2001:db8::1", "10.0.0.2"].map(|address| address.parse().unwrap());
    charon.names.insert("segw.example", Some(addresses.into()));
    charon.configure("net", "segw.example", &["data"]);
    charon.unrouted = ["2001:db8::1"].into();
    let tried = charon.initiate("net");
    assert_eq!(tried.len(), 1);
    assert_eq!(tried[0].gateway, "10.0.0.2");
    assert_eq!(charon.status("net").retries, 0);
}

#[test]
fn an_operators_switch_to_a_gateway_without_a_route_changes_nothing() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    charon.unrouted = ["10.0.0.2"].into();
    assert_eq!(charon.switches("net", None), []);
    let status = charon.status("net");
    assert_eq!(status.state, ConnectionState::Established);
    assert_eq!(status.active_gateway.as_deref(), Some("10.0.0.1"));
    assert_eq!(charon.history()[0].result, Outcome::Failed(Reason::NoRoute));
}

/// It is left to charon, as all of it is.
#[test]
fn an_only_gateway_of_others_needs_no_route() {
    let mut charon = Charon::default();
    let sa = charon.begins("site");
    charon.establishes(sa, &["data"]);
    charon.begins_deleting("site");
    charon.edited = Some(Some("10.0.0.1"));
    charon.unrouted = ["10.0.0.1"].into();
    assert_eq!(charon.initiate("site").len(), 1);
}

#[test]
fn what_waits_for_the_network_is_terminated() {
    let mut charon = Charon::with("net", "10.0.0.1", &["data"]);
    charon.unrouted = ["10.0.0.1"].into();
    charon.initiate("net");
    charon.terminate("net");
    charon.unrouted.clear();
    assert_eq!(charon.network_changes(), []);
    assert_eq!(charon.status("net").state, ConnectionState::Down);
}

fn asks_at_once(charon: &mut Charon) -> bool {
    let mut done = charon.take_done().into_iter();
    done.any(|action| matches!(action, Action::Probe { .. }))
}

fn path_is_looked_at(charon: &mut Charon) -> bool {
    let mut done = charon.take_done().into_iter();
    done.any(|action| matches!(action, Action::CheckPath { .. }))
}

#[test]
fn a_tunnel_whose_way_changes_is_asked_for_a_sign_of_life() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    let sa = charon.manager.ike_sas("net")[0];
    charon.advance(SECOND);
    charon.take_done();
    assert_eq!(charon.network_changes(), []);
    assert!(path_is_looked_at(&mut charon));
    assert!(!asks_at_once(&mut charon));
    assert_eq!(charon.path_changes(sa, NewPath::Found), []);
    assert!(asks_at_once(&mut charon));
    charon.asks(sa);
    assert_eq!(charon.path_changes(sa, NewPath::Found), []);
    assert!(!asks_at_once(&mut charon), "it is being asked");
    assert_eq!(charon.waits(6 * SECOND), [to("10.0.0.2", &["data"])]);
    assert_eq!(charon.history()[0].reason, Reason::LivenessTimeout);
}

#[test]
fn an_update_by_mobike_is_the_question() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    let sa = charon.manager.ike_sas("net")[0];
    charon.advance(SECOND);
    charon.network_changes();
    charon.take_done();
    let announced = NewPath::Announced(charon.now.monotonic);
    assert_eq!(charon.path_changes(sa, announced), []);
    assert!(!asks_at_once(&mut charon));
    assert_eq!(charon.waits(6 * SECOND), [to("10.0.0.2", &["data"])]);
    assert_eq!(charon.history()[0].reason, Reason::LivenessTimeout);
}

#[test]
fn the_way_is_looked_at_once_a_second_at_most() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    charon.network_changes();
    assert!(path_is_looked_at(&mut charon));
    for _ in 0..9 {
        charon.advance(SECOND / 10);
        charon.network_changes();
        assert!(!path_is_looked_at(&mut charon));
    }
    charon.advance(SECOND / 10);
    assert!(path_is_looked_at(&mut charon), "what came in between");
}

#[test]
fn the_way_is_no_concern_without_the_liveness_check() {
    let mut charon = Charon::default();
    let policy = FailoverPolicy {
        liveness_interval: Duration::ZERO,
        ..FailoverPolicy::default()
    };
    charon.configure_with("net", "10.0.0.1,10.0.0.2", &["data"], policy);
    charon.initiate("net");
    let sa = charon.begins("net");
    charon.establishes(sa, &["data"]);
    charon.network_changes();
    assert!(!path_is_looked_at(&mut charon));
}
