// SPDX-License-Identifier: GPL-2.0-or-later

//! Traffic that meets a trap policy, while the connection is on another gateway than its first.
//!
//! The kernel interface of the end-to-end tests, kernel-libipsec, raises no acquires in strongSwan
//! 5.9.8. So here this process is the client: the plugin runs in it on charon with real sockets and
//! real ESP, in a host of the lab, and the test raises the acquire as a kernel interface does.

use std::ffi::CString;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::ptr::null_mut;
use std::time::Duration;

use extsock::adapter::build;
use extsock::charon::{create_plugin, install_trap, plugin_t, sys, Backend};
use extsock_lab::{net, wait, Extsock, Gateway, GatewayOptions, Lab, PSK};
use serde_json::{json, Value};

use super::harness::{is_alone, items, parse, run_alone, text};

/// Runs the body, the only one of its process, at the lab's client, with these gateways alive.
#[track_caller]
pub fn at_the_client(test: &str, gateways: &[u8], body: impl FnOnce()) {
    let start = |lab: &Lab| gateways.iter().map(|number| lab.gateway(*number)).collect();
    at_the_client_of(test, start, body);
}

/// As that, with gateways of one's own.
#[track_caller]
fn at_the_client_of(test: &str, gateways: impl FnOnce(&Lab) -> Vec<Gateway>, body: impl FnOnce()) {
    if is_alone() {
        return body();
    }
    let lab = Lab::new();
    let _gateways = gateways(&lab);
    let executable = std::env::current_exe().unwrap();
    let host = lab.bare_client();
    run_alone(test, host.command(executable.to_str().unwrap()));
}

/// The plugin in this process, as charon loads it.
pub struct Plugin(*mut plugin_t);

impl Plugin {
    /// Starts charon, with lines of the section `charon.plugins.extsock.failover`, and the plugin.
    fn start(failover: &str) -> Self {
        let retransmission = "retransmit_tries = 2\n retransmit_timeout = 0.5\n";
        Self::start_with(retransmission, failover)
    }

    /// As that, with charon's retransmission.
    pub fn start_with(retransmission: &str, failover: &str) -> Self {
        let conf = Path::new("/run/lab/strongswan.conf");
        let text = format!(
            "charon {{\n {retransmission} retransmit_base = 1.0\n \
             filelog {{\n stderr {{\n default = 1\n ike_name = yes\n }}\n }}\n \
             plugins {{\n extsock {{\n failover {{\n {failover}\n }}\n }}\n }}\n }}\n"
        );
        fs::write(conf, text).unwrap();
        let conf = CString::new(conf.to_str().unwrap()).unwrap();
        let plugins = CString::new(extsock_lab::plugins()).unwrap();
        // SAFETY: the first calls into both libraries, in the order of charon's main; the strings are
        // only read.
        unsafe {
            assert!(sys::library_init(
                conf.as_ptr().cast_mut(),
                c"charon".as_ptr()
            ));
            assert!(sys::libcharon_init());
            call!(sys::charon, load_loggers);
            assert!(call!(sys::charon, initialize, plugins.as_ptr().cast_mut()));
        }
        let plugin = Self(create_plugin(extsock::plugin::start));
        assert!(!plugin.0.is_null(), "the libraries of the test fit");
        plugin.register(true);
        // SAFETY: charon is initialised.
        unsafe { call!(sys::charon, start) };
        plugin
    }

    fn register(&self, register: bool) {
        let mut features = null_mut();
        // SAFETY: the plugin is valid, and its first two features are a callback and what that
        // provides.
        unsafe {
            call!(self.0, get_features, &mut features);
            let callback = (*features).arg.cb;
            assert!((callback.f.unwrap())(
                self.0,
                features.add(1),
                register,
                callback.data
            ));
        }
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The process ends; charon's threads may be in anything.
            return;
        }
        self.register(false);
        // SAFETY: created by us, destroyed only here.
        unsafe { call!(self.0, destroy) }
    }
}

