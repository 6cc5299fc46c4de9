// SPDX-License-Identifier: GPL-2.0-or-later

//! Our own deadlines, and what follows from a cause.

use extsock_core::failover::action::{Probed, Question};

use super::*;

fn listening() -> (Charon, u32) {
    let policy = FailoverPolicy {
        liveness_interval: seconds(2),
        liveness_timeout: seconds(1),
        ..FailoverPolicy::default()
    };
    let mut charon = with_policy("10.0.0.1,10.0.0.2", policy);
    assert!(charon.manager.is_listening());
    let sa = charon.begins("net");
    charon.establishes(sa, &["data"]);
    charon.take_done();
    (charon, sa)
}

/// When the gateway is asked next.
fn next_question(charon: &mut Charon) -> Duration {
    charon.take_done();
    while !charon.take_done().iter().any(is_probe) {
        let next = charon.manager.next_deadline().expect("a look");
        charon.advance(next.saturating_sub(charon.now.monotonic));
    }
    charon.now.monotonic
}

fn is_probe(action: &Action) -> bool {
    matches!(action, Action::Probe { .. })
}

fn abandoned(gateway: &str, ike_sa: Option<u32>) -> Action {
    Action::Abandon {
        connection: "net".into(),
        gateway: gateway.into(),
        ike_sa,
    }
}

#[test]
fn an_attempt_takes_too_long() {
    let mut charon = with_policy("10.0.0.1,10.0.0.2", FailoverPolicy::default());
    let sa = charon.begins("net");
    assert_eq!(charon.advance(Duration::from_millis(9999)), []);
    charon.take_done();
    assert_eq!(
        charon.advance(Duration::from_millis(1)),
        [to("10.0.0.2", &["data"])]
    );
    assert!(charon
        .take_done()
        .contains(&abandoned("10.0.0.1", Some(sa))));
    assert_eq!(charon.history()[0].reason, Reason::ConnectTimeout);
    assert_eq!(charon.destroys(sa), [], "as was asked for");
}

#[test]
fn a_name_does_not_resolve_in_time() {
    let mut charon = Charon::default();
    charon.names.insert("segw.example", None);
    charon.configure("net", "segw.example,10.0.0.2", &["data"]);
    assert_eq!(charon.initiate("net"), [], "the name server is silent");
    assert_eq!(charon.advance(seconds(10))[0].gateway, "10.0.0.2");
    assert_eq!(charon.history()[0].reason, Reason::AddressUnresolvable);
    assert_eq!(charon.take_done(), [], "charon has nothing to give up");
}

#[test]
fn charon_alone_limits_the_attempt() {
    let policy = FailoverPolicy {
        connect_timeout: Duration::ZERO,
        ..FailoverPolicy::default()
    };
    let mut charon = with_policy("10.0.0.1,10.0.0.2", policy);
    charon.begins("net");
    assert_eq!(charon.manager.next_deadline(), None);
}

/// A slow set-up must be able to finish.
#[test]
fn charon_alone_limits_an_attempt_at_the_only_gateway() {
    let mut charon = with_policy("10.0.0.1", FailoverPolicy::default());
    charon.begins("net");
    assert_eq!(charon.manager.next_deadline(), None);
}

#[test]
fn an_only_gateway_that_is_silent_is_asked_and_tried_again() {
    let mut charon = with_policy("10.0.0.1", FailoverPolicy::default());
    let sa = charon.begins("net");
    charon.establishes(sa, &["data"]);
    next_question(&mut charon);
    charon.asks(sa);
    assert_eq!(charon.waits(seconds(5)), []);
    assert!(charon
        .take_done()
        .contains(&abandoned("10.0.0.1", Some(sa))));
    assert_eq!(charon.destroys(sa), []);
    assert_eq!(charon.advance(seconds(1)), [to("10.0.0.1", &["data"])]);
    assert_eq!(charon.history()[0].reason, Reason::LivenessTimeout);
}

#[test]
fn a_silent_gateway_is_asked_and_dies() {
    let (mut charon, sa) = listening();
    charon.advance(Duration::from_millis(1999));
    assert!(!charon.take_done().iter().any(is_probe));
    charon.advance(Duration::from_millis(1));
    assert!(charon.take_done().iter().any(is_probe));
    charon.asks(sa);
    assert_eq!(charon.waits(Duration::from_millis(999)), []);
    let next = charon.waits(Duration::from_millis(1));
    assert_eq!(next, [to("10.0.0.2", &["data"])]);
    assert!(charon
        .take_done()
        .contains(&abandoned("10.0.0.1", Some(sa))));
    assert_eq!(charon.history()[0].reason, Reason::LivenessTimeout);
    assert_eq!(charon.destroys(sa), []);
}

