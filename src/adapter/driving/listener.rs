// SPDX-License-Identifier: GPL-2.0-or-later

//! charon's callbacks as evidence. Nothing in here waits: see [`Listener`].

use std::cell::Cell;
use std::sync::Arc;

use extsock_core::failover::action::Steering;
use extsock_core::failover::event::Tunnel;
use extsock_core::failover::evidence::{
    Alert, ChildChange, ChildEnd, ChildOrigin, Evidence, IkeSaState, Task, Tasks,
};
use extsock_core::failover::reauthentication::fitting_lifetime;

use super::driver::Driver;
use crate::adapter::registry::{Connections, DpdRequests, IkeSaKeys, RetryConfigs};
use crate::charon::{
    AuthLifetime, ChildSa, IkeSa, IkeSaId, InConnectTimeout, InReestablishPre, InStateChange,
    Listener, Message,
};

/// Hands what charon tells to the driver.
pub struct EventListener {
    driver: Arc<Driver>,
    connections: Arc<Connections>,
    retry_configs: Arc<RetryConfigs>,
    dpd_requests: Arc<DpdRequests>,
    keys: Arc<IkeSaKeys>,
}

thread_local! {
    /// Unique id of the IKE_SA whose request this thread has just given up without an answer, until
    /// the IKE_SA changes its state.
    static UNANSWERED: Cell<Option<u32>> = const { Cell::new(None) };
}

impl EventListener {
    pub(crate) fn new(
        driver: Arc<Driver>,
        connections: Arc<Connections>,
        retry_configs: Arc<RetryConfigs>,
        dpd_requests: Arc<DpdRequests>,
        keys: Arc<IkeSaKeys>,
    ) -> Self {
        Self {
            driver,
            connections,
            retry_configs,
            dpd_requests,
            keys,
        }
    }
}

impl Listener for EventListener {
    fn ike_state_change(&self, ike_sa: &mut IkeSa<'_>, to: IkeSaState, hook: &InStateChange) {
        if is_unanswered(ike_sa) {
            UNANSWERED.set(None);
        }
        let gateways = &self.connections.gateways;
        if to == IkeSaState::Established {
            gateways.established(ike_sa, hook);
        }
        match to {
            IkeSaState::Connecting
            | IkeSaState::Established
            | IkeSaState::Deleting
            | IkeSaState::Destroying => {
                if self.concerns(ike_sa) {
                    self.driver.observe(Evidence::State {
                        ike_sa: ike_sa.snapshot(),
                        to,
                    });
                }
            }
            // The core draws no conclusion from these states.
            IkeSaState::Created
            | IkeSaState::Passive
            | IkeSaState::Rekeying
            | IkeSaState::Rekeyed => {}
        }
        match to {
            // After the evidence, which has the name of the configuration that it was initiated with.
            IkeSaState::Connecting => gateways.connecting(ike_sa, hook),
            IkeSaState::Destroying => {
                gateways.gone(ike_sa);
                self.dpd_requests.forget(ike_sa.id());
                self.keys.forget(ike_sa.id());
            }
            _ => {}
        }
    }

    fn alert(&self, ike_sa: &IkeSa<'_>, alert: Alert) {
        if alert == Alert::RetransmitSendTimeout {
            UNANSWERED.set(Some(ike_sa.id().0));
        }
        if self.concerns(ike_sa) {
            self.driver.observe(Evidence::Alert {
                ike_sa: ike_sa.snapshot(),
                alert,
            });
        }
    }

    fn connect_timeout(&self, ike_sa: &mut IkeSa<'_>, hook: &InConnectTimeout) {
        UNANSWERED.set(Some(ike_sa.id().0));
        if !self.lead_on(ike_sa, hook) {
            self.alert(ike_sa, Alert::RetransmitSendTimeout);
        }
    }

    fn shutdown(&self) {
        self.driver.stop();
        self.driver.observe(Evidence::Shutdown);
    }

    fn ike_updown(&self, ike_sa: &IkeSa<'_>, up: bool) {
        self.driver.observe(Evidence::IkeUpdown {
            ike_sa: ike_sa.snapshot(),
            up,
        });
    }

    fn ike_rekey(&self, old: &IkeSa<'_>, new: &IkeSa<'_>) {
        self.driver.observe(Evidence::IkeRekey {
            old: old.snapshot(),
            new: new.snapshot(),
            old_spis: old.spis(),
            new_spis: new.spis(),
        });
    }

