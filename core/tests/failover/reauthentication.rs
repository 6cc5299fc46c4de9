// SPDX-License-Identifier: GPL-2.0-or-later

//! Gateways that want their clients to authenticate again sooner than the connection's over_time allows.

use extsock_core::error::Result;

use super::*;

fn limited(over_time: Option<u64>) -> Action {
    Action::LimitOverTime {
        connection: "net".into(),
        over_time: over_time.map(Duration::from_secs),
    }
}

/// A tunnel whose gateway gives each IKE_SA 20 s, and a connection that reauthenticates a minute before their end.
fn looping() -> Charon {
    let mut charon = established("10.0.0.1,10.0.0.2");
    charon.take_done();
    charon.take_events();
    for _ in 0..2 {
        let id = charon.reauthenticates_for(20, 60);
        charon.establishes(id, &["data"]);
    }
    charon
}

fn loops(charon: &mut Charon) -> Vec<Event> {
    let events = charon.take_events().into_iter();
    events
        .filter(|event| event.name() == "reauthentication_loop")
        .collect()
}

#[test]
fn a_second_reauthentication_at_once_is_told_and_limited() {
    let mut charon = looping();
    let [Event::ReauthenticationLoop {
        connection,
        auth_lifetime: 20,
        over_time: 60,
        ..
    }] = &loops(&mut charon)[..]
    else {
        panic!("one event");
    };
    assert_eq!(connection, "net");
    assert!(charon.take_done().contains(&limited(Some(2))));

    let id = charon.reauthenticates_for(20, 60);
    charon.establishes(id, &["data"]);
    assert_eq!(loops(&mut charon), [], "it is told once");
    // Its configuration has the other over_time, and operators know it by the connection's own.
    assert!(charon.adopted.contains(&id));
    assert_eq!(charon.status("net").state, ConnectionState::Established);
}

#[test]
fn one_reauthentication_at_once_is_no_loop() {
    let mut charon = established("10.0.0.1,10.0.0.2");
    charon.take_done();
    let id = charon.reauthenticates_for(20, 60);
    charon.establishes(id, &["data"]);
    let id = charon.reauthenticates_for(3600, 60);
    charon.establishes(id, &["data"]);
    let id = charon.reauthenticates_for(20, 60);
    charon.establishes(id, &["data"]);
    assert_eq!(loops(&mut charon), []);
    let done = charon.take_done();
    assert!(!done
        .iter()
        .any(|action| matches!(action, Action::LimitOverTime { .. })));
}

#[test]
fn a_longer_lifetime_ends_the_loop() {
    let mut charon = looping();
    charon.take_done();
    let id = charon.reauthenticates_for(3600, 60);
    assert!(charon.take_done().contains(&limited(None)));
    charon.establishes(id, &["data"]);
    assert!(!charon.adopted.contains(&id));
}

#[test]
fn another_configuration_ends_the_loop() {
    let mut charon = looping();
    charon.take_done();
    assert_eq!(charon.configure("net", "10.0.0.1,10.0.0.3", &["data"]), []);
    assert!(charon.take_done().contains(&limited(None)));
}

#[test]
fn the_removal_of_the_connection_ends_the_loop() -> Result<()> {
    let mut charon = looping();
    let actions = charon.manager.remove("net", charon.now)?;
    assert!(actions.contains(&limited(None)));
    Ok(())
}
