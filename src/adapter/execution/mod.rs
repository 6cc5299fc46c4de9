// SPDX-License-Identifier: GPL-2.0-or-later

//! The core's actions, done in charon's jobs.

mod executor;
mod lanes;
mod resolver;
mod state_file;

pub(crate) use executor::Executor;
pub use state_file::StateFile;
