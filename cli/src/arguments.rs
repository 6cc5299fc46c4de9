// SPDX-License-Identifier: GPL-2.0-or-later

//! The command line. Help texts and manual pages are generated from it.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use extsock_core::domain::time;
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
    /// If there is any error, nothing is loaded. Established IKE_SAs are not touched.
    #[command(after_help = "\
Examples:
  extsockctl apply net.json
  extsockctl apply --initiate net.json
  extsockctl apply --initiate --timeout 5m net.json
  generate-config | extsockctl apply -")]
    Apply {
        /// JSON file, or - for standard input.
        file: PathBuf,
        /// Bring the connections up, too, and wait, as `initiate` does.
        #[arg(long)]
        initiate: bool,
        /// How long to wait at most, such as 30s or 5m; 0 for no limit.
        #[arg(long, value_name = "TIME", default_value = TIMEOUT, requires = "initiate")]
        timeout: Timeout,
    },
    /// Read a file as `apply` would, without the plugin.
    ///
    /// It does not check whether charon supports the algorithms and finds the files.
    #[command(after_help = "\
Example:
  extsockctl check net.json && extsockctl apply net.json
  extsockctl check --strongswan 5.9.8 net.json")]
    Check {
        /// JSON file, or - for standard input.
        file: PathBuf,
        /// The version of strongSwan that the file is for; options of later versions are refused.
        #[arg(long, value_name = "VERSION", default_value_t = Version::NEWEST)]
        strongswan: Version,
    },
    /// Forget a connection; its IKE_SA stays.
    ///
    /// A failover in progress ends.
    #[command(after_help = "\
Example:
  extsockctl remove net")]
    Remove(ConnectionName),
    /// List the connections.
    ///
    /// One line each: its state, the active gateway, how many gateways it has, failovers in a row without
    /// success, and when the next attempt is due.
    #[command(after_help = "\
Example:
  extsockctl list")]
    List,
    /// Show connections in detail.
    ///
    /// Each with its gateways, their last results, and its last failovers. An asterisk marks the active gateway;
    /// ASIDE is how much longer a gateway is passed over.
    #[command(after_help = "\
Examples:
  extsockctl status net
  extsockctl status --watch")]
    Status {
        /// A connection; all if not given.
        connection: Option<String>,
        /// Show it each second and at each event, on one screen.
        ///
        /// If that does not fit, each connection has one line, those that are not established first.
        #[arg(long)]
        watch: bool,
    },
    /// Bring a connection up, and wait until it is.
    ///
    /// Each attempt and its result is shown. If the connection is not up in time, or nothing is tried any more, the
    /// command says why and fails. The end of the waiting, also by an interrupt (Ctrl-C), does not end the attempts:
    /// the connection stays wanted until it is terminated.
    #[command(after_help = "\
Examples:
  extsockctl initiate net
  extsockctl initiate --timeout 5m net
  extsockctl initiate --no-wait net data")]
    Initiate {
        /// The connection.
        connection: String,
        /// One of its children; all if not given.
        child: Option<String>,
        /// Do not wait.
        #[arg(long)]
        no_wait: bool,
        /// How long to wait at most, such as 30s or 5m; 0 for no limit.
        #[arg(long, value_name = "TIME", default_value = TIMEOUT, conflicts_with = "no_wait")]
        timeout: Timeout,
    },
    /// Take a connection down, without a failover.
    #[command(after_help = "\
Example:
  extsockctl terminate net")]
    Terminate(ConnectionName),
    /// Switch a connection to another gateway.
    ///
    /// The established IKE_SA is deleted when the new one is up. The command does not wait for that; `status`
    /// shows it.
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
    /// Send the gateway a DPD request now.
    ///
    /// If it does not answer, a failover begins when charon's retransmission gives up.
    #[command(after_help = "\
Example:
  extsockctl dpd net")]
    Dpd(ConnectionName),
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
    /// It runs until it is interrupted.
    #[command(after_help = "\
Examples:
  extsockctl monitor
  extsockctl monitor --json failover_started failover_established net")]
    Monitor {
        /// Names of events, or of connections whose events to show; all if not given.
        only: Vec<String>,
    },
    /// Load the directory of configurations again.
    ///
    /// Files that have not changed are not applied again. The command fails if any file was not loaded; the others
    /// are loaded nevertheless.
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
        /// Print them in the text format of Prometheus, with the state of each connection and gateway.
        #[arg(long, conflicts_with = "json")]
        prometheus: bool,
    },
    /// Print the JSON Schema of the files that `apply` takes.
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

/// How long `initiate` waits if nothing else is said.
const TIMEOUT: &str = "60s";

/// How long to wait at most for connections to come up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// That long.
    After(Duration),
    /// Without a limit.
    Never,
}

impl FromStr for Timeout {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time = time::parse(text).ok_or("expected a time, such as 30s, 5m or 1.5")?;
        Ok(if time.is_zero() {
            Self::Never
        } else {
            Self::After(time)
        })
    }
}

/// The name of a connection.
#[derive(Args, Debug)]
pub struct ConnectionName {
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

    fn timeout(arguments: &[&str]) -> Option<Timeout> {
        let all = ["extsockctl"].iter().chain(arguments);
        match Arguments::try_parse_from(all).ok()?.command {
            Command::Apply { timeout, .. } | Command::Initiate { timeout, .. } => Some(timeout),
            _ => None,
        }
    }

    #[test]
    fn a_timeout_is_a_time_as_in_the_options() {
        let after = |seconds| Some(Timeout::After(Duration::from_secs(seconds)));
        for (given, expected) in [
            ("30s", after(30)),
            ("5m", after(300)),
            ("90", after(90)),
            ("0", Some(Timeout::Never)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(timeout(&["initiate", "net", "--timeout", given]), expected);
            let apply = ["apply", "--initiate", "net.json", "--timeout", given];
            assert_eq!(timeout(&apply), expected, "{given}");
        }
        assert_eq!(timeout(&["initiate", "net"]), after(60));
        assert_eq!(timeout(&["apply", "--initiate", "net.json"]), after(60));
    }

    #[test]
    fn a_timeout_without_waiting_is_a_mistake() {
        assert!(timeout(&["initiate", "--no-wait", "net"]).is_some());
        assert_eq!(
            timeout(&["initiate", "--no-wait", "--timeout", "5", "net"]),
            None
        );
        assert!(timeout(&["apply", "net.json"]).is_some());
        assert_eq!(timeout(&["apply", "--timeout", "5", "net.json"]), None);
    }
}