    fn ike_reestablish_pre(&self, old: &IkeSa<'_>, new: &mut IkeSa<'_>, hook: &InReestablishPre) {
        if self.concerns(old) {
            self.driver.observe(Evidence::Reestablishing {
                old: old.id().0,
                new: new.snapshot(),
            });
        }
        // The flag of a reauthentication stays set when it has failed or its DELETE is not answered. The timeout
        // that ended the IKE_SA was then reported in this thread just before.
        let reauthenticating = old.is_reauthenticating();
        if new.is_redirected() || reauthenticating && !is_unanswered(old) {
            // A redirected or reauthenticated IKE_SA keeps the address that charon has set.
            return;
        }
        let Some(prepared) = self.retry_configs.get(old.id()) else {
            return;
        };
        let Some(to) = prepared.steering.destination() else {
            return;
        };
        new.set_peer_cfg(&prepared.peer_cfg, hook);
        if reauthenticating {
            // charon would keep the old address.
            new.forget_other_host(hook);
        }
        self.driver.observe(Evidence::Steered {
            ike_sa: new.snapshot(),
            replaces: Some(old.id().0),
            gateway: to.gateway.clone(),
        });
    }

    fn received(&self, ike_sa: &IkeSa<'_>, message: &Message<'_>) {
        if let Some(given) = message.auth_lifetime() {
            self.fit_lifetime(ike_sa, given);
        }
        if self.driver.is_listening() && self.concerns(ike_sa) {
            if !message.is_request() {
                self.dpd_requests.forget(ike_sa.id());
            }
            self.driver.observe(Evidence::Received {
                ike_sa: ike_sa.id().0,
            });
        }
    }

    fn sent(&self, ike_sa: &IkeSa<'_>, message: &Message<'_>) {
        if !self.driver.is_listening() || !message.is_informational() || !message.is_request() {
            return;
        }
        if ike_sa.is_sending_dpd() && self.concerns(ike_sa) {
            if let Some(request) = message.sent() {
                self.dpd_requests.keep(ike_sa.id(), request);
            }
        }
    }

    fn ike_reestablish_post(&self, old: &IkeSa<'_>, new: &IkeSa<'_>, initiated: bool) {
        // With make-before-break the old IKE_SA is deleted when the new one is up, and stays if that fails.
        let make_before_break = old.is_reauthenticating() && old.state() == IkeSaState::Established;
        let stays = new.is_redirected() || make_before_break && !is_unanswered(old);
        if initiated && !stays {
            self.driver
                .observe(Evidence::Reestablished { old: old.id().0 });
        }
    }

    fn children_migrate(&self, old: &IkeSa<'_>, new: IkeSaId) {
        self.driver.observe(Evidence::Migrated {
            old: old.id().0,
            new: new.0,
        });
    }

    fn children_migrated(&self, new: &IkeSa<'_>) {
        self.driver.observe(Evidence::TookOver {
            ike_sa: new.snapshot(),
        });
    }

    fn child_updown(&self, ike_sa: &IkeSa<'_>, child_sa: &ChildSa<'_>, up: bool) {
        let tunnel = tunnel(ike_sa, child_sa);
        let tasks = ike_sa.tasks();
        self.driver.observe(Evidence::ChildUpdown {
            ike_sa: ike_sa.id().0,
            tunnel,
            change: if up {
                ChildChange::Up(origin(&tasks, child_sa))
            } else {
                ChildChange::Down(end(&tasks, child_sa))
            },
            more: tasks.more_children(),
        });
    }

    fn child_rekey(&self, ike_sa: &IkeSa<'_>, old: &ChildSa<'_>, new: &ChildSa<'_>) {
        self.driver.observe(Evidence::ChildRekey {
            ike_sa: ike_sa.id().0,
            old: Box::new(tunnel(ike_sa, old)),
            new: Box::new(tunnel(ike_sa, new)),
        });
    }
}

impl EventListener {
    /// Whether the IKE_SA's connection may fail over: it has several remote addresses, or is one that the core
    /// knows. Events about other IKE_SAs cost no more than this question.
    fn concerns(&self, ike_sa: &IkeSa<'_>) -> bool {
        ike_sa.has_several_remotes() || ike_sa.with_name(|name| self.driver.knows(name))
    }

