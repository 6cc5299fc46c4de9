// SPDX-License-Identifier: GPL-2.0-or-later

//! What the hosts send to each other, as the switch between them sees it.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::libc;
use nix::sched::{setns, CloneFlags};
use nix::sys::socket::{
    recvfrom, setsockopt, socket, sockopt, AddressFamily, LinkAddr, SockFlag, SockProtocol,
    SockType,
};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::namespace::Namespace;
use crate::{wait, Lab};

/// How long it may take until the end is noticed.
const POLL: i64 = 50;

const UDP: u8 = 17;
const ESP: u8 = 50;
/// UDP encapsulation of ESP.
const NAT_T: u16 = 4500;

/// An IP packet.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Who sent it.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// What it has after its header.
    pub protocol: u8,
    /// That.
    pub payload: Vec<u8>,
}

impl Packet {
    /// Whether it goes from one of these hosts to the other.
    pub fn is_between(&self, one: &str, other: &str) -> bool {
        let hosts = [one, other].map(|host| host.parse::<IpAddr>().expect("an address"));
        hosts.contains(&self.source) && hosts.contains(&self.destination)
    }

    /// Whether it is ESP as such.
    pub fn is_esp(&self) -> bool {
        self.protocol == ESP
    }

    /// Whether it is ESP in UDP, which begins with an SPI where IKE has zeros.
    pub fn is_esp_in_udp(&self) -> bool {
        let port = |at: usize| self.payload.get(at..at + 2) == Some(&NAT_T.to_be_bytes());
        let spi = self.payload.get(8..12);
        self.protocol == UDP && (port(0) || port(2)) && spi.is_some_and(|spi| spi != [0, 0, 0, 0])
    }

    /// Of an IP packet as it is on the wire.
    fn parse(bytes: &[u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => {
                let header = usize::from(bytes[0] & 0xf) * 4;
                let source: [u8; 4] = bytes.get(12..16)?.try_into().ok()?;
                let destination: [u8; 4] = bytes.get(16..20)?.try_into().ok()?;
                Some(Self {
                    source: Ipv4Addr::from(source).into(),
                    destination: Ipv4Addr::from(destination).into(),
                    protocol: bytes[9],
                    payload: bytes.get(header..)?.to_vec(),
                })
            }
            6 => {
                let source: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
                let destination: [u8; 16] = bytes.get(24..40)?.try_into().ok()?;
                Some(Self {
                    source: Ipv6Addr::from(source).into(),
                    destination: Ipv6Addr::from(destination).into(),
                    protocol: bytes[6],
                    payload: bytes.get(40..)?.to_vec(),
                })
            }
            _ => None,
        }
    }
}

/// A packet capture, which runs until it is dropped.
pub struct Capture {
    ended: Arc<AtomicBool>,
    packets: Arc<Mutex<Vec<Packet>>>,
    thread: Option<JoinHandle<()>>,
}

impl Lab {
    /// Captures what the hosts of the segment send.
    pub fn capture(&self) -> Capture {
        Capture::start(&self.switch)
    }
}

impl Capture {
    /// Returns when no packet goes by unseen.
    fn start(switch: &Namespace) -> Self {
        let socket = socket_in(switch);
        let ended = Arc::<AtomicBool>::default();
        let packets = Arc::<Mutex<Vec<Packet>>>::default();
        let (end, to) = (Arc::clone(&ended), Arc::clone(&packets));
        let thread = thread::spawn(move || receive(&socket, &to, &end));
        Self {
            ended,
            packets,
            thread: Some(thread),
        }
    }

    /// The packets up to now that fit.
    pub fn packets(&self, fits: impl Fn(&Packet) -> bool) -> Vec<Packet> {
        let packets = lock(&self.packets);
        packets
            .iter()
            .filter(|packet| fits(packet))
            .cloned()
            .collect()
    }

    /// Waits for a packet that fits.
    #[track_caller]
    pub fn wait_packet(&self, what: &str, fits: impl Fn(&Packet) -> bool) -> Packet {
        wait::until(&format!("{what} is on the wire"), || {
            lock(&self.packets)
                .iter()
                .find(|packet| fits(packet))
                .cloned()
        })
    }

    /// Forgets the packets up to now.
    pub fn clear(&self) {
        lock(&self.packets).clear();
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Its panic has been reported by then, and a second one would abort.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn lock(packets: &Mutex<Vec<Packet>>) -> MutexGuard<'_, Vec<Packet>> {
    // Whatever panicked has only looked at it.
    packets.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A socket stays in the namespace in which it was made; only a thread of its own may go there.
fn socket_in(switch: &Namespace) -> OwnedFd {
    let namespace = File::open(format!("/proc/{}/ns/net", switch.pid())).expect("it exists");
    let opened = thread::spawn(move || {
        setns(namespace, CloneFlags::CLONE_NEWNET).expect("this needs root");
        let socket = socket(
            AddressFamily::Packet,
            // Without the frames' headers.
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::EthAll,
        )
        .expect("this needs root");
        setsockopt(
            &socket,
            sockopt::ReceiveTimeout,
            &TimeVal::milliseconds(POLL),
        )
        .expect("the timeout is valid");
        socket
    });
    opened.join().expect("the thread has ended")
}

fn receive(socket: &OwnedFd, packets: &Mutex<Vec<Packet>>, ended: &AtomicBool) {
    let mut buffer = vec![0; 65536];
    while !ended.load(Ordering::Relaxed) {
        match recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut buffer) {
            // The switch hands each packet on, which it is seen to send as well.
            Ok((_, Some(from))) if from.pkttype() == libc::PACKET_OUTGOING => {}
            Ok((length, _)) => lock(packets).extend(Packet::parse(&buffer[..length])),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => panic!("the capture's socket: {error}"),
        }
    }
}
