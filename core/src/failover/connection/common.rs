// SPDX-License-Identifier: GPL-2.0-or-later

//! What holds for a connection in all of its states.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::children::Children;
use super::outage::Outage;
use crate::domain::address::Gateway;
use crate::domain::policy::FailoverPolicy;
use crate::domain::reason::Reason;
use crate::failover::action::Settings;
use crate::failover::ike_sa::IkeSaRecord;
use crate::failover::reauthentication::Reauthentications;
use crate::failover::selection::{select, GatewayTable, Selection, Standing, Trials};
use crate::failover::step::{Effect, Step};

/// A connection's configuration, its IKE_SAs and its gateways.
#[derive(Debug)]
pub(in crate::failover) struct Common {
    pub name: String,
    pub gateways: GatewayTable,
    /// Its CHILD_SA configurations; none are known of a connection that others loaded.
    pub children: Vec<String>,
    pub policy: FailoverPolicy,
    /// Loaded by others (vici, stroke): known for as long as it has something to do.
    pub foreign: bool,
    /// The gateway in use, being tried, or tried last.
    pub active: Option<String>,
    /// CHILD_SAs that come back if the IKE_SA is lost.
    pub wanted: Children,
    /// Those that clients were told to be missing while the IKE_SA is up.
    pub told_missing: Vec<String>,
    /// Its IKE_SAs that we initiated, by unique id.
    pub ike_sas: BTreeMap<u32, IkeSaRecord>,
    /// Gateways for which a clone of the configuration may exist.
    pub clones: BTreeSet<String>,
    /// Why the gateway that was chosen last was chosen.
    pub selection: Option<Selection>,
    pub reauthentications: Reauthentications,
}

impl Common {
    pub fn new(name: &str, settings: Settings, foreign: bool) -> Self {
        Self {
            name: name.to_owned(),
            gateways: GatewayTable::new(settings.gateways),
            children: settings.children,
            policy: settings.policy,
            foreign,
            active: None,
            wanted: Children::default(),
            told_missing: Vec::new(),
            ike_sas: BTreeMap::new(),
            clones: BTreeSet::new(),
            selection: None,
            reauthentications: Reauthentications::default(),
        }
    }

    /// Its configuration was replaced.
    pub fn reconfigure(&mut self, settings: Settings, foreign: bool) {
        self.gateways.replace(settings.gateways);
        self.children = settings.children;
        self.policy = settings.policy;
        self.foreign = foreign;
        self.reauthentications = Reauthentications::default();
        if !self.children.is_empty() {
            self.wanted.keep_only(&self.children);
        }
        for known in self.ike_sas.values_mut() {
            // What charon was told was made of the old configuration.
            known.steering = None;
        }
    }

    /// The CHILD_SAs to bring up: what was up or asked for, else all.
    pub fn children_to_initiate(&self) -> Vec<String> {
        let wanted = self.wanted.to_initiate();
        if wanted.is_empty() {
            self.children.clone()
        } else {
            wanted
        }
    }

    /// Whether a CHILD_SA of that name may be asked for; which there are is not known of a connection
    /// that others loaded.
    pub fn knows_child(&self, child: &str) -> bool {
        self.foreign || self.children.iter().any(|known| known == child)
    }

    /// The CHILD_SAs that are up on any of its IKE_SAs.
    pub fn children_up(&self) -> BTreeSet<String> {
        let up = self.ike_sas.values().filter(|known| known.stage.is_up());
        up.flat_map(|known| known.children.iter().cloned())
            .collect()
    }

    /// Initiates on that IKE_SA those of the CHILD_SAs that are up on none of the connection's IKE_SAs.
    pub fn initiate_missing(
        &self,
        ike_sa: u32,
        asked: impl IntoIterator<Item = String>,
        step: &mut Step,
    ) {
        let up = self.children_up();
        let asked = asked.into_iter();
        let missing: Vec<String> = asked.filter(|child| !up.contains(child)).collect();
        if !missing.is_empty() {
            step.initiate_children(&self.name, ike_sa, missing);
        }
    }

    /// Whether the outage ends when the IKE_SA is up, or only with a CHILD_SA.
    pub fn needs_child(&self) -> bool {
        self.policy.on_child_failure.needs_child() && (self.foreign || !self.children.is_empty())
    }

