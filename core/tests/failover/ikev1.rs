// SPDX-License-Identifier: GPL-2.0-or-later

//! What is different in IKEv1.

use super::*;

#[test]
fn the_tunnel_moves_to_the_ike_sa_that_reauthentication_makes() {
    for initiator in [true, false] {
        let mut charon = established("10.0.0.1,10.0.0.2");
        let (old, new) = charon.migrates("net", initiator);
        charon.establishes(new, &[]);
        charon.migrates_again(old, new);
        let status = charon.status("net");
        assert_eq!(status.state, ConnectionState::Established);
        assert_eq!(charon.initiate("net"), [], "its CHILD_SA is up");
        assert_eq!(charon.deletes(old), [], "its place is taken");
        assert_eq!(charon.history(), []);
        assert_eq!(charon.dies("net"), [to("10.0.0.2", &["data"])]);
    }
}

#[test]
fn the_gateway_made_the_new_ike_sa_before_we_knew() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    charon.takes_over("net");
    assert_eq!(charon.advance(Duration::from_secs(60)), [], "it is up");
    assert_eq!(charon.status("net").state, ConnectionState::Established);
    assert_eq!(charon.history(), []);
}

#[test]
fn an_ike_sa_without_child_sas_has_nothing_to_move() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &[]);
    charon.initiate("net");
    let sa = charon.begins("net");
    charon.establishes(sa, &[]);
    charon.takes_over_nothing("net");
    assert_eq!(charon.advance(Duration::from_secs(60)), []);
    assert_eq!(charon.status("net").state, ConnectionState::Established);
}

#[test]
fn nothing_is_remembered_of_the_ike_sas_of_a_removed_connection() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    charon.remove("net");
    let (old, new) = charon.migrates("net", true);
    charon.migrates_again(old, new);
    charon.destroys(old);
    charon.establishes(new, &[]);
    let successor = charon.rekeys("net");
    charon.destroys(successor);
    assert_eq!(charon.manager.tracked(), 0);
}

#[test]
fn a_reauthentication_that_is_not_answered() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    let (old, new) = charon.migrates("net", true);
    assert_eq!(charon.unreachable(new), [to("10.0.0.2", &["data"])]);
    assert_eq!(charon.history()[0].reason, Reason::DpdTimeout);
    let abandoned = charon
        .take_done()
        .into_iter()
        .any(|action| matches!(action, Action::Abandon { ike_sa: Some(id), .. } if id == old));
    assert!(abandoned, "charon would keep the old one");
    assert_eq!(charon.destroys(old), []);
}

#[test]
fn a_gateway_that_shuts_down_closes_the_child_sas_first() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data", "voice"]);
    let sa = charon.begins("net");
    charon.establishes(sa, &["data"]);
    charon.child_down(sa, "data");
    assert_eq!(
        charon.peer_deletes("net"),
        [to("10.0.0.2", &["data"])],
        "what was up, and nothing else"
    );
}

#[test]
fn a_child_sa_that_was_closed_long_before_the_ike_sa_stays_away() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data", "voice"]);
    charon.initiate("net");
    let sa = charon.begins("net");
    charon.establishes(sa, &["data", "voice"]);
    charon.child_down(sa, "data");
    charon.advance(Duration::from_secs(60));
    assert_eq!(charon.peer_deletes("net"), [to("10.0.0.2", &["voice"])]);
}

#[test]
fn a_child_sa_that_is_refused_without_a_word() {
    let policy = FailoverPolicy {
        on_child_failure: ChildFailure::Yes,
        ..FailoverPolicy::default()
    };
    let mut charon = with_policy("10.0.0.1,10.0.0.2", policy);
    let sa = charon.begins("net");
    charon.establishes(sa, &[]);
    assert_eq!(charon.advance(Duration::from_millis(9999)), []);
    assert_eq!(
        charon.advance(Duration::from_millis(1)),
        [to("10.0.0.2", &["data"])]
    );
    assert_eq!(charon.history()[0].reason, Reason::ChildFailed);
}

#[test]
fn another_try_of_an_ike_sa_with_child_sas_is_no_migration() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    let (old, new) = charon.migrates("net", true);
    charon.retries(new);
    charon.take_done();
    assert_eq!(charon.establishing(new), []);
    let mut done = charon.take_done().into_iter();
    assert!(
        done.all(|action| matches!(action, Action::Steer { .. })),
        "it is not deleted"
    );
    assert_eq!(charon.deletes(old), []);
    assert_eq!(charon.status("net").state, ConnectionState::Established);
    assert_eq!(charon.dies("net"), [to("10.0.0.2", &["data"])]);
}

#[test]
fn a_failure_after_another_try_counts() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    let (_, new) = charon.migrates("net", true);
    charon.retries(new);
    assert_eq!(charon.unreachable(new), [to("10.0.0.2", &["data"])]);
}

/// The CHILD_SAs are of no use at another gateway.
#[test]
fn an_ike_sa_with_the_child_sas_of_another_one_is_not_tried_again_at_another_gateway() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    charon.take_done();
    let (_, new) = charon.migrates("net", true);
    let steers = charon.take_done().into_iter();
    let mut steered = steers.filter_map(|action| match action {
        Action::Steer {
            ike_sa, steering, ..
        } => Some((ike_sa, steering)),
        _ => None,
    });
    let gateway_2 = Destination {
        gateway: "10.0.0.2".into(),
        address: None,
    };
    assert_eq!(
        steered.next_back(),
        Some((new, Steering::Replace(gateway_2)))
    );
    assert_eq!(charon.unreachable(new), [to("10.0.0.2", &["data"])]);
    assert_eq!(charon.history()[0].reason, Reason::DpdTimeout);
}

#[test]
fn an_ike_sa_with_the_child_sas_of_another_one_is_replaced_at_another_gateway() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    let (_, connecting) = charon.migrates("net", true);
    let new = charon.replaces(connecting, "10.0.0.2");
    charon.establishes(new, &["data"]);
    assert_eq!(charon.status("net").state, ConnectionState::Established);
    assert_eq!(charon.history()[0].reason, Reason::DpdTimeout);
}

#[test]
fn charon_tries_a_connecting_ike_sa_with_child_sas_once_more_by_itself() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    let (_, new) = charon.migrates("net", true);
    charon.alerts(new, Alert::RetransmitSendTimeout);
    let next = charon.goes_on_with_another(new);
    charon.reestablished(new);
    assert_eq!(charon.destroys(new), []);
    assert!(!charon.abandons(next), "it is what the connection has");
    assert_eq!(charon.unreachable(next), [to("10.0.0.2", &["data"])]);
}
