// SPDX-License-Identifier: GPL-2.0-or-later

//! The end-to-end tests with the IPsec of a Debian kernel, in a virtual machine that has the files of this
//! one and forgets what it writes.

mod guest;
mod initramfs;
mod kernel;
mod memory;
mod qemu;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{bail, ensure, Context, Result};

use kernel::Kernel;
use qemu::{Acceleration, Guest};

use crate::{lab, need_root, packages, plugin, source, Project};

/// The kernel that is tested with if none is named.
const DEFAULT: &str = "bookworm";

/// What the command line asks for.
struct Wish<'a> {
    codename: &'a str,
    task: Task<'a>,
}

enum Task<'a> {
    Shell,
    /// The tests that have the filter in their names.
    Tests(Option<&'a str>),
}

impl<'a> Wish<'a> {
    /// `[--kernel <codename>] [shell | filter]`
    fn parse(arguments: &[&'a str]) -> Result<Self> {
        let (codename, rest) = match arguments {
            ["--kernel", codename, rest @ ..] => (*codename, rest),
            rest => (DEFAULT, rest),
        };
        let known = source::RELEASES.map(|(_, codename)| codename);
        ensure!(
            known.contains(&codename),
            "no kernel of {codename}; there are those of {}",
            known.join(", ")
        );
        let task = match rest {
            [] => Task::Tests(None),
            ["shell"] => Task::Shell,
            [filter] if !filter.starts_with('-') => Task::Tests(Some(filter)),
            _ => bail!("usage: cargo xtask vm [--kernel <codename>] [shell | filter]"),
        };
        Ok(Self { codename, task })
    }
}

/// Sets up what is missing, boots, and runs the tests or a shell.
pub(crate) fn run(project: &Project, arguments: &[&str]) -> Result<()> {
    let wish = Wish::parse(arguments)?;
    need_root("the VM reads all files of this machine")?;
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the VM runs this machine's programs on kernels for x86-64, which this one is not"
    );
    packages::install_for_vm(&project.shell)?;
    plugin::build(project)?;
    let headers = source::prepare(project)?;
    plugin::build_wrong(project, &headers)?;

    let directory = project.target().join("vm").join(wish.codename);
    fs::create_dir_all(&directory)?;
    let kernel = Kernel::prepare(project, wish.codename, &directory)?;
    let acceleration = Acceleration::find(&kernel, &directory)?;
    println!("VM: {acceleration}");

    let exchange = Exchange::new(&directory)?;
    guest::write_tests(project, &exchange.0)?;
    let mut left_out = lab::left_out(Path::new(lab::LIBCHARON), lab::Esp::Kernel)?;
    if let Acceleration::Emulation(_) = acceleration {
        // It emulates a processor on an emulated one.
        left_out.extend(["--skip", "valgrind"]);
    }
    match wish.task {
        Task::Shell => guest::write_shell(project, &exchange.0, &left_out)?,
        Task::Tests(filter) => {
            let arguments: Vec<_> = left_out.into_iter().chain(filter).collect();
            guest::write_run(&exchange.0, &arguments)?;
        }
    }
    let begin = Instant::now();
    let verdict = boot(project, &kernel, &acceleration, &exchange, &wish.task)?;
    let release = kernel.release;
    let took = begin.elapsed();
    match (wish.task, verdict.as_str()) {
        (Task::Shell, _) => println!("=== the VM has ended"),
        (Task::Tests(_), "0") => println!("=== passed on {release} in {took:.0?}"),
        (Task::Tests(_), _) => bail!("tests failed on {release}, in {took:.0?}"),
    }
    Ok(())
}

/// Boots and waits for the verdict, an exit code.
fn boot(
    project: &Project,
    kernel: &Kernel,
    acceleration: &Acceleration,
    exchange: &Exchange,
    task: &Task,
) -> Result<String> {
    let directory = exchange.0.parent().context("it is in a directory")?;
    memory::make(&project.shell, &exchange.0.join("files"))?;
    let initramfs = initramfs::make(&project.shell, kernel, &exchange.0)?;
    let console = directory.join("console.log");
    let mut qemu = acceleration.qemu(kernel, &console);
    qemu.arg("-initrd").arg(initramfs);
    share(&mut qemu, "root", Path::new("/"), ",readonly=on");
    share(&mut qemu, "modules", &kernel.modules, ",readonly=on");
    share(&mut qemu, "exchange", &exchange.0, "");
    qemu.args(["-device", "virtio-serial-pci"]);
    match task {
        Task::Shell => {
            // Ctrl-C is for the guest.
            qemu.args(["-chardev", "stdio,id=console,signal=off"]);
            qemu.args(["-device", "virtconsole,chardev=console"]);
        }
        Task::Tests(_) => {
            qemu.args(["-chardev", "stdio,id=output"]);
            qemu.args(["-device", "virtserialport,chardev=output"]);
            // QEMU takes the end of its input for the end of its output, too. This one has no end.
            qemu.stdin(Stdio::piped());
        }
    }
    Guest::start(&mut qemu)?.verdict(&exchange.0, &console)
}

/// Gives the guest a directory by 9p.
fn share(qemu: &mut Command, tag: &str, path: &Path, options: &str) {
    // The files of one share may be on several file systems.
    qemu.arg("-fsdev").arg(format!(
        "local,id={tag},path={},security_model=passthrough,multidevs=remap{options}",
        // A comma would end the path.
        path.display().to_string().replace(',', ",,")
    ));
    qemu.arg("-device")
        .arg(format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}"));
}

/// A directory that this process and the guest share: what the guest is to do, and what came of it.
struct Exchange(PathBuf);

impl Exchange {
    fn new(directory: &Path) -> Result<Self> {
        let path = directory.join(format!("exchange-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // What is left is removed by `cargo xtask clean`.
        let _ = fs::remove_dir_all(&self.0);
    }
}
