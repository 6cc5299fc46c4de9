// SPDX-License-Identifier: GPL-2.0-or-later

//! The failover manager in the situations of an operator's life, charon's part played by evidence.

mod charon;
mod children;
mod deadlines;
mod ikev1;
mod names;
mod network;
mod operator;
mod others;
mod reauthentication;
mod short_lives;
mod steering;

use std::time::Duration;

use charon::{Charon, Initiation};
use extsock_core::domain::address::AddressList;
use extsock_core::domain::child_failure::ChildFailure;
use extsock_core::domain::policy::FailoverPolicy;
use extsock_core::domain::reason::Reason;
use extsock_core::failover::action::{Action, Destination, Settings, Steering};
use extsock_core::failover::event::Event;
use extsock_core::failover::evidence::Alert;
use extsock_core::failover::history::Outcome;
use extsock_core::failover::manager::Options;
use extsock_core::failover::report::ConnectionState;

const MILLISECOND: Duration = Duration::from_millis(1);

fn to(gateway: &str, children: &[&str]) -> Initiation {
    Initiation {
        gateway: gateway.into(),
        own: gateway == "10.0.0.1",
        children: children.iter().map(ToString::to_string).collect(),
    }
}

fn slow() -> FailoverPolicy {
    FailoverPolicy {
        base_delay: Duration::from_secs(10),
        ..FailoverPolicy::default()
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A connection `net` with one child and that policy, which is asked for.
fn with_policy(addresses: &str, policy: FailoverPolicy) -> Charon {
    let mut charon = Charon::default();
    charon.configure_with("net", addresses, &["data"], policy);
    charon.initiate("net");
    charon
}

/// A connection `net` that waits for the next round.
fn waiting() -> Charon {
    let mut charon = Charon::default();
    charon.configure_with("net", "10.0.0.1,10.0.0.2", &["data"], slow());
    charon.initiate("net");
    let sa = charon.begins("net");
    charon.unreachable(sa);
    let sa = charon.begins_to("net", "10.0.0.2");
    charon.unreachable(sa);
    assert_eq!(charon.status("net").state, ConnectionState::Waiting);
    charon
}

/// A connection `net` with one child, established to its first gateway.
fn established(addresses: &str) -> Charon {
    let mut charon = Charon::with("net", addresses, &["data"]);
    charon.initiate("net");
    let sa = charon.begins("net");
    charon.establishes(sa, &["data"]);
    charon.take_events();
    charon
}

#[test]
fn the_first_gateway_does_not_answer() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data"]);
    assert_eq!(charon.initiate("net"), [to("10.0.0.1", &["data"])]);
    let sa = charon.begins("net");
    assert_eq!(charon.unreachable(sa), [to("10.0.0.2", &["data"])]);
    assert_eq!(
        charon.take_events(),
        [Event::FailoverStarted {
            connection: "net".into(),
            from: "10.0.0.1".into(),
            to: "10.0.0.2".into(),
            reason: "peer_unreachable".into(),
            attempt: 1,
        }]
    );

    charon.advance(Duration::from_millis(70));
    let sa = charon.begins("net-failover-10.0.0.2");
    charon.establishes(sa, &["data"]);
    assert!(charon.take_events().contains(&Event::FailoverEstablished {
        connection: "net".into(),
        gateway: "10.0.0.2".into(),
        attempts: 1,
        outage_ms: 70,
    }));
    let status = charon.status("net");
    assert_eq!(status.state, ConnectionState::Established);
    assert_eq!(status.active_gateway.as_deref(), Some("10.0.0.2"));
    assert_eq!(
        status.ike_sa_name.as_deref(),
        Some("net"),
        "it goes by the connection's own name"
    );
    assert_eq!(status.retries, 0);
}

#[test]
fn from_the_first_to_the_second_and_back() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    assert_eq!(charon.dies("net"), [to("10.0.0.2", &["data"])]);
    let sa = charon.begins("net-failover-10.0.0.2");
    charon.establishes(sa, &["data"]);
    assert_eq!(charon.released(), [] as [&str; 0]);

    charon.lasts();
    assert_eq!(charon.dies("net"), [to("10.0.0.1", &["data"])]);
    assert_eq!(
        charon.released(),
        ["10.0.0.2"],
        "nothing uses the clone any more"
    );
    let sa = charon.begins("net");
    charon.establishes(sa, &["data"]);
    assert_eq!(
        charon.status("net").active_gateway.as_deref(),
        Some("10.0.0.1")
    );
}

#[test]
fn three_gateways_in_a_circle() {
    let mut charon = established("10.0.0.1,10.0.0.2,10.0.0.3");
    for gateway in ["10.0.0.2", "10.0.0.3", "10.0.0.1", "10.0.0.2"] {
        charon.lasts();
        assert_eq!(charon.dies("net"), [to(gateway, &["data"])]);
        let sa = charon.begins_to("net", gateway);
        charon.establishes(sa, &["data"]);
    }
}