    pub fn up_ike_sa(&self) -> Option<u32> {
        self.find_ike_sa(|known| known.stage.is_up())
    }

    pub fn connecting_ike_sa(&self) -> Option<u32> {
        self.find_ike_sa(|known| known.stage.is_connecting())
    }

    /// An IKE_SA that is up, or else one that is coming up.
    pub fn live_ike_sa(&self) -> Option<u32> {
        self.up_ike_sa().or_else(|| self.connecting_ike_sa())
    }

    fn find_ike_sa(&self, fits: impl Fn(&IkeSaRecord) -> bool) -> Option<u32> {
        let mut all = self.ike_sas.iter();
        all.find(|(_, known)| fits(known)).map(|(id, _)| *id)
    }

    pub fn is_up(&self, ike_sa: u32) -> bool {
        let known = self.ike_sas.get(&ike_sa);
        known.is_some_and(|known| known.stage.is_up())
    }

    /// The gateway of an IKE_SA.
    pub fn gateway_of(&self, ike_sa: u32) -> Option<String> {
        Some(self.ike_sas.get(&ike_sa)?.gateway.clone())
    }

    /// The IKE_SA in whose place charon makes that one.
    pub fn replaced_by(&self, ike_sa: u32) -> Option<u32> {
        let replaced = self.ike_sas.get(&ike_sa)?.replaces?;
        Some(replaced.ike_sa)
    }

    /// What becomes of the IKE_SA does not matter any more.
    pub fn give_up(&mut self, ike_sa: Option<u32>) {
        if let Some(known) = ike_sa.and_then(|id| self.ike_sas.get_mut(&id)) {
            known.close();
        }
    }

    /// Whether there is another gateway, or another address of the present gateway's name that was not tried
    /// in this outage.
    pub fn has_alternative(&self, outage: Option<&Outage>) -> bool {
        let other_address = |gateway: &String| {
            let addresses = self.gateways.addresses(gateway);
            match outage {
                Some(outage) => outage.trials.untried(gateway, addresses).is_some(),
                None => !addresses.is_empty(),
            }
        };
        self.gateways.list().len() >= 2 || self.active.as_ref().is_some_and(other_address)
    }

    /// Notes that a gateway failed at that address, and why.
    pub fn failed(
        &mut self,
        outage: &mut Outage,
        gateway: &str,
        address: Option<IpAddr>,
        reason: Reason,
    ) {
        outage.trials.tried(gateway);
        self.failed_at(outage, gateway, address);
        self.gateways.failed(gateway, reason, None);
    }

    /// Notes that a name failed at that address; other gateways have only one.
    pub fn failed_at(&self, outage: &mut Outage, gateway: &str, address: Option<IpAddr>) {
        if let Some(address) = address.filter(|_| self.gateways.is_name(gateway)) {
            outage.trials.tried_address(gateway, address);
        }
    }

    /// Whether it is kept up: a connection that others loaded only where there is a choice.
    pub fn is_kept(&self, outage: Option<&Outage>) -> bool {
        !self.foreign || self.has_alternative(outage)
    }

    /// Ranks the gateways after a failure, and keeps the reasons.
    pub fn select(&mut self, outage: &Outage, from: &str, step: &Step) -> &Selection {
        let selection = self.rank(&outage.trials, from, None, step.now.monotonic);
        self.selection.insert(selection)
    }

    /// Ranks the gateways after one failed at that address. The only one of a connection that others loaded is
    /// not tried again.
    pub fn rank(
        &self,
        trials: &Trials,
        from: &str,
        address: Option<IpAddr>,
        now: Duration,
    ) -> Selection {
        let mut selection = select(&self.gateways, trials, from, address, now);
        if self.foreign && self.gateways.list().len() < 2 {
            selection
                .ranked
                .retain(|known| matches!(known.standing, Standing::OtherAddress(_)));
        }
        selection
    }

    /// Destroys the other IKE_SAs with a gateway that failed, where each CHILD_SA has one of its own.
    pub fn abandon_all_at(&mut self, gateway: &str, step: &mut Step) {
        for (id, known) in &mut self.ike_sas {
            if known.gateway == gateway && !known.stage.is_closing() {
                known.close();
                step.abandon(&self.name, gateway, Some(*id));
            }
        }
    }

