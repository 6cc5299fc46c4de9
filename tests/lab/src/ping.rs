// SPDX-License-Identifier: GPL-2.0-or-later

//! A stream of pings, to see whether and for how long packets are lost.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

use crate::namespace::Namespace;
use crate::wait;

/// A running ping.
pub struct Pings {
    process: Child,
    output: PathBuf,
}

/// What became of the packets.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// Packets sent.
    pub sent: u32,
    /// Packets answered.
    pub answered: u32,
    /// The longest time between two answers.
    pub longest_gap: Duration,
}

impl Pings {
    /// Returns when the first one is answered: the tunnel is up, and ping ready to be ended.
    #[track_caller]
    pub(crate) fn start(host: &Namespace, address: &str, interval: Duration) -> Self {
        let pings = Self::start_unanswered(host, address, interval);
        wait::until(&format!("a ping to {address} is answered"), || {
            pings.times().next().map(drop)
        });
        pings
    }

    /// Returns when ping is ready to be ended.
    #[track_caller]
    pub(crate) fn start_unanswered(host: &Namespace, address: &str, interval: Duration) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("ping.{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let output = host.path("/run/lab").join(&name);
        let process = host
            .command("ping")
            .args(["-D", "-i", &interval.as_secs_f64().to_string(), address])
            .stdout(File::create(&output).expect("the host's /run is writable"))
            .stderr(Stdio::null())
            .spawn()
            .expect("nsenter of util-linux starts");
        let pings = Self { process, output };
        wait::until("ping can be ended", || pings.catches_sigint().then_some(()));
        pings
    }

    /// How many were answered up to now.
    pub fn answered(&self) -> usize {
        self.times().count()
    }

    /// How many were lost up to now: those that were sent before the last one that is answered, and are not.
    pub fn lost(&self) -> usize {
        let text = self.text();
        let number = |line: &str| {
            let number = line.split("icmp_seq=").nth(1)?.split(' ').next()?;
            number.parse::<usize>().ok()
        };
        let answers = text.lines().filter(|line| line.contains(" bytes from "));
        let numbers: BTreeSet<_> = answers.filter_map(number).collect();
        numbers.last().map_or(0, |last| last - numbers.len())
    }

    /// When the answers up to now came, by the machine's clock.
    pub fn answer_times(&self) -> Vec<Duration> {
        self.times().collect()
    }

    /// Ends it.
    #[track_caller]
    pub fn finish(mut self) -> Answered {
        let pid = i32::try_from(self.process.id()).expect("process ids are small");
        kill(Pid::from_raw(pid), Signal::SIGINT).expect("ping is ours");
        self.process.wait().expect("ping is ours");
        let times: Vec<Duration> = self.times().collect();
        let gaps = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
        // "120 packets transmitted, 120 received, 0% packet loss, time 6001ms"
        let text = self.text();
        let counts: Vec<u32> = text
            .lines()
            .find(|line| line.contains(" packets transmitted"))
            .into_iter()
            .flat_map(|line| line.split(", ").take(2))
            .filter_map(|part| part.split(' ').next()?.parse().ok())
            .collect();
        let [sent, answered] = counts[..] else {
            panic!("ping's summary: {text}");
        };
        Answered {
            sent,
            answered,
            longest_gap: gaps.max().unwrap_or_default(),
        }
    }

    /// Whether it would write its summary.
    fn catches_sigint(&self) -> bool {
        let status = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(status).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        status.starts_with("Name:\tping\n")
            && caught.is_some_and(|mask| mask >> (Signal::SIGINT as u64 - 1) & 1 == 1)
    }

    /// When the answers came: "[1700000000.123456] 64 bytes from 10.2.0.1: icmp_seq=1 ttl=64 time=0.5 ms".
    fn times(&self) -> impl Iterator<Item = Duration> {
        let lines: Vec<Duration> = self
            .text()
            .lines()
            .filter(|line| line.contains(" bytes from "))
            .filter_map(|line| line.strip_prefix('[')?.split(']').next()?.parse().ok())
            .map(Duration::from_secs_f64)
            .collect();
        lines.into_iter()
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap_or_default()
    }
}

impl Drop for Pings {
    fn drop(&mut self) {
        // Both fail only if ping has gone by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
