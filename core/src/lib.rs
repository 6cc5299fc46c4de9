// SPDX-License-Identifier: GPL-2.0-or-later

//! The pure part of extsock: failover decisions, the configuration model and the socket protocol.
//!
//! Nothing in here knows C, sockets, clocks, threads or a logger. Whatever drives it passes events
//! and the current time in and carries out the actions that come out.

#![forbid(unsafe_code)]

pub mod config;
pub mod error;
pub mod failover;
pub mod protocol;
