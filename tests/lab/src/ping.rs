// SPDX-License-Identifier: GPL-2.0-or-later

//! A stream of pings, to see whether any packet is lost.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Stdio};

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

use crate::namespace::Namespace;

/// A running ping.
pub struct Pings {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Pings {
    /// Returns when the first one is answered: the tunnel is up, and ping ready to be ended.
    pub(crate) fn start(host: &Namespace, address: &str) -> Self {
        let mut process = host
            .command("ping")
            .args(["-i", "0.05", address])
            .stdout(Stdio::piped())
            .spawn()
            .expect("nsenter of util-linux starts");
        let output = BufReader::new(process.stdout.take().expect("stdout is a pipe"));
        let mut pings = Self { process, output };
        let mut line = String::new();
        while !line.contains("icmp_seq=") {
            line.clear();
            let length = pings.output.read_line(&mut line).expect("ping's output");
            assert!(length > 0, "ping {address} ended at once");
        }
        pings
    }

    /// Ends it and returns how many packets were sent and how many answered.
    #[track_caller]
    pub fn finish(mut self) -> (u32, u32) {
        let pid = i32::try_from(self.process.id()).expect("process ids are small");
        kill(Pid::from_raw(pid), Signal::SIGINT).expect("ping is ours");
        let mut text = String::new();
        self.output
            .read_to_string(&mut text)
            .expect("ping's output");
        // "120 packets transmitted, 120 received, 0% packet loss, time 6001ms"
        let counts: Vec<u32> = text
            .lines()
            .find(|line| line.contains(" packets transmitted"))
            .into_iter()
            .flat_map(|line| line.split(", ").take(2))
            .filter_map(|part| part.split(' ').next()?.parse().ok())
            .collect();
        match counts[..] {
            [sent, answered] => (sent, answered),
            _ => panic!("ping's summary: {text}"),
        }
    }
}

impl Drop for Pings {
    fn drop(&mut self) {
        // Both fail only if ping has gone by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