/// An IKE_SA of charon's.
#[derive(Debug, PartialEq, Eq)]
struct IkeSa {
    id: u32,
    remote: Ipv4Addr,
    /// The remote addresses of its configuration.
    remote_addrs: String,
    /// How many CHILD_SAs it has to create.
    creating: usize,
}

fn ike_sas() -> Vec<IkeSa> {
    // SAFETY: the controller is there; an IKE_SA is checked out while the enumerator stands on it,
    // and what it lends is copied.
    unsafe {
        let enumerator = call!((*sys::charon).controller, create_ike_sa_enumerator, true);
        let mut found = Vec::new();
        let mut ike_sa: *mut sys::ike_sa_t = null_mut();
        while call!(enumerator, enumerate, &raw mut ike_sa) {
            let address = call!(call!(ike_sa, get_other_host), get_address);
            let address = std::slice::from_raw_parts(address.ptr, address.len);
            let address: [u8; 4] = address.try_into().unwrap();
            let creating = [
                sys::task_queue_t::TASK_QUEUE_ACTIVE,
                sys::task_queue_t::TASK_QUEUE_QUEUED,
            ]
            .into_iter()
            .flat_map(|queue| {
                items::<sys::task_t>(call!(ike_sa, create_task_enumerator, queue))
                    .into_iter()
                    .map(|task| call!(task, get_type))
                    .collect::<Vec<_>>()
            })
            .filter(|task| *task == sys::task_type_t::TASK_CHILD_CREATE)
            .count();
            found.push(IkeSa {
                id: call!(ike_sa, get_unique_id),
                remote: address.into(),
                remote_addrs: text(call!(call!(ike_sa, get_ike_cfg), get_other_addr)).unwrap(),
                creating,
            });
        }
        call!(enumerator, destroy);
        found
    }
}

/// charon's only IKE_SA.
#[track_caller]
fn only_ike_sa() -> IkeSa {
    let mut found = ike_sas();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// charon's only IKE_SA, which leads to gateway 2, once it has the connection's own configuration.
#[track_caller]
fn adopted_ike_sa() -> IkeSa {
    wait::until("the IKE_SA has the connection's own configuration", || {
        let found = only_ike_sa();
        assert_eq!(found.remote, GATEWAY_2);
        (found.remote_addrs == "192.168.7.11, 192.168.7.12").then_some(found)
    })
}

/// The reqid of the CHILD_SA's trap policy, if that is installed.
fn trap(child: &str) -> Option<u32> {
    // SAFETY: the trap manager is there; what the enumerator lends is read at once.
    unsafe {
        let enumerator = call!((*sys::charon).traps, create_enumerator);
        let mut peer_cfg: *mut sys::peer_cfg_t = null_mut();
        let mut child_sa: *mut sys::child_sa_t = null_mut();
        let mut reqid = None;
        while call!(enumerator, enumerate, &raw mut peer_cfg, &raw mut child_sa) {
            if text(call!(child_sa, get_name)).unwrap() == child {
                reqid = Some(call!(child_sa, get_reqid));
            }
        }
        call!(enumerator, destroy);
        reqid
    }
}

/// A packet from the network here to 10.2.0.1 meets the trap policy of `net2`. When this returns,
/// charon has done what it does upon that.
#[track_caller]
fn acquire() {
    let reqid = wait::until("the trap policy is installed", || trap("net2"));
    let selector = |packet: &str| {
        let packet = CString::new(packet).unwrap();
        // SAFETY: the string is only read.
        unsafe { sys::traffic_selector_create_from_cidr(packet.as_ptr().cast_mut(), 1, 0, 65535) }
    };
    let mut data = sys::kernel_acquire_data_t {
        src: selector("10.1.0.1/32"),
        dst: selector("10.2.0.1/32"),
        label: null_mut(),
        // No CPU, no sequence number.
        #[cfg(strongswan_6_0_2)]
        cpu: u32::MAX,
        #[cfg(strongswan_6_0_2)]
        seq: 0,
    };
    // SAFETY: the trap manager is there and copies what it keeps; the selectors are ours.
    unsafe {
        call!((*sys::charon).traps, acquire, reqid, &mut data);
        call!(data.src, destroy);
        call!(data.dst, destroy);
    }
}

/// Closes the CHILD_SAs of the IKE_SA, which stays.
fn close_child_sas(id: u32) {
    // SAFETY: the managers are there; the IKE_SA is checked in again before its CHILD_SAs are closed
    // by their ids.
    unsafe {
        let manager = (*sys::charon).ike_sa_manager;
        let ike_sa = call!(manager, checkout_by_id, id);
        assert!(!ike_sa.is_null());
        let children: Vec<u32> =
            items::<sys::child_sa_t>(call!(ike_sa, create_child_sa_enumerator))
                .into_iter()
                .map(|child| call!(child, get_unique_id))
                .collect();
        call!(manager, checkin, ike_sa);
        assert_eq!(children.len(), 1);
        for child in children {
            call!(
                (*sys::charon).controller,
                terminate_child,
                child,
                None,
                null_mut(),
                #[cfg(strongswan_5_9_11)]
                sys::level_t::LEVEL_SILENT,
                0,
            );
        }
    }
}

const GATEWAY_1: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 11);
const GATEWAY_2: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 12);

