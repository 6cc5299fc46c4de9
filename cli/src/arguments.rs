// SPDX-License-Identifier: GPL-2.0-or-later

//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Controls extsock, strongSwan's failover plugin.
#[derive(Parser, Debug)]
#[command(
    name = "extsockctl",
    version,
    after_help = "Exit codes: 0 done; 1 refused, or not acceptable; 2 wrong arguments; 3 the plugin cannot \
                  be reached; 4 the connection did not come up; 130 interrupted."
)]
pub struct Arguments {
    /// The plugin's socket.
    #[arg(
        long,
        global = true,
        default_value = "/run/charon.extsock",
        value_name = "PATH"
    )]
    pub socket: PathBuf,
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
    Apply {
        /// JSON file, or - for standard input.
        file: PathBuf,
        /// Bring the connections up, too, and wait.
        #[arg(long)]
        initiate: bool,
    },
    /// Read a file as `apply` would, without the plugin.
    ///
    /// Whether charon knows the algorithms and finds the files that are named is not checked.
    Check {
        /// JSON file, or - for standard input.
        file: PathBuf,
    },
    /// Forget a connection; its IKE_SA stays.
    Remove(Connection),
    /// List the connections.
    List,
    /// Show connections in detail.
    Status {
        /// A connection; all if not given.
        connection: Option<String>,
        /// Show it again each second.
        #[arg(long)]
        watch: bool,
    },
    /// Bring a connection up, and wait until it is, or is given up.
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
    Terminate(Connection),
    /// Switch a connection to another gateway.
    Failover {
        /// The connection.
        connection: String,
        /// The gateway; the next one if not given.
        gateway: Option<String>,
    },
    /// Ask the gateway for a sign of life now.
    Dpd(Connection),
    /// Show the last failovers.
    History {
        /// A connection; all if not given.
        connection: Option<String>,
        /// How many.
        #[arg(short = 'n', long, default_value_t = 20)]
        count: usize,
    },
    /// Show events as they happen.
    Monitor {
        /// Events, or connections whose events are wanted; all if not given.
        only: Vec<String>,
    },
    /// Load the directory of configurations again.
    Reload,
    /// Show the counters.
    Stats {
        /// In the text format of Prometheus.
        #[arg(long)]
        prometheus: bool,
    },
    /// Show the versions.
    Version,
}

/// One connection.
#[derive(Args, Debug)]
pub struct Connection {
    /// The connection.
    pub connection: String,
}
