// SPDX-License-Identifier: GPL-2.0-or-later

//! What the guest runs: the end-to-end tests as they were compiled here, or a shell that has them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;
use xshell::cmd;

use crate::test::E2E_THREADS;
use crate::Project;

/// The name of the command that runs the tests in the guest.
const TESTS: &str = "e2e";

/// A compiled test program.
struct TestProgram {
    executable: PathBuf,
    /// Where cargo would start it.
    directory: PathBuf,
}

/// Compiles the end-to-end tests and leaves in `exchange` what runs them; its arguments are those of each test
/// program.
pub(super) fn write_tests(project: &Project, exchange: &Path) -> Result<()> {
    let mut script = "#!/bin/sh\nfailed=\n".to_owned();
    for program in programs(project)? {
        let executable = quoted(&program.executable.display().to_string());
        let directory = quoted(&program.directory.display().to_string());
        script += &format!(
            "echo; echo '    Running' {executable}\n\
             (cd {directory} && exec {executable} --test-threads {E2E_THREADS} \"$@\") || failed=yes\n"
        );
    }
    script += "[ -z \"$failed\" ]\n";
    write_executable(project, &exchange.join(TESTS), &script)
}

/// Leaves in `exchange` the script that runs the tests with these arguments. Its output goes through the port.
pub(super) fn write_run(exchange: &Path, arguments: &[&str]) -> Result<()> {
    let arguments: Vec<_> = arguments.iter().map(|text| quoted(text)).collect();
    let run = format!(
        "port=$(echo /dev/vport*p*)\nexec < /dev/null > $port 2>&1\n{TESTS} {}\n",
        arguments.join(" ")
    );
    write_script(exchange, &run)
}

/// As [`write_run`], for a shell on the virtual console.
pub(super) fn write_shell(project: &Project, exchange: &Path, left_out: &[&str]) -> Result<()> {
    let directory = quoted(&project.root.display().to_string());
    let term = env::var("TERM").unwrap_or_else(|_| "linux".to_owned());
    let size = cmd!(project.shell, "stty size")
        .quiet()
        .ignore_stderr()
        .read();
    let size = size.unwrap_or_default();
    let size = size.split_once(' ').unwrap_or(("24", "80"));
    let run = format!(
        "cd {directory}\n\
         export TERM={term}\n\
         exec < /dev/hvc0 > /dev/hvc0 2>&1\n\
         stty rows {} cols {}\n\
         echo '`{TESTS} {left_out} [filter]` runs the end-to-end tests; what is written to files is forgotten with the VM.'\n\
         setsid --ctty --wait bash\n",
        size.0,
        size.1,
        term = quoted(&term),
        left_out = left_out.join(" "),
    );
    write_script(exchange, &run)
}

/// The first process: sets the guest up, and ends it with the verdict on `run`.
fn write_script(exchange: &Path, run: &str) -> Result<()> {
    let script = format!(
        "export PATH=/run/vm:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n\
         export HOME=/root LANG=C.UTF-8\n\
         {environment}\
         ip link set lo up\n\
         ulimit -n \"$(ulimit -Hn)\"\n\
         touch /run/vm/started\n\
         (\n{run})\n\
         echo $? > /run/vm/verdict\n\
         echo b > /proc/sysrq-trigger\n\
         while :; do sleep 1; done\n",
        environment = environment()
    );
    fs::write(exchange.join("script"), script)?;
    Ok(())
}

/// What the tests read of the environment.
fn environment() -> String {
    let ours = |name: &str| name.starts_with("EXTSOCK_") || name.starts_with("RUST_");
    env::vars()
        .filter(|(name, _)| ours(name))
        .map(|(name, value)| format!("export {name}={}\n", quoted(&value)))
        .collect()
}

/// The test programs of the packages that have end-to-end tests.
fn programs(project: &Project) -> Result<Vec<TestProgram>> {
    let messages = cmd!(
        project.shell,
        "cargo test --no-run --message-format=json-render-diagnostics --package extsock-lab --package extsockctl"
    )
    .read()?;
    let mut programs = Vec::new();
    for line in messages.lines() {
        let message: Value = serde_json::from_str(line).context("cargo writes JSON")?;
        let is_test = message["profile"]["test"] == true;
        let (Some(executable), Some(manifest)) = (
            message["executable"].as_str().filter(|_| is_test),
            message["manifest_path"].as_str(),
        ) else {
            continue;
        };
        programs.push(TestProgram {
            executable: executable.into(),
            directory: Path::new(manifest)
                .parent()
                .context("a manifest has a directory")?
                .to_owned(),
        });
    }
    Ok(programs)
}

fn write_executable(project: &Project, path: &Path, content: &str) -> Result<()> {
    fs::write(path, content)?;
    cmd!(project.shell, "chmod 755 {path}").quiet().run()?;
    Ok(())
}

/// A text as a word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
