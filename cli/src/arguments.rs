// SPDX-License-Identifier: GPL-2.0-or-later

//! The command line. Help texts and manual pages are made of it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use extsock_core::strongswan::Version;

use crate::failure::EXIT_CODES;

/// Controls extsock, strongSwan's failover plugin.
#[derive(Parser, Debug)]
#[command(name = "extsockctl", version, after_help = exit_codes())]
pub struct Arguments {
    /// The plugin's socket: a path, unix://path or tcp://host:port.
    #[arg(
        long,
        global = true,
        default_value = "/run/charon.extsock",
        value_name = "SOCKET"
    )]
    pub socket: String,
    /// Print the plugin's JSON lines as they are.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Load connections and secrets, or replace those of the same name.
    ///
    /// With any error nothing is loaded. IKE_SAs that are up are left alone.
    #[command(after_help = "\
Examples:
  extsockctl apply net.json
  extsockctl apply --initiate net.json
  generate-config | extsockctl apply -")]
    Apply {
        /// JSON file, or - for standard input.
        file: PathBuf,
        /// Bring the connections up, too, and wait, as `initiate` does.
        #[arg(long)]
        initiate: bool,
    },
    /// Read a file as `apply` would, without the plugin.
    ///
    /// Whether charon knows the algorithms and finds the files that are named is not checked.
    #[command(after_help = "\
Example:
  extsockctl check net.json && extsockctl apply net.json
  extsockctl check --strongswan 5.9.8 net.json")]
    Check {
        /// JSON file, or - for standard input.
        file: PathBuf,
        /// The version of strongSwan that it is for, which need not take all options.
        #[arg(long, value_name = "VERSION", default_value_t = Version::NEWEST)]
        strongswan: Version,
    },
    /// Forget a connection; its IKE_SA stays.
    ///
    /// A failover that is under way is ended.
    #[command(after_help = "\
Example:
  extsockctl remove net")]
    Remove(Connection),
    /// List the connections.
    ///
    /// One line each: its state, the gateway in use, how many gateways it has, failovers in a row without
    /// success, and when the next attempt is due.
    #[command(after_help = "\
Example:
  extsockctl list")]
    List,
    /// Show connections in detail.
    ///
    /// Each with its gateways, what became of them, and its last failovers. The gateway in use has an asterisk;
    /// ASIDE tells for how long a gateway is still passed over.
    #[command(after_help = "\
Examples:
  extsockctl status net
  extsockctl status --watch")]
    Status {
        /// A connection; all if not given.
        connection: Option<String>,
        /// Show it each second and at each event, on one screen.
        ///
        /// Where it does not fit, connections have a line each, those that are not established first.
        #[arg(long)]
        watch: bool,
    },
    /// Bring a connection up, and wait until it is, or is given up.
    ///
    /// Each attempt and what came of it is shown. An interrupt (Ctrl-C) ends the waiting, not the attempt.
    #[command(after_help = "\
Examples:
  extsockctl initiate net
  extsockctl initiate --no-wait net data")]
    Initiate {
        /// The connection.
        connection: String,
        /// One of its children; all if not given.
        child: Option<String>,
        /// Do not wait.
        #[arg(long)]
        no_wait: bool,
    },
    /// Take a connection down, without a failover.
    #[command(after_help = "\
Example:
  extsockctl terminate net")]
    Terminate(Connection),
    /// Switch a connection to another gateway.
    ///
    /// An IKE_SA that is up goes when the new one is up. Does not wait for that; `status` shows it.
    #[command(after_help = "\
Examples:
  extsockctl failover net
  extsockctl failover net 192.0.2.2")]
    Failover {
        /// The connection.
        connection: String,
        /// The gateway; the next one if not given.
        #[arg(value_name = "ADDR")]
        gateway: Option<String>,
    },
    /// Ask the gateway for a sign of life now.
    ///
    /// If it gives none, charon's retransmission ends, the IKE_SA fails, and a failover begins.
    #[command(after_help = "\
Example:
  extsockctl dpd net")]
    Dpd(Connection),
    /// Show the last failovers.
    ///
    /// Newest first; times are in UTC.
    #[command(after_help = "\
Example:
  extsockctl history net -n 5")]
    History {
        /// A connection; all if not given.
        connection: Option<String>,
        /// How many.
        #[arg(short = 'n', long, default_value_t = 20)]
        count: usize,
    },
    /// Show events as they happen.
    ///
    /// Until it is interrupted.
    #[command(after_help = "\
Examples:
  extsockctl monitor
  extsockctl monitor --json failover_started failover_established net")]
    Monitor {
        /// Events, or connections whose events are wanted; all if not given.
        only: Vec<String>,
    },
    /// Load the directory of configurations again.
    ///
    /// Files that are as they were are left alone. Fails if one of the files was not loaded; the others are.
    #[command(after_help = "\
Example:
  extsockctl reload")]
    Reload,
    /// Show the counters.
    #[command(after_help = "\
Examples:
  extsockctl stats
  extsockctl stats --prometheus | sponge /var/lib/prometheus/node-exporter/extsock.prom")]
    Stats {
        /// In the text format of Prometheus, with the state of each connection and gateway.
        #[arg(long, conflicts_with = "json")]
        prometheus: bool,
    },
    /// Print the JSON Schema of what `apply` takes.
    ///
    /// The plugin is not needed.
    #[command(after_help = "\
Example:
  extsockctl schema > extsock.schema.json")]
    Schema,
    /// Show the versions.
    ///
    /// The plugin's and that of the strongSwan that it was built for; `extsockctl --version` has the tool's.
    #[command(after_help = "\
Example:
  extsockctl version")]
    Version,
}

/// One connection.
#[derive(Args, Debug)]
pub struct Connection {
    /// The connection.
    pub connection: String,
}

fn exit_codes() -> String {
    let codes = EXIT_CODES
        .iter()
        .map(|(code, meaning)| format!("\n  {code:<3}  {meaning}"));
    format!("Exit codes:{}", codes.collect::<String>())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn each_verb_has_an_example_that_can_be_parsed() {
        for verb in Arguments::command().get_subcommands() {
            let name = verb.get_name();
            let help = verb.get_after_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            let mut examples = 0;
            for command in help.split(['\n', '|', '&', '>']).map(str::trim) {
                if command.starts_with("extsockctl ") {
                    let words = command.split_whitespace();
                    Arguments::try_parse_from(words).unwrap_or_else(|e| panic!("{command}: {e}"));
                    examples += usize::from(command.split_whitespace().any(|word| word == name));
                }
            }
            assert!(examples > 0, "{name}");
        }
    }
}
