// SPDX-License-Identifier: GPL-2.0-or-later

//! The core's actions, done in charon's jobs.

mod carry_out;
mod lanes;
mod resolver;
mod state_file;

pub(crate) use lanes::Lanes;
pub(crate) use resolver::Resolver;
pub use state_file::StateFile;