#[test]
fn a_sign_of_life_puts_the_question_off() {
    let (mut charon, sa) = listening();
    charon.advance(seconds(1));
    charon.receives(sa);
    charon.advance(seconds(1));
    assert!(!charon.take_done().iter().any(is_probe));
    charon.advance(seconds(1));
    assert!(charon.take_done().iter().any(is_probe));
    charon.asks(sa);
    charon.receives(sa);
    assert_eq!(charon.advance(seconds(1)), [], "the answer came");
    let heard = charon.now.monotonic - seconds(1);
    assert_eq!(next_question(&mut charon), heard + seconds(2));
}

#[test]
fn packets_while_it_was_asked_are_a_sign_of_life() {
    let (mut charon, sa) = listening();
    charon.waits(seconds(2));
    charon.asks(sa);
    charon.inbound += 1;
    assert_eq!(charon.waits(seconds(1)), []);
    charon.take_done();
    assert_eq!(charon.waits(Duration::from_millis(1_300)), []);
    assert!(charon.take_done().iter().any(is_probe));
}

#[test]
fn packets_that_nobody_answers_are_a_reason_to_ask_at_once() {
    let policy = FailoverPolicy {
        liveness_interval: seconds(60),
        ..FailoverPolicy::default()
    };
    let mut charon = with_policy("10.0.0.1,10.0.0.2", policy);
    let sa = charon.begins("net");
    charon.establishes(sa, &["data"]);
    charon.outbound = 7;
    charon.waits(seconds(10));
    assert!(!charon.take_done().iter().any(is_probe), "nothing went out");
    charon.outbound = 8;
    charon.waits(seconds(3));
    assert!(charon.take_done().iter().any(is_probe));
    charon.asks(sa);
    let next = charon.waits(seconds(5));
    assert_eq!(next, [to("10.0.0.2", &["data"])]);
    assert_eq!(charon.history()[0].reason, Reason::LivenessTimeout);
}

#[test]
fn a_gateway_that_answers_and_carries_nothing_is_left() {
    let policy = FailoverPolicy {
        data_timeout: seconds(6),
        ..FailoverPolicy::default()
    };
    let mut charon = with_policy("10.0.0.1,10.0.0.2", policy);
    let sa = charon.begins("net");
    charon.establishes(sa, &["data"]);
    let mut next = Vec::new();
    for _ in 0..100 {
        charon.outbound += 1;
        next = charon.waits(Duration::from_millis(100));
        if charon.take_done().iter().any(is_probe) {
            charon.asks(sa);
            charon.receives(sa);
        }
        if !next.is_empty() {
            break;
        }
    }
    assert_eq!(next, [to("10.0.0.2", &["data"])]);
    assert_eq!(charon.history()[0].reason, Reason::DataPath);
    assert!(charon.now.monotonic < seconds(8), "{:?}", charon.now);
}

#[test]
fn loaded_again_while_it_is_asked() {
    let (mut charon, sa) = listening();
    let policy = *charon.manager.policy("net").expect("a connection");
    charon.advance(seconds(2));
    charon.asks(sa);
    charon.remove("net");
    charon.receives(sa);
    charon.advance(seconds(60));
    charon.configure_with("net", "10.0.0.1,10.0.0.2", &["data"], policy);
    let loaded = charon.now.monotonic;
    assert_eq!(next_question(&mut charon), loaded + seconds(2));
}

#[test]
fn an_answer_before_the_report_of_the_question_counts() {
    let (mut charon, sa) = listening();
    charon.advance(seconds(2));
    let asked = Probed::Asked(charon.now.monotonic);
    charon.advance(Duration::from_millis(3));
    charon.receives(sa);
    let heard = charon.now.monotonic;
    charon.probed(sa, asked);
    assert_eq!(next_question(&mut charon), heard + seconds(2));
}

