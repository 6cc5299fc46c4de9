// SPDX-License-Identifier: GPL-2.0-or-later

//! The control socket: requests in, replies and events out.

mod access;
mod client;
mod server;

pub use access::{Access, Limits};
pub use server::{Listening, Server};
