// SPDX-License-Identifier: GPL-2.0-or-later

//! Trap policies at charon's end.

use std::sync::mpsc::channel;
use std::thread;

use extsock::charon::{sys, uninstall_trap};

use super::harness::{alone, init, PATIENCE};

#[test]
fn uninstalling_does_not_wait_when_charon_has_removed_all_traps() {
    let test = "traps::uninstalling_does_not_wait_when_charon_has_removed_all_traps";
    alone(test, || {
        init();
        // SAFETY: charon is there, and this test is the only one in the process.
        unsafe { call!((*sys::charon).traps, flush) };
        let (done, ended) = channel();
        thread::spawn(move || {
            uninstall_trap("net", "data");
            done.send(())
        });
        ended.recv_timeout(PATIENCE).expect("it has ended");
    });
}
