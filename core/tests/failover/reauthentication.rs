// SPDX-License-Identifier: GPL-2.0-or-later

//! Gateways that want their clients to authenticate again sooner than the connection's over_time allows.

use super::*;

fn loops(charon: &mut Charon) -> Vec<Event> {
    let events = charon.take_events().into_iter();
    events
        .filter(|event| event.name() == "reauthentication_loop")
        .collect()
}

/// Reauthenticates as often as the gateway gives lifetimes, in seconds, with an over_time of a minute.
fn reauthenticates_with(charon: &mut Charon, lifetimes: &[u64]) {
    for lifetime in lifetimes {
        let id = charon.reauthenticates_for(*lifetime, 60);
        charon.establishes(id, &["data"]);
    }
}

#[test]
fn a_second_reauthentication_at_once_is_published_once() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    reauthenticates_with(&mut charon, &[20, 20, 20]);
    let events = loops(&mut charon);
    let [Event::ReauthenticationLoop {
        connection,
        auth_lifetime: 20,
        over_time: 60,
        ..
    }] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(connection, "net");
    assert_eq!(charon.status("net").state, ConnectionState::Established);
}

#[test]
fn a_longer_lifetime_between_them_is_no_loop() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    reauthenticates_with(&mut charon, &[20, 3600, 20]);
    assert_eq!(loops(&mut charon), []);
}

#[test]
fn another_configuration_begins_afresh() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    reauthenticates_with(&mut charon, &[20]);
    assert_eq!(charon.configure("net", "10.0.0.1,10.0.0.3", &["data"]), []);
    reauthenticates_with(&mut charon, &[20]);
    assert_eq!(loops(&mut charon), []);
    reauthenticates_with(&mut charon, &[20]);
    assert_eq!(loops(&mut charon).len(), 1);
}
