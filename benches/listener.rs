// SPDX-License-Identifier: GPL-2.0-or-later

//! What the plugin's listener adds to an event on charon's bus: `cargo bench --bench listener`.
//!
//! charon calls all listeners under one mutex, so that what they take is taken from every thread that
//! raises an event. This process is its own charon. Events are raised one at a time, as they are in
//! life, and what the plugin does about one on charon's threads is over before the next: measured is
//! how long the thread that raises it is kept.
//!
//! Where a thread of charon's is idle, waking it up for a job is nearly all of that, and depends on
//! the machine and on how deep its processors sleep. Where all are busy the rest is seen, in ratios
//! that can be compared between runs.

use std::ffi::CStr;
use std::ptr::null_mut;
use std::sync::mpsc::{channel, Sender};
use std::time::{Duration, Instant};

use extsock::adapter::{build, Adapter, ConfigDir, Connections, Publisher};
use extsock::charon::{self, queue, sys, Backend, Priority, Registration};
use extsock_core::config::parse;
use extsock_core::domain::policy::FailoverPolicy;
use extsock_core::failover::manager::Options;
use extsock_core::protocol::{ClientStats, Published, Reply, Request};

/// Calls a method of a charon object, in an unsafe block.
macro_rules! call {
    ($object:expr, $method:ident $(, $argument:expr)* $(,)?) => {{
        let object = $object;
        ((*object).$method.expect(stringify!($method)))(object $(, $argument)*)
    }};
}

#[path = "../tests/in_process/initiated.rs"]
mod ike_sas;

/// The subjects take turns, so that what else the machine does meets all of them.
const ROUNDS: usize = 20;
const EVENTS: usize = 100;

/// What IKE_SAs and proposals need.
const PLUGINS: &CStr = c"random nonce aes sha1 sha2 hmac kdf gmp openssl";

/// charon's scheduler occupies one of them.
const THREADS: u32 = 2;

fn main() {
    start_charon();
    let backend = Backend::register();
    let subjects = [
        Subject::without_listener(&backend),
        Subject::with_empty_listener(&backend),
        Subject::with_plugin(&backend, "10.0.0.1", None),
        Subject::with_plugin(&backend, "10.0.0.1,10.0.0.2", None),
        Subject::with_plugin(
            &backend,
            "10.0.0.1,10.0.0.2",
            Some(Duration::from_secs(3600)),
        ),
    ];
    println!("median of {} events, in ns;", ROUNDS * EVENTS);
    println!("in brackets: the empty listener against none, the plugin against the empty one");
    for threads in [Threads::Busy, Threads::Idle] {
        print!(
            "\n{:<24}",
            format!("charon's threads {threads:?}").to_lowercase()
        );
        for subject in &subjects {
            print!("{:>19}", subject.name);
        }
        println!();
        for (name, raise) in EVENTS_OF_CHARON {
            let medians = measure(&subjects, threads, *raise);
            let (none, empty) = (medians[0], medians[1]);
            print!("{name:<24}{none:>19}");
            print!("{:>19}", format!("{empty} ({:.1}x)", ratio(empty, none)));
            for median in &medians[2..] {
                let cell = format!("{median} ({:.1}x)", ratio(*median, empty));
                print!("{cell:>19}");
            }
            println!();
        }
    }
}

/// What charon's threads are doing when the event is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Threads {
    Busy,
    Idle,
}

fn ratio(time: u64, base: u64) -> f64 {
    time as f64 / base.max(1) as f64
}

/// The median of each subject.
fn measure(subjects: &[Subject], threads: Threads, raise: Raise) -> Vec<u64> {
    let mut times = vec![Vec::with_capacity(ROUNDS * EVENTS); subjects.len()];
    // SAFETY: the function is there in all versions, and a message has no other owner.
    let message = unsafe { message_create(2, 0) };
    let time = |subject| time(subject, threads, raise, message);
    for _ in 0..ROUNDS {
        for (subject, times) in subjects.iter().zip(&mut times) {
            subject.listening(|| {
                // The first ones find cold caches.
                for _ in 0..EVENTS / 10 {
                    time(subject);
                }
                times.extend((0..EVENTS).map(|_| time(subject)));
            });
        }
    }
    // SAFETY: ours, used no more.
    unsafe { call!(message, destroy) };
    let median = |mut times: Vec<u64>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    times.into_iter().map(median).collect()
}