    /// The gateway wants to be authenticated to again; charon is not to do so as soon as the IKE_SA is up.
    fn fit_lifetime(&self, ike_sa: &IkeSa<'_>, mut given: AuthLifetime<'_>) {
        let Some(over_time) = ike_sa.over_time().filter(|_| self.concerns(ike_sa)) else {
            return;
        };
        self.driver.observe(Evidence::AuthLifetime {
            ike_sa: ike_sa.id().0,
            lifetime: given.lifetime,
            over_time,
        });
        if let Some(lifetime) = fitting_lifetime(given.lifetime, over_time) {
            given.replace(lifetime);
        }
    }

    /// charon is about to try the same gateway again, or to give up: leads it to the next one, or
    /// makes it give up. Whether it was led to another gateway.
    fn lead_on(&self, ike_sa: &mut IkeSa<'_>, hook: &InConnectTimeout) -> bool {
        let prepared = self.retry_configs.get(ike_sa.id());
        let Some(prepared) = prepared.filter(|prepared| prepared.keeps_trying) else {
            return false;
        };
        ike_sa.set_peer_cfg(&prepared.peer_cfg, hook);
        let Steering::To(to) = &prepared.steering else {
            return false;
        };
        self.driver.observe(Evidence::Steered {
            ike_sa: ike_sa.snapshot(),
            replaces: None,
            gateway: to.gateway.clone(),
        });
        true
    }
}

/// Whether a timeout of a request of the IKE_SA was reported in this thread just before.
fn is_unanswered(ike_sa: &IkeSa<'_>) -> bool {
    UNANSWERED.get() == Some(ike_sa.id().0)
}

/// Who wanted a CHILD_SA that comes up.
fn origin(tasks: &Tasks, child_sa: &ChildSa<'_>) -> ChildOrigin {
    if tasks.passive.contains(&Task::ChildCreate) {
        ChildOrigin::Gateway
    } else if child_sa.is_trapped() {
        ChildOrigin::Trap
    } else {
        ChildOrigin::Local
    }
}

/// Why a CHILD_SA goes down.
fn end(tasks: &Tasks, child_sa: &ChildSa<'_>) -> ChildEnd {
    let by_gateway = |task: &Task| matches!(task, Task::ChildDelete | Task::Informational);
    if tasks.active.contains(&Task::ChildRekey) {
        // The gateway does not know what we want to rekey (sa/ikev2/tasks/child_rekey.c, process_i).
        ChildEnd::Restarted
    } else if tasks.passive.iter().any(by_gateway) {
        if child_sa.is_restarted() {
            ChildEnd::Restarted
        } else {
            ChildEnd::Gateway
        }
    } else if child_sa.is_expired() {
        ChildEnd::Expired
    } else {
        ChildEnd::Local
    }
}

fn tunnel(ike_sa: &IkeSa<'_>, child_sa: &ChildSa<'_>) -> Tunnel {
    let child = child_sa.info();
    let (src, dst) = ike_sa.addresses();
    let text =
        |address: Option<std::net::IpAddr>| address.map_or_else(String::new, |a| a.to_string());
    Tunnel {
        ike_sa_name: ike_sa.name(),
        connection: None,
        child_sa_name: child.name,
        ike_sa_state: ike_sa.state().number(),
        child_sa_state: child.state.to_string(),
        spi: child.inbound.spi,
        proto: child.protocol.into(),
        mode: child.mode.into(),
        enc_alg: child.enc_alg,
        integ_alg: child.integ_alg,
        src: text(src),
        dst: text(dst),
        local_ts: child.local_ts,
        remote_ts: child.remote_ts,
        direction: "out".into(),
        policy_action: "protect".into(),
        ike_sa_uniqueid: ike_sa.id().0,
        uniqueid: child.unique_id,
        spi_in: child.inbound.spi,
        spi_out: child.outbound.spi,
        reqid: child.reqid,
        if_id_in: child.inbound.if_id,
        if_id_out: child.outbound.if_id,
        mark_in: child.inbound.mark.0,
        mark_mask_in: child.inbound.mark.1,
        mark_out: child.outbound.mark.0,
        mark_mask_out: child.outbound.mark.1,
        local_selectors: child.local_selectors,
        remote_selectors: child.remote_selectors,
    }
}