    /// The CHILD_SAs that are up on an IKE_SA.
    pub fn children_of(&self, ike_sa: u32) -> BTreeSet<String> {
        let known = self.ike_sas.get(&ike_sa);
        known.map_or_else(BTreeSet::new, |known| known.children.clone())
    }

    /// Whether the IKE_SA has all of these CHILD_SAs.
    pub fn carries(&self, ike_sa: u32, children: &BTreeSet<String>) -> bool {
        let known = self.ike_sas.get(&ike_sa);
        known.is_some_and(|known| known.children.is_superset(children))
    }

    /// Destroys what charon waits for in vain at a gateway that failed.
    pub fn abandon_superseded(&self, gateway: &str, step: &mut Step) {
        for (id, known) in &self.ike_sas {
            if known.observed.is_superseded() {
                step.abandon(&self.name, gateway, Some(*id));
            }
        }
    }

    /// The outage ends with that IKE_SA.
    pub fn recovered(&mut self, gateway: &str, outage: &Outage, step: &mut Step) {
        self.gateways.succeeded(gateway, step.now.unix);
        if !self.foreign {
            step.effect(Effect::GoodGateway(Some(gateway.to_owned())));
        }
        if outage.retries > 0 {
            step.recovered(&self.name, gateway, outage.retries, outage.since);
        }
    }

    /// The gateway of an IKE_SA with the connection's own configuration. charon itself takes the first
    /// address that resolves; which name that was is only known where we looked it up or asked for it.
    pub fn gateway_at(&self, remote: Option<IpAddr>, asked: Option<&str>) -> Option<String> {
        if let Some(gateway) = remote.and_then(|remote| self.gateways.at(remote)) {
            return Some(gateway);
        }
        let list = self.gateways.list();
        let is_name = |gateway: &&Gateway| gateway.ip().is_none();
        asked
            .and_then(|asked| list.get(list.position_of_name(asked)?))
            .filter(is_name)
            .or_else(|| list.gateways().iter().find(is_name))
            .map(Gateway::to_string)
            .or_else(|| self.gateways.first())
    }

    /// An IKE_SA that was initiated with a clone is to get the connection's own configuration.
    pub fn adopt(&mut self, ike_sa: u32, step: &mut Step) {
        if let Some(known) = self.ike_sas.get_mut(&ike_sa) {
            known.name.clone_from(&self.name);
            known.cloned = true;
        }
        step.adopt(&self.name, ike_sa);
    }

    /// Initiates what charon was not called for, with or since the beginning of the attempt.
    pub fn initiate_late_children(&self, ike_sa: u32, asked: &[String], step: &mut Step) {
        let wanted = self.children_to_initiate().into_iter();
        let late: Vec<String> = wanted.filter(|child| !asked.contains(child)).collect();
        if !asked.is_empty() && !late.is_empty() {
            step.initiate_children(&self.name, ike_sa, late);
        }
    }

    /// charon is done with the CHILD_SAs that it makes by itself in place of others: the rest of what is
    /// wanted is initiated.
    pub fn complete_children(&mut self, ike_sa: u32, step: &mut Step) {
        let known = self.ike_sas.get_mut(&ike_sa);
        let Some(known) = known.filter(|known| {
            known.stage.is_up() && known.replaces.is_some_and(|replaced| replaced.led)
        }) else {
            return;
        };
        known.replaces = None;
        let is_up = |child: &str| known.children.contains(child);
        let missing = self.wanted.take_ready(is_up, &self.policy, step.now);
        if !missing.is_empty() {
            step.initiate_children(&self.name, ike_sa, missing);
        }
    }

    /// Gateways whose clone nothing uses any more; they are forgotten.
    pub fn take_unused_clones(&mut self, planned: &[&str]) -> Vec<String> {
        let is_used = |gateway: &String| {
            let mut ike_sas = self.ike_sas.values();
            planned.contains(&gateway.as_str()) || ike_sas.any(|known| known.gateway == *gateway)
        };
        let unused: Vec<String> = self
            .clones
            .iter()
            .filter(|known| !is_used(known))
            .cloned()
            .collect();
        for gateway in &unused {
            self.clones.remove(gateway);
        }
        unused
    }

    /// Nothing is wanted any more, and all gateways may be tried again.
    pub fn rest(&mut self) {
        self.wanted.clear();
        self.gateways.forgive();
    }
}
