// SPDX-License-Identifier: GPL-2.0-or-later

//! The loop around the failover core: evidence goes in, actions are handed on.

mod driver;
mod listener;
#[cfg(feature = "record")]
mod recorder;
mod timers;

pub(crate) use driver::HandOn;
pub use driver::{Driver, Publisher};
pub use listener::EventListener;
