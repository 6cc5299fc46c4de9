// SPDX-License-Identifier: GPL-2.0-or-later

//! What a charon takes, from /proc.

use std::fs;
use std::time::Duration;

use extsock_lab::Charon;

/// Clock ticks of `/proc/<pid>/stat` in a second, `USER_HZ` (proc(5)).
const TICKS: u32 = 100;

pub struct Usage {
    /// Processor time, in user and in kernel mode, in steps of 10 ms.
    pub time: Duration,
    /// Resident memory in kB.
    pub resident: u64,
    /// Of it anonymous, in kB.
    pub anonymous: u64,
    pub descriptors: usize,
    pub threads: u64,
}

impl Usage {
    pub fn of(charon: &Charon) -> Self {
        let directory = format!("/proc/{}", charon.pid());
        let read =
            |name: &str| fs::read_to_string(format!("{directory}/{name}")).expect("charon runs");
        // After the name of the program in parentheses: state, then numbers; utime and stime are
        // the 12th and 13th (proc(5)).
        let stat = read("stat");
        let fields: Vec<_> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let ticks: u32 = fields[11..13]
            .iter()
            .map(|ticks| ticks.parse::<u32>().expect("a number"))
            .sum();
        let status = read("status");
        let value = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let number = line.and_then(|line| line.split_whitespace().next());
            number
                .and_then(|number| number.parse().ok())
                .expect("proc(5) has it")
        };
        Self {
            time: Duration::from_secs(1) * ticks / TICKS,
            resident: value("VmRSS:"),
            anonymous: value("RssAnon:"),
            descriptors: fs::read_dir(format!("{directory}/fd"))
                .expect("charon runs")
                .count(),
            threads: value("Threads:"),
        }
    }
}