/// Connection `net` over both gateways, with a trap policy, and with options of its own.
fn trapped(options: &Value, child: &Value) -> Value {
    let extended = |value: &Value, with: &Value| {
        let mut object = value.as_object().unwrap().clone();
        object.extend(with.as_object().unwrap().clone());
        Value::from(object)
    };
    let mut config = net(&[11, 12]);
    let connection = &mut config["connections"]["net"];
    *connection = extended(connection, options);
    let net2 = &mut connection["children"]["net2"];
    *net2 = extended(net2, &json!({"start_action": "trap"}));
    *net2 = extended(net2, child);
    config
}

pub fn connect() -> Extsock {
    Extsock::connect(Path::new("/run/charon.extsock"))
}

/// The connection is up on gateway 2: its CHILD_SA is closed, and comes back with the next packet.
#[track_caller]
fn comes_back_on_gateway_2(control: &mut Extsock) {
    let established = control.wait_event("failover_established");
    assert_eq!(established["gateway"], GATEWAY_2.to_string());
    control.wait_event("tunnel_up");
    let before = adopted_ike_sa();
    close_child_sas(before.id);
    control.wait_event("tunnel_down");
    acquire();
    assert_eq!(only_ike_sa().id, before.id);
    control.wait_event("tunnel_up");
    assert_eq!(only_ike_sa(), before);
    assert_eq!(control.events_named("failover_started").len(), 1);
}

#[test]
fn finds_the_ike_sa_on_the_next_gateway() {
    at_the_client(
        "acquire::finds_the_ike_sa_on_the_next_gateway",
        &[12],
        || {
            let _plugin = Plugin::start("");
            let mut control = connect();
            control.apply(&trapped(&json!({}), &json!({})));
            acquire();
            assert_eq!(only_ike_sa().remote, GATEWAY_1);
            comes_back_on_gateway_2(&mut control);
        },
    );
}

#[test]
fn finds_the_ike_sa_that_charon_was_led_on_with() {
    at_the_client(
        "acquire::finds_the_ike_sa_that_charon_was_led_on_with",
        &[12],
        || {
            let _plugin = Plugin::start("");
            let mut control = connect();
            control.apply(&trapped(&json!({"keyingtries": 0}), &json!({})));
            acquire();
            assert_eq!(only_ike_sa().remote, GATEWAY_1);
            comes_back_on_gateway_2(&mut control);
        },
    );
}

#[test]
fn finds_the_ike_sa_that_charon_re_established() {
    at_the_client(
        "acquire::finds_the_ike_sa_that_charon_re_established",
        &[11, 12],
        || {
            let _plugin = Plugin::start("");
            let mut control = connect();
            control.apply(&trapped(&json!({}), &json!({"dpd_action": "restart"})));
            acquire();
            control.wait_event("tunnel_up");
            assert_eq!(only_ike_sa().remote, GATEWAY_1);

            // Its frames go nowhere from now on.
            let cut = ["neigh", "replace", "192.168.7.11", "dev", "eth0"];
            let off = ["lladdr", "02:00:00:00:00:99", "nud", "permanent"];
            let status = Command::new("ip").args(cut).args(off).status().unwrap();
            assert!(status.success());
            comes_back_on_gateway_2(&mut control);
        },
    );
}