#[test]
fn the_time_to_answer_begins_with_the_question_however_late_it_is() {
    let (mut charon, sa) = listening();
    charon.advance(seconds(2));
    assert_eq!(charon.advance(seconds(60)), [], "no thread was free to ask");
    charon.asks(sa);
    assert_eq!(charon.waits(Duration::from_millis(999)), []);
    let next = charon.waits(Duration::from_millis(1));
    assert_eq!(next, [to("10.0.0.2", &["data"])]);
}

#[test]
fn it_is_asked_again_before_it_counts_as_dead() {
    let (mut charon, sa) = listening();
    charon.advance(seconds(2));
    charon.take_done();
    charon.asks(sa);
    let mut again = 0;
    for _ in 0..99 {
        charon.advance(Duration::from_millis(10));
        let asked = charon.take_done().into_iter().filter(|action| {
            matches!(
                action,
                Action::Probe {
                    question: Question::Again,
                    ..
                }
            )
        });
        again += asked.count();
    }
    assert_eq!(again, 2);
}

#[test]
fn it_is_asked_again_however_often_charon_repeats_its_request() {
    let mut charon = with_policy(
        "10.0.0.1,10.0.0.2",
        FailoverPolicy {
            liveness_interval: seconds(2),
            liveness_timeout: seconds(30),
            ..FailoverPolicy::default()
        },
    );
    let sa = charon.begins("net");
    charon.establishes(sa, &["data"]);
    charon.advance(seconds(2));
    charon.asks(sa);
    let again = charon.now.monotonic + seconds(10);
    assert_eq!(charon.manager.next_deadline(), Some(again));
}

#[test]
fn one_that_answered_soon_is_asked_again_soon() {
    let (mut charon, sa) = listening();
    charon.advance(seconds(2));
    charon.asks(sa);
    charon.advance(Duration::from_millis(5));
    charon.receives(sa);
    charon.advance(seconds(2));
    charon.asks(sa);
    let again = charon.now.monotonic + Duration::from_millis(100);
    assert_eq!(charon.manager.next_deadline(), Some(again));
}

#[test]
fn who_cannot_be_asked_is_not_dead() {
    let (mut charon, sa) = listening();
    charon.advance(seconds(2));
    charon.probed(sa, Probed::Impossible);
    assert_eq!(charon.advance(Duration::from_millis(1999)), []);
    let next = charon.now.monotonic + Duration::from_millis(1);
    assert_eq!(charon.manager.next_deadline(), Some(next));
}

#[test]
fn traffic_is_a_sign_of_life() {
    let (mut charon, _) = listening();
    for _ in 0..100 {
        charon.inbound += 1;
        charon.waits(seconds(1));
    }
    assert!(!charon.take_done().iter().any(is_probe));
}

#[test]
fn a_gateway_that_refuses_is_set_aside() {
    let mut charon = with_policy("10.0.0.1,10.0.0.2,10.0.0.3", FailoverPolicy::default());
    let sa = charon.begins("net");
    charon.refuses(sa, Some(Alert::PeerAuthFailed));
    assert_eq!(
        charon.status("net").gateway_status[0].set_aside_ms,
        Some(600_000)
    );
    let sa = charon.begins_to("net", "10.0.0.2");
    charon.establishes(sa, &["data"]);
    charon.lasts();
    assert_eq!(charon.dies("net")[0].gateway, "10.0.0.3");
    let sa = charon.begins_to("net", "10.0.0.3");
    assert_eq!(
        charon.unreachable(sa)[0].gateway,
        "10.0.0.1",
        "better than those that are dead"
    );
    let sa = charon.begins_to("net", "10.0.0.1");
    assert_eq!(
        charon.refuses(sa, Some(Alert::PeerAuthFailed)),
        [],
        "the next round"
    );
    assert_eq!(charon.advance(seconds(1))[0].gateway, "10.0.0.2");
    let sa = charon.begins_to("net", "10.0.0.2");
    charon.establishes(sa, &["data"]);

    charon.advance(seconds(600));
    assert_eq!(charon.dies("net")[0].gateway, "10.0.0.3");
    let sa = charon.begins_to("net", "10.0.0.3");
    assert_eq!(charon.unreachable(sa)[0].gateway, "10.0.0.1");
}

#[test]
fn our_own_credentials_are_missing() {
    let mut charon = with_policy("10.0.0.1,10.0.0.2", FailoverPolicy::default());
    let sa = charon.begins("net");
    charon.alerts(sa, Alert::LocalAuthFailed);
    assert_eq!(charon.destroys(sa), []);
    assert_eq!(charon.reports(), ["INVALID_PARAMETER"]);
    assert_eq!(charon.status("net").state, ConnectionState::Down);
}

