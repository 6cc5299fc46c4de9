// SPDX-License-Identifier: GPL-2.0-or-later

//! One attempt to bring a connection up at one gateway.

use std::net::IpAddr;
use std::time::Duration;

use super::common::Common;
use crate::domain::reason::Reason;
use crate::failover::action::{ConfigKind, Destination};
use crate::failover::step::Step;

/// One attempt, from the decision to make it until its IKE_SA is up or it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::failover) struct Attempt {
    pub number: u64,
    /// Where it leads; the address of a name is known once that was looked up.
    pub to: Destination,
    /// When it was decided (monotonic).
    pub since: Duration,
    pub origin: Origin,
    pub stage: AttemptStage,
}

/// Who made an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::failover) enum Origin {
    Plugin,
    /// charon by itself: a trap, an operator by other means, or its own retries.
    Charon,
    /// charon by itself, when another gateway failed. The failover is not announced before it is known that
    /// others have not removed the connection meanwhile.
    CharonAfter(Failure),
}

/// A gateway that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::failover) struct Failure {
    pub gateway: String,
    pub reason: Reason,
    /// When (monotonic).
    pub at: Duration,
}

/// How far an attempt is. charon can begin an IKE_SA to the same gateway by itself at any time, which is the
/// attempt's IKE_SA then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::failover) enum AttemptStage {
    /// The gateway's name is being looked up.
    Resolving { ike_sa: Option<u32> },
    /// charon is about to be called.
    Requested { ike_sa: Option<u32> },
    /// charon was called and has not returned yet.
    Initiating {
        config: ConfigKind,
        ike_sa: Option<u32>,
    },
    /// As [`Self::Initiating`], but its IKE_SA has ended already, and no failure of the gateway was seen. If
    /// charon refused to begin, it is about to say so.
    EndedEarly { config: ConfigKind },
    /// charon has returned without making an IKE_SA: it waits for a name to resolve
    /// (retry_initiate_interval), or took an IKE_SA that was there and is about to end.
    Reused { config: ConfigKind },
    /// charon has returned, and this IKE_SA is coming up.
    Connecting(u32),
}

impl Attempt {
    /// Decides on an attempt by the plugin: looks its gateway up if that is a name, else has charon called.
    pub fn request(c: &Common, gateway: &str, step: &mut Step) -> Self {
        let number = step.next_attempt();
        let stage = if c.gateways.is_name(gateway) {
            step.resolve(&c.name, Some(number), gateway);
            AttemptStage::Resolving { ike_sa: None }
        } else {
            step.initiate(&c.name, number);
            AttemptStage::Requested { ike_sa: None }
        };
        Self::new(number, gateway, Origin::Plugin, stage, step)
    }

    /// One that charon has begun by itself.
    pub fn of_charon(gateway: &str, ike_sa: u32, origin: Origin, step: &mut Step) -> Self {
        let number = step.next_attempt();
        let stage = AttemptStage::Connecting(ike_sa);
        Self::new(number, gateway, origin, stage, step)
    }

    fn new(number: u64, gateway: &str, origin: Origin, stage: AttemptStage, step: &Step) -> Self {
        Self {
            number,
            to: Destination {
                gateway: gateway.to_owned(),
                address: None,
            },
            since: step.now.monotonic,
            origin,
            stage,
        }
    }

    pub fn gateway(&self) -> &str {
        &self.to.gateway
    }

    /// Its IKE_SA, once charon has reported one.
    pub fn ike_sa(&self) -> Option<u32> {
        match self.stage {
            AttemptStage::Resolving { ike_sa }
            | AttemptStage::Requested { ike_sa }
            | AttemptStage::Initiating { ike_sa, .. } => ike_sa,
            AttemptStage::Connecting(ike_sa) => Some(ike_sa),
            AttemptStage::EndedEarly { .. } | AttemptStage::Reused { .. } => None,
        }
    }

    /// The configuration that charon was called with, as long as that tells the attempt's IKE_SA from others.
    fn config(&self) -> Option<ConfigKind> {
        match self.stage {
            AttemptStage::Initiating { config, .. }
            | AttemptStage::EndedEarly { config }
            | AttemptStage::Reused { config } => Some(config),
            _ => None,
        }
    }

    /// Whether charon may have an IKE_SA for it.
    pub fn is_begun(&self) -> bool {
        self.config().is_some() || self.ike_sa().is_some()
    }

    /// Whether charon was called, but has reported no IKE_SA.
    pub fn is_unseen(&self) -> bool {
        self.config().is_some() && self.ike_sa().is_none()
    }

    /// Whether charon is yet to be called, or to return.
    pub fn is_pending(&self) -> bool {
        !matches!(
            self.stage,
            AttemptStage::Reused { .. } | AttemptStage::Connecting(_)
        )
    }

    /// Whether an IKE_SA to that gateway, of which charon tells first now, is the one that it waits for.
    pub fn awaits(&self, gateway: &str, cloned: bool) -> bool {
        // With the connection's own configuration, charon takes the first address that resolves.
        let with_own = !cloned && self.config() == Some(ConfigKind::Own);
        self.ike_sa().is_none() && (self.gateway() == gateway || with_own)
    }

    /// charon has reported its IKE_SA.
    pub fn found(&mut self, ike_sa: u32) {
        let id = ike_sa;
        let ike_sa = Some(id);
        self.stage = match self.stage {
            AttemptStage::Resolving { .. } => AttemptStage::Resolving { ike_sa },
            AttemptStage::Requested { .. } => AttemptStage::Requested { ike_sa },
            AttemptStage::Initiating { config, .. } | AttemptStage::EndedEarly { config } => {
                AttemptStage::Initiating { config, ike_sa }
            }
            AttemptStage::Reused { .. } | AttemptStage::Connecting(_) => {
                AttemptStage::Connecting(id)
            }
        };
    }

    /// Its IKE_SA ended, and no failure of the gateway was seen: what is pending goes on.
    pub fn lost_ike_sa(&mut self) {
        let ike_sa = None;
        self.stage = match self.stage {
            AttemptStage::Resolving { .. } => AttemptStage::Resolving { ike_sa },
            AttemptStage::Requested { .. } => AttemptStage::Requested { ike_sa },
            AttemptStage::Initiating { config, .. } => AttemptStage::EndedEarly { config },
            stage => stage,
        };
    }

    /// Whether the end of that IKE_SA is its end. One whose peer's name did not resolve ends without ever
    /// having been told of.
    pub fn is_ended_by(&self, ike_sa: u32, gateway: &str, unresolved: bool) -> bool {
        match self.ike_sa() {
            Some(id) => id == ike_sa,
            None => unresolved && self.gateway() == gateway,
        }
    }

    /// It is not wanted any more, or its gateway failed: nothing of it remains.
    pub fn abandon(&self, c: &mut Common, step: &mut Step) {
        c.give_up(self.ike_sa());
        if self.is_begun() {
            step.abandon(&c.name, self.gateway(), self.ike_sa());
        }
    }

    /// Why it took too long.
    pub fn reason_of_timeout(&self, c: &Common) -> Reason {
        let is_name = c.gateways.is_name(self.gateway());
        if !self.is_begun() && is_name && self.to.address.is_none() {
            Reason::AddressUnresolvable
        } else {
            Reason::ConnectTimeout
        }
    }

    /// The address at which it failed, where that is known.
    pub fn address(&self, c: &Common) -> Option<IpAddr> {
        let ike_sa = self.ike_sa().and_then(|id| c.ike_sas.get(&id));
        self.to.address.or(ike_sa.and_then(|known| known.remote))
    }
}
