// SPDX-License-Identifier: GPL-2.0-or-later

//! One IKE_SA: how far it is, what was observed of it, and what its end means.

pub(super) mod liveness;
pub(super) mod observed;
pub(super) mod path;
pub(super) mod verdict;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use self::liveness::Liveness;
use self::observed::Observed;
use self::path::PathCheck;
use super::action::Steering;

/// One IKE_SA of a connection, from the first that charon tells of it until it is destroyed.
#[derive(Clone, Debug)]
pub(super) struct IkeSaRecord {
    /// The name of the configuration by which charon knows it.
    pub name: String,
    pub gateway: String,
    /// The address of the gateway, once it is known.
    pub remote: Option<IpAddr>,
    pub stage: IkeSaStage,
    /// Initiated with a clone of the connection's own configuration.
    pub cloned: bool,
    /// The IKE_SA in whose place charon makes it.
    pub replaces: Option<Replaced>,
    /// Its CHILD_SAs that are up.
    pub children: BTreeSet<String>,
    /// CHILD_SAs that were closed while the IKE_SA was up, and when (monotonic).
    pub closed: Vec<(String, Duration)>,
    pub observed: Observed,
    /// What charon was last told to do if the gateway fails and charon goes on by itself.
    pub steering: Option<Steering>,
}

/// How far an IKE_SA is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IkeSaStage {
    /// charon has made it in place of another one, and has not initiated it yet.
    Prepared,
    /// The rekeying of another one has made it, whose place it has not taken yet.
    Successor,
    Connecting,
    Up(Up),
    /// Being deleted, or given up by us.
    Closing,
}

/// An IKE_SA that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Up {
    /// Since when (monotonic).
    pub since: Duration,
    pub liveness: Box<Liveness>,
    pub path: PathCheck,
    /// The name of the next gateway, once it was looked up to have its addresses at hand.
    pub looked_up: Option<String>,
}

/// The IKE_SA in whose place another one is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replaced {
    /// Its unique id.
    pub ike_sa: u32,
    /// Whether the new one leads to the gateway that was prepared. charon makes only those CHILD_SAs on it
    /// that the old one had.
    pub led: bool,
}

impl Up {
    pub fn new(now: Duration) -> Self {
        Self {
            since: now,
            liveness: Box::new(Liveness::new(now)),
            path: PathCheck::default(),
            looked_up: None,
        }
    }

    /// The same gateway by the IKE_SA that rekeying has put in its place.
    pub fn rekeyed(&self, now: Duration) -> Self {
        let mut liveness = self.liveness.clone();
        liveness.restart(now);
        Self {
            since: now,
            path: self.path.clone(),
            liveness,
            looked_up: self.looked_up.clone(),
        }
    }
}

impl IkeSaStage {
    /// Coming up, or about to.
    pub fn is_connecting(&self) -> bool {
        matches!(self, Self::Prepared | Self::Connecting)
    }

    pub fn is_up(&self) -> bool {
        matches!(self, Self::Up(_))
    }

    pub fn is_closing(&self) -> bool {
        matches!(self, Self::Closing)
    }
}

impl IkeSaRecord {
    /// One that is connecting.
    pub fn new(name: &str, gateway: String) -> Self {
        Self {
            name: name.to_owned(),
            gateway,
            remote: None,
            stage: IkeSaStage::Connecting,
            cloned: false,
            replaces: None,
            children: BTreeSet::new(),
            closed: Vec::new(),
            observed: Observed::default(),
            steering: None,
        }
    }

    /// Whether charon is about to make it in place of another one by itself, and has not told that it
    /// connects.
    pub fn is_unannounced(&self) -> bool {
        let led = self.replaces.is_some_and(|replaced| replaced.led);
        self.stage == IkeSaStage::Prepared && !led
    }

    /// Since when it is up, and its liveness; None unless it is up.
    pub fn up(&self) -> Option<&Up> {
        match &self.stage {
            IkeSaStage::Up(up) => Some(up),
            _ => None,
        }
    }

    pub fn up_mut(&mut self) -> Option<&mut Up> {
        match &mut self.stage {
            IkeSaStage::Up(up) => Some(up),
            _ => None,
        }
    }

    /// It is being deleted, or given up; returns whether it already was.
    pub fn close(&mut self) -> bool {
        std::mem::replace(&mut self.stage, IkeSaStage::Closing).is_closing()
    }

    /// Whether it is coming up with CHILD_SAs that it has from the IKE_SA that it takes the place of (IKEv1). Only
    /// the gateway of that one knows their keys: at another gateway the IKE_SA would come up, and nothing would
    /// go through them.
    pub fn has_adopted_children(&self) -> bool {
        self.stage.is_connecting() && !self.children.is_empty()
    }

    /// A CHILD_SA came up.
    pub fn child_up(&mut self, child: &str) {
        self.children.insert(child.to_owned());
    }

    /// A CHILD_SA went down; returns whether that was not a consequence of the IKE_SA's own end.
    pub fn child_down(&mut self, child: &str, now: Duration) -> bool {
        if self.observed.is_down() || self.stage.is_closing() {
            return false;
        }
        self.children.remove(child);
        self.closed.retain(|(closed, _)| closed != child);
        self.closed.push((child.to_owned(), now));
        true
    }

    /// CHILD_SAs that were closed so shortly before the IKE_SA that the peer must have meant both: an IKEv1
    /// peer that shuts down deletes the CHILD_SAs first.
    pub fn closed_with_the_ike_sa(&self, now: Duration) -> impl Iterator<Item = &str> {
        const SHUTDOWN: Duration = Duration::from_secs(5);

        let lately = move |at: Duration| now.saturating_sub(at) < SHUTDOWN;
        self.closed
            .iter()
            .filter(move |(_, at)| lately(*at))
            .map(|(child, _)| child.as_str())
    }
}