#[test]
fn no_child_sa_is_a_failure_where_that_is_configured() {
    for on_child_failure in [ChildFailure::No, ChildFailure::Yes] {
        let policy = FailoverPolicy {
            on_child_failure,
            ..FailoverPolicy::default()
        };
        let mut charon = with_policy("10.0.0.1,10.0.0.2", policy);
        let sa = charon.begins("net");
        charon.establishes(sa, &[]);
        let next = charon.child_fails(sa);
        if on_child_failure == ChildFailure::Yes {
            assert_eq!(next, [to("10.0.0.2", &["data"])]);
            assert_eq!(charon.history()[0].reason, Reason::ChildFailed);
            assert!(charon.take_done().contains(&Action::Delete {
                connection: "net".into(),
                ike_sa: sa
            }));
            assert_eq!(charon.destroys(sa), []);
        } else {
            assert_eq!(next, []);
        }
    }
}

#[test]
fn ike_sas_without_child_sa_are_no_endless_circle() {
    let policy = FailoverPolicy {
        on_child_failure: ChildFailure::Yes,
        ..FailoverPolicy::default()
    };
    let mut charon = with_policy("10.0.0.1,10.0.0.2", policy);
    let mut gateway = "10.0.0.1".to_owned();
    for _ in 0..5 {
        let sa = charon.begins_to("net", &gateway);
        charon.establishes(sa, &[]);
        let mut next = charon.child_fails(sa);
        charon.destroys(sa);
        if next.is_empty() {
            next = charon.advance(seconds(8));
        }
        gateway.clone_from(&next[0].gateway);
    }
    let sa = charon.begins_to("net", &gateway);
    charon.establishes(sa, &[]);
    assert_eq!(charon.child_fails(sa), []);
    assert_eq!(charon.status("net").state, ConnectionState::Exhausted);
}

#[test]
fn the_outage_is_the_time_without_tunnel() {
    let mut charon = established("10.0.0.1,10.0.0.2,10.0.0.3");
    charon.dies("net");
    let sa = charon.begins_to("net", "10.0.0.2");
    charon.advance(Duration::from_millis(500));
    charon.unreachable(sa);
    let sa = charon.begins_to("net", "10.0.0.3");
    charon.advance(Duration::from_millis(250));
    charon.establishes(sa, &["data"]);
    let history = charon.history();
    assert_eq!(history[0].outage, Some(Duration::from_millis(750)));
    assert_eq!(history[0].attempt, 2);
    assert_eq!(history[0].result, Outcome::Established);
    assert_eq!(history[1].outage, None);
    assert_eq!(history[1].result, Outcome::Failed(Reason::PeerUnreachable));

    let [first, second, third] = &charon.status("net").gateway_status[..] else {
        panic!("three gateways")
    };
    assert_eq!(first.last_result, Some("dpd_timeout"));
    assert_eq!(first.last_success, Some(0));
    assert_eq!(second.last_result, Some("peer_unreachable"));
    assert_eq!(second.failures_in_a_row, 1);
    assert_eq!(third.last_result, Some("established"));
}

#[test]
fn attempts_are_paced() {
    let mut charon = Charon::new(Options {
        max_concurrent: 2,
        ..Options::default()
    });
    let names = ["a", "b", "c", "d"];
    for name in names {
        charon.configure(name, "10.0.0.1,10.0.0.2", &["data"]);
        let sa = charon.begins_after(name);
        charon.establishes(sa, &["data"]);
    }
    let begun: usize = names.iter().map(|name| charon.dies(name).len()).sum();
    assert_eq!(begun, 2);
    assert_eq!(charon.manager.half_open(), 2);
    assert_eq!(charon.status("c").state, ConnectionState::Waiting);
    let sa = charon.begins_to("a", "10.0.0.2");
    assert_eq!(charon.establishing(sa), [to("10.0.0.2", &["data"])]);
    assert_eq!(charon.status("c").state, ConnectionState::Connecting);
    charon.remove("d");
    let sa = charon.begins_to("b", "10.0.0.2");
    assert_eq!(charon.establishing(sa), []);
    assert_eq!(charon.manager.half_open(), 1);
    let attempts = charon.manager.counters().attempts;
    assert_eq!(attempts, 7, "one of each of the four, and of three again");
}