#[test]
fn finds_the_ike_sa_of_a_connection_that_others_loaded() {
    at_the_client(
        "acquire::finds_the_ike_sa_of_a_connection_that_others_loaded",
        &[12],
        || {
            let _plugin = Plugin::start("");
            let mut control = connect();
            let config = trapped(&json!({}), &json!({}));
            control.apply(&json!({ "secrets": config["secrets"] }));
            let others = Backend::register();
            let connection = &parse(&config.to_string()).unwrap().connections[0];
            let peer_cfg = build(connection).unwrap().peer_cfg;
            assert!(others.set(peer_cfg.clone()).is_none());
            assert!(install_trap(&peer_cfg, &peer_cfg.child_cfgs()[0]));
            assert_eq!(control.ok("LIST")["connections"], json!([]));

            acquire();
            assert_eq!(only_ike_sa().remote, GATEWAY_1);
            comes_back_on_gateway_2(&mut control);
        },
    );
}

/// No gateway answers: while the second is being tried, another packet comes.
#[track_caller]
fn joins_the_attempt(keyingtries: u32) {
    let _plugin = Plugin::start("max_retries = 1");
    let mut control = connect();
    let options = json!({ "keyingtries": keyingtries });
    control.apply(&trapped(&options, &json!({})));
    control.ok("INITIATE net");
    control.wait_event("failover_started");
    wait::until("the second gateway is being tried", || {
        ike_sas()
            .iter()
            .any(|sa| sa.remote == GATEWAY_2)
            .then_some(())
    });
    let attempt = adopted_ike_sa();
    assert_eq!(attempt.creating, 1);

    acquire();
    let joined = only_ike_sa();
    assert_eq!((joined.id, joined.remote), (attempt.id, GATEWAY_2));
    assert_eq!(joined.creating, 2, "what the packet asked for");

    // To the attempt's end, and for as long after.
    wait::until("the attempt ended", || {
        let found = ike_sas();
        assert!(
            found.iter().all(|sa| sa.id == attempt.id) && found.len() <= 1,
            "{found:?}"
        );
        (!control.events_named("failover_exhausted").is_empty()).then_some(())
    });
    wait::holds_for(Duration::from_secs(2), "nothing more is tried", || {
        let found = ike_sas();
        (!found.is_empty()).then(|| format!("{found:?}"))
    });
    assert_eq!(control.events_named("failover_started").len(), 1);
}

#[test]
fn joins_the_attempt_at_the_next_gateway() {
    at_the_client(
        "acquire::joins_the_attempt_at_the_next_gateway",
        &[],
        || joins_the_attempt(1),
    );
}

#[test]
fn joins_the_attempt_that_charon_was_led_on_with() {
    at_the_client(
        "acquire::joins_the_attempt_that_charon_was_led_on_with",
        &[],
        || joins_the_attempt(0),
    );
}

#[test]
fn takes_the_place_of_an_attempt_that_waits() {
    at_the_client(
        "acquire::takes_the_place_of_an_attempt_that_waits",
        &[],
        || {
            let _plugin = Plugin::start("base_delay = 2\n jitter = 0\n max_retries = 2");
            let mut control = connect();
            control.apply(&trapped(&json!({}), &json!({})));
            control.ok("INITIATE net");
            wait::until("the second round is waited for", || {
                (control.connection("net")["state"] == "waiting").then_some(())
            });
            assert_eq!(ike_sas(), []);

            acquire();
            assert_eq!(only_ike_sa().remote, GATEWAY_1);
            wait::until("the plugin knows of it", || {
                (control.connection("net")["state"] == "connecting").then_some(())
            });
            // The time that was waited for comes meanwhile.
            wait::until("the connection is given up", || {
                let found = ike_sas();
                assert!(found.len() <= 1, "{found:?}");
                (!control.events_named("failover_exhausted").is_empty()).then_some(())
            });
        },
    );
}

