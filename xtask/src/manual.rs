// SPDX-License-Identifier: GPL-2.0-or-later

//! extsockctl's manual pages and completions, made of its command line.

use std::fs;
use std::path::Path;

use anyhow::Result;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::roff::{bold, roman, Roff};
use clap_mangen::Man;
use extsockctl::arguments::Arguments;
use extsockctl::EXIT_CODES;

use crate::Project;

/// Leaves them in target/extsockctl.
pub(crate) fn make(project: &Project) -> Result<()> {
    let directory = project.target().join("extsockctl");
    project.shell.create_dir(&directory)?;
    let mut command = Arguments::command().disable_help_subcommand(true);
    // Gives each subcommand the options of all.
    command.build();
    page(&command, &directory)?;
    for verb in command.get_subcommands() {
        page(verb, &directory)?;
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Arguments::command(), "extsockctl", &directory)?;
    }
    println!("manual pages and completions: {}", directory.display());
    Ok(())
}

fn page(command: &Command, directory: &Path) -> Result<()> {
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut rest = Roff::new();
    rest.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in EXIT_CODES {
        rest.control("TP", []);
        rest.text([bold(code.to_string())]);
        rest.text([roman(*meaning)]);
    }
    rest.control("SH", ["EXAMPLES"]);
    rest.control("nf", []);
    match command.has_subcommands() {
        true => command
            .get_subcommands()
            .for_each(|verb| examples(verb, &mut rest)),
        false => examples(command, &mut rest),
    }
    rest.control("fi", []);
    rest.to_writer(&mut page)?;
    // As `extsockctl-status` for a subcommand.
    let name = command.get_display_name().unwrap_or(command.get_name());
    fs::write(directory.join(format!("{name}.1")), page)?;
    Ok(())
}

/// What is indented in the text below the command's help.
fn examples(command: &Command, page: &mut Roff) {
    let help = command.get_after_help().map(ToString::to_string);
    for line in help.unwrap_or_default().lines() {
        if let Some(example) = line.strip_prefix("  ") {
            page.text([roman(example)]);
        }
    }
}
