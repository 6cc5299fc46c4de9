// SPDX-License-Identifier: GPL-2.0-or-later

//! charon retries or re-establishes an IKE_SA by itself and is led to the next gateway.

use super::*;

fn steers(charon: &mut Charon) -> Vec<(u32, Option<String>)> {
    charon
        .take_done()
        .into_iter()
        .filter_map(|action| match action {
            Action::Steer {
                ike_sa, steering, ..
            } => Some((ike_sa, steering.destination().map(Destination::remote))),
            _ => None,
        })
        .collect()
}

#[test]
fn a_connecting_ike_sa_goes_round_and_ends() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data"]);
    charon.initiate("net");
    let sa = charon.begins("net");
    assert_eq!(steers(&mut charon), [(sa, Some("10.0.0.2".into()))]);
    assert_eq!(charon.led_on(sa, "10.0.0.2"), []);
    assert_eq!(
        steers(&mut charon),
        [(sa, None)],
        "the delay before the next round is ours"
    );
    let status = charon.status("net");
    assert_eq!(status.state, ConnectionState::Connecting);
    assert_eq!(status.active_gateway.as_deref(), Some("10.0.0.2"));
    assert_eq!(status.retries, 1);
    assert_eq!(charon.history()[0].reason, Reason::PeerUnreachable);

    assert_eq!(charon.unreachable(sa), []);
    assert_eq!(charon.status("net").state, ConnectionState::Waiting);
    assert_eq!(
        charon.advance(Duration::from_secs(1)),
        [to("10.0.0.1", &["data"])]
    );
}

#[test]
fn terminated_after_it_was_led_on() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data"]);
    charon.initiate("net");
    let sa = charon.begins("net");
    charon.led_on(sa, "10.0.0.2");
    assert_eq!(
        charon.destroys(sa),
        [],
        "what failed before does not count any more"
    );
    assert_eq!(charon.status("net").state, ConnectionState::Down);
}

#[test]
fn given_up_before_charon_went_on() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2,10.0.0.3", &["data"]);
    charon.initiate("net");
    let sa = charon.begins("net");
    assert_eq!(
        charon.advance(Duration::from_secs(10)),
        [to("10.0.0.2", &["data"])]
    );
    assert_eq!(charon.led_on(sa, "10.0.0.2"), []);
    assert_eq!(charon.status("net").retries, 1, "counted once");
    assert_eq!(charon.destroys(sa), []);
    let sa = charon.begins_to("net", "10.0.0.2");
    charon.establishes(sa, &["data"]);
    assert_eq!(charon.status("net").state, ConnectionState::Established);
}

#[test]
fn charon_replaces_a_dead_ike_sa() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    charon.take_done();
    let new = charon.led_from("net", "10.0.0.2");
    let status = charon.status("net");
    assert_eq!(status.state, ConnectionState::Connecting);
    assert_eq!(status.active_gateway.as_deref(), Some("10.0.0.2"));
    assert_eq!(charon.manager.ike_sas("net"), [new]);
    assert_eq!(charon.history()[0].reason, Reason::DpdTimeout);
    charon.advance(Duration::from_millis(30));
    charon.establishes(new, &["data"]);
    assert!(charon.take_events().contains(&Event::FailoverEstablished {
        connection: "net".into(),
        gateway: "10.0.0.2".into(),
        attempts: 1,
        outage_ms: 30,
    }));
    charon.lasts();
    assert_eq!(charon.dies("net"), [to("10.0.0.1", &["data"])]);
}

#[test]
fn child_sas_that_charon_does_not_restart_come_back_too() {
    let mut charon = Charon::with("net", "10.0.0.1,10.0.0.2", &["data", "voice"]);
    charon.initiate("net");
    let sa = charon.begins("net");
    charon.establishes(sa, &["data", "voice"]);
    let new = charon.led_from("net", "10.0.0.2");
    charon.establishes(new, &[]);
    let [missing] = &charon.child_comes_up(new, "voice")[..] else {
        panic!("one more CHILD_SA")
    };
    assert_eq!(missing.children, ["data"]);
    assert_eq!(charon.child_comes_up(new, "data"), []);
}

#[test]
fn a_failover_that_charon_makes_of_a_removed_connection_is_not_told() {
    let mut charon = Charon::default();
    let sa = charon.begins("site");
    charon.establishes(sa, &["data"]);
    charon.take_events();
    charon.edited = Some(None);
    charon.led_from("site", "10.0.0.2");
    let told = charon.take_events();
    assert!(
        !told
            .iter()
            .any(|event| matches!(event, Event::FailoverStarted { .. })),
        "{told:?}"
    );
    assert_eq!(charon.history(), []);
}

#[test]
fn it_is_prepared_anew_for_a_connection_that_is_loaded_again() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    let sa = charon.manager.ike_sas("net")[0];
    charon.take_done();
    charon.configure("net", "10.0.0.1,10.0.0.2", &["data"]);
    assert_eq!(steers(&mut charon), [(sa, Some("10.0.0.2".into()))]);
    charon.remove("net");
    charon.configure("net", "10.0.0.1,10.0.0.2", &["data"]);
    assert_eq!(steers(&mut charon), [(sa, Some("10.0.0.2".into()))]);
}

#[test]
fn led_on_while_an_operator_switches() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    charon.switches("net", Some("10.0.0.2"));
    let switch = charon.begins_to("net", "10.0.0.2");
    let new = charon.led_from("net", "10.0.0.2");
    let given_up = charon
        .take_done()
        .into_iter()
        .any(|action| matches!(action, Action::Abandon { ike_sa: Some(id), .. } if id == new));
    assert!(given_up, "one attempt is enough");
    charon.destroys(new);
    charon.establishes(switch, &["data"]);
    assert_eq!(charon.status("net").state, ConnectionState::Established);
    assert_eq!(charon.manager.ike_sas("net"), [switch]);
}

#[test]
fn led_on_while_another_ike_sa_is_up() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    let second = charon.begins("net");
    charon.establishes(second, &["data"]);
    let new = charon.led_from("net", "10.0.0.2");
    charon.destroys(new);
    assert_eq!(charon.history(), []);
    assert_eq!(charon.manager.ike_sas("net"), [second]);
    assert_eq!(charon.status("net").state, ConnectionState::Established);
}

#[test]
fn an_ike_sa_that_is_up_is_led_to_an_address_that_was_looked_up_before() {
    let mut charon = Charon::default();
    let address = "192.0.2.1";
    let found = vec![address.parse().expect("an address")];
    charon.names.insert("segw.example", Some(found));
    charon.configure("net", "10.0.0.1,segw.example", &["data"]);
    charon.initiate("net");
    let sa = charon.begins("net");
    charon.establishes(sa, &["data"]);
    let last = steers(&mut charon).pop();
    assert_eq!(
        last,
        Some((sa, Some(address.into()))),
        "charon looks up nothing"
    );
}

#[test]
fn its_replacement_fails_too() {
    let mut charon = established("10.0.0.1,10.0.0.2,10.0.0.3");
    let new = charon.led_from("net", "10.0.0.2");
    assert_eq!(charon.unreachable(new), [to("10.0.0.3", &["data"])]);
    assert_eq!(charon.status("net").retries, 2);
}

#[test]
fn charon_cannot_begin_with_its_replacement() {
    let mut charon = established("10.0.0.1,10.0.0.2,10.0.0.3");
    assert_eq!(
        charon.led_from_in_vain("net", "10.0.0.2"),
        [to("10.0.0.3", &["data"])]
    );
}