#[test]
fn an_only_gateway_is_tried_again_with_growing_delays() {
    let mut charon = established("10.0.0.1");
    charon.take_events();
    assert_eq!(charon.dies("net"), []);
    assert_eq!(charon.status("net").state, ConnectionState::Waiting);
    let started = Event::FailoverStarted {
        connection: "net".into(),
        from: "10.0.0.1".into(),
        to: "10.0.0.1".into(),
        reason: "dpd_timeout".into(),
        attempt: 1,
    };
    assert!(charon.take_events().contains(&started));
    for delay in [1, 2, 4, 8, 16] {
        assert_eq!(charon.advance(Duration::from_secs(delay) - MILLISECOND), []);
        let tried = charon.advance(MILLISECOND);
        assert_eq!(tried, [to("10.0.0.1", &["data"])], "after {delay} s");
        let sa = charon.begins("net");
        assert_eq!(charon.unreachable(sa), []);
    }
    assert_eq!(charon.status("net").state, ConnectionState::Exhausted);
    assert_eq!(charon.reports(), ["MAX_RETRY_EXCEEDED"]);
    let tried = charon.advance(Duration::from_secs(60));
    assert_eq!(tried, [to("10.0.0.1", &["data"])]);
    let sa = charon.begins("net");
    charon.establishes(sa, &["data"]);
    assert_eq!(charon.status("net").state, ConnectionState::Established);
    assert_eq!(charon.history()[0].result, Outcome::Established);
}

#[test]
fn charon_does_not_retry_an_only_gateway_by_itself() {
    let mut charon = Charon::default();
    charon.configure("net", "10.0.0.1", &["data"]);
    charon.initiate("net");
    let sa = charon.begins("net");
    let stopped = Action::Steer {
        connection: "net".into(),
        ike_sa: sa,
        steering: Steering::Stop,
    };
    assert!(charon.take_done().contains(&stopped));
}

/// Others edit the list down to one gateway while the tunnel is up.
#[test]
fn an_only_gateway_of_others_is_not_tried_again() {
    let mut charon = Charon::default();
    let sa = charon.begins("site");
    charon.establishes(sa, &["data"]);
    charon.edited = Some(Some("10.0.0.1"));
    assert_eq!(charon.dies("site"), []);
    assert_eq!(charon.reports(), ["NO_ALTERNATIVE_SEGW"]);
    assert_eq!(charon.advance(Duration::from_secs(3600)), []);
}

#[test]
fn every_gateway_is_dead() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    let mut initiations = charon.dies("net");
    let mut attempts = 0;
    while let [initiation] = &initiations[..] {
        attempts += 1;
        let sa = charon.begins_to("net", &initiation.gateway.clone());
        initiations = charon.unreachable(sa);
        if charon.status("net").state == ConnectionState::Waiting {
            initiations = charon.advance(Duration::from_secs(60));
        }
    }
    assert_eq!(attempts, 5);
    assert_eq!(charon.status("net").state, ConnectionState::Exhausted);
    assert_eq!(charon.reports(), ["MAX_RETRY_EXCEEDED"]);
    let exhausted = Event::FailoverExhausted {
        connection: "net".into(),
        retries: 5,
    };
    assert_eq!(
        charon
            .take_events()
            .iter()
            .filter(|event| **event == exhausted)
            .count(),
        1
    );

    assert_eq!(
        charon.initiate("net"),
        [to("10.0.0.1", &["data"])],
        "starts afresh"
    );
    assert_eq!(charon.status("net").retries, 0);
}

/// A connection `net` whose gateways all failed as often as is allowed.
fn exhausted(policy: FailoverPolicy) -> Charon {
    let mut charon = Charon::default();
    charon.configure_with("net", "10.0.0.1,10.0.0.2", &["data"], policy);
    let mut initiations = charon.initiate("net");
    while charon.status("net").state != ConnectionState::Exhausted {
        initiations = match &initiations[..] {
            [initiation] => {
                let sa = charon.begins_to("net", &initiation.gateway.clone());
                charon.unreachable(sa)
            }
            _ => charon.advance(Duration::from_millis(500)),
        };
    }
    charon.take_events();
    charon
}

#[test]
fn the_round_is_finished_before_the_retries_are_used_up() {
    let gateways: Vec<String> = (1..=7).map(|n| format!("10.0.0.{n}")).collect();
    let mut charon = Charon::with("net", &gateways.join(","), &["data"]);
    charon.initiate("net");
    for gateway in &gateways {
        let sa = charon.begins_to("net", gateway);
        charon.unreachable(sa);
    }
    let status = charon.status("net");
    assert_eq!(status.state, ConnectionState::Exhausted);
    assert_eq!(status.retries, 6);
}

