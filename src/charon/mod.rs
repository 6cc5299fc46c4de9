// SPDX-License-Identifier: GPL-2.0-or-later

//! charon's C API: the only unsafe code of the plugin, one safe wrapper per concept.
//!
//! Ownership follows charon. A reference-counted object (`peer_cfg_t`) is a type whose `Clone` is
//! `get_ref` and whose `Drop` is `destroy`; an object with one owner (`host_t`) is a type whose
//! `Clone` makes a copy. One that something else holds is [`Borrowed`]. An IKE_SA is three types: [`IkeSa`] is borrowed for one callback,
//! [`CheckedOutIkeSa`] is held exclusively and checked in when dropped, and [`IkeSaId`] is what may
//! be kept in between.

/// Calls a method of a charon object, whose first argument is the object itself.
///
/// To be used in an unsafe block: the pointer must be a valid object of its type.
macro_rules! call {
    ($object:expr, $method:ident $(, $argument:expr)* $(,)?) => {{
        let object = $object;
        ((*object).$method.expect(concat!("charon: no method ", stringify!($method))))(object $(, $argument)*)
    }};
}

mod auth_cfg;
mod backend;
mod certificate;
mod child_cfg;
mod child_sa;
mod controller;
mod credentials;
mod enumerate;
mod guard;
mod hooks;
mod host;
mod identification;
mod ike_cfg;
mod ike_sa;
mod jobs;
mod kernel;
mod layout;
mod listener;
mod log;
mod message;
mod object;
mod peer_cfg;
mod plugin;
mod proposal;
mod sec_label;
mod secure_heap;
mod settings;
mod shared_key;
mod stream;
#[doc(hidden)]
pub mod sys;
mod token;
mod traffic_selector;
mod traps;

pub use auth_cfg::{AuthCfg, AuthClass, IdentityRule};
pub use backend::{peer_cfg_by_name, Backend};
pub use certificate::{Certificate, Container, PrivateKey};
pub use child_cfg::{ChildCfg, ChildCfgFields, Limit};
pub use child_sa::{ChildSa, ChildSaInfo};
pub use controller::{initiate, terminate, unresolved};
pub use credentials::{Credentials, Distributed};
pub use hooks::{BeforeResolving, InConnectTimeout, InReestablishPre, InStateChange};
pub use host::Host;
pub use identification::Identification;
pub use ike_cfg::{own_port, IkeCfg, IkeCfgFields};
pub use ike_sa::{CheckedOutIkeSa, IkeSa, IkeSaId, IkeSaKey};
pub use jobs::{queue, schedule, Priority};
pub use kernel::{has_route, source_address, NetworkRegistration};
pub use layout::{built_for, check, has_ikev1, version, BuiltFor, Refusal, Running, MARKERS};
pub use listener::{Listener, Registration};
pub use log::install as install_log;
pub use message::{AuthLifetime, Message, SentRequest};
pub use object::Borrowed;
pub use peer_cfg::{PeerCfg, PeerCfgBuilder, PeerCfgFields};
pub use plugin::{create as create_plugin, Feature};
pub use proposal::{Proposal, Protocol};
pub use sec_label::{has_selinux, SecLabel};
pub use secure_heap::on_secure_heap;
pub use settings::{charon_bool, charon_number, setting_duration, setting_number, setting_string};
pub use stream::{Handler, Peer, Reader, Stream, StreamService};
#[cfg(strongswan_5_9_14)]
pub use sys::ocsp_policy_t;
pub use sys::{
    action_t, cert_policy_t, child_cfg_option_t, childless_t, dscp_copy_t, fragmentation_t,
    hw_offload_t, ike_version_t, ipsec_mode_t, mark_t, plugin_t, sec_label_mode_t,
    shared_key_type_t, unique_policy_t,
};
pub use token::{finds_tokens, token_modules, NoKey};
pub use traffic_selector::TrafficSelector;
pub use traps::{install as install_trap, uninstall as uninstall_trap};
