// SPDX-License-Identifier: GPL-2.0-or-later

//! Whether the end of an IKE_SA is a failure of its gateway.
//!
//! IKE_DESTROYING alone tells nothing: rekeying, reauthentication, a local termination and the
//! daemon's shutdown lead to it as well. Only positive evidence makes a failure.

use super::evidence::{Alert, IkeSa, IkeSaState, Task, Tasks};
use crate::domain::reason::Reason;

/// What was seen of an IKE_SA before its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    alert: Option<Alert>,
    refused: bool,
    deleted_by: Option<Party>,
    superseded: bool,
    took_over: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Party {
    Us,
    Peer,
}

impl Seen {
    /// An alert was raised for it.
    pub fn alert(&mut self, alert: Alert) {
        if matches!(alert, Alert::KeepOnChildSaFailure | Alert::IkeSaExpired) {
            // Not about its gateway, or acted on at once.
            return;
        }
        // PEER_INIT_UNREACHABLE follows the timeout and is the more exact of both.
        self.alert = Some(alert);
    }

    /// It is up, or tried again: what went wrong on the way does not count any more.
    pub fn recovered(&mut self) {
        self.alert = None;
        self.refused = false;
    }

    /// What charon lacks of its own credentials cannot be had from another gateway: unlike a refusal
    /// by the peer, it is not reported down.
    pub fn lacks_credentials(&self) -> bool {
        self.alert == Some(Alert::LocalAuthFailed) && !self.refused
    }

    /// It was reported down. Before it ever was up, only a message of the peer's leads to that.
    pub fn down(&mut self, ike_sa: &IkeSa) {
        self.refused |= ike_sa.state == IkeSaState::Connecting;
    }

    /// It is being deleted: by whom, its task queues tell.
    pub fn deleting(&mut self, ike_sa: &IkeSa) {
        // Of two simultaneous deletions the first counts.
        if matches!(ike_sa.state, IkeSaState::Rekeyed | IkeSaState::Deleting) {
            return;
        }
        self.deleted_by = Some(deleted_by(&ike_sa.tasks));
    }

    /// Whether it is being deleted by us.
    pub fn is_deleted_by_us(&self) -> bool {
        self.deleted_by == Some(Party::Us)
    }

    /// It has the CHILD_SAs of another one, which it takes the place of: a tunnel that is up depends on it
    /// before it is.
    pub fn takes_over(&mut self) {
        self.took_over = true;
    }

    /// Whether another IKE_SA has taken its place.
    pub fn is_superseded(&self) -> bool {
        self.superseded
    }

    /// Another IKE_SA has taken its place: by rekeying, or because charon itself replaced it.
    pub fn superseded(&mut self) {
        self.superseded = true;
    }
}

/// Why the gateway of an IKE_SA failed for which charon went on by itself, before its end.
pub(super) fn going_on(seen: &Seen, was_up: bool) -> Reason {
    match seen.deleted_by {
        Some(Party::Peer) => Reason::PeerDeleted,
        _ if was_up => Reason::DpdTimeout,
        _ => Reason::PeerUnreachable,
    }
}

fn deleted_by(tasks: &Tasks) -> Party {
    let by_peer =
        tasks.passive.contains(&Task::IkeDelete) || tasks.passive.contains(&Task::Informational);
    let by_us = tasks.active.iter().any(|task| {
        matches!(
            task,
            Task::IkeDelete
                | Task::IkeReauth
                | Task::IkeRekey
                | Task::IkeVerifyPeerCert
                | Task::IsakmpDelete
        )
    });
    if by_peer && !by_us {
        Party::Peer
    } else {
        Party::Us
    }
}

