// SPDX-License-Identifier: GPL-2.0-or-later

//! A laboratory of IKE hosts on one machine: clients and gateways in network
//! namespaces, each with its own charon and real packets between them. That is the distribution's, or the
//! one that the environment names (`installation.rs`).
//!
//! Everything panics with what was expected: the lab is for tests, and a panic lets
//! each host show the end of its log. Nothing outlives the process that made the lab,
//! whichever way it ends: namespaces and the hosts' files have no name outside of their
//! processes, and those are killed when the thread that started them dies. A lab therefore
//! belongs to one thread.

mod capture;
mod charon;
mod client;
mod config;
mod esp;
mod extsock;
mod gateway;
mod installation;
mod namespace;
pub mod pairs;
mod ping;
mod pki;
mod recording;
mod responder;
pub mod token;
pub mod wait;
mod xfrm;

pub use capture::{Capture, Packet};
pub use charon::{plugins, Charon, Sanitizer};
pub use client::{Client, ClientOptions, Loading, Vici};
pub use config::{connection, net, PSK};
pub use esp::kernel_has_esp;
pub use extsock::{Event, Extsock};
pub use gateway::{Gateway, GatewayOptions};
pub use installation::is_built_with_ikev1;
pub use ping::{Answered, Pings};
pub use pki::Pki;
pub use responder::Responder;
pub use token::Token;
pub use xfrm::LonePing;

use std::path::PathBuf;
use std::process::Command;

use installation::Installation;
use namespace::Namespace;

/// The swanctl of the charon that the lab runs.
pub fn swanctl() -> PathBuf {
    Installation::find().sbin.join("swanctl")
}

/// The Ethernet segment that the hosts of one test share: 192.168.7.0/24 and fd00:7::/64, in which
/// host 11 is 192.168.7.11 and fd00:7::b.
pub struct Lab {
    switch: Namespace,
}

impl Lab {
    /// A segment without hosts. Needs root.
    #[allow(clippy::new_without_default)] // it starts processes, which a default should not
    pub fn new() -> Self {
        let switch = Namespace::new("switch");
        switch.ip("link add bridge type bridge forward_delay 0\nlink set bridge up");
        Self { switch }
    }

    /// Starts gateway 192.168.7.`number`, which serves 10.2.0.0/24.
    pub fn gateway(&self, number: u8) -> Gateway {
        self.gateway_with(number, GatewayOptions::default())
    }

    /// Starts gateway 192.168.7.`number`.
    pub fn gateway_with(&self, number: u8, options: GatewayOptions) -> Gateway {
        let host = self.host(&format!("gateway {number}"), number, &options.networks());
        Gateway::start(host, number, options)
    }

    /// Starts 192.168.7.`number`, which answers every IKE_SA_INIT request with one error notify.
    pub fn responder(&self, number: u8, notify: u16) -> Responder {
        let host = self.host(&format!("responder {number}"), number, &[]);
        Responder::start(host, notify)
    }

    /// Starts the client, 192.168.7.1, with the plugin.
    pub fn client(&self) -> Client {
        self.client_with(ClientOptions::default())
    }

    /// Starts the client, 192.168.7.1.
    pub fn client_with(&self, options: ClientOptions) -> Client {
        let host = self.host("client", 1, &["10.1.0.1/32".to_owned()]);
        Client::start(host, options)
    }

    /// Takes host 192.168.7.`number` off the segment, which it does not notice.
    pub fn unplug(&self, number: u8) {
        self.switch.ip(&format!("link set port{number} nomaster"));
    }

    /// Reverts [`Self::unplug`].
    pub fn plug(&self, number: u8) {
        self.switch
            .ip(&format!("link set port{number} master bridge"));
    }

    /// Starts a host in the client's place, without charon.
    pub fn bare_client(&self) -> Host {
        Host(self.host("client", 1, &["10.1.0.1/32".to_owned()]))
    }

    /// A host with one leg in the segment; `loopback` are its addresses behind the tunnel.
    fn host(&self, name: &str, number: u8, loopback: &[String]) -> Namespace {
        let host = Namespace::new(name);
        // The kernel would tell of the end of duplicate address detection in the midst of a test.
        host.write_setting("net/ipv6/conf/default/accept_dad", "0");
        self.switch.ip(&format!(
            "link add port{number} type veth peer name eth0 netns {pid}\n\
             link set port{number} master bridge up",
            pid = host.pid(),
        ));
        let mut batch = format!(
            "addr add {}/24 dev eth0\naddr add {}/64 dev eth0 nodad\nlink set eth0 up",
            address(number),
            address_v6(number),
        );
        for address in loopback {
            batch.push_str(&format!("\naddr add {address} dev lo"));
        }
        host.ip(&batch);
        // Nor is it to tell of addresses that it gives to charon's own devices.
        host.write_setting("net/ipv6/conf/default/addr_gen_mode", "1");
        host
    }
}

/// A host without charon, for programs of one's own.
pub struct Host(Namespace);

impl Host {
    /// A command inside the host, killed when the calling thread dies. The host's /run is its own.
    pub fn command(&self, program: &str) -> Command {
        self.0.command(program)
    }
}

/// Whether the hosts' charon can do IKEv1. Tests that need it have `ikev1` in their names, by which they
/// are left out elsewhere.
pub fn has_ikev1() -> bool {
    installation::Installation::find().has_ikev1()
}

fn address(number: u8) -> String {
    format!("192.168.7.{number}")
}

fn address_v6(number: u8) -> String {
    format!("fd00:7::{number:x}")
}
