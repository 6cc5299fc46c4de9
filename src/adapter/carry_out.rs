// SPDX-License-Identifier: GPL-2.0-or-later

//! What the core decides, done in jobs: every call here may wait.

use std::collections::BTreeSet;
use std::sync::Arc;

use extsock_core::error::{Error, ErrorCode, Result};
use extsock_core::failover::action::Action;
use extsock_core::failover::address::AddressList;
use extsock_core::failover::failover_name;

use super::driver::Driver;
use super::failover_config::{create_failover_config, create_retry_config, retries_by_itself};
use super::steering::Prepared;
use crate::charon::{self, CheckedOutIkeSa, IkeSaId, PeerCfg};

impl Driver {
    /// Carries out what may wait.
    pub(super) fn carry_out(self: &Arc<Self>, action: Action) {
        match action {
            Action::Initiate {
                connection,
                attempt,
            } => self.make_attempt(&connection, attempt),
            Action::InitiateChildren {
                connection,
                ike_sa,
                children,
            } => self.initiate_children(&connection, IkeSaId(ike_sa), &children),
            Action::Adopt { connection, ike_sa } => self.adopt(&connection, IkeSaId(ike_sa)),
            Action::Steer {
                connection,
                ike_sa,
                gateway,
            } => self.steer(&connection, IkeSaId(ike_sa), gateway),
            Action::Unsteer { ike_sa, .. } => self.steering.forget(IkeSaId(ike_sa)),
            Action::ReleaseClone {
                connection,
                gateway,
            } => self
                .connections
                .remove_clone(&failover_name(&connection, &gateway)),
            Action::Terminate { connection } => {
                for ike_sa in self.ike_sas(&connection) {
                    charon::terminate(ike_sa, false);
                }
            }
            Action::Delete { ike_sa, .. } => {
                charon::terminate(IkeSaId(ike_sa), false);
            }
            Action::Abandon {
                connection,
                gateway,
                ike_sa,
            } => abandon(&connection, &gateway, ike_sa),
            Action::Probe { connection, ike_sa } => self.probe(&connection, IkeSaId(ike_sa)),
            Action::SendDpd { connection, ike_sa } => {
                if !charon::send_dpd(IkeSaId(ike_sa)) {
                    log::info!("{connection}: no DPD, the IKE_SA is gone");
                }
            }
            Action::Publish(_) | Action::Report { .. } => {
                debug_assert!(false, "told at once, see dispatch()");
            }
        }
    }

    fn make_attempt(self: &Arc<Self>, connection: &str, attempt: u64) {
        let Some(peer_cfg) = self.config_of(connection) else {
            log::info!("{connection}: its configuration is gone, and its failover ends");
            self.with_core(|manager, now| manager.vanished(connection, now));
            return;
        };
        self.follow_changes(connection, &peer_cfg);
        let mut begin = None;
        self.with_core(|manager, _| {
            begin = manager.begin(connection, attempt);
            Vec::new()
        });
        let Some(begin) = begin else { return };

        let begun = if begin.own {
            initiate(&peer_cfg, &begin.children)
        } else {
            let clone = create_failover_config(&peer_cfg, &begin.gateway);
            self.add_peer_config_and_initiate(clone, &begin.children)
        };
        if let Err(error) = &begun {
            log::error!(
                "{connection}: initiating to {} failed: {error}",
                begin.gateway
            );
        }
        self.with_core(|manager, now| {
            manager.initiated(connection, attempt, begun.is_ok(), &begin.children, now)
        });
    }

    /// The configuration, whoever loaded it, as it is now.
    fn config_of(&self, connection: &str) -> Option<PeerCfg> {
        self.connections
            .get(connection)
            .or_else(|| charon::peer_cfg_by_name(connection))
    }

    /// Others load their connections without telling.
    fn follow_changes(self: &Arc<Self>, connection: &str, peer_cfg: &PeerCfg) {
        let gateways = AddressList::parse(&peer_cfg.ike_cfg().fields().remote);
        self.with_core(|manager, now| {
            let changed = manager.is_foreign(connection)
                && manager
                    .gateways(connection)
                    .is_some_and(|known| *known != gateways);
            if changed {
                manager.gateways_changed(connection, gateways, now)
            } else {
                Vec::new()
            }
        });
    }

    /// Registers a clone, in place of an earlier one of its name, and initiates it.
    fn add_peer_config_and_initiate(&self, clone: PeerCfg, children: &[String]) -> Result<()> {
        self.connections.set(clone.clone());
        initiate(&clone, children)
    }

