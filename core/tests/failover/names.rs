// SPDX-License-Identifier: GPL-2.0-or-later

//! Gateways that are names: looked up at every attempt, with one address or several.

use std::net::IpAddr;

use super::*;

const FIRST: &str = "192.0.2.1";
const SECOND: &str = "192.0.2.2";

fn addresses(texts: &[&str]) -> Option<Vec<IpAddr>> {
    let parsed = texts.iter().map(|text| text.parse().expect("an address"));
    Some(parsed.collect())
}

/// A connection `net` to a name with these addresses, then to 10.0.0.2.
fn named(found: &[&str]) -> Charon {
    let mut charon = Charon::default();
    charon.names.insert("segw.example", addresses(found));
    charon.configure("net", "segw.example,10.0.0.2", &["data"]);
    charon.take_events();
    charon
}

fn gateways(initiations: &[Initiation]) -> Vec<&str> {
    let gateways = initiations.iter().map(|begun| begun.gateway.as_str());
    gateways.collect()
}

/// The attempt to the name begins, at that address.
fn begins_at(charon: &mut Charon, address: &str) -> u32 {
    charon.begins_at("net-failover-segw.example", address)
}

fn started(charon: &mut Charon) -> Vec<(String, String)> {
    let events = charon.take_events().into_iter();
    events
        .filter_map(|event| match event {
            Event::FailoverStarted { from, to, .. } => Some((from, to)),
            _ => None,
        })
        .collect()
}

#[test]
fn the_first_gateway_does_not_resolve() {
    let mut charon = named(&[]);
    assert_eq!(gateways(&charon.initiate("net")), ["10.0.0.2"]);
    assert_eq!(charon.history()[0].reason, Reason::AddressUnresolvable);
}

#[test]
fn every_address_of_a_name_is_tried_before_the_next_gateway() {
    let mut charon = named(&[FIRST, SECOND]);
    assert_eq!(gateways(&charon.initiate("net")), [FIRST]);
    let sa = begins_at(&mut charon, FIRST);
    assert_eq!(gateways(&charon.unreachable(sa)), [SECOND]);
    let sa = begins_at(&mut charon, SECOND);
    assert_eq!(gateways(&charon.unreachable(sa)), ["10.0.0.2"]);
    let segw = || "segw.example".to_owned();
    assert_eq!(
        started(&mut charon),
        [(segw(), segw()), (segw(), "10.0.0.2".into())]
    );
    assert_eq!(charon.status("net").retries, 2);
}

#[test]
fn a_tunnel_goes_to_the_other_address_when_the_first_dies_and_back() {
    let mut charon = named(&[FIRST, SECOND]);
    charon.initiate("net");
    let sa = begins_at(&mut charon, FIRST);
    charon.establishes(sa, &["data"]);
    assert_eq!(gateways(&charon.dies("net")), [SECOND]);
    let sa = begins_at(&mut charon, SECOND);
    charon.establishes(sa, &["data"]);
    charon.lasts();
    assert_eq!(gateways(&charon.dies("net")), [FIRST]);
    assert_eq!(charon.history().len(), 2);
    assert_eq!(charon.history()[1].result, Outcome::Established);
}

#[test]
fn it_is_looked_up_anew_at_every_attempt() {
    let mut charon = named(&[FIRST, SECOND]);
    charon.initiate("net");
    let sa = begins_at(&mut charon, FIRST);
    charon
        .names
        .insert("segw.example", addresses(&["192.0.2.9"]));
    assert_eq!(gateways(&charon.unreachable(sa)), ["192.0.2.9"]);

    charon.names.insert("segw.example", addresses(&[FIRST]));
    let sa = begins_at(&mut charon, "192.0.2.9");
    assert_eq!(
        gateways(&charon.unreachable(sa)),
        ["10.0.0.2"],
        "what it has now was tried"
    );
}

#[test]
fn one_name_with_two_addresses_is_an_alternative() {
    let mut charon = Charon::default();
    charon
        .names
        .insert("segw.example", addresses(&[FIRST, SECOND]));
    charon.configure("net", "segw.example", &["data"]);
    charon.initiate("net");
    let sa = begins_at(&mut charon, FIRST);
    assert_eq!(
        gateways(&charon.advance(Duration::from_secs(10))),
        [SECOND],
        "limited by connect_timeout"
    );
    assert_eq!(charon.destroys(sa), []);
    let sa = begins_at(&mut charon, SECOND);
    assert_eq!(charon.unreachable(sa), [], "both were tried");
    assert_eq!(charon.status("net").state, ConnectionState::Waiting);
    assert_eq!(gateways(&charon.advance(Duration::from_secs(1))), [FIRST]);
}

