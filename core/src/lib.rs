// SPDX-License-Identifier: GPL-2.0-or-later

//! The pure part of extsock: failover decisions, the configuration model and the socket protocol.
//!
//! Nothing in here uses C, sockets, clocks, threads or a logger. Its caller passes events and the current time
//! in, and carries out the actions that it returns.
//!
//! - [`failover`]: the [`FailoverManager`](failover::manager::FailoverManager), to which
//!   [`Evidence`](failover::evidence::Evidence) goes and from which [`Action`](failover::action::Action)s
//!   come
//! - [`domain`]: the types that the others have in common: gateways, policies, reasons, the time
//! - [`config`]: [`parse`](config::parse) reads a configuration, or reports all errors in it
//! - [`protocol`]: a [`Framer`](protocol::Framer) finds requests in a stream,
//!   [`parse`](protocol::parse) reads one, replies and events write their lines
//! - [`error`]: the codes that programs see
//! - [`strongswan`]: its versions, which differ in the options of a configuration
//!
//! A connection that was not loaded by extsock but by vici (swanctl) or stroke (ipsec.conf) is called *foreign*.
//! *The existing plugin* is the extsock plugin in C that this one replaces.
//!
//! # A gateway dies
//!
//! ```
//! use extsock_core::failover::action::{Action, Settings};
//! use extsock_core::domain::address::AddressList;
//! use extsock_core::failover::evidence::{Alert, Evidence, IkeSa, IkeSaState, Task, Tasks};
//! use extsock_core::failover::manager::FailoverManager;
//! use extsock_core::domain::policy::FailoverPolicy;
//! use extsock_core::domain::Now;
//! use extsock_core::failover::event::Event;
//!
//! let mut manager = FailoverManager::default();
//! // Whatever drives the core brings the time, and carries out what comes out.
//! let now = Now::default();
//! let settings = Settings {
//!     gateways: AddressList::parse("192.0.2.1,192.0.2.2"),
//!     children: vec!["data".to_owned()],
//!     policy: FailoverPolicy::default(),
//! };
//! manager.configure("net", settings, now);
//!
//! // charon connects to the first gateway, and the IKE_SA comes up ...
//! let in_state = |state, active: &[Task]| IkeSa {
//!     id: 1,
//!     name: "net".to_owned(),
//!     remote_addrs: "192.0.2.1,192.0.2.2".to_owned(),
//!     remote: "192.0.2.1".parse().ok(),
//!     initiator: true,
//!     state,
//!     tasks: Tasks { active: active.to_vec(), ..Tasks::default() },
//! };
//! let connecting = in_state(IkeSaState::Created, &[Task::ChildCreate]);
//! manager.handle(Evidence::State { ike_sa: connecting, to: IkeSaState::Connecting }, now);
//! let established = in_state(IkeSaState::Connecting, &[]);
//! manager.handle(Evidence::State { ike_sa: established, to: IkeSaState::Established }, now);
//!
//! // ... until a request is not answered, and charon destroys it.
//! let up = in_state(IkeSaState::Established, &[]);
//! let alert = Alert::RetransmitSendTimeout;
//! manager.handle(Evidence::Alert { ike_sa: up.clone(), alert }, now);
//! let actions = manager.handle(Evidence::State { ike_sa: up, to: IkeSaState::Destroying }, now);
//!
//! // The clients are to be told, and the next gateway is to be tried.
//! let started = Event::FailoverStarted {
//!     connection: "net".to_owned(),
//!     from: "192.0.2.1".to_owned(),
//!     to: "192.0.2.2".to_owned(),
//!     reason: "dpd_timeout".into(),
//!     attempt: 1,
//! };
//! assert!(actions.contains(&Action::Publish(Box::new(started))));
//! let initiate = |action: &Action| matches!(action, Action::Initiate { connection, .. } if connection == "net");
//! assert!(actions.iter().any(initiate), "{actions:#?}");
//! ```

#![forbid(unsafe_code)]

pub mod config;
pub mod domain;
pub mod error;
pub mod failover;
pub mod protocol;
pub mod strongswan;
