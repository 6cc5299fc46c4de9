// SPDX-License-Identifier: GPL-2.0-or-later

//! How many clients there may be, how much they may send and leave unread, and who they may be.

use std::time::Duration;

use extsock_core::protocol::MAX_REQUEST;

use crate::charon::Peer;

/// What clients may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Clients at a time.
    pub max_clients: usize,
    /// Bytes of a request.
    pub max_request: usize,
    /// Bytes of events that may wait for a client; the connection of one that leaves more unread is closed.
    pub max_queue: usize,
    /// How long a client may take from the first to the last byte of a request.
    pub request_timeout: Duration,
    /// Users that may connect; all if it is empty.
    pub allowed_uids: Vec<u32>,
    /// Groups whose clients may only read, those of `allowed_uids` excepted.
    pub read_only_gids: Vec<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_clients: 100,
            max_request: MAX_REQUEST,
            max_queue: 1 << 20,
            request_timeout: Duration::from_secs(30),
            allowed_uids: Vec::new(),
            read_only_gids: Vec::new(),
        }
    }
}

/// What a client may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// All requests.
    All,
    /// Requests that change nothing.
    ReadOnly,
    /// None.
    Refused,
}

impl Limits {
    /// What a client of that user and group may use. A client whose user is not known is in no list.
    pub fn access(&self, peer: Option<&Peer>) -> Access {
        let allowed = peer.is_some_and(|peer| self.allowed_uids.contains(&peer.uid));
        let read_only = peer.is_some_and(|peer| {
            let mut gids = peer.gids.iter();
            gids.any(|gid| self.read_only_gids.contains(gid))
        });
        match (allowed, read_only) {
            (true, _) => Access::All,
            (false, true) => Access::ReadOnly,
            (false, false) if self.allowed_uids.is_empty() => Access::All,
            (false, false) => Access::Refused,
        }
    }
}
