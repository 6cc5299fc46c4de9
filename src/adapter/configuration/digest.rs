// SPDX-License-Identifier: GPL-2.0-or-later

//! Tells whether a content has changed without keeping it.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// A keyed hash (SipHash) of some bytes. The key is random and this process's own: no secret can be
/// guessed from the digest alone, and nobody can make another content of the same digest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest(u64);

impl Digest {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(KEY.hash_one(bytes))
    }
}
