// SPDX-License-Identifier: GPL-2.0-or-later

//! Whether the end of an IKE_SA is a failure of its gateway.
//!
//! IKE_DESTROYING alone tells nothing: rekeying, reauthentication, a local termination and the
//! daemon's shutdown lead to it as well. Only positive evidence makes a failure.

use super::observed::{Observed, Party};
use crate::domain::reason::Reason;
use crate::failover::evidence::{Alert, IkeSa, IkeSaState, Task};

/// The table of causes: why the gateway failed, or None if its IKE_SA ended for another reason.
///
/// `end` is the IKE_SA in its last state before IKE_DESTROYING. Read top to bottom, the first row
/// that fits decides.
pub(in crate::failover) fn verdict(observed: &Observed, end: &IkeSa) -> Option<Reason> {
    use IkeSaState as S;

    let queued = &end.tasks.queued;
    let delete_queued = queued.contains(&Task::IkeDelete) || queued.contains(&Task::IsakmpDelete);
    let mobike_probe = end.tasks.active.contains(&Task::IkeMobike);

    match (end.state, observed.deleted_by, observed.alert) {
        // Rekeyed, reauthenticated, or re-established by charon itself.
        _ if observed.superseded => None,
        // Terminated locally, with another exchange in flight.
        _ if delete_queued => None,
        // Deleted.
        (S::Deleting, Some(Party::Peer), _) => Some(Reason::PeerDeleted),
        // In IKEv1 we reject a peer by deleting the IKE_SA.
        (S::Deleting, Some(Party::Us), Some(Alert::PeerAuthFailed)) => Some(Reason::AuthFailed),
        (S::Deleting, _, _) => None,
        // Never came up, for lack of our own credentials.
        (S::Created | S::Connecting, _, _) if observed.lacks_credentials() => None,
        // Never came up.
        (S::Created | S::Connecting, _, Some(alert)) => Some(match alert {
            Alert::PeerAddrFailed => Reason::AddressUnresolvable,
            Alert::LocalAuthFailed | Alert::PeerAuthFailed => Reason::AuthFailed,
            Alert::ProposalMismatchIke => Reason::NoProposalChosen,
            Alert::RetransmitSendTimeout | Alert::PeerInitUnreachable if observed.took_over => {
                Reason::DpdTimeout
            }
            Alert::RetransmitSendTimeout
            | Alert::PeerInitUnreachable
            | Alert::KeepOnChildSaFailure
            | Alert::IkeSaExpired => Reason::PeerUnreachable,
        }),
        (S::Created | S::Connecting, _, None) if observed.refused => Some(Reason::Rejected),
        // Was up, and a request, MOBIKE's path probing included, remained without an answer.
        (S::Established | S::Rekeying, _, Some(Alert::RetransmitSendTimeout)) => {
            Some(Reason::DpdTimeout)
        }
        (S::Established | S::Rekeying, _, _) if mobike_probe => Some(Reason::DpdTimeout),
        // Terminated locally while connecting, INITIAL_CONTACT, passive, ...: no evidence.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::evidence::Tasks;

    fn ended_in(state: IkeSaState) -> IkeSa {
        IkeSa {
            id: 1,
            name: "net".into(),
            remote_addrs: "10.0.0.1,10.0.0.2".into(),
            remote: None,
            initiator: true,
            state,
            tasks: Tasks::default(),
        }
    }

    fn alerted(alert: Alert) -> Observed {
        let mut observed = Observed::default();
        observed.alert(alert);
        observed
    }

    fn deleting(tasks: Tasks) -> Observed {
        let mut observed = Observed::default();
        observed.deleting(&IkeSa {
            tasks,
            ..ended_in(IkeSaState::Established)
        });
        observed
    }

    #[test]
    fn no_answer_while_connecting() {
        let mut observed = alerted(Alert::RetransmitSendTimeout);
        observed.alert(Alert::PeerInitUnreachable);
        assert_eq!(
            verdict(&observed, &ended_in(IkeSaState::Connecting)),
            Some(Reason::PeerUnreachable)
        );
    }

    #[test]
    fn unresolvable_name() {
        let observed = alerted(Alert::PeerAddrFailed);
        assert_eq!(
            verdict(&observed, &ended_in(IkeSaState::Created)),
            Some(Reason::AddressUnresolvable)
        );
    }

    #[test]
    fn authentication_failed_on_either_side() {
        let end = ended_in(IkeSaState::Connecting);
        for alert in [Alert::LocalAuthFailed, Alert::PeerAuthFailed] {
            let mut observed = alerted(alert);
            observed.down(&end);
            assert_eq!(verdict(&observed, &end), Some(Reason::AuthFailed));
        }
    }

    #[test]
    fn without_own_credentials_no_gateway_is_better() {
        let observed = alerted(Alert::LocalAuthFailed);
        assert!(observed.lacks_credentials());
        assert_eq!(verdict(&observed, &ended_in(IkeSaState::Connecting)), None);
    }

    #[test]
    fn no_proposal_and_other_refusals() {
        let end = ended_in(IkeSaState::Connecting);
        let observed = alerted(Alert::ProposalMismatchIke);
        assert_eq!(verdict(&observed, &end), Some(Reason::NoProposalChosen));

        let mut observed = Observed::default();
        observed.down(&end);
        assert_eq!(verdict(&observed, &end), Some(Reason::Rejected));
    }

    #[test]
    fn an_established_peer_stops_answering() {
        for state in [IkeSaState::Established, IkeSaState::Rekeying] {
            let mut observed = alerted(Alert::RetransmitSendTimeout);
            assert_eq!(
                verdict(&observed, &ended_in(state)),
                Some(Reason::DpdTimeout)
            );

            observed.superseded();
            assert_eq!(
                verdict(&observed, &ended_in(state)),
                None,
                "charon re-established it itself"
            );
        }
        let probing = IkeSa {
            tasks: Tasks {
                active: vec![Task::IkeMobike],
                ..Tasks::default()
            },
            ..ended_in(IkeSaState::Established)
        };
        assert_eq!(
            verdict(&Observed::default(), &probing),
            Some(Reason::DpdTimeout)
        );
    }

    #[test]
    fn the_peer_deletes_it() {
        let observed = deleting(Tasks {
            passive: vec![Task::IkeDelete],
            ..Tasks::default()
        });
        assert_eq!(
            verdict(&observed, &ended_in(IkeSaState::Deleting)),
            Some(Reason::PeerDeleted)
        );
    }

    #[test]
    fn an_ikev1_peer_that_we_reject() {
        let mut observed = alerted(Alert::PeerAuthFailed);
        observed.deleting(&IkeSa {
            tasks: Tasks {
                active: vec![Task::IsakmpDelete],
                ..Tasks::default()
            },
            ..ended_in(IkeSaState::Connecting)
        });
        let end = ended_in(IkeSaState::Deleting);
        assert_eq!(verdict(&observed, &end), Some(Reason::AuthFailed));
    }

    #[test]
    fn local_deletion_also_of_a_dead_peer() {
        for task in [
            Task::IkeDelete,
            Task::IkeReauth,
            Task::IkeVerifyPeerCert,
            Task::IsakmpDelete,
        ] {
            let mut observed = deleting(Tasks {
                active: vec![task],
                ..Tasks::default()
            });
            observed.alert(Alert::RetransmitSendTimeout);
            assert_eq!(
                verdict(&observed, &ended_in(IkeSaState::Deleting)),
                None,
                "{task:?}"
            );
        }
    }

    #[test]
    fn local_deletion_waiting_for_another_exchange() {
        let end = IkeSa {
            tasks: Tasks {
                queued: vec![Task::IkeDelete],
                ..Tasks::default()
            },
            ..ended_in(IkeSaState::Established)
        };
        assert_eq!(verdict(&alerted(Alert::RetransmitSendTimeout), &end), None);
    }

    #[test]
    fn the_first_of_two_deletions_counts() {
        let mut observed = deleting(Tasks {
            active: vec![Task::IkeDelete],
            ..Tasks::default()
        });
        observed.deleting(&IkeSa {
            tasks: Tasks {
                passive: vec![Task::IkeDelete],
                ..Tasks::default()
            },
            ..ended_in(IkeSaState::Deleting)
        });
        assert_eq!(verdict(&observed, &ended_in(IkeSaState::Deleting)), None);
    }

    #[test]
    fn rekeyed() {
        let mut observed = Observed::default();
        observed.superseded();
        assert_eq!(verdict(&observed, &ended_in(IkeSaState::Deleting)), None);
    }

    #[test]
    fn no_evidence_is_no_failure() {
        for state in [
            IkeSaState::Created,
            IkeSaState::Connecting,
            IkeSaState::Established,
        ] {
            assert_eq!(
                verdict(&Observed::default(), &ended_in(state)),
                None,
                "{state:?}"
            );
        }
    }

    #[test]
    fn trouble_before_it_came_up_is_forgotten() {
        let mut observed = alerted(Alert::RetransmitSendTimeout);
        observed.recovered();
        assert_eq!(verdict(&observed, &ended_in(IkeSaState::Established)), None);
    }
}
