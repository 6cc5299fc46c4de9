// SPDX-License-Identifier: GPL-2.0-or-later

//! Failover: evidence of what happens to IKE_SAs goes in, what is to be done about it comes out.
//!
//! One [`manager::FailoverManager`] has all connections. Whatever drives it
//!
//! - tells it of connections ([`configure`](manager::FailoverManager::configure),
//!   [`remove`](manager::FailoverManager::remove)) and passes on what clients want
//!   ([`initiate`](manager::FailoverManager::initiate),
//!   [`failover`](manager::FailoverManager::failover) and others);
//! - hands it all evidence, in the order in which it came ([`handle`](manager::FailoverManager::handle));
//! - wakes it at [`next_deadline`](manager::FailoverManager::next_deadline), by
//!   [`expire`](manager::FailoverManager::expire);
//! - carries out the [`action::Action`]s that each of these returns, those of one connection in their
//!   order, and reports what each of them says is to be reported.
//!
//! The example of the crate shows it.

pub mod action;
mod connection;
mod deadlines;
pub mod event;
pub mod evidence;
pub mod history;
mod ike_sa;
pub mod manager;
mod names;
pub mod reauthentication;
pub mod remembered;
pub mod report;
pub mod selection;
mod step;
pub mod traffic;