#[test]
fn an_exhausted_connection_is_tried_afresh_and_told_once() {
    let mut charon = exhausted(FailoverPolicy::default());
    let status = charon.status("net");
    assert_eq!((status.retries, status.next_retry_ms), (5, Some(60_000)));
    for _ in 0..3 {
        assert_eq!(charon.advance(Duration::from_millis(59_999)), []);
        let next = charon.advance(Duration::from_millis(1));
        assert_eq!(next, [to("10.0.0.1", &["data"])]);
        let sa = charon.begins("net");
        assert_eq!(charon.unreachable(sa), [to("10.0.0.2", &["data"])]);
        let sa = charon.begins_to("net", "10.0.0.2");
        assert_eq!(charon.unreachable(sa), []);
        assert_eq!(charon.status("net").state, ConnectionState::Exhausted);
    }
    let told = |event: &Event| matches!(event, Event::FailoverExhausted { .. });
    assert!(!charon.take_events().iter().any(told), "once an outage");

    charon.advance(Duration::from_secs(60));
    let sa = charon.begins("net");
    charon.establishes(sa, &["data"]);
    let ended = |event: &Event| matches!(event, Event::FailoverEstablished { attempts: 12, .. });
    assert!(charon.take_events().iter().any(ended));
    assert_eq!(charon.status("net").retries, 0);
}

#[test]
fn the_wait_of_an_exhausted_connection_has_the_jitter() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data"]);
    charon.initiate("net");
    let sa = charon.begins("net");
    charon.unreachable(sa);
    let sa = charon.begins_to("net", "10.0.0.2");
    charon.unreachable(sa);
    charon.now.random = 1.0;
    for _ in 0..20 {
        if charon.status("net").state == ConnectionState::Exhausted {
            break;
        }
        if let [initiation] = &charon.advance(Duration::from_secs(1))[..] {
            let sa = charon.begins_to("net", &initiation.gateway.clone());
            charon.unreachable(sa);
            let sa = charon.begins_to("net", "10.0.0.2");
            charon.unreachable(sa);
        }
    }
    assert_eq!(charon.status("net").next_retry_ms, Some(54_000));
}

#[test]
fn without_a_delay_an_exhausted_connection_waits_until_somebody_asks() {
    let mut charon = exhausted(FailoverPolicy {
        exhausted_delay: Duration::ZERO,
        ..FailoverPolicy::default()
    });
    assert_eq!(charon.status("net").next_retry_ms, None);
    assert_eq!(charon.manager.next_deadline(), None);
    assert_eq!(charon.initiate("net"), [to("10.0.0.1", &["data"])]);
}

#[test]
fn an_exhausted_connection_is_terminated_or_unloaded() {
    let mut charon = exhausted(FailoverPolicy::default());
    charon.terminate("net");
    assert_eq!(charon.status("net").state, ConnectionState::Down);
    assert_eq!(charon.manager.next_deadline(), None);

    let mut charon = exhausted(FailoverPolicy::default());
    charon.remove("net");
    assert_eq!(charon.manager.next_deadline(), None);
}

#[test]
fn a_new_configuration_is_tried_at_once_when_all_is_exhausted() {
    let mut charon = exhausted(FailoverPolicy::default());
    let tried = charon.configure("net", "10.0.0.3,10.0.0.4", &["data"]);
    assert_eq!(
        tried,
        [Initiation {
            own: true,
            ..to("10.0.0.3", &["data"])
        }]
    );
}

#[test]
fn an_established_sa_resets_the_count() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    for _ in 0..20 {
        charon.lasts();
        let [initiation] = &charon.dies("net")[..] else {
            panic!("no failover")
        };
        let sa = charon.begins_to("net", &initiation.gateway.clone());
        charon.establishes(sa, &["data"]);
    }
}

#[test]
fn the_reasons_reach_events_and_history() {
    for (alert, reason) in [
        (Some(Alert::LocalAuthFailed), Reason::AuthFailed),
        (Some(Alert::PeerAuthFailed), Reason::AuthFailed),
        (Some(Alert::ProposalMismatchIke), Reason::NoProposalChosen),
        (None, Reason::Rejected),
    ] {
        let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data"]);
        charon.initiate("net");
        let sa = charon.begins("net");
        assert_eq!(charon.refuses(sa, alert), [to("10.0.0.2", &["data"])]);
        let entry = charon.history().remove(0);
        assert_eq!(entry.reason, reason);
        assert_eq!(entry.result, Outcome::Pending);

        let sa = charon.begins("net-failover-10.0.0.2");
        charon.unreachable(sa);
        let results: Vec<Outcome> = charon.history().iter().map(|entry| entry.result).collect();
        assert_eq!(
            results,
            [Outcome::Pending, Outcome::Failed(Reason::PeerUnreachable)]
        );
    }
}

#[test]
fn the_gateway_deletes_the_ike_sa() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    assert_eq!(charon.peer_deletes("net"), [to("10.0.0.2", &["data"])]);
}

#[test]
fn terminated_over_the_socket() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    charon.take_done();
    assert_eq!(charon.terminate("net"), []);
    assert_eq!(
        charon.take_done(),
        [Action::Terminate {
            connection: "net".into()
        }]
    );
    assert_eq!(
        charon.manager.ike_sas("net").len(),
        1,
        "it is still there to be terminated"
    );
    assert_eq!(charon.deletes_locally("net"), []);
    assert_eq!(charon.status("net").state, ConnectionState::Down);
}

#[test]
fn terminated_by_other_means() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    assert_eq!(charon.deletes_locally("net"), []);
    assert_eq!(charon.status("net").state, ConnectionState::Down);
}

