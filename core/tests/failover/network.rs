// SPDX-License-Identifier: GPL-2.0-or-later

//! The network says when to try.

use std::time::Duration;

use extsock_core::domain::policy::FailoverPolicy;
use extsock_core::failover::report::ConnectionState;

use crate::charon::Charon;
use crate::{exhausted, slow, to, waiting};

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