fn time(subject: &Subject, threads: Threads, raise: Raise, message: *mut sys::message_t) -> u64 {
    let busy = (threads == Threads::Busy).then(keep_busy);
    let begin = Instant::now();
    // SAFETY: bus, IKE_SA and message are valid, and this thread is the only one that has them.
    unsafe { raise((*sys::charon).bus, subject.ike_sa, message) };
    let took = begin.elapsed();
    drop(busy);
    drain();
    took.as_nanos().try_into().unwrap_or(u64::MAX)
}

/// Keeps charon's only thread for jobs busy until the sender is dropped.
fn keep_busy() -> Sender<()> {
    let (started, has_started) = channel();
    let (sender, receiver) = channel::<()>();
    queue(Priority::High, move || {
        // Fails only if the other end is gone, and with it what this is for.
        let _ = started.send(());
        let _ = receiver.recv();
    });
    has_started.recv().expect("charon's threads run");
    sender
}

/// Waits until charon has done what is queued, and its thread is idle.
fn drain() {
    let (sender, receiver) = channel();
    queue(Priority::Medium, move || {
        // The receiver waits.
        let _ = sender.send(());
    });
    receiver.recv().expect("charon's threads run");
    // SAFETY: the processor is there.
    while unsafe { call!((*sys::lib).processor, get_idle_threads) } < THREADS - 1 {
        std::thread::yield_now();
    }
}

/// Raises an event of the IKE_SA, which is the thread's.
type Raise = unsafe fn(*mut sys::bus_t, *mut sys::ike_sa_t, *mut sys::message_t);

const EVENTS_OF_CHARON: &[(&str, Raise)] = &[
    ("ike_state_change", |bus, ike_sa, _| {
        // SAFETY: by time()'s arguments.
        unsafe {
            call!(
                bus,
                ike_state_change,
                ike_sa,
                sys::ike_sa_state_t::IKE_ESTABLISHED
            )
        }
    }),
    ("alert", |bus, _, _| {
        let alert = sys::alert_t::ALERT_RETRANSMIT_SEND_TIMEOUT;
        // SAFETY: by time()'s arguments; its packet may be NULL (bus/bus.h).
        unsafe { call!(bus, alert, alert, null_mut::<sys::packet_t>()) }
    }),
    ("ike_updown", |bus, ike_sa, _| {
        // SAFETY: by time()'s arguments.
        unsafe { call!(bus, ike_updown, ike_sa, true) }
    }),
    ("message received", |bus, _, message| {
        // SAFETY: by time()'s arguments.
        unsafe { call!(bus, message, message, true, true) }
    }),
    ("message sent", |bus, _, message| {
        // SAFETY: by time()'s arguments.
        unsafe { call!(bus, message, message, false, false) }
    }),
];

/// Who listens, and the IKE_SA that the events are about.
struct Subject {
    name: String,
    ike_sa: *mut sys::ike_sa_t,
    listener: Listener,
}

enum Listener {
    None,
    /// Callbacks that do nothing.
    Empty(Box<sys::listener_t>),
    Plugin(Box<Adapter>),
}

impl Subject {
    fn without_listener(backend: &Backend) -> Self {
        Self::new("no listener", Listener::None, backend, "10.0.0.1")
    }

    fn with_empty_listener(backend: &Backend) -> Self {
        let table = sys::listener_t {
            alert: Some(alert),
            ike_state_change: Some(ike_state_change),
            ike_updown: Some(ike_updown),
            message: Some(message),
            ..Default::default()
        };
        Self::new(
            "empty listener",
            Listener::Empty(Box::new(table)),
            backend,
            "10.0.0.1",
        )
    }

    /// A connection that others loaded, with these addresses, whose liveness may be checked.
    fn with_plugin(backend: &Backend, remote_addrs: &str, liveness: Option<Duration>) -> Self {
        let policy = FailoverPolicy {
            liveness_interval: liveness.unwrap_or_default(),
            liveness_timeout: liveness.unwrap_or_default(),
            ..FailoverPolicy::default()
        };
        let options = Options {
            foreign: Some(policy),
            ..Options::default()
        };
        let adapter = Adapter::new(
            Connections::register(),
            ConfigDir::new("/nonexistent".into()),
            Box::new(Nobody),
            policy,
            options,
            None,
        );
        let addresses = remote_addrs.split(',').count();
        let suffix = if liveness.is_some() { ", liveness" } else { "" };
        let subject = Self::new(
            &format!("{addresses} addr{suffix}"),
            Listener::Plugin(Box::new(adapter)),
            backend,
            remote_addrs,
        );
        let Listener::Plugin(adapter) = &subject.listener else {
            unreachable!("made above");
        };
        let Reply::List { connections } = adapter.request(Request::List) else {
            panic!("a list is asked for");
        };
        let known = connections.len();
        assert_eq!(known, usize::from(addresses > 1), "one is left alone");
        subject
    }