#[test]
fn terminated_while_connecting() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data"]);
    charon.initiate("net");
    let sa = charon.begins("net");
    assert_eq!(charon.begun("net"), []);
    assert_eq!(charon.destroys(sa), []);
    assert_eq!(charon.status("net").state, ConnectionState::Down);

    charon.initiate("net");
    let sa = charon.begins("net");
    assert_eq!(charon.destroys(sa), []);
    assert_eq!(charon.begun("net"), [], "no less if this is told last");
    assert_eq!(charon.status("net").state, ConnectionState::Down);
}

#[test]
fn charon_takes_an_ike_sa_that_is_about_to_end() {
    let mut charon = Charon::with("net", "10.0.0.1", &["data"]);
    charon.initiate("net");
    let sa = charon.begins("net");
    charon.begun("net");
    charon.establishes(sa, &["data"]);
    let old = charon.begins_deleting("net");
    assert_eq!(charon.initiate("net"), [to("10.0.0.1", &["data"])]);
    // It tells of no new one.
    assert_eq!(charon.begun("net"), []);
    assert_eq!(charon.destroys(old), [to("10.0.0.1", &["data"])]);
}

#[test]
fn the_gateway_dies_while_it_is_reauthenticated() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    let new = charon.begins("net");
    assert_eq!(charon.dies("net"), [to("10.0.0.2", &["data"])]);
    let given_up = charon
        .take_done()
        .into_iter()
        .any(|action| matches!(action, Action::Abandon { ike_sa: Some(id), .. } if id == new));
    assert!(given_up, "it is coming up at the gateway that is dead");
}

#[test]
fn an_ike_sa_that_was_given_up_comes_up_all_the_same() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data"]);
    charon.initiate("net");
    let late = charon.begins("net");
    charon.begun("net");
    charon.advance(Duration::from_secs(10));
    charon.take_done();
    charon.establishing(late);
    let deleted = charon
        .take_done()
        .into_iter()
        .any(|action| matches!(action, Action::Delete { ike_sa, .. } if ike_sa == late));
    assert!(deleted);
}

#[test]
fn initiated_while_the_ike_sa_is_being_deleted() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    let old = charon.begins_deleting("net");
    assert_eq!(charon.initiate("net"), [to("10.0.0.1", &["data"])]);
    let new = charon.begins("net");
    assert_eq!(charon.destroys(old), []);
    charon.establishes(new, &["data"]);
    assert_eq!(charon.status("net").state, ConnectionState::Established);
}

#[test]
fn the_successor_is_the_tunnel_while_the_old_ike_sa_is_being_deleted() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    let new = charon.begins("net");
    charon.establishes(new, &["data"]);
    let old = charon.begins_deleting("net");
    assert_eq!(charon.initiate("net"), [], "it is up");
    assert_eq!(charon.manager.ike_sas("net"), [old, new]);
    assert_eq!(charon.peer_deletes("net"), [to("10.0.0.2", &["data"])]);
    assert_eq!(charon.history()[0].reason, Reason::PeerDeleted);
    assert_eq!(charon.destroys(old), []);
    assert_eq!(charon.status("net").state, ConnectionState::Connecting);
}

#[test]
fn the_lifetime_of_the_ike_sa_ends() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    let old = charon.manager.ike_sas("net")[0];
    assert_eq!(
        charon.alerts(old, Alert::IkeSaExpired),
        [to("10.0.0.2", &["data"])],
        "its deletion may not be answered"
    );
    assert_eq!(charon.history()[0].reason, Reason::IkeSaExpired);
    let new = charon.begins_to("net", "10.0.0.2");
    assert_eq!(charon.deletes(old), []);
    charon.establishes(new, &["data"]);
    let status = charon.status("net");
    assert_eq!(status.state, ConnectionState::Established);
    assert_eq!(status.active_gateway.as_deref(), Some("10.0.0.2"));
}

#[test]
fn the_lifetime_of_an_ike_sa_ends_that_has_a_successor() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    let new = charon.begins("net");
    charon.establishes(new, &["data"]);
    let old = charon.begins_deleting("net");
    assert_eq!(charon.alerts(old, Alert::IkeSaExpired), []);
    assert_eq!(charon.status("net").state, ConnectionState::Established);
}

#[test]
fn initiated_while_the_ike_sa_of_a_terminated_attempt_comes_up() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data"]);
    charon.initiate("net");
    charon.terminate("net");
    let sa = charon.begins("net");
    let second = charon.asks_to_initiate("net");
    assert_eq!(charon.manager.terminating("net"), [sa]);
    assert_eq!(charon.destroys(sa), []);
    assert_eq!(charon.carries_out(second), [to("10.0.0.1", &["data"])]);
    let sa = charon.begins("net");
    assert_eq!(charon.begun("net"), []);
    charon.establishes(sa, &["data"]);
    assert_eq!(charon.status("net").state, ConnectionState::Established);
}

