// SPDX-License-Identifier: GPL-2.0-or-later

//! Configurations are loaded and removed: for clients of the socket, and from a directory.

mod config_dir;
mod loader;

pub use config_dir::ConfigDir;
pub(crate) use loader::{names, Loader};
