// SPDX-License-Identifier: GPL-2.0-or-later

//! What is there for charon to find: connections, what their gateways have of their own, and where it is
//! led when it goes on by itself; what is to be sent again; and by what IKE_SAs are found.

mod connections;
mod dpd_requests;
mod gateways;
mod ike_sa_keys;
mod retry_configs;

pub(crate) use connections::secret_key;
pub use connections::{Connections, Owner};
pub(crate) use dpd_requests::DpdRequests;
pub(crate) use ike_sa_keys::IkeSaKeys;
pub(crate) use retry_configs::{RetryConfig, RetryConfigs};