#[test]
fn the_name_server_dies_with_the_gateway() {
    let mut charon = named(&[FIRST, SECOND]);
    charon.initiate("net");
    let sa = begins_at(&mut charon, FIRST);
    charon.names.insert("segw.example", None);
    assert_eq!(charon.unreachable(sa), []);
    assert_eq!(
        gateways(&charon.advance(Duration::from_secs(10))),
        ["10.0.0.2"]
    );
}

#[test]
fn charon_initiates_by_itself_while_a_name_is_looked_up() {
    let mut charon = Charon::default();
    charon.names.insert("segw.example", None);
    charon.configure("net", "segw.example,10.0.0.2", &["data"]);
    assert_eq!(charon.initiate("net"), []);
    let sa = charon.begins_at("net", FIRST);
    let begun = charon.looked_up("net", &[]);
    assert!(begun.iter().all(|begun| begun.own), "the same IKE_SA");
    assert_eq!(charon.begun_on, Some(sa));
    assert_eq!(charon.history(), [], "which is not given up for the name");
    charon.establishes(sa, &["data"]);
    assert_eq!(charon.status("net").state, ConnectionState::Established);
}

#[test]
fn a_gateway_is_found_by_its_address_whoever_looked_it_up() {
    let mut charon = named(&[FIRST]);
    charon.initiate("net");
    let sa = begins_at(&mut charon, FIRST);
    charon.establishes(sa, &["data"]);
    let new = charon.begins_at("net", FIRST);
    charon.establishes(new, &["data"]);
    charon.deletes(sa);
    let status = charon.status("net");
    assert_eq!(status.active_gateway.as_deref(), Some("segw.example"));
}

#[test]
fn charon_is_not_led_to_a_name_while_it_connects() {
    let mut charon = Charon::default();
    charon.names.insert("segw.example", addresses(&[FIRST]));
    charon.configure("net", "10.0.0.1,segw.example", &["data"]);
    charon.initiate("net");
    let sa = charon.begins("net");
    let stopped = charon.take_done().into_iter().any(|action| {
        matches!(
            action,
            Action::Steer {
                steering: Steering::Stop,
                ..
            }
        )
    });
    assert!(stopped, "it would hold its thread to look it up");
    assert_eq!(gateways(&charon.unreachable(sa)), [FIRST]);
}

#[test]
fn an_operators_switch_tries_every_address() {
    let mut charon = Charon::default();
    charon
        .names
        .insert("segw.example", addresses(&[FIRST, SECOND]));
    charon.configure("net", "10.0.0.1,segw.example", &["data"]);
    charon.initiate("net");
    let sa = charon.begins("net");
    charon.establishes(sa, &["data"]);
    assert_eq!(gateways(&charon.switches("net", None)), [FIRST]);
    let new = begins_at(&mut charon, FIRST);
    assert_eq!(gateways(&charon.unreachable(new)), [SECOND]);
    let new = begins_at(&mut charon, SECOND);
    assert_eq!(charon.unreachable(new), []);
    assert_eq!(charon.manager.ike_sas("net"), [sa], "the old one stays");
}

#[test]
fn an_address_that_was_left_and_did_not_fail_is_as_good_as_before() {
    for rekeyed in [false, true] {
        let mut charon = named(&[FIRST]);
        charon.initiate("net");
        let sa = begins_at(&mut charon, FIRST);
        charon.establishes(sa, &["data"]);
        let sa = if rekeyed { charon.rekeys("net") } else { sa };
        let second = charon.switches("net", Some("10.0.0.2"));
        assert_eq!(gateways(&second), ["10.0.0.2"]);
        let new = charon.begins_to("net", "10.0.0.2");
        charon.establishes(new, &["data"]);
        assert_eq!(charon.deletes(sa), []);
        assert_eq!(gateways(&charon.dies("net")), [FIRST]);
        assert_eq!(charon.history().len(), 2);
    }
}
