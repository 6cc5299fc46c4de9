// SPDX-License-Identifier: GPL-2.0-or-later

//! QEMU: with hardware virtualisation where that works, and the guest's way from its boot to its verdict.

use std::fmt;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};

use super::kernel::Kernel;

const KVM: &str = "/dev/kvm";
/// What the kernel prints first.
const FIRST_LINE: &str = "Linux version ";
/// Where hardware virtualisation works, that line is there within a second.
const FIRST_LINE_WITHIN: Duration = Duration::from_secs(5);
/// An emulated guest needs a tenth of it on an idle machine.
const BOOT_WITHIN: Duration = Duration::from_secs(180);
/// One processor, for which time passes with the instructions that it executes, a thousand million a second, and as
/// it does here while it waits: however slow the emulation, the tests see a fast machine.
const EMULATION: [&str; 10] = [
    "-accel",
    "tcg,thread=single",
    "-cpu",
    "max",
    "-smp",
    "1",
    "-icount",
    "shift=0,sleep=on",
    "-rtc",
    "clock=vm",
];
const KERNEL_PARAMETERS: [&str; 10] = [
    "console=ttyS0",
    // After a panic the guest reboots at once, which ends QEMU.
    "panic=-1",
    // The kernel trusts no emulated clock that it is not told to, and any other takes long to read.
    "tsc=reliable",
    // QEMU translates a library again for each address that it is mapped at, which doubles what a program
    // takes to start. The guest runs nothing that it has to be protected from, so neither are there the
    // kernel's other precautions and accounts.
    "norandmaps",
    "mitigations=off",
    "init_on_alloc=0",
    "no5lvl",
    "lsm=",
    "audit=0",
    "cgroup_disable=memory",
];
const POLL: Duration = Duration::from_millis(50);

/// How the guest's instructions are executed, and why so.
pub(super) enum Acceleration {
    /// By the processor.
    Kvm,
    /// By QEMU, for this reason.
    Emulation(String),
}

impl Acceleration {
    /// Boots the kernel with /dev/kvm to see whether it does: there are machines on which it exists and
    /// a guest hangs.
    pub(super) fn find(kernel: &Kernel, directory: &Path) -> Result<Self> {
        let opened = File::options().read(true).write(true).open(KVM);
        if let Err(problem) = opened {
            return Ok(Self::Emulation(format!("{KVM}: {problem}")));
        }
        let console = directory.join("kvm.log");
        let said = directory.join("kvm.output");
        let mut qemu = Self::Kvm.qemu(kernel, &console);
        let mut guest = Guest::start(qemu.stderr(File::create(&said)?))?;
        let end = Instant::now() + FIRST_LINE_WITHIN;
        while Instant::now() < end {
            let log = fs::read(&console).unwrap_or_default();
            if String::from_utf8_lossy(&log).contains(FIRST_LINE) {
                return Ok(Self::Kvm);
            }
            if let Some(status) = guest.0.try_wait()? {
                let said = fs::read_to_string(said)?;
                let why = said.lines().next().unwrap_or_default();
                return Ok(Self::Emulation(format!(
                    "with {KVM}, QEMU ends, {status}: {why}"
                )));
            }
            thread::sleep(POLL);
        }
        Ok(Self::Emulation(format!(
            "{KVM} is there, but with it a guest says nothing for {} s",
            FIRST_LINE_WITHIN.as_secs()
        )))
    }

    /// QEMU with that kernel, whose console goes to a file. It ends when the guest does, and when
    /// the thread does that starts it.
    pub(super) fn qemu(&self, kernel: &Kernel, console: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
        command.args(["-no-user-config", "-nodefaults", "-display", "none"]);
        command.args(["-no-reboot", "-machine", "q35", "-m", "6G"]);
        match self {
            Self::Kvm => command.args(["-accel", "kvm", "-cpu", "host", "-smp", "2"]),
            Self::Emulation(_) => command.args(EMULATION),
        };
        command.arg("-kernel").arg(&kernel.image);
        command.arg("-append").arg(KERNEL_PARAMETERS.join(" "));
        command
            .arg("-serial")
            .arg(format!("file:{}", console.display()));
        command
    }
}

impl fmt::Display for Acceleration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kvm => write!(f, "hardware virtualisation ({KVM})"),
            Self::Emulation(why) => write!(f, "emulation ({why})"),
        }
    }
}

/// A running QEMU, which ends with its owner.
pub(super) struct Guest(Child);

impl Guest {
    pub(super) fn start(qemu: &mut Command) -> Result<Self> {
        let child = qemu.spawn().context("setpriv of util-linux")?;
        Ok(Self(child))
    }

    /// Waits for its end. There has to be a file `started` soon, and one that has the verdict by
    /// the end.
    pub(super) fn verdict(mut self, exchange: &Path, console: &Path) -> Result<String> {
        let end = Instant::now() + BOOT_WITHIN;
        let started = exchange.join("started");
        loop {
            if let Some(status) = self.0.try_wait()? {
                let verdict = fs::read_to_string(exchange.join("verdict")).unwrap_or_default();
                if verdict.ends_with('\n') {
                    return Ok(verdict.trim_end().to_owned());
                }
                bail!(
                    "the guest ended without a verdict ({status}); the end of its console:\n{}",
                    tail(console)
                );
            }
            if Instant::now() >= end && !started.exists() {
                bail!(
                    "the guest has not booted within {} s; the end of its console:\n{}",
                    BOOT_WITHIN.as_secs(),
                    tail(console)
                );
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Both fail only if it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn tail(console: &Path) -> String {
    let text = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