/// The deletion waits for the answer to another request, and charon tells nothing of it.
#[test]
fn wanted_again_before_charon_can_delete_it() {
    for removed in [false, true] {
        let mut charon = established("10.0.0.1,10.0.0.2");
        let old = charon.manager.ike_sas("net")[0];
        let now = charon.now;
        let terminated = charon.manager.terminate("net", now).unwrap().1;
        if removed {
            charon.remove("net");
            charon.configure("net", "10.0.0.1,10.0.0.2", &["data"]);
        }
        assert_eq!(charon.status("net").state, ConnectionState::Down);
        let second = charon.asks_to_initiate("net");
        assert_eq!(charon.status("net").state, ConnectionState::Connecting);
        assert!(terminated
            .iter()
            .any(|action| matches!(action, Action::Terminate { .. })));
        assert_eq!(charon.manager.terminating("net"), [old]);
        assert_eq!(
            charon.carries_out(second),
            [Initiation {
                own: false,
                ..to("10.0.0.1", &["data"])
            }],
            "charon would find the old one by the connection's own configuration"
        );
        let new = charon.begins("net-failover-10.0.0.1");
        charon.establishes(new, &["data"]);
        assert_eq!(charon.deletes(old), []);
        assert_eq!(charon.manager.ike_sas("net"), [new]);
        assert_eq!(charon.status("net").state, ConnectionState::Established);
    }
}

/// Whoever removes it first is no reason for it to stay.
#[test]
fn what_was_terminated_is_deleted_after_a_removal() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    let old = charon.manager.ike_sas("net")[0];
    charon.manager.terminate("net", charon.now).unwrap();
    charon.remove("net");
    assert_eq!(charon.manager.terminating("net"), [old]);
}

#[test]
fn initiated_terminated_and_initiated_at_once() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data"]);
    charon.initiate("net");
    charon.terminate("net");
    let second = charon.asks_to_initiate("net");
    // Of the first, before charon is told to end it.
    let sa = charon.begins("net");
    assert_eq!(charon.destroys(sa), []);
    assert_eq!(charon.carries_out(second), [to("10.0.0.1", &["data"])]);
    let sa = charon.begins("net");
    assert_eq!(charon.begun("net"), []);
    charon.establishes(sa, &["data"]);
    assert_eq!(charon.status("net").state, ConnectionState::Established);
}

#[test]
fn charon_refuses_to_begin_when_the_ike_sa_is_there() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data"]);
    charon.initiate("net");
    let sa = charon.begins("net");
    assert_eq!(charon.destroys(sa), []);
    assert_eq!(charon.cannot_begin("net"), [to("10.0.0.2", &["data"])]);
    assert_eq!(charon.history()[0].reason, Reason::InitiateFailed);
}

#[test]
fn a_list_that_begins_with_what_cannot_be_initiated_to() {
    let mut charon = Charon::with("net", "%any,10.0.0.1,10.0.0.2", &["data"]);
    let [initiation] = &charon.initiate("net")[..] else {
        panic!("one initiation")
    };
    assert_eq!(initiation.gateway, "10.0.0.1");
    assert!(!initiation.own, "charon would take %any");
    charon.terminate("net");

    // charon itself gives up at once.
    let begun = charon.unresolvable_with("net", "%any,10.0.0.1,10.0.0.2");
    assert_eq!(begun[0].gateway, "10.0.0.1", "which was not tried");
    assert_eq!(charon.history(), []);
}

#[test]
fn the_first_of_two_child_sas_is_refused() {
    let policy = FailoverPolicy {
        on_child_failure: ChildFailure::Yes,
        ..FailoverPolicy::default()
    };
    let mut charon = Charon::default();
    charon.configure_with("net", "10.0.0.1,10.0.0.2", &["data", "voice"], policy);
    charon.initiate("net");
    let sa = charon.begins("net");
    charon.establishes(sa, &[]);
    charon.queues_child(sa);
    assert_eq!(charon.child_fails(sa), [], "another one is to come");
    charon.begins_child(sa);
    assert_eq!(charon.child_fails(sa)[0].gateway, "10.0.0.2", "none came");
}

#[test]
fn terminated_by_the_name_of_its_ike_sa() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    charon.dies("net");
    let sa = charon.begins("net-failover-10.0.0.2");
    charon.establishes(sa, &["data"]);
    let terminated = charon
        .manager
        .terminate("net-failover-10.0.0.2", charon.now)
        .unwrap();
    assert_eq!(terminated.0, "net");
}

#[test]
fn dpd_goes_to_the_ike_sa_that_is_up() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    charon.dies("net");
    let sa = charon.begins("net-failover-10.0.0.2");
    assert!(charon.manager.start_dpd("net").is_err(), "not yet up");
    charon.establishes(sa, &["data"]);
    for name in ["net", "net-failover-10.0.0.2"] {
        let (ike_sa_name, action) = charon.manager.start_dpd(name).unwrap();
        assert_eq!(ike_sa_name, "net");
        assert_eq!(
            action,
            Action::SendDpd {
                connection: "net".into(),
                ike_sa: sa
            }
        );
    }
    assert!(charon.manager.start_dpd("unknown").is_err());
}

#[test]
fn rekeyed_by_either_side() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    let successor = charon.rekeys("net");
    assert_eq!(charon.status("net").state, ConnectionState::Established);
    assert_eq!(charon.manager.ike_sas("net"), [successor]);
    assert_eq!(
        charon.dies("net"),
        [to("10.0.0.2", &["data"])],
        "the successor counts"
    );
}

