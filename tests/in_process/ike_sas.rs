// SPDX-License-Identifier: GPL-2.0-or-later

//! IKE_SAs of this process's charon, and events about them.

use std::ffi::CString;
use std::ptr::null_mut;
use std::time::Duration;

use extsock::adapter::{Adapter, ConfigDir, Connections, Publisher};
use extsock::charon::{sys, Registration};
use extsock_core::domain::policy::FailoverPolicy;
use extsock_core::failover::manager::Options;
use extsock_core::protocol::{ClientStats, Published, Reply, Request};
use extsock_lab::wait;
use serde_json::{json, Value};

use super::harness::{init, parse, start};
use super::initiated::initiated;

/// Nobody is told of events.
pub struct Nobody;

impl Publisher for Nobody {
    fn publish(&self, _: &Published) {}

    fn stats(&self) -> ClientStats {
        ClientStats::default()
    }
}

/// The adapter without clients, files and a state file.
pub fn adapter() -> Adapter {
    Adapter::new(
        Connections::register(),
        ConfigDir::new("/nonexistent".into()),
        Box::new(Nobody),
        FailoverPolicy::default(),
        Options::default(),
        None,
    )
}

/// The adapter with its listener on the bus, in a charon that can make IKE_SAs: for a process of its
/// own.
pub struct Plugin {
    pub adapter: Adapter,
    _listener: Registration,
}

impl Plugin {
    pub fn start() -> Self {
        init();
        // SAFETY: the library is initialised. False, as there are neither sockets nor a kernel
        // interface; but there are IKE_SAs now.
        unsafe {
            call!(sys::charon, initialize, c"".as_ptr().cast_mut());
            assert!(!(*sys::charon).ike_sa_manager.is_null());
        }
        start();
        let adapter = adapter();
        let listener = Registration::new(Box::new(adapter.listener()));
        Self {
            adapter,
            _listener: listener,
        }
    }

    /// Loads a connection with these remote addresses and this `failover`.
    #[track_caller]
    pub fn load(&self, name: &str, remote_addrs: &Value, failover: &Value) {
        let config = json!({"connections": {name: {
            "version": 2, "local_addrs": "10.0.0.9", "remote_addrs": remote_addrs, "rekey_time": 0,
            "proposals": ["aes128-sha256-modp2048"],
            "local_auth": {"auth": "psk", "id": "client"},
            "remote_auth": {"auth": "psk", "id": "segw"},
            "failover": failover,
            "children": {"data": {"remote_ts": "10.2.0.0/24"}},
        }}});
        let config = parse(&config.to_string()).unwrap();
        let reply = self.adapter.request(Request::ApplyConfig(config));
        assert!(matches!(reply, Reply::ApplyConfig { .. }), "{reply:?}");
    }
}

/// An IKE_SA that this thread alone knows. It lives as long as the process.
pub struct IkeSa(pub *mut sys::ike_sa_t);

impl IkeSa {
    /// One of the connection of that name, initiated to 10.0.0.1 and established.
    pub fn established(connection: &str) -> Self {
        let name = CString::new(connection).unwrap();
        let ike_sa = Self(initiated(&name));
        for state in [
            sys::ike_sa_state_t::IKE_CONNECTING,
            sys::ike_sa_state_t::IKE_ESTABLISHED,
        ] {
            // SAFETY: valid, and this thread's.
            ike_sa.on_the_bus(|_| unsafe { call!(ike_sa.0, set_state, state) });
        }
        ike_sa
    }

    /// Runs the body with the IKE_SA as the thread's.
    pub fn on_the_bus<T>(&self, body: impl FnOnce(*mut sys::bus_t) -> T) -> T {
        // SAFETY: the bus is there, and the IKE_SA is this thread's.
        unsafe {
            let bus = (*sys::charon).bus;
            call!(bus, set_sa, self.0);
            let result = body(bus);
            call!(bus, set_sa, null_mut());
            result
        }
    }

    /// An authenticated message of the gateway's came.
    pub fn receive(&self) {
        self.on_the_bus(|bus| {
            // SAFETY: a new message, which has no other owner; the bus lends it.
            unsafe {
                let message = message_create(2, 0);
                call!(bus, message, message, true, true);
                call!(message, destroy);
            }
        });
    }
}

extern "C" {
    /// libcharon encoding/message.h, which the plugin does without.
    fn message_create(major: i32, minor: i32) -> *mut sys::message_t;
}

/// Waits until charon has done what is queued, and its threads for jobs are idle.
#[track_caller]
pub fn drain() {
    wait::until("charon's threads are idle", || {
        // SAFETY: the processor is there.
        let (queued, working) = unsafe {
            let processor = (*sys::lib).processor;
            let priorities = 0..sys::job_priority_t::JOB_PRIO_MAX;
            let queued: u32 = (priorities.clone())
                .map(|priority| call!(processor, get_job_load, priority))
                .sum();
            // The scheduler's own job is critical, and never ends.
            let working: u32 = priorities
                .filter(|priority| *priority != sys::job_priority_t::JOB_PRIO_CRITICAL)
                .map(|priority| call!(processor, get_working_threads, priority))
                .sum();
            (queued, working)
        };
        (queued + working == 0).then_some(())
    });
}

/// How many jobs wait in charon's scheduler.
pub fn scheduled() -> u32 {
    // SAFETY: the scheduler is there.
    unsafe { call!((*sys::lib).scheduler, get_job_load) }
}

/// Longer than charon needs to see that a time is over.
pub const MOMENT: Duration = Duration::from_millis(20);
