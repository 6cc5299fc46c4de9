// SPDX-License-Identifier: GPL-2.0-or-later

//! Tokens of the callbacks in which an IKE_SA's configuration may be replaced.
//!
//! Only the listener's glue makes them, and lends them for the callback. What asks for one can be called
//! nowhere else.

/// `ike_state_change`.
pub struct InStateChange(());

/// ALERT_RETRANSMIT_SEND_TIMEOUT of an IKE_SA that is connecting.
pub struct InConnectTimeout(());

/// `ike_reestablish_pre`.
pub struct InReestablishPre(());

/// A callback after which charon resolves the addresses of the configuration that the IKE_SA has then.
pub trait BeforeResolving: sealed::Sealed {}

impl BeforeResolving for InConnectTimeout {}
impl BeforeResolving for InReestablishPre {}

mod sealed {
    pub trait Sealed {}

    impl Sealed for super::InConnectTimeout {}
    impl Sealed for super::InReestablishPre {}
}

impl InStateChange {
    pub(super) fn new() -> Self {
        Self(())
    }
}

impl InConnectTimeout {
    pub(super) fn new() -> Self {
        Self(())
    }
}

impl InReestablishPre {
    pub(super) fn new() -> Self {
        Self(())
    }
}