    fn new(name: &str, listener: Listener, backend: &Backend, remote_addrs: &str) -> Self {
        let subject = Self {
            name: name.to_owned(),
            ike_sa: initiated(backend, remote_addrs),
            listener,
        };
        subject.listening(|| {
            for state in [
                sys::ike_sa_state_t::IKE_CONNECTING,
                sys::ike_sa_state_t::IKE_ESTABLISHED,
            ] {
                // SAFETY: valid, and this thread's.
                unsafe { call!(subject.ike_sa, set_state, state) };
                drain();
            }
        });
        subject
    }

    /// Runs the body with the listener on the bus, and with the IKE_SA as the thread's.
    fn listening(&self, body: impl FnOnce()) {
        // SAFETY: the bus is there; the table stays in place until it is removed.
        unsafe {
            let bus = (*sys::charon).bus;
            call!(bus, set_sa, self.ike_sa);
            match &self.listener {
                Listener::None => body(),
                Listener::Empty(table) => {
                    let table = std::ptr::from_ref(&**table).cast_mut();
                    call!(bus, add_listener, table);
                    body();
                    call!(bus, remove_listener, table);
                }
                Listener::Plugin(adapter) => {
                    let _registered = Registration::new(Box::new(adapter.listener()));
                    body();
                }
            }
            call!(bus, set_sa, null_mut());
        }
    }
}

/// Nobody is told of events.
struct Nobody;

impl Publisher for Nobody {
    fn publish(&self, _: &Published) {}

    fn stats(&self) -> ClientStats {
        ClientStats::default()
    }
}

unsafe extern "C" fn alert(
    _: *mut sys::listener_t,
    _: *mut sys::ike_sa_t,
    _: sys::alert_t::Type,
    _: *mut sys::__va_list_tag,
) -> bool {
    true
}

unsafe extern "C" fn ike_state_change(
    _: *mut sys::listener_t,
    _: *mut sys::ike_sa_t,
    _: sys::ike_sa_state_t::Type,
) -> bool {
    true
}

unsafe extern "C" fn ike_updown(_: *mut sys::listener_t, _: *mut sys::ike_sa_t, _: bool) -> bool {
    true
}

unsafe extern "C" fn message(
    _: *mut sys::listener_t,
    _: *mut sys::ike_sa_t,
    _: *mut sys::message_t,
    _: bool,
    _: bool,
) -> bool {
    true
}

extern "C" {
    /// libcharon encoding/message.h, which the plugin does without.
    fn message_create(major: i32, minor: i32) -> *mut sys::message_t;
}

fn start_charon() {
    // SAFETY: the first calls into both libraries; the strings are only read.
    unsafe {
        assert!(sys::library_init(
            c"".as_ptr().cast_mut(),
            c"charon".as_ptr()
        ));
        assert!(sys::libcharon_init());
        // False, as there are neither sockets nor a kernel interface; but there are IKE_SAs now.
        call!(sys::charon, initialize, PLUGINS.as_ptr().cast_mut());
        assert!(!(*sys::charon).ike_sa_manager.is_null());
        call!((*sys::lib).processor, set_threads, THREADS);
    }
}

/// An IKE_SA that we initiate to the first of the addresses, with an exchange in flight. It lives as
/// long as the process.
fn initiated(backend: &Backend, remote_addrs: &str) -> *mut sys::ike_sa_t {
    let config = format!(
        r#"{{"connections": {{"net": {{
            "version": 2, "local_addrs": "10.0.0.9", "remote_addrs": "{remote_addrs}",
            "proposals": ["aes128-sha256-modp2048"],
            "local_auth": {{"auth": "psk", "id": "client"}},
            "remote_auth": {{"auth": "psk", "id": "segw"}},
            "children": {{"data": {{"remote_ts": "10.2.0.0/24"}}}}
        }}}}}}"#
    );
    let config = parse(&config, charon::version()).expect("a valid configuration");
    backend.set(
        build(&config.connections[0])
            .expect("a valid connection")
            .peer_cfg,
    );
    ike_sas::initiated(c"net")
}
