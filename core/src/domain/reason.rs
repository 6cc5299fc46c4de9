// SPDX-License-Identifier: GPL-2.0-or-later

//! Why a gateway failed.

/// Why a gateway failed; the words of the events and of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No answer to IKE_SA_INIT or IKE_AUTH.
    PeerUnreachable,
    /// The gateway's name does not resolve.
    AddressUnresolvable,
    /// One side rejects the other's authentication.
    AuthFailed,
    /// No common IKE proposal.
    NoProposalChosen,
    /// The gateway refuses with another error.
    Rejected,
    /// An established IKE_SA is not answered any more.
    DpdTimeout,
    /// The gateway deleted the IKE_SA.
    PeerDeleted,
    /// charon could not begin the initiation.
    InitiateFailed,
    /// The IKE_SA came up, but none of its CHILD_SAs did.
    ChildFailed,
    /// The lifetime of the IKE_SA ended: it could be neither rekeyed nor reauthenticated.
    IkeSaExpired,
    /// The attempt was not established within `connect_timeout`.
    ConnectTimeout,
    /// The gateway gave no sign of life within `liveness_timeout`.
    LivenessTimeout,
    /// An operator asked for another gateway.
    Operator,
    /// The gateway answers IKE and sends no ESP.
    DataPath,
    /// The host has no route to the gateway, or not the own address that is configured.
    NoRoute,
}

impl Reason {
    /// Every reason, also those for which nothing was counted yet.
    pub const ALL: [Self; 15] = [
        Self::PeerUnreachable,
        Self::AddressUnresolvable,
        Self::AuthFailed,
        Self::NoProposalChosen,
        Self::Rejected,
        Self::DpdTimeout,
        Self::PeerDeleted,
        Self::InitiateFailed,
        Self::ChildFailed,
        Self::IkeSaExpired,
        Self::ConnectTimeout,
        Self::LivenessTimeout,
        Self::Operator,
        Self::DataPath,
        Self::NoRoute,
    ];

    /// Whether the gateway answers and refuses: trying it again soon is pointless.
    pub fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::AuthFailed | Self::NoProposalChosen | Self::Rejected
        )
    }

    /// Whether only a gateway that lives brings this about: its other IKE_SAs are none the worse for it.
    pub fn comes_from_the_gateway(self) -> bool {
        matches!(
            self,
            Self::PeerDeleted | Self::ChildFailed | Self::IkeSaExpired | Self::DataPath
        )
    }

    /// As in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PeerUnreachable => "peer_unreachable",
            Self::AddressUnresolvable => "address_unresolvable",
            Self::AuthFailed => "auth_failed",
            Self::NoProposalChosen => "no_proposal_chosen",
            Self::Rejected => "rejected",
            Self::DpdTimeout => "dpd_timeout",
            Self::PeerDeleted => "peer_deleted",
            Self::InitiateFailed => "initiate_failed",
            Self::ChildFailed => "child_failed",
            Self::IkeSaExpired => "ike_sa_expired",
            Self::ConnectTimeout => "connect_timeout",
            Self::LivenessTimeout => "liveness_timeout",
            Self::Operator => "operator",
            Self::DataPath => "data_path",
            Self::NoRoute => "no_route",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_reasons_are_there_in_their_order() {
        let numbers = Reason::ALL.map(|reason| reason as usize);
        assert_eq!(numbers, std::array::from_fn(|place| place));
        assert_eq!(Reason::NoRoute as usize, Reason::ALL.len() - 1);
    }

    #[test]
    fn the_guide_has_every_reason_in_its_table() {
        let guide = include_str!("../../../docs/failover.md");
        let rows = guide.lines().filter(|line| line.starts_with('|'));
        let table: String = rows.collect();
        for reason in Reason::ALL {
            let cell = format!("| `{}` |", reason.as_str());
            assert!(table.contains(&cell), "{cell}");
        }
    }
}
