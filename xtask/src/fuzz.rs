// SPDX-License-Identifier: GPL-2.0-or-later

//! Runs the fuzz targets for some seconds each, on any toolchain and without cargo-fuzz.

use std::{env, fs};

use anyhow::{bail, ensure, Result};
use xshell::cmd;

use crate::Project;

/// Coverage instrumentation as libFuzzer reads it, which stable rustc has as well, and the checks of a
/// debug build. A sanitizer needs nightly and cargo-fuzz; there is no unsafe code in what is run here.
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    "--cfg=fuzzing",
];

const SECONDS: &str = "20";

/// Runs those whose names contain the filter, for `EXTSOCK_FUZZ_SECONDS` each. They begin with the
/// corpus; an input that fails is left in target/fuzz/artifacts.
pub(crate) fn run(project: &Project, filter: Option<&str>) -> Result<()> {
    let seconds = env::var("EXTSOCK_FUZZ_SECONDS").unwrap_or_else(|_| SECONDS.to_owned());
    let shell = &project.shell;
    let host = cmd!(shell, "rustc --print host-tuple").quiet().read()?;
    let target = project.target().join("fuzz");
    // With --target the flags are for the fuzz targets only, not for the build scripts.
    cmd!(
        shell,
        "cargo build --release --locked --manifest-path fuzz/Cargo.toml --target {host} --target-dir {target}"
    )
    .env("RUSTFLAGS", FLAGS.join(" "))
    .run()?;
    let mut names = Vec::new();
    for entry in fs::read_dir(project.root.join("fuzz/corpus"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if filter.is_none_or(|filter| name.contains(filter)) {
            names.push(name);
        }
    }
    names.sort();
    ensure!(!names.is_empty(), "no fuzz target has this name");
    for name in names {
        let program = target.join(&host).join("release").join(&name);
        let corpus = project.root.join("fuzz/corpus").join(&name);
        // New inputs go to the first directory; the repository's stay as they are.
        let found = target.join("corpus").join(&name);
        let artifacts = target.join("artifacts").join(&name);
        for directory in [&found, &artifacts] {
            shell.create_dir(directory)?;
        }
        let artifacts = format!("{}/", artifacts.display());
        println!("fuzzing {name} for {seconds} s");
        let output = cmd!(
            shell,
            "{program} {found} {corpus} -max_total_time={seconds} -max_len=4096 -timeout=10"
        )
        .args([
            &format!("-artifact_prefix={artifacts}"),
            "-verbosity=0",
            "-print_final_stats=1",
        ])
        .quiet()
        .ignore_status()
        .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!(
                "fuzz target {name}, {}; the input is in {artifacts}:\n{said}",
                output.status
            );
        }
        // The rest is a dictionary that libFuzzer recommends.
        for line in said.lines().filter(|line| line.starts_with("stat::")) {
            println!("{line}");
        }
    }
    Ok(())
}
