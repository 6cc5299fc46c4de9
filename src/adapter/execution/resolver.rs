// SPDX-License-Identifier: GPL-2.0-or-later

//! Looks up names, on threads of its own: a name server that does not answer must not hold charon's.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::sys::signal::{SigSet, SigmaskHow};

/// How many names are looked up at a time; the others wait.
const MAX_THREADS: usize = 8;
/// What a lookup of the C library's needs, generously.
const STACK: usize = 256 * 1024;

/// Takes the addresses of a name. Must not wait: a lock is held.
type Callback = Box<dyn FnOnce(Vec<IpAddr>) + Send>;

/// The lookups that are under way. Once it is dropped, none is reported any more.
///
/// Nothing can end a lookup that waits for a name server, so a thread may still be in one when charon
/// unloads the plugin; the library stays mapped for it (build.rs).
#[derive(Default)]
pub(super) struct Resolver {
    lookups: Arc<Mutex<Lookups>>,
}

#[derive(Default)]
struct Lookups {
    /// Who waits for a name.
    callbacks: HashMap<String, Vec<Callback>>,
    /// The names that no thread has taken yet.
    queue: VecDeque<String>,
    threads: usize,
    closed: bool,
}

impl Resolver {
    /// Looks up the addresses of a name in the order in which they are to be used (RFC 6724), none if
    /// it has none. One lookup serves all who ask for the same name while it is under way.
    pub fn resolve(&self, name: &str, callback: impl FnOnce(Vec<IpAddr>) + Send + 'static) {
        let mut lookups = lock(&self.lookups);
        let callback = Box::new(callback);
        match lookups.callbacks.entry(name.to_owned()) {
            Entry::Occupied(mut waiting) => return waiting.get_mut().push(callback),
            Entry::Vacant(waiting) => waiting.insert(vec![callback]),
        };
        lookups.queue.push_back(name.to_owned());
        if lookups.threads < MAX_THREADS {
            match spawn(&self.lookups) {
                Ok(()) => lookups.threads += 1,
                // Another thread will do it.
                Err(_) if lookups.threads > 0 => {}
                Err(error) => {
                    log::error!("no thread to look up {name}: {error}");
                    lookups.queue.clear();
                    lookups.report(name, &[]);
                }
            }
        }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let mut lookups = lock(&self.lookups);
        lookups.closed = true;
        lookups.queue.clear();
        lookups.callbacks.clear();
    }
}

impl Lookups {
    fn report(&mut self, name: &str, addresses: &[IpAddr]) {
        for callback in self.callbacks.remove(name).unwrap_or_default() {
            callback(addresses.to_vec());
        }
    }
}

/// charon waits for signals in its main thread, and must not be met by one here: a new thread inherits
/// the mask of the one that starts it.
fn spawn(lookups: &Arc<Mutex<Lookups>>) -> std::io::Result<()> {
    let shared = Arc::clone(lookups);
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let spawned = thread::Builder::new()
        .name("extsock-dns".into())
        .stack_size(STACK)
        .spawn(move || work(&shared));
    before.thread_set_mask()?;
    spawned.map(drop)
}

fn work(shared: &Mutex<Lookups>) {
    let mut lookups = lock(shared);
    while let Some(name) = lookups.queue.pop_front() {
        drop(lookups);
        let addresses = look_up(&name);
        lookups = lock(shared);
        if lookups.closed {
            return;
        }
        lookups.report(&name, &addresses);
    }
    lookups.threads -= 1;
}

fn look_up(name: &str) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    // Why a name does not resolve is nothing that could be acted upon.
    for found in (name, 0).to_socket_addrs().into_iter().flatten() {
        if !addresses.contains(&found.ip()) {
            addresses.push(found.ip());
        }
    }
    addresses
}

fn lock(lookups: &Mutex<Lookups>) -> MutexGuard<'_, Lookups> {
    // Tables that no panic can leave half-changed.
    lookups.lock().unwrap_or_else(PoisonError::into_inner)
}