    fn initiate_children(&self, connection: &str, ike_sa: IkeSaId, children: &[String]) {
        let Some(peer_cfg) = self.config_of(connection) else {
            return;
        };
        for child_cfg in peer_cfg.child_cfgs() {
            if !children.contains(&child_cfg.name()) {
                continue;
            }
            match CheckedOutIkeSa::by_id(ike_sa) {
                Some(ike_sa) => ike_sa.initiate(child_cfg),
                None => {
                    log::info!("{connection}: the IKE_SA is gone before its CHILD_SA");
                    return;
                }
            }
        }
    }

    /// By its own configuration charon finds the IKE_SA when the connection is initiated again, by an
    /// operator or by traffic, and operators find it by its name.
    fn adopt(&self, connection: &str, ike_sa: IkeSaId) {
        let Some(peer_cfg) = self.config_of(connection) else {
            return;
        };
        if let Some(ike_sa) = CheckedOutIkeSa::by_id(ike_sa) {
            ike_sa.set_peer_cfg(&peer_cfg);
        }
    }

    fn steer(&self, connection: &str, ike_sa: IkeSaId, gateway: Option<String>) {
        let Some(peer_cfg) = self.config_of(connection).filter(retries_by_itself) else {
            self.steering.forget(ike_sa);
            return;
        };
        let peer_cfg = create_retry_config(&peer_cfg, gateway.as_deref());
        self.steering
            .prepare(ike_sa, Prepared { gateway, peer_cfg });
    }

    fn probe(self: &Arc<Self>, connection: &str, ike_sa: IkeSaId) {
        let heard = match CheckedOutIkeSa::by_id(ike_sa) {
            Some(checked_out) if checked_out.is_established() => {
                let interval = self.liveness_interval(connection);
                match checked_out.last_traffic().filter(|age| *age < interval) {
                    Some(age) => Some(self.now().monotonic.saturating_sub(age)),
                    None => {
                        checked_out.send_dpd();
                        None
                    }
                }
            }
            _ => return,
        };
        self.with_core(|manager, now| manager.probed(connection, ike_sa.0, heard, now));
    }

    pub(super) fn install_trap(self: &Arc<Self>, connection: &str, child: &str) {
        let child = child.to_owned();
        self.defer(connection.to_owned(), move |driver, connection| {
            let Some(peer_cfg) = driver.connections.get(connection) else {
                return;
            };
            let child_cfg = peer_cfg
                .child_cfgs()
                .into_iter()
                .find(|cfg| cfg.name() == child);
            if !child_cfg.is_some_and(|child_cfg| charon::install_trap(&peer_cfg, &child_cfg)) {
                log::error!("{connection}: installing the trap policy of {child} failed");
            }
        });
    }

    pub(super) fn uninstall_traps(
        self: &Arc<Self>,
        connection: &str,
        config: &PeerCfg,
        concerned: impl Fn(&str) -> bool,
    ) {
        let children: BTreeSet<String> = config
            .child_cfgs()
            .iter()
            .filter(|child| child.may_trap())
            .map(charon::ChildCfg::name)
            .filter(|child| concerned(child))
            .collect();
        for child in children {
            // One at a time: from charon's shutdown on the call would wait for ever.
            self.defer(connection.to_owned(), move |_, connection| {
                charon::uninstall_trap(connection, &child);
            });
        }
    }
}

/// Initiates the CHILD_SAs, all if none is named, or an IKE_SA without one if there are none.
fn initiate(peer_cfg: &PeerCfg, children: &[String]) -> Result<()> {
    let mut child_cfgs: Vec<_> = peer_cfg
        .child_cfgs()
        .into_iter()
        .filter(|child| children.is_empty() || children.contains(&child.name()))
        .map(Some)
        .collect();
    if child_cfgs.is_empty() {
        child_cfgs.push(None);
    }
    for child_cfg in child_cfgs {
        // The first one makes the IKE_SA, the others find it by its equal configuration.
        if !charon::initiate(peer_cfg.clone(), child_cfg) {
            return Err(Error::new(
                ErrorCode::StrongswanApiFailed,
                "charon could not begin, its log tells why",
            ));
        }
    }
    Ok(())
}

fn abandon(connection: &str, gateway: &str, ike_sa: Option<u32>) {
    let ike_sas = match ike_sa {
        Some(id) => vec![IkeSaId(id)],
        None => [connection, &failover_name(connection, gateway)]
            .into_iter()
            .flat_map(charon::unresolved)
            .collect(),
    };
    for ike_sa in ike_sas {
        charon::terminate(ike_sa, true);
    }
}
