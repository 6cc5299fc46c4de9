// SPDX-License-Identifier: GPL-2.0-or-later

//! An operator switches by hand, and other commands in between.

use extsock_core::domain::Now;
use extsock_core::failover::manager::FailoverManager;

use super::*;

fn deleted(ike_sa: u32) -> Action {
    Action::Delete {
        connection: "net".into(),
        ike_sa,
    }
}

fn switching(addresses: &str) -> (Charon, u32, u32) {
    let mut charon = established(addresses);
    let old = charon.manager.ike_sas("net")[0];
    charon.take_done();
    assert_eq!(charon.switches("net", None), [to("10.0.0.2", &["data"])]);
    let new = charon.begins_to("net", "10.0.0.2");
    assert_eq!(charon.status("net").state, ConnectionState::Established);
    (charon, old, new)
}

#[test]
fn the_new_ike_sa_first_then_the_old_one_goes() {
    let (mut charon, old, new) = switching("10.0.0.1,10.0.0.2");
    assert!(!charon.take_done().contains(&deleted(old)));
    charon.establishes(new, &["data"]);
    assert!(charon.take_done().contains(&deleted(old)));
    let status = charon.status("net");
    assert_eq!(status.active_gateway.as_deref(), Some("10.0.0.2"));
    assert_eq!(charon.destroys(old), []);
    assert_eq!(charon.history()[0].reason, Reason::Operator);
    assert_eq!(charon.history()[0].result, Outcome::Established);
    assert_eq!(charon.history()[0].outage, Some(Duration::ZERO));
    assert_eq!(charon.dies("net"), [to("10.0.0.1", &["data"])]);
}

/// Its IKE_SA would come up beside the one that lives on, also for a connection that is loaded again.
#[test]
fn a_removal_ends_the_switch() {
    let (mut charon, old, new) = switching("10.0.0.1,10.0.0.2");
    charon.take_done();
    charon.remove("net");
    let abandoned = charon
        .take_done()
        .into_iter()
        .filter_map(|done| match done {
            Action::Abandon { ike_sa, .. } => ike_sa,
            _ => None,
        });
    assert_eq!(abandoned.collect::<Vec<_>>(), [new]);
    charon.configure("net", "10.0.0.1,10.0.0.2", &["data"]);
    assert_eq!(charon.destroys(new), []);
    assert_eq!(charon.manager.ike_sas("net"), [old]);
    assert_eq!(charon.status("net").state, ConnectionState::Established);
}

#[test]
fn a_failed_switch_leaves_the_old_ike_sa() {
    for timeout in [false, true] {
        let (mut charon, old, new) = switching("10.0.0.1,10.0.0.2");
        charon.take_done();
        if timeout {
            assert_eq!(charon.advance(Duration::from_secs(10)), []);
        } else {
            assert_eq!(charon.unreachable(new), []);
        }
        assert!(!charon.take_done().contains(&deleted(old)));
        assert_eq!(charon.status("net").state, ConnectionState::Established);
        assert_eq!(charon.reports(), ["CONNECTION_TIMEOUT"]);
        if timeout {
            assert_eq!(charon.destroys(new), []);
        }
        assert_eq!(charon.manager.ike_sas("net"), [old]);
        assert_eq!(charon.advance(Duration::from_secs(60)), []);
        assert_eq!(charon.reports(), ["CONNECTION_TIMEOUT"], "it is over");
        assert_eq!(
            charon.dies("net"),
            [to("10.0.0.2", &["data"])],
            "it counts as not yet tried"
        );
    }
}

#[test]
fn a_switch_that_ends_in_a_deletion_of_ours_is_over() {
    let (mut charon, old, new) = switching("10.0.0.1,10.0.0.2");
    charon.begun("net");
    // As IKEv1 does when it goes no further.
    assert_eq!(charon.deletes(new), []);
    assert_eq!(charon.reports(), ["CONNECTION_TIMEOUT"]);
    assert_eq!(charon.manager.ike_sas("net"), [old]);
    assert_eq!(charon.advance(Duration::from_secs(60)), []);
    assert_eq!(charon.reports(), ["CONNECTION_TIMEOUT"], "it is over");
}

#[test]
fn the_old_ike_sa_dies_meanwhile() {
    let (mut charon, _, new) = switching("10.0.0.1,10.0.0.2,10.0.0.3");
    assert_eq!(charon.dies("net"), [], "the switch is on its way");
    assert_eq!(charon.status("net").state, ConnectionState::Connecting);
    assert_eq!(
        charon.unreachable(new),
        [to("10.0.0.3", &["data"])],
        "and fails as any attempt"
    );
}

#[test]
fn a_rekeyed_ike_sa_is_deleted_all_the_same() {
    let (mut charon, old, new) = switching("10.0.0.1,10.0.0.2");
    let successor = charon.rekeys("net");
    charon.establishes(new, &["data"]);
    let done = charon.take_done();
    assert!(done.contains(&deleted(successor)), "{done:?}");
    assert!(!done.contains(&deleted(old)));
}

