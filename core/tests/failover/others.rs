// SPDX-License-Identifier: GPL-2.0-or-later

//! Connections that others loaded.

use super::*;

#[test]
fn a_connection_is_taken_in_when_charon_initiates_it() {
    let mut charon = Charon::default();
    let sa = charon.begins("site");
    assert_eq!(charon.status("site").gateways.len(), 3);
    let [initiation] = &charon.unreachable(sa)[..] else {
        panic!("no failover")
    };
    assert_eq!(initiation.gateway, "10.0.0.2");
    assert!(initiation.children.is_empty(), "all that there are");
    let sa = charon.begins_to("site", "10.0.0.2");
    charon.establishes(sa, &["data"]);
    assert_eq!(charon.dies("site")[0].children, ["data"]);
}

#[test]
fn it_is_forgotten_when_it_is_idle() {
    let mut charon = Charon::default();
    let sa = charon.begins("site");
    charon.establishes(sa, &[]);
    assert_eq!(charon.deletes_locally("site"), []);
    assert_eq!(charon.manager.list(charon.now), []);
    assert_eq!(charon.manager.tracked(), 0);
}

#[test]
fn one_address_is_none_of_our_business() {
    let mut charon = Charon::default();
    let sa = charon.begins_with("site", "10.0.0.1");
    assert_eq!(charon.manager.list(charon.now), []);
    assert_eq!(charon.unreachable(sa), []);
    assert_eq!(charon.manager.tracked(), 0);
}

#[test]
fn an_edited_list_counts_from_the_next_failover_on() {
    let mut charon = Charon::default();
    let sa = charon.begins("site");
    charon.establishes(sa, &["data"]);
    charon.edited = Some(Some("10.0.0.8,10.0.0.9"));
    charon.take_events();
    let initiations = charon.dies("site");
    assert_eq!(
        initiations[0].gateway, "10.0.0.9",
        "one that is not in the list counts as the first"
    );
    assert!(charon.take_events().contains(&Event::FailoverStarted {
        connection: "site".into(),
        from: "10.0.0.1".into(),
        to: "10.0.0.9".into(),
        reason: "dpd_timeout".into(),
        attempt: 1,
    }));
    assert_eq!(charon.status("site").gateways, ["10.0.0.8", "10.0.0.9"]);
}

#[test]
fn a_list_that_is_edited_in_an_outage_counts_as_well() {
    let mut charon = Charon::default();
    let sa = charon.begins("site");
    charon.unreachable(sa);
    charon.edited = Some(Some("10.0.0.8,10.0.0.9"));
    let sa = charon.begins_to("site", "10.0.0.2");
    let initiations = charon.unreachable(sa);
    assert_eq!(initiations[0].gateway, "10.0.0.9");
    assert_eq!(charon.status("site").retries, 2, "the outage goes on");
}

#[test]
fn a_vanished_connection_is_not_failed_over() {
    let mut charon = Charon::default();
    let sa = charon.begins("site");
    charon.establishes(sa, &["data"]);
    charon.take_events();
    charon.edited = Some(None);
    assert_eq!(charon.dies("site"), []);
    let told = charon.take_events();
    assert!(
        told.iter()
            .all(|event| matches!(event, Event::IkeSaDown { .. } | Event::TunnelDown(_))),
        "{told:?}"
    );
    assert_eq!(charon.manager.tracked(), 0);
}

#[test]
fn none_of_its_names_resolves() {
    let mut charon = Charon::default();
    charon.edited = Some(Some("segw-1.example,segw-2.example"));
    charon
        .names
        .insert("segw-2.example", Some(vec![[10, 0, 0, 2].into()]));
    assert_eq!(
        charon.unresolvable_with("site", "segw-1.example,segw-2.example")[0].gateway,
        "10.0.0.2"
    );
    assert_eq!(charon.history()[0].reason, Reason::AddressUnresolvable);
}

#[test]
fn the_ike_sas_of_a_removed_connection_are_nobodys() {
    let mut charon = established("10.0.0.1,10.0.0.2,10.0.0.3");
    charon.remove("net");
    let new = charon.reestablishes("net");
    assert_eq!(charon.unreachable(new), []);
    assert_eq!(charon.manager.list(charon.now), []);
    assert_eq!(charon.manager.tracked(), 0);
}

#[test]
fn a_connection_that_is_loaded_again_has_its_ike_sa_back() {
    let mut charon = established("10.0.0.1,10.0.0.2,10.0.0.3");
    charon.remove("net");
    let successor = charon.rekeys("net");
    charon.configure("net", "10.0.0.1,10.0.0.2", &["data"]);
    assert_eq!(charon.manager.ike_sas("net"), [successor]);
    assert_eq!(charon.status("net").state, ConnectionState::Established);
    assert_eq!(charon.initiate("net"), [], "it is up");
    assert_eq!(charon.dies("net"), [to("10.0.0.2", &["data"])]);
}

#[test]
fn reauthentication_is_no_failover() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    let new = charon.reauthenticates("net");
    assert_eq!(charon.status("net").state, ConnectionState::Connecting);
    charon.establishes(new, &["data"]);
    assert_eq!(charon.status("net").state, ConnectionState::Established);
    assert_eq!(charon.history(), []);
    assert_eq!(charon.dies("net"), [to("10.0.0.2", &["data"])]);
}

#[test]
fn a_failed_reauthentication_does_not_hide_the_gateways_death() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    let new = charon.begins("net");
    assert_eq!(charon.unreachable(new), [], "the old one is still up");
    assert_eq!(charon.dies("net"), [to("10.0.0.2", &["data"])]);
}
