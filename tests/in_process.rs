// SPDX-License-Identifier: GPL-2.0-or-later

//! The plugin's layers over charon, against charon's own objects: this binary links the
//! distribution's libcharon and is its own daemon.

#[path = "in_process/harness.rs"]
#[macro_use]
mod harness;

#[path = "in_process/acquire.rs"]
mod acquire;
#[path = "in_process/backend.rs"]
mod backend;
#[path = "in_process/connections.rs"]
mod connections;
#[path = "in_process/control.rs"]
mod control;
#[path = "in_process/credential_files.rs"]
mod credential_files;
#[path = "in_process/credentials.rs"]
mod credentials;
#[path = "in_process/equality.rs"]
mod equality;
#[path = "in_process/failover_config.rs"]
mod failover_config;
#[path = "in_process/gateways.rs"]
mod gateways;
#[path = "in_process/ike_sas.rs"]
mod ike_sas;
#[path = "in_process/initiated.rs"]
mod initiated;
#[path = "in_process/jobs.rs"]
mod jobs;
#[path = "in_process/layout.rs"]
mod layout;
#[path = "in_process/ledger.rs"]
mod ledger;
#[path = "in_process/liveness.rs"]
mod liveness;
#[path = "in_process/original.rs"]
mod original;
#[path = "in_process/plugin.rs"]
mod plugin;
#[path = "in_process/requests.rs"]
mod requests;
#[path = "in_process/secure_heap.rs"]
mod secure_heap;
#[path = "in_process/settings.rs"]
mod settings;
#[path = "in_process/snapshot.rs"]
mod snapshot;
#[path = "in_process/state_file.rs"]
mod state_file;
#[path = "in_process/timers.rs"]
mod timers;
#[path = "in_process/traps.rs"]
mod traps;
