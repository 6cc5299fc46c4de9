// SPDX-License-Identifier: GPL-2.0-or-later

//! A stream of pings, to see whether any packet is lost.

use std::process::{Child, Stdio};

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

use crate::namespace::Namespace;

/// A running ping.
pub struct Pings {
    process: Option<Child>,
}

impl Pings {
    pub(crate) fn start(host: &Namespace, address: &str) -> Self {
        let process = host
            .command("ping")
            .args(["-q", "-i", "0.05", address])
            .stdout(Stdio::piped())
            .spawn()
            .expect("nsenter of util-linux starts");
        Self {
            process: Some(process),
        }
    }

    /// Ends it and returns how many packets were sent and how many answered.
    #[track_caller]
    pub fn finish(mut self) -> (u32, u32) {
        let process = self.process.take().expect("finish consumes");
        let pid = i32::try_from(process.id()).expect("process ids are small");
        kill(Pid::from_raw(pid), Signal::SIGINT).expect("ping is ours");
        let output = process.wait_with_output().expect("ping is ours");
        let text = String::from_utf8_lossy(&output.stdout);
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
        if let Some(process) = &mut self.process {
            // Both fail only if ping has gone by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