/// The table of causes: why the gateway failed, or None if its IKE_SA ended for another reason.
///
/// `end` is the IKE_SA in its last state before IKE_DESTROYING. Read top to bottom, the first row
/// that fits decides.
pub fn verdict(seen: &Seen, end: &IkeSa) -> Option<Reason> {
    use IkeSaState as S;

    let queued = &end.tasks.queued;
    let delete_queued = queued.contains(&Task::IkeDelete) || queued.contains(&Task::IsakmpDelete);
    let mobike_probe = end.tasks.active.contains(&Task::IkeMobike);

    match (end.state, seen.deleted_by, seen.alert) {
        // Rekeyed, reauthenticated, or re-established by charon itself.
        _ if seen.superseded => None,
        // Terminated locally, with another exchange in flight.
        _ if delete_queued => None,
        // Deleted.
        (S::Deleting, Some(Party::Peer), _) => Some(Reason::PeerDeleted),
        // In IKEv1 a peer that we reject is told by a deletion.
        (S::Deleting, Some(Party::Us), Some(Alert::PeerAuthFailed)) => Some(Reason::AuthFailed),
        (S::Deleting, _, _) => None,
        // Never came up, for lack of our own credentials.
        (S::Created | S::Connecting, _, _) if seen.lacks_credentials() => None,
        // Never came up.
        (S::Created | S::Connecting, _, Some(alert)) => Some(match alert {
            Alert::PeerAddrFailed => Reason::AddressUnresolvable,
            Alert::LocalAuthFailed | Alert::PeerAuthFailed => Reason::AuthFailed,
            Alert::ProposalMismatchIke => Reason::NoProposalChosen,
            Alert::RetransmitSendTimeout | Alert::PeerInitUnreachable if seen.took_over => {
                Reason::DpdTimeout
            }
            Alert::RetransmitSendTimeout
            | Alert::PeerInitUnreachable
            | Alert::KeepOnChildSaFailure
            | Alert::IkeSaExpired => Reason::PeerUnreachable,
        }),
        (S::Created | S::Connecting, _, None) if seen.refused => Some(Reason::Rejected),
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

    fn alerted(alert: Alert) -> Seen {
        let mut seen = Seen::default();
        seen.alert(alert);
        seen
    }

    fn deleting(tasks: Tasks) -> Seen {
        let mut seen = Seen::default();
        seen.deleting(&IkeSa {
            tasks,
            ..ended_in(IkeSaState::Established)
        });
        seen
    }

    #[test]
    fn no_answer_while_connecting() {
        let mut seen = alerted(Alert::RetransmitSendTimeout);
        seen.alert(Alert::PeerInitUnreachable);
        assert_eq!(
            verdict(&seen, &ended_in(IkeSaState::Connecting)),
            Some(Reason::PeerUnreachable)
        );
    }

    #[test]
    fn unresolvable_name() {
        let seen = alerted(Alert::PeerAddrFailed);
        assert_eq!(
            verdict(&seen, &ended_in(IkeSaState::Created)),
            Some(Reason::AddressUnresolvable)
        );
    }

    #[test]
    fn authentication_failed_on_either_side() {
        let end = ended_in(IkeSaState::Connecting);
        for alert in [Alert::LocalAuthFailed, Alert::PeerAuthFailed] {
            let mut seen = alerted(alert);
            seen.down(&end);
            assert_eq!(verdict(&seen, &end), Some(Reason::AuthFailed));
        }
    }

    #[test]
    fn without_own_credentials_no_gateway_is_better() {
        let seen = alerted(Alert::LocalAuthFailed);
        assert!(seen.lacks_credentials());
        assert_eq!(verdict(&seen, &ended_in(IkeSaState::Connecting)), None);
    }

    #[test]
    fn no_proposal_and_other_refusals() {
        let end = ended_in(IkeSaState::Connecting);
        let seen = alerted(Alert::ProposalMismatchIke);
        assert_eq!(verdict(&seen, &end), Some(Reason::NoProposalChosen));

        let mut seen = Seen::default();
        seen.down(&end);
        assert_eq!(verdict(&seen, &end), Some(Reason::Rejected));
    }

    #[test]
    fn an_established_peer_stops_answering() {
        for state in [IkeSaState::Established, IkeSaState::Rekeying] {
            let mut seen = alerted(Alert::RetransmitSendTimeout);
            assert_eq!(verdict(&seen, &ended_in(state)), Some(Reason::DpdTimeout));

            seen.superseded();
            assert_eq!(
                verdict(&seen, &ended_in(state)),
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
            verdict(&Seen::default(), &probing),
            Some(Reason::DpdTimeout)
        );
    }

    #[test]
    fn the_peer_deletes_it() {
        let seen = deleting(Tasks {
            passive: vec![Task::IkeDelete],
            ..Tasks::default()
        });
        assert_eq!(
            verdict(&seen, &ended_in(IkeSaState::Deleting)),
            Some(Reason::PeerDeleted)
        );
    }

    #[test]
    fn an_ikev1_peer_that_we_reject() {
        let mut seen = alerted(Alert::PeerAuthFailed);
        seen.deleting(&IkeSa {
            tasks: Tasks {
                active: vec![Task::IsakmpDelete],
                ..Tasks::default()
            },
            ..ended_in(IkeSaState::Connecting)
        });
        let end = ended_in(IkeSaState::Deleting);
        assert_eq!(verdict(&seen, &end), Some(Reason::AuthFailed));
    }

    #[test]
    fn local_deletion_also_of_a_dead_peer() {
        for task in [
            Task::IkeDelete,
            Task::IkeReauth,
            Task::IkeVerifyPeerCert,
            Task::IsakmpDelete,
        ] {
            let mut seen = deleting(Tasks {
                active: vec![task],
                ..Tasks::default()
            });
            seen.alert(Alert::RetransmitSendTimeout);
            assert_eq!(
                verdict(&seen, &ended_in(IkeSaState::Deleting)),
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
        let mut seen = deleting(Tasks {
            active: vec![Task::IkeDelete],
            ..Tasks::default()
        });
        seen.deleting(&IkeSa {
            tasks: Tasks {
                passive: vec![Task::IkeDelete],
                ..Tasks::default()
            },
            ..ended_in(IkeSaState::Deleting)
        });
        assert_eq!(verdict(&seen, &ended_in(IkeSaState::Deleting)), None);
    }

    #[test]
    fn rekeyed() {
        let mut seen = Seen::default();
        seen.superseded();
        assert_eq!(verdict(&seen, &ended_in(IkeSaState::Deleting)), None);
    }

    #[test]
    fn no_evidence_is_no_failure() {
        for state in [
            IkeSaState::Created,
            IkeSaState::Connecting,
            IkeSaState::Established,
        ] {
            assert_eq!(
                verdict(&Seen::default(), &ended_in(state)),
                None,
                "{state:?}"
            );
        }
    }

    #[test]
    fn trouble_before_it_came_up_is_forgotten() {
        let mut seen = alerted(Alert::RetransmitSendTimeout);
        seen.recovered();
        assert_eq!(verdict(&seen, &ended_in(IkeSaState::Established)), None);
    }
}