#[test]
fn starts_an_exhausted_connection_afresh() {
    at_the_client(
        "acquire::starts_an_exhausted_connection_afresh",
        &[],
        || {
            let _plugin = Plugin::start("max_retries = 1");
            let mut control = connect();
            control.apply(&trapped(&json!({}), &json!({})));
            for _ in 0..2 {
                acquire();
                assert_eq!(only_ike_sa().remote, GATEWAY_1);
                let started = control.wait_event("failover_started");
                assert_eq!(started["from"], GATEWAY_1.to_string());
                assert_eq!(started["to"], GATEWAY_2.to_string());
                assert_eq!(started["attempt"], 1);
                control.wait_event("failover_exhausted");
                assert_eq!(control.connection("net")["state"], "exhausted");
                assert_eq!(ike_sas(), []);
            }
        },
    );
}

/// Gateway 2, which says that it is `other`.
fn other(lab: &Lab) -> Vec<Gateway> {
    let other = GatewayOptions::default().edited(&[("id = segw", "id = other")]);
    vec![lab.gateway_with(12, other)]
}

/// Connection `net` over these, with a trap policy, and the secret for whichever identity.
fn trapped_over(remote_addrs: Value) -> Value {
    let mut config = trapped(&json!({ "remote_addrs": remote_addrs }), &json!({}));
    config["secrets"] = json!({"ike": [{"id": "client", "secret": PSK}]});
    config
}

#[test]
fn finds_the_ike_sa_on_a_gateway_of_another_identity() {
    at_the_client_of(
        "acquire::finds_the_ike_sa_on_a_gateway_of_another_identity",
        other,
        || {
            let _plugin = Plugin::start("");
            let mut control = connect();
            let two = json!(["192.168.7.11", {"addr": "192.168.7.12", "id": "other"}]);
            control.apply(&trapped_over(two));
            acquire();
            assert_eq!(only_ike_sa().remote, GATEWAY_1);
            comes_back_on_gateway_2(&mut control);
        },
    );
}

#[test]
fn begins_with_a_first_gateway_of_another_identity() {
    at_the_client_of(
        "acquire::begins_with_a_first_gateway_of_another_identity",
        other,
        || {
            let _plugin = Plugin::start("");
            let mut control = connect();
            let two = json!([{"addr": "192.168.7.12", "id": "other"}, "192.168.7.11"]);
            control.apply(&trapped_over(two));
            acquire();
            control.wait_event("tunnel_up");
            let up = only_ike_sa();
            assert_eq!(up.remote, GATEWAY_2);
            assert_eq!(up.remote_addrs, "192.168.7.12, 192.168.7.11");
            assert!(control.events_named("failover_started").is_empty());
        },
    );
}

#[test]
fn beside_an_attempt_at_a_gateway_of_another_identity_leaves_one_ike_sa() {
    at_the_client(
        "acquire::beside_an_attempt_at_a_gateway_of_another_identity_leaves_one_ike_sa",
        &[],
        || {
            let _plugin = Plugin::start("max_retries = 1");
            let mut control = connect();
            let two = json!(["192.168.7.11", {"addr": "192.168.7.12", "id": "other"}]);
            control.apply(&trapped_over(two));
            control.ok("INITIATE net");
            control.wait_event("failover_started");
            wait::until("the second gateway is being tried", || {
                let found = ike_sas();
                let tried = found.iter().any(|sa| sa.remote == GATEWAY_2);
                tried.then_some(())
            });
            acquire();
            // It has as long to go as the other one, and began earlier.
            wait::until("the attempt alone is left", || {
                let found = ike_sas();
                (found.len() == 1 && found[0].remote == GATEWAY_2).then_some(())
            });
            control.wait_event("failover_exhausted");
            wait::until("none is left", || ike_sas().is_empty().then_some(()));
            assert_eq!(control.events_named("failover_started").len(), 1);
        },
    );
}
