// SPDX-License-Identifier: GPL-2.0-or-later

//! The plugin's liveness check, as charon's sender sees it. This process is the client.

use std::net::SocketAddr;
use std::sync::{Mutex, OnceLock};

use extsock::charon::sys;
use extsock_lab::{net, wait};
use serde_json::json;

use super::acquire::{at_the_client, connect, Plugin};

/// A packet that was to be sent, and was not.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lost {
    from: SocketAddr,
    to: SocketAddr,
    dscp: u8,
    data: Vec<u8>,
}

static LOST: Mutex<Vec<Lost>> = Mutex::new(Vec::new());

type Send = unsafe extern "C" fn(*mut sys::sender_t, *mut sys::packet_t);

static SEND: OnceLock<Send> = OnceLock::new();

/// From now on all IKE packets are lost.
fn lose() {
    // SAFETY: charon is initialised, and its threads only read the table.
    unsafe {
        let sender = (*sys::charon).sender;
        SEND.get_or_init(|| (*sender).send.unwrap());
        (*sender).send = Some(lose_packet);
    }
}

/// From now on packets are sent again.
fn stop_losing() {
    // SAFETY: as in lose().
    unsafe { (*(*sys::charon).sender).send = SEND.get().copied() }
}

unsafe extern "C" fn lose_packet(_: *mut sys::sender_t, packet: *mut sys::packet_t) {
    // SAFETY: charon gives the packet away.
    unsafe {
        let data = call!(packet, get_data);
        let lost = Lost {
            from: socket_address(call!(packet, get_source)),
            to: socket_address(call!(packet, get_destination)),
            dscp: call!(packet, get_dscp),
            data: std::slice::from_raw_parts(data.ptr, data.len).to_vec(),
        };
        call!(packet, destroy);
        LOST.lock().unwrap().push(lost);
    }
}

/// # Safety
/// `host` must be a valid IPv4 address.
unsafe fn socket_address(host: *mut sys::host_t) -> SocketAddr {
    // SAFETY: by this function's contract; the chunk is read at once.
    unsafe {
        let chunk = call!(host, get_address);
        let address: [u8; 4] = std::slice::from_raw_parts(chunk.ptr, chunk.len)
            .try_into()
            .unwrap();
        (address, call!(host, get_port)).into()
    }
}

#[test]
fn a_lost_request_is_sent_again_as_it_was() {
    at_the_client(
        "liveness::a_lost_request_is_sent_again_as_it_was",
        &[11, 12],
        || {
            // charon by itself sends nothing again.
            let _plugin = Plugin::start_with("retransmit_timeout = 60\n", "");
            let mut control = connect();
            let mut config = net(&[11, 12]);
            let connection = &mut config["connections"]["net"];
            connection["dscp"] = "101110".into();
            connection["dpd_delay"] = 0.into();
            connection["failover"] = json!({"liveness_interval": "0.2s", "liveness_timeout": "3s"});
            control.apply(&config);
            control.ok("INITIATE net");
            control.wait_event("tunnel_up");
            lose();
            let lost = wait::until("a request and two repetitions", || {
                let lost = LOST.lock().unwrap();
                (lost.len() >= 3).then(|| lost.clone())
            });
            stop_losing();
            assert_eq!(lost[0].dscp, 0b101110);
            for repetition in &lost[1..] {
                assert_eq!(*repetition, lost[0]);
            }
            let events = control.events_named("failover_started");
            assert!(events.is_empty(), "{events:?}");
        },
    );
}
