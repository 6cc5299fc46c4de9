// SPDX-License-Identifier: GPL-2.0-or-later

//! extsockctl's manual pages and completions, made of its command line.

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;
use extsockctl::arguments::Arguments;

use crate::Project;

/// Leaves them in target/extsockctl.
pub(crate) fn make(project: &Project) -> Result<()> {
    let directory = project.target().join("extsockctl");
    project.shell.create_dir(&directory)?;
    clap_mangen::generate_to(Arguments::command(), &directory)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Arguments::command(), "extsockctl", &directory)?;
    }
    println!("manual pages and completions: {}", directory.display());
    Ok(())
}
