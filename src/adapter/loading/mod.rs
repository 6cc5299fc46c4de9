// SPDX-License-Identifier: GPL-2.0-or-later

//! Configurations are loaded and removed.

mod config_dir;

pub use config_dir::ConfigDir;
