// SPDX-License-Identifier: GPL-2.0-or-later

//! Values that configurations of IKE_SAs and of CHILD_SAs have.

use std::time::Duration;

use extsock_core::config::{Problem, Problems};

use crate::charon::{Proposal, Protocol};

/// charon's defaults for an empty list and for the word `default`.
pub(super) fn proposals(
    protocol: Protocol,
    list: &[String],
    path: &str,
    problems: &mut Problems,
) -> Vec<Proposal> {
    if list.is_empty() {
        return Proposal::defaults(protocol, protocol != Protocol::Ike);
    }
    let mut proposals = Vec::new();
    for (index, text) in list.iter().enumerate() {
        if text.eq_ignore_ascii_case("default") {
            let aead_first = cfg!(strongswan_6_0_0) && protocol != Protocol::Ike;
            proposals.extend(Proposal::defaults(protocol, aead_first));
            continue;
        }
        let proposal = Proposal::from_string(protocol, text).ok_or_else(|| {
            let what = "a complete proposal of known algorithms (aes128-sha256-modp2048)";
            Problem::expected(format!("{path}[{index}]"), what, text)
        });
        proposals.extend(problems.keep(proposal));
    }
    proposals
}

pub(super) fn seconds(time: Duration) -> u32 {
    time.as_secs().try_into().unwrap_or(u32::MAX)
}

/// A value that came with a later charon.
#[cfg(not(strongswan_6_0_2))]
pub(super) fn unknown<T>(option: &str) -> T {
    unreachable!("{option}: a configuration for this charon has no such value")
}