#[test]
fn the_gateway_dies_during_rekeying() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    let successor = charon.begins_rekeying("net");
    assert_eq!(charon.dies("net"), [to("10.0.0.2", &["data"])]);
    assert_eq!(
        charon.destroys(successor),
        [],
        "it never had anything to do"
    );
    let sa = charon.begins("net-failover-10.0.0.2");
    charon.establishes(sa, &["data"]);
    assert_eq!(charon.status("net").state, ConnectionState::Established);
}

#[test]
fn charon_replaces_the_sa_itself() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    let new = charon.reestablishes("net");
    assert_eq!(charon.status("net").state, ConnectionState::Connecting);
    assert_eq!(
        charon.unreachable(new),
        [to("10.0.0.2", &["data"])],
        "its own attempt failed"
    );
}

#[test]
fn another_sa_of_the_connection_is_up() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    let second = charon.begins("net");
    charon.establishes(second, &["data"]);
    assert_eq!(charon.dies("net"), []);
    assert_eq!(charon.status("net").state, ConnectionState::Established);
    assert_eq!(charon.manager.ike_sas("net"), [second]);
}

#[test]
fn all_children_that_were_up_come_back() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["a", "b", "c"]);
    charon.initiate_child("net", "a");
    let sa = charon.begins("net");
    charon.establishes(sa, &["a"]);
    assert_eq!(charon.initiate_child("net", "c"), [to("10.0.0.1", &["c"])]);
    charon.child_up(sa, "c");
    assert_eq!(charon.initiate_child("net", "c"), [], "it is up");
    assert_eq!(charon.dies("net"), [to("10.0.0.2", &["a", "c"])]);
}

#[test]
fn a_child_that_was_closed_does_not_come_back() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["a", "b"]);
    charon.initiate("net");
    let sa = charon.begins("net");
    charon.establishes(sa, &["a", "b"]);
    charon.child_down(sa, "b");
    assert_eq!(charon.dies("net"), [to("10.0.0.2", &["a"])]);
}

#[test]
fn a_child_that_was_asked_for_while_connecting_comes_back() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["a", "b"]);
    charon.initiate_child("net", "a");
    let sa = charon.begins("net");
    assert_eq!(charon.initiate_child("net", "b"), [to("10.0.0.1", &["b"])]);
    assert_eq!(charon.unreachable(sa), [to("10.0.0.2", &["a", "b"])]);
}

#[test]
fn unknown_names_are_refused() {
    let mut charon = Charon::with("net", "10.0.0.1", &["a"]);
    let now = charon.now;
    for (name, child, expected) in [
        ("other", None, "other"),
        ("net", Some("b"), "one of its children (a), found b"),
    ] {
        let error = charon.manager.initiate(name, child, now).unwrap_err();
        assert!(error.message.contains(expected), "{error}");
    }
    assert!(charon.manager.terminate("other", now).is_err());
    assert!(charon.manager.remove("other", now).is_err());
}

#[test]
fn a_responders_connection_cannot_be_initiated() {
    let mut charon = Charon::with("net", "%any", &["a"]);
    let now = charon.now;
    let error = charon.manager.initiate("net", None, now).unwrap_err();
    assert!(
        error.message.contains("connections.net.remote_addrs"),
        "{error}"
    );
}

#[test]
fn delays_stand_between_rounds() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data"]);
    charon.initiate("net");
    let sa = charon.begins("net");
    assert_eq!(
        charon.unreachable(sa),
        [to("10.0.0.2", &["data"])],
        "not yet tried: at once"
    );
    let sa = charon.begins_to("net", "10.0.0.2");
    assert_eq!(charon.unreachable(sa), [], "all were");
    let status = charon.status("net");
    assert_eq!(status.state, ConnectionState::Waiting);
    assert_eq!(status.next_retry_ms, Some(1000));
    assert_eq!(charon.advance(Duration::from_millis(999)), []);
    assert_eq!(
        charon.advance(Duration::from_millis(1)),
        [to("10.0.0.1", &["data"])]
    );

    let sa = charon.begins("net");
    assert_eq!(charon.unreachable(sa), [to("10.0.0.2", &["data"])]);
    let sa = charon.begins_to("net", "10.0.0.2");
    assert_eq!(charon.unreachable(sa), []);
    assert_eq!(charon.advance(Duration::from_millis(1999)), [], "doubled");
    assert_eq!(
        charon.initiate("net"),
        [to("10.0.0.1", &["data"])],
        "asked for: at once"
    );
    assert_eq!(
        charon.advance(Duration::from_millis(1)),
        [],
        "the wait is over"
    );
}

#[test]
fn jitter_shortens_the_delay() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data"]);
    charon.now.random = 0.5;
    charon.initiate("net");
    let sa = charon.begins("net");
    charon.unreachable(sa);
    let sa = charon.begins_to("net", "10.0.0.2");
    charon.unreachable(sa);
    assert_eq!(charon.status("net").next_retry_ms, Some(950));
}

