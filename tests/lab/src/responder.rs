// SPDX-License-Identifier: GPL-2.0-or-later

//! A host that speaks just enough IKE to refuse, in ways in which no charon does.

use std::fs::File;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sched::{setns, CloneFlags};

use crate::namespace::Namespace;

/// How long it may take until the end is noticed.
const POLL: Duration = Duration::from_millis(50);

/// Answers every IKE_SA_INIT request with one error notify.
pub struct Responder {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _host: Namespace,
}

impl Responder {
    /// Returns when it serves.
    pub(crate) fn start(host: Namespace, notify: u16) -> Self {
        let socket = socket_in(&host);
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let thread = thread::spawn(move || serve(&socket, notify, &end));
        Self {
            ended,
            thread: Some(thread),
            _host: host,
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Its panic has been reported by then, and a second one would abort.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A socket stays in the namespace in which it was made; only a thread of its own may go there.
fn socket_in(host: &Namespace) -> UdpSocket {
    let namespace = File::open(format!("/proc/{}/ns/net", host.pid())).expect("the host exists");
    let opened = thread::spawn(move || {
        setns(namespace, CloneFlags::CLONE_NEWNET).expect("this needs root");
        let socket = UdpSocket::bind("0.0.0.0:500").expect("the port is free");
        socket
            .set_read_timeout(Some(POLL))
            .expect("the timeout is not zero");
        socket
    });
    opened.join().expect("the thread has ended")
}

fn serve(socket: &UdpSocket, notify: u16, ended: &AtomicBool) {
    let mut packet = [0; 4096];
    while !ended.load(Ordering::Relaxed) {
        match socket.recv_from(&mut packet) {
            Ok((length, peer)) => {
                if let Some(refusal) = refusal(&packet[..length], notify) {
                    // The peer may have gone.
                    let _ = socket.send_to(&refusal, peer);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("the responder's socket: {error}"),
        }
    }
}

/// The answer to an IKE_SA_INIT request: a header (RFC 7296, 3.1) and a Notify payload (3.10).
fn refusal(request: &[u8], notify: u16) -> Option<Vec<u8>> {
    const IKE_SA_INIT: u8 = 34;
    const RESPONSE: u8 = 0x20;
    const NOTIFY: u8 = 41;
    const HEADER: u32 = 28;
    const PAYLOAD: u16 = 8;

    let (spis, rest) = request.split_at_checked(16)?;
    let &[_, version, IKE_SA_INIT, flags, ..] = rest else {
        return None;
    };
    if flags & RESPONSE != 0 {
        return None;
    }
    let message_id = 0_u32;
    let length = HEADER + u32::from(PAYLOAD);
    let (no_protocol, no_spi) = (0, 0);
    let mut answer = spis.to_vec();
    answer.extend([NOTIFY, version, IKE_SA_INIT, RESPONSE]);
    answer.extend(message_id.to_be_bytes());
    answer.extend(length.to_be_bytes());
    let (last, uncritical) = (0, 0);
    answer.extend([last, uncritical]);
    answer.extend(PAYLOAD.to_be_bytes());
    answer.extend([no_protocol, no_spi]);
    answer.extend(notify.to_be_bytes());
    Some(answer)
}