#[test]
fn another_switch_replaces_the_first() {
    let (mut charon, _, new) = switching("10.0.0.1,10.0.0.2,10.0.0.3");
    assert_eq!(
        charon.switches("net", Some("10.0.0.3")),
        [to("10.0.0.3", &["data"])]
    );
    assert!(charon
        .take_done()
        .iter()
        .any(|action| matches!(action, Action::Abandon { ike_sa, .. } if *ike_sa == Some(new))));
    assert_eq!(charon.destroys(new), []);
    assert_eq!(charon.status("net").state, ConnectionState::Established);
}

#[test]
fn a_switch_while_connecting_waiting_or_down() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data"]);
    assert_eq!(
        charon.switches("net", Some("10.0.0.2")),
        [to("10.0.0.2", &["data"])],
        "down"
    );
    let sa = charon.begins_to("net", "10.0.0.2");
    assert_eq!(
        charon.switches("net", None),
        [Initiation {
            own: false,
            ..to("10.0.0.1", &["data"])
        }],
        "connecting, and not destroyed yet"
    );
    assert_eq!(charon.destroys(sa), [], "abandoned");
    assert_eq!(charon.switches("net", Some("10.0.0.1")), [], "already");

    let mut charon = waiting();
    assert_eq!(
        charon.switches("net", Some("10.0.0.2")),
        [to("10.0.0.2", &["data"])]
    );
}

#[test]
fn unknown_gateways_are_refused() {
    let mut charon = established("10.0.0.1");
    let now = charon.now;
    let error = charon.manager.failover("net", None, now).unwrap_err();
    assert_eq!(error.code.name(), "NO_ALTERNATIVE_SEGW");
    let error = charon
        .manager
        .failover("net", Some("10.0.0.9"), now)
        .unwrap_err();
    assert!(
        error
            .message
            .contains("one of its gateways (10.0.0.1), found 10.0.0.9"),
        "{error}"
    );
}

#[test]
fn termination_ends_an_attempt_that_charon_has_not_told_of() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data"]);
    charon.initiate("net");
    charon.begun("net");
    charon.terminate("net");
    assert!(charon
        .take_done()
        .iter()
        .any(|action| matches!(action, Action::Abandon { ike_sa: None, .. })));
    assert_eq!(charon.status("net").state, ConnectionState::Down);
}

#[test]
fn initiated_by_a_trap_while_the_next_gateway_is_tried() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    charon.dies("net");
    let stray = charon.begins("net");
    assert!(
        charon.take_done().iter().any(
            |action| matches!(action, Action::Abandon { ike_sa, .. } if *ike_sa == Some(stray))
        ),
        "the dead gateway is not tried beside it"
    );
    assert_eq!(charon.unreachable(stray), []);
    let sa = charon.begins_to("net", "10.0.0.2");
    charon.establishes(sa, &["data"]);
    assert_eq!(charon.status("net").state, ConnectionState::Established);
}

#[test]
fn a_trap_starts_an_exhausted_connection_afresh() {
    let mut charon = waiting();
    while charon.status("net").state != ConnectionState::Exhausted {
        charon.advance(Duration::from_secs(60));
    }
    charon.begins("net");
    let status = charon.status("net");
    assert_eq!(status.state, ConnectionState::Connecting);
    assert_eq!(status.retries, 0);
}

#[test]
fn the_last_good_gateway_is_remembered_and_comes_first() {
    let options = Options {
        remembered: Some([("net".to_owned(), "10.0.0.2".to_owned())].into()),
        ..Options::default()
    };
    let mut manager = FailoverManager::new(options);
    let settings = |gateways: &str| Settings {
        gateways: AddressList::parse(gateways),
        children: vec!["data".to_owned()],
        policy: FailoverPolicy::default(),
    };
    let now = Now::default();
    manager.configure("net", settings("10.0.0.1,10.0.0.2"), now);
    manager.configure("other", settings("10.0.0.1,10.0.0.2"), now);
    assert_eq!(manager.initiate("net", None, now).unwrap().0, "10.0.0.2");
    assert_eq!(manager.initiate("other", None, now).unwrap().0, "10.0.0.1");
    // One that is in the list no more is none.
    manager.configure("net", settings("10.0.0.1,10.0.0.3"), now);
    manager.terminate("net", now).unwrap();
    assert_eq!(manager.initiate("net", None, now).unwrap().0, "10.0.0.1");

    let forgotten = Action::Remember {
        connection: "net".to_owned(),
        gateway: None,
    };
    assert!(manager.remove("net", now).unwrap().contains(&forgotten));
    let actions = manager.remove("other", now).unwrap();
    assert!(!actions
        .iter()
        .any(|action| matches!(action, Action::Remember { .. })));
}

#[test]
fn a_switch_brings_up_the_child_sas_that_charon_was_not_called_for() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data", "voice"]);
    charon.initiate("net");
    let sa = charon.begins("net");
    charon.establishes(sa, &["data", "voice"]);
    let next = to("10.0.0.2", &["data", "voice"]);
    assert_eq!(charon.switches("net", None), [next]);
    charon.begins_to("net", "10.0.0.2");
    let rest = Initiation {
        own: true,
        ..to("10.0.0.2", &["voice"])
    };
    assert_eq!(charon.begun_with_the_first(), [rest]);
}
