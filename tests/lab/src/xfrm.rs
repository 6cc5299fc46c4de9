// SPDX-License-Identifier: GPL-2.0-or-later

//! What the host's kernel has for IPsec, and packets that are sent one by one.

use std::process::{Child, Stdio};
use std::time::Duration;

use crate::charon::Charon;
use crate::ping::Pings;
use crate::wait;

impl Charon {
    /// The SAs of the host's kernel, as `ip xfrm state` shows them.
    #[track_caller]
    pub fn xfrm_states(&self) -> Vec<String> {
        self.xfrm("state")
    }

    /// The policies of the host's kernel but for those of sockets, as `ip xfrm policy` shows them.
    #[track_caller]
    pub fn xfrm_policies(&self) -> Vec<String> {
        let mut policies = self.xfrm("policy");
        policies.retain(|policy| policy.contains(" dir "));
        policies
    }

    #[track_caller]
    fn xfrm(&self, what: &str) -> Vec<String> {
        // A backslash is in place of each but the last line break.
        let text = self.run(&["ip", "-oneline", "xfrm", what]);
        let objects = text.lines().map(|line| {
            let words = line.split(['\\', '\t', ' ']);
            let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
            words.join(" ")
        });
        objects.collect()
    }

    /// Waits until packets to 10.2.0.1 are under a policy of the kernel, and routed by it.
    #[track_caller]
    pub fn wait_policy(&self) {
        let name = self.name();
        wait::until(&format!("{name} has a policy for 10.2.0.0/24"), || {
            let policies = self.xfrm_policies();
            let found = policies
                .iter()
                .any(|policy| policy.contains("dst 10.2.0.0/24 dir out"));
            let routes = self.run(&["ip", "route", "show", "table", "all"]);
            (found && routes.contains("10.2.0.0/24 ")).then_some(())
        });
    }

    /// Runs a command on the host and returns its output.
    #[track_caller]
    pub fn run(&self, command: &[&str]) -> String {
        let output = self
            .host()
            .command(command[0])
            .args(&command[1..])
            .output()
            .expect("nsenter of util-linux starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{command:?} in {}: {error}",
            self.name()
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Sets a parameter of the host's network.
    #[track_caller]
    pub fn sysctl(&self, parameter: &str, value: &str) {
        self.run(&["sysctl", "--quiet", &format!("{parameter}={value}")]);
    }

    /// Sends a single ping. These are options of ping.
    pub fn lone_ping(&self, address: &str, options: &[&str]) -> LonePing {
        let process = self
            .host()
            .command("ping")
            // Less than the deadline of its end.
            .args(["-q", "-c", "1", "-W", "25"])
            .args(options)
            .arg(address)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nsenter of util-linux starts");
        LonePing(process)
    }

    /// As [`crate::Client::pings_every`], without waiting for an answer.
    #[track_caller]
    pub fn unanswered_pings(&self, interval: Duration, address: &str) -> Pings {
        Pings::start_unanswered(self.host(), address, interval)
    }
}

/// One packet under way.
pub struct LonePing(Child);

impl LonePing {
    /// Whether it is answered, for which it waits.
    #[track_caller]
    pub fn is_answered(mut self) -> bool {
        let ended = wait::until("ping ends", || self.0.try_wait().expect("ping is ours"));
        ended.success()
    }
}

impl Drop for LonePing {
    fn drop(&mut self) {
        // Both fail only if ping has gone by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