#[test]
fn a_new_configuration_ends_a_wait() {
    let mut charon = waiting();
    assert_eq!(
        charon.configure_with("net", "10.0.0.1,10.0.0.2", &["data"], slow()),
        [to("10.0.0.1", &["data"])]
    );
}

#[test]
fn the_same_configuration_is_confirmed_and_changes_nothing() {
    let mut charon = waiting();
    let settings = |addresses, policy| Settings {
        gateways: AddressList::parse(addresses),
        children: vec!["data".to_owned()],
        policy,
    };
    let same = settings("10.0.0.1,10.0.0.2", slow());
    let now = charon.now;
    let deadline = charon.manager.next_deadline();
    assert_eq!(
        charon.manager.confirm("net", &same, now),
        Some(vec![Action::Publish(Box::new(Event::ConfigApplied {
            connection: "net".to_owned()
        }))])
    );
    assert_eq!(charon.status("net").state, ConnectionState::Waiting);
    assert_eq!(charon.manager.next_deadline(), deadline);

    let others = [
        settings("10.0.0.2,10.0.0.1", slow()),
        settings("10.0.0.1,10.0.0.2", FailoverPolicy::default()),
        Settings {
            children: vec![],
            ..same.clone()
        },
    ];
    for other in others {
        assert_eq!(charon.manager.confirm("net", &other, now), None);
    }
    assert_eq!(charon.manager.confirm("other", &same, now), None);
}

#[test]
fn a_removed_connection_is_forgotten() {
    let mut charon = waiting();
    charon.remove("net");
    assert_eq!(charon.advance(Duration::from_secs(3600)), []);
    assert_eq!(charon.manager.next_deadline(), None);
    assert!(charon.manager.list(charon.now).is_empty());
}

#[test]
fn removal_releases_the_clone_of_a_running_sa() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    charon.dies("net");
    let sa = charon.begins("net-failover-10.0.0.2");
    charon.establishes(sa, &["data"]);
    charon.remove("net");
    assert_eq!(charon.released(), ["10.0.0.2"]);
    assert_eq!(charon.destroys(sa), []);
}

/// charon is told in a job that the IKE_SA of a clone is the connection's, and the connection may be gone
/// before.
#[test]
fn an_ike_sa_with_the_name_of_a_clone_is_told_of_after_a_removal() {
    const CLONE: &str = "net-failover-10.0.0.2";
    let mut charon = established("10.0.0.1,10.0.0.2");
    charon.dies("net");
    let sa = charon.begins(CLONE);
    charon.remove("net");
    let changes = charon.manager.take_name_changes();
    let is_told_of = |changes: &[(String, bool)]| {
        let last = changes.iter().rfind(|(name, _)| name == CLONE);
        last.is_some_and(|(_, concerns)| *concerns)
    };
    assert!(is_told_of(&changes), "{changes:?}");

    assert_eq!(charon.destroys(sa), []);
    let changes = charon.manager.take_name_changes();
    assert!(!is_told_of(&changes), "{changes:?}");
    assert_eq!(charon.manager.tracked(), 0);
}

#[test]
fn new_gateways_under_a_running_sa() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    charon.configure("net", "10.0.0.8,10.0.0.9", &["data"]);
    assert_eq!(charon.status("net").state, ConnectionState::Established);
    let initiations = charon.dies("net");
    assert_eq!(
        initiations[0].gateway, "10.0.0.9",
        "one that is not in the list counts as the first"
    );
}

#[test]
fn charon_cannot_begin_the_attempt() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data"]);
    charon.initiate("net");
    assert_eq!(charon.cannot_begin("net"), [to("10.0.0.2", &["data"])]);
    assert_eq!(charon.history()[0].reason, Reason::InitiateFailed);
}

#[test]
fn charon_cannot_use_the_address_of_the_next_gateway() {
    let mut charon = established("10.0.0.1,10.0.0.2,10.0.0.3");
    assert_eq!(charon.dies("net")[0].gateway, "10.0.0.2");
    assert_eq!(
        charon.unresolvable("net-failover-10.0.0.2")[0].gateway,
        "10.0.0.3"
    );
    assert_eq!(
        charon.cannot_begin_stale("net"),
        [],
        "the same failure is not counted twice"
    );
    assert_eq!(charon.history()[0].reason, Reason::AddressUnresolvable);
}

#[test]
fn swanctl_initiates_the_connection() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data"]);
    let sa = charon.begins("net");
    assert_eq!(charon.status("net").state, ConnectionState::Connecting);
    assert_eq!(charon.unreachable(sa), [to("10.0.0.2", &["data"])]);
}

#[test]
fn other_peoples_sas_and_responders_are_left_alone() {
    let mut charon = Charon::new(Options {
        foreign: None,
        ..Options::default()
    });
    charon.configure("net", "10.0.0.1,10.0.0.2", &["data"]);
    let foreign = charon.begins("other");
    assert_eq!(charon.unreachable(foreign), []);
    let responder = charon.responds("net");
    assert_eq!(charon.destroys(responder), []);
    assert_eq!(charon.status("net").state, ConnectionState::Down);
}

#[test]
fn nothing_is_a_failure_after_the_shutdown_signal() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    charon.shuts_down();
    assert_eq!(charon.dies("net"), []);
}

