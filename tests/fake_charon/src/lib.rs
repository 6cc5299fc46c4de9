// SPDX-License-Identifier: GPL-2.0-or-later

//! What surrounds the failover manager, without a daemon: charon's IKE_SAs ([`IkeSas`]), what charon reports in each
//! situation ([`situations`]), and the calls with which the plugin carries out the manager's actions ([`Plugin`]).
//!
//! When evidence arrives and actions are carried out, and what gateways answer, is decided by the test: the scenarios
//! of the core do everything at once, its simulation does it at random times.

mod ike_sas;
mod plugin;
pub mod situations;

use extsock_core::failover::evidence::Evidence;

pub use ike_sas::{connection_of, initiator, FakeIkeSa, IkeSas};
pub use plugin::Plugin;

/// A charon without packets.
pub trait Charon {
    /// Its IKE_SAs.
    fn ike_sas(&mut self) -> &mut IkeSas;

    /// Hands evidence to the plugin, which looks at it now or later.
    fn report(&mut self, evidence: Evidence);
}