#[test]
fn names_that_stand_for_two_connections_are_refused() {
    let charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data"]);
    let list = "10.0.0.1,10.0.0.2".parse_list();
    let clash = charon
        .manager
        .check_names([("net-failover-10.0.0.2", &list)])
        .unwrap_err();
    assert!(
        clash.message.contains("stands for connection net"),
        "{clash}"
    );
    let clash = charon
        .manager
        .check_names([("x", &list), ("x-failover-10.0.0.2", &list)]);
    assert!(clash.is_err(), "within one document, too");
    assert!(
        charon.manager.check_names([("net", &list)]).is_ok(),
        "a replacement"
    );
}

trait ParseList {
    fn parse_list(&self) -> extsock_core::domain::address::AddressList;
}

impl ParseList for str {
    fn parse_list(&self) -> extsock_core::domain::address::AddressList {
        extsock_core::domain::address::AddressList::parse(self)
    }
}

#[test]
fn a_gateway_deletes_the_ike_sa_while_our_rekeying_is_not_answered() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    let initiated = charon.peer_deletes_while_rekeying("net");
    assert_eq!(initiated, [to("10.0.0.2", &["data"])]);
    assert_eq!(charon.history()[0].reason, Reason::PeerDeleted);
}

#[test]
fn redirected_before_it_is_up() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data"]);
    charon.initiate("net");
    let sa = charon.begins("net");
    let redirected = charon.goes_on_with_another(sa);
    charon.reestablished(sa);
    assert_eq!(charon.destroys(sa), []);
    assert!(!charon.abandons(redirected));
    charon.establishes(redirected, &["data"]);
    assert_eq!(charon.status("net").state, ConnectionState::Established);
    assert_eq!(charon.history(), []);
}

/// A connection `net` with two CHILD_SAs, for each of which charon makes an IKE_SA of its own
/// (`charon.reuse_ikesa = no`).
fn two_ike_sas() -> (Charon, [u32; 2]) {
    let mut charon = Charon::new(Options {
        reuse_ikesa: false,
        ..Options::default()
    });
    charon.configure("net", "10.0.0.1,10.0.0.2", &["data", "voice"]);
    assert_eq!(charon.initiate("net"), [to("10.0.0.1", &["data", "voice"])]);
    let sas = [charon.begins("net"), charon.begins("net")];
    (charon, sas)
}

#[test]
fn each_child_sa_has_an_ike_sa_of_its_own_and_all_fail_over() {
    let (mut charon, [first, second]) = two_ike_sas();
    charon.begun("net");
    charon.establishes(first, &["data"]);
    charon.establishes(second, &["voice"]);
    assert!(!charon.abandons(second));
    assert_eq!(charon.dies("net"), [to("10.0.0.2", &["data", "voice"])]);
    assert!(charon.abandons(second), "its gateway is dead as well");
    assert_eq!(charon.destroys(second), []);
    for child in ["data", "voice"] {
        let sa = charon.begins_to("net", "10.0.0.2");
        charon.establishes(sa, &[child]);
    }
    assert_eq!(charon.status("net").state, ConnectionState::Established);
    assert_eq!(charon.history().len(), 1);
}

#[test]
fn none_of_the_separate_ike_sas_comes_up() {
    let (mut charon, [first, second]) = two_ike_sas();
    charon.begun("net");
    let next = to("10.0.0.2", &["data", "voice"]);
    assert_eq!(charon.unreachable(first), [next]);
    assert!(charon.abandons(second));
    assert_eq!(charon.destroys(second), []);
    assert_eq!(charon.status("net").retries, 1);
}

#[test]
fn a_gateway_deletes_one_of_the_separate_ike_sas() {
    let (mut charon, [first, second]) = two_ike_sas();
    charon.begun("net");
    charon.establishes(first, &["data"]);
    charon.establishes(second, &["voice"]);
    let restored = Initiation {
        own: true,
        ..to("10.0.0.1", &["data"])
    };
    assert_eq!(charon.peer_deletes("net"), [restored], "on the other one");
    assert!(!charon.abandons(second));
    assert_eq!(charon.history(), []);
}

#[test]
fn the_second_of_the_separate_ike_sas_is_up_first() {
    let (mut charon, [first, second]) = two_ike_sas();
    charon.begun("net");
    charon.establishes(second, &["voice"]);
    assert!(!charon.abandons(first), "its CHILD_SA is wanted as well");
    charon.establishes(first, &["data"]);
    assert_eq!(charon.status("net").state, ConnectionState::Established);
    assert_eq!(charon.dies("net"), [to("10.0.0.2", &["data", "voice"])]);
}

#[test]
fn one_beside_the_ike_sa_that_carries_the_connection_is_deleted_by_the_gateway() {
    let (mut charon, [first, second]) = two_ike_sas();
    charon.begun("net");
    charon.establishes(second, &["voice"]);
    charon.establishes(first, &["data"]);
    let restored = Initiation {
        own: true,
        ..to("10.0.0.1", &["data"])
    };
    assert_eq!(charon.peer_deletes("net"), [restored]);
    assert!(!charon.abandons(second));
}
