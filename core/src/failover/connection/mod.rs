// SPDX-License-Identifier: GPL-2.0-or-later

//! One connection: a machine whose events are what charon tells of its IKE_SAs, what clients ask for, and
//! time.
//!
//! | state | from | to |
//! |---|---|---|
//! | [`Idle`] | nothing is wanted | a client asks for the tunnel, or charon initiates it |
//! | [`Recovering`] | the tunnel is wanted and not there | it is up, or the last retry failed |
//! | [`Serving`] | the tunnel is up | its IKE_SA fails, or ends as nothing is wanted any more |
//! | [`Exhausted`] | the last retry failed | the wait is over, a client asks for the tunnel, or charon initiates it |
//!
//! Each state is a type in a file of its own, with what it does at each event; it takes itself and returns
//! the next state. What all states share is [`Common`].

mod attempt;
mod children;
mod common;
mod event;
mod exhausted;
mod idle;
mod network;
mod outage;
mod recovering;
mod serving;
mod state;
mod steering;
mod transitions;

use std::net::IpAddr;
use std::time::Duration;

use self::attempt::{Attempt, AttemptStage, Origin};
pub(super) use self::common::Common;
pub(super) use self::event::{Ended, IkeSaEvent, LedFrom, LedOn};
use self::outage::Outage;
pub(super) use self::state::{Exhausted, Idle, Progress, Recovering, State};
use self::transitions::{
    announce, attempt, end_attempts, fail_over, follow_charon, repeat_reused, rest, resume,
    switch_to, tell_missing,
};
use super::action::{Begin, ConfigKind, Settings};
use super::deadlines::Timer;
use super::evidence::{ChildEnd, ChildOrigin};
use super::history::Outcome;
use super::ike_sa::liveness::Pace;
use super::ike_sa::IkeSaRecord;
use super::step::Step;
use crate::domain::address::AddressList;
use crate::domain::reason::Reason;
use crate::domain::Now;

/// One connection and its IKE_SAs.
#[derive(Debug)]
pub(super) struct Connection {
    pub common: Common,
    pub state: State,
}

impl Connection {
    pub fn new(name: &str, settings: Settings, foreign: bool) -> Self {
        Self {
            common: Common::new(name, settings, foreign),
            state: State::default(),
        }
    }

    /// Has the state, with what all states share, return the next one.
    fn advance<R>(&mut self, with: impl FnOnce(State, &mut Common) -> (State, R)) -> R {
        let (state, result) = with(std::mem::take(&mut self.state), &mut self.common);
        self.state = state;
        result
    }

    /// What charon reported of one of its IKE_SAs.
    pub fn handle(&mut self, event: IkeSaEvent, step: &mut Step) {
        self.advance(|state, c| {
            let ended = matches!(event, IkeSaEvent::Ended(_));
            let next = match state {
                State::Idle(state) => state.handle(c, event, step),
                State::Recovering(state) => state.handle(c, event, step),
                State::Serving(state) => state.handle(c, event, step),
                State::Exhausted(state) => state.handle(c, event, step),
            };
            let next = if ended {
                repeat_reused(c, next, step)
            } else {
                next
            };
            (next, ())
        });
    }

    /// A CHILD_SA came up.
    pub fn child_up(&mut self, ike_sa: u32, child: &str, origin: ChildOrigin, step: &mut Step) {
        self.common.wanted.up(child, origin, step.now.monotonic);
        if let Some(known) = self.common.ike_sas.get_mut(&ike_sa) {
            known.child_up(child);
        }
        self.handle(IkeSaEvent::ChildUp { ike_sa }, step);
    }

    /// A CHILD_SA went down. What its end means for it does not matter if the IKE_SA goes down as well.
    pub fn child_down(&mut self, ike_sa: u32, child: &str, end: ChildEnd, now: Now) {
        let c = &mut self.common;
        let known = c.ike_sas.get_mut(&ike_sa);
        if known.is_some_and(|known| known.child_down(child, now.monotonic)) {
            c.wanted.down(child, end, &c.policy, now);
        }
    }

    /// What follows for its CHILD_SAs from the state that a step left it in: those whose turn it is are initiated,
    /// and clients are told when some begin to be missing while the IKE_SA is up, and when that ends.
    pub fn tend_children(&mut self, step: &mut Step) {
        let c = &mut self.common;
        let is_kept = c.is_kept(self.state.outage());
        let serving = match &self.state {
            State::Serving(state) if is_kept && c.is_up(state.ike_sa) => Some(state.ike_sa),
            _ => None,
        };
        if let Some(ike_sa) = serving {
            let up = c.children_up();
            c.wanted
                .follow_ike_sa(|child| up.contains(child), step.now.monotonic);
            let due = c.wanted.take_due(step.now.monotonic);
            if !due.is_empty() {
                step.initiate_again(&c.name, ike_sa, due);
            }
        } else {
            c.wanted.lose_ike_sa();
        }
        let missed = serving.map_or_else(Vec::new, |_| c.wanted.missed());
        tell_missing(c, missed, step);
    }

    /// A deadline has come.
    pub fn expired(&mut self, timer: Timer, step: &mut Step) {
        self.advance(|state, c| match state {
            State::Recovering(state) => (state.expired(c, timer, step), ()),
            State::Serving(state) => (state.expired(c, timer, step), ()),
            State::Exhausted(state) => (state.expired(c, timer, step), ()),
            state @ State::Idle(_) => (state, ()),
        });
    }

    /// When it has to be looked at again.
    pub fn deadlines(&self, pace: Pace) -> Vec<(Timer, Duration)> {
        let c = &self.common;
        let outage = self.state.outage();
        match &self.state {
            State::Recovering(state) => state.deadlines(c),
            State::Serving(state) if c.is_kept(outage) => {
                let mut deadlines = state.deadlines(c);
                deadlines.extend(state.next_look(c, pace));
                deadlines.extend(state.next_path_check(c));
                deadlines
            }
            State::Exhausted(state) => state.deadlines(),
            State::Serving(_) | State::Idle(_) => Vec::new(),
        }
    }

    /// Its turn has come, if it waits for one.
    pub fn dequeue(&mut self, step: &mut Step) {
        self.advance(|state, c| match state {
            State::Recovering(Recovering {
                outage,
                progress: Progress::Queued { gateway },
            }) => (attempt(c, outage, gateway, step), ()),
            state => (state, ()),
        });
    }

    /// The tunnel, or some CHILD_SAs of it, are asked for; a connection that is down begins with the gateway
    /// that is given. Returns the gateway that is tried.
    pub fn initiate(&mut self, asked: Vec<String>, first: String, step: &mut Step) -> String {
        self.advance(|state, c| match state {
            State::Idle(_) | State::Exhausted(_) => {
                c.gateways.forgive();
                let outage = Outage::begin(step.now.monotonic);
                (attempt(c, outage, first.clone(), step), first)
            }
            State::Recovering(state) => state.initiate(c, asked, step),
            State::Serving(state) => state.initiate(c, asked, first, step),
        })
    }

    /// An operator asks for another gateway than the one in use, which is given as well.
    pub fn switch(&mut self, from: &str, to: String, step: &mut Step) {
        self.advance(|state, c| {
            c.gateways.forgive();
            let next = match state {
                State::Idle(_) => {
                    let outage = Outage::begin(step.now.monotonic);
                    step.conclude(Outcome::Abandoned);
                    attempt(c, outage, to, step)
                }
                State::Exhausted(Exhausted { mut outage, .. }) => {
                    outage.restart();
                    switch_to(c, outage, from, to, step)
                }
                State::Recovering(state) => state.switch(c, from, to, step),
                State::Serving(state) => state.switch(c, from, to, step),
            };
            (next, ())
        });
    }

    /// Nothing is wanted any more; attempts of which charon has told nothing end, too.
    pub fn end_attempts(&mut self, step: &mut Step) {
        self.advance(|state, c| (end_attempts(c, state.attempts(), step), ()));
    }

    /// Its configuration was replaced: its retries start afresh.
    pub fn reconfigure(&mut self, settings: Settings, foreign: bool, step: &mut Step) {
        self.common.reconfigure(settings, foreign);
        self.advance(|state, c| {
            let next = match state {
                State::Idle(state) => State::Idle(state),
                State::Exhausted(_) => match c.gateways.first() {
                    Some(first) => {
                        let outage = Outage::begin(step.now.monotonic);
                        attempt(c, outage, first, step)
                    }
                    None => rest(c),
                },
                State::Recovering(mut state) => {
                    state.outage.restart();
                    state.reconfigured(c, step)
                }
                State::Serving(mut state) => {
                    if let Some(outage) = state.outage_mut() {
                        outage.restart();
                    }
                    state.reconfigured(c, step)
                }
            };
            (next, ())
        });
    }

    /// Others changed the addresses of their connection: an outage goes on.
    pub fn follow_list(&mut self, gateways: AddressList, step: &mut Step) {
        let before = self
            .state
            .outage()
            .map(|outage| (outage.retries, outage.trials.clone()));
        let settings = Settings {
            gateways,
            children: self.common.children.clone(),
            policy: self.common.policy,
        };
        self.reconfigure(settings, true, step);
        if let (Some(outage), Some((retries, mut trials))) = (self.state.outage_mut(), before) {
            trials.keep_only(&self.common.gateways);
            outage.retries = retries;
            outage.trials.join(trials);
        }
    }

    /// The configuration is known as it is now, where that had to be looked at before the next gateway.
    pub fn checked(&mut self, step: &mut Step) {
        self.advance(|state, c| match state {
            State::Recovering(Recovering {
                outage,
                progress: Progress::Checking(failure),
            }) => (fail_over(c, outage, failure, step), ()),
            state => (state, ()),
        });
    }

    /// The addresses of the name that an attempt leads to, none if it does not resolve.
    pub fn resolved(&mut self, attempt: u64, addresses: Vec<IpAddr>, step: &mut Step) {
        let Some((known, trials)) = self.state.attempt_mut(attempt) else {
            return;
        };
        let AttemptStage::Resolving { ike_sa } = known.stage else {
            return;
        };
        let gateway = known.gateway().to_owned();
        if ike_sa.is_none() {
            let found = !addresses.is_empty();
            let Some(address) = trials.untried(&gateway, &addresses) else {
                self.common.gateways.looked_up(&gateway, addresses);
                let before = self.common.gateways.health(&gateway).last_failure;
                let reason = before.filter(|_| found);
                let reason = reason.unwrap_or(Reason::AddressUnresolvable);
                return self.attempt_failed(attempt, reason, step);
            };
            trials.tried_address(&gateway, address);
            known.to.address = Some(address);
            self.common.gateways.looked_up(&gateway, addresses);
        }
        // Otherwise charon has initiated it by itself meanwhile, and is called for its CHILD_SAs.
        if let Some((known, _)) = self.state.attempt_mut(attempt) {
            known.stage = AttemptStage::Requested { ike_sa };
        }
        step.initiate(&self.common.name, attempt);
    }

    fn attempt_failed(&mut self, attempt: u64, reason: Reason, step: &mut Step) {
        self.advance(|state, c| match state {
            State::Recovering(state)
                if state
                    .attempting()
                    .is_some_and(|known| known.number == attempt) =>
            {
                (state.attempt_failed(c, reason, step), ())
            }
            State::Serving(state) => (state.attempt_failed(c, reason, step), ()),
            state => (state, ()),
        });
    }

    /// charon is about to be called for the attempt: how, or None if it is not wanted any more.
    pub fn begin(&mut self, attempt: u64) -> Option<Begin> {
        let c = &mut self.common;
        // charon also finds one whose deletion has to wait for the answer to another request.
        let is_usable = |known: &IkeSaRecord| !known.observed.is_being_deleted();
        let is_alone = !c.ike_sas.values().any(is_usable);
        let is_kept = c.is_kept(self.state.outage());
        let (known, _) = self.state.attempt_mut(attempt)?;
        let AttemptStage::Requested { ike_sa } = known.stage else {
            return None;
        };
        let own = match ike_sa {
            // charon initiated it itself meanwhile, and finds it by the same configuration again.
            Some(id) => c.ike_sas.get(&id).is_some_and(|known| known.name == c.name),
            // charon would take another IKE_SA with the connection's own configuration for the new one.
            None => {
                let is_first = c.gateways.list().is_first_entry(known.gateway());
                is_first && known.to.address.is_none() && is_alone
            }
        };
        let config = match own {
            true => ConfigKind::Own,
            false => ConfigKind::Clone,
        };
        known.stage = AttemptStage::Initiating { config, ike_sa };
        let to = known.to.clone();
        if !own {
            c.clones.insert(to.gateway.clone());
        }
        Some(Begin {
            connection: c.name.clone(),
            attempt,
            to,
            config,
            ike_sa,
            children: c.children_to_initiate(),
            needs_route: is_kept && ike_sa.is_none(),
        })
    }

    /// charon was called for the attempt and has returned: whether it began, and the CHILD_SAs that were
    /// asked for then.
    pub fn initiated(&mut self, attempt: u64, begun: bool, asked: &[String], step: &mut Step) {
        if self.state.attempt_mut(attempt).is_none() {
            return;
        }
        self.advance(|state, c| match state {
            State::Recovering(state) => (state.initiated(c, begun, asked, step), ()),
            State::Serving(state) => (state.initiated(c, begun, asked, step), ()),
            state => (state, ()),
        });
    }

    /// Its configuration is gone: what charon has failed over to by itself meanwhile is not wanted.
    pub fn abandon_unannounced(&mut self, step: &mut Step) {
        if let State::Recovering(state) = &self.state {
            let unannounced = |attempt: &&Attempt| matches!(attempt.origin, Origin::CharonAfter(_));
            if let Some(attempt) = state.attempting().filter(unannounced) {
                attempt.abandon(&mut self.common, step);
            }
        }
    }

    /// It is removed, and its IKE_SA lives on without it: a switch to another gateway ends, which would give the
    /// tunnel a second IKE_SA that nobody puts in the place of the first.
    pub fn abandon_switch(&mut self, step: &mut Step) {
        if let State::Serving(state) = &mut self.state {
            if let Some(candidate) = state.candidate.take() {
                candidate.attempt.abandon(&mut self.common, step);
            }
        }
    }

    /// An IKE_SA that charon has made in place of another one connects to that address.
    pub fn locate(&mut self, ike_sa: u32, remote: Option<IpAddr>) {
        let listed = remote.and_then(|remote| self.common.gateways.at(remote));
        let known = self.common.ike_sas.get_mut(&ike_sa);
        if let (Some(known), Some(gateway)) = (known, listed) {
            known.gateway = gateway;
        }
    }

    /// Its IKE_SAs that are there carry it from now on, as it is loaded again.
    pub fn resume(&mut self, step: &mut Step) {
        let c = &mut self.common;
        let Some(live) = c.live_ike_sa() else {
            return;
        };
        self.state = if c.is_up(live) {
            resume(c, live, step)
        } else {
            let outage = Outage::begin(step.now.monotonic);
            follow_charon(c, outage, live, step)
        };
    }

    /// Announces a failover that charon made by itself, now that the connection is known to be there still.
    pub fn announce(&mut self, step: &mut Step) {
        if let State::Recovering(state) = &mut self.state {
            announce(&self.common, state, step);
        }
    }

    /// Tells charon where to go if the gateway fails and charon goes on by itself.
    pub fn steer(&mut self, step: &mut Step) {
        steering::steer(&mut self.common, &self.state, step);
    }

    /// Whether an attempt is under way that makes others wait: not for a gateway without alternative,
    /// as charon may try that for ever.
    pub fn is_half_open(&self) -> bool {
        let attempted = self.state.attempts().next().is_some();
        attempted && self.common.has_alternative(self.state.outage())
    }

    /// Whether it waits for fewer attempts to be under way.
    pub fn is_queued(&self) -> bool {
        matches!(
            self.state,
            State::Recovering(Recovering {
                progress: Progress::Queued { .. },
                ..
            })
        )
    }

    /// Whether nothing is wanted of it, and nothing of it is left.
    pub fn is_at_rest(&self) -> bool {
        matches!(self.state, State::Idle(_)) && self.common.ike_sas.is_empty()
    }

    /// Gateways whose clone nothing uses any more; they are forgotten.
    pub fn take_unused_clones(&mut self) -> Vec<String> {
        let mut planned: Vec<&str> = self.state.attempts().map(Attempt::gateway).collect();
        if let State::Recovering(Recovering {
            progress: Progress::Backoff { gateway, .. } | Progress::Queued { gateway },
            ..
        }) = &self.state
        {
            planned.push(gateway);
        }
        self.common.take_unused_clones(&planned)
    }

    /// The gateway of an IKE_SA of which charon tells first now, if it has the connection's own configuration.
    pub fn gateway_at(&self, remote: Option<IpAddr>) -> Option<String> {
        let asked = match &self.state {
            State::Recovering(state) => state.attempting().map(|known| known.gateway().to_owned()),
            State::Serving(state) => self.common.gateway_of(state.ike_sa),
            State::Idle(_) | State::Exhausted(_) => None,
        };
        self.common.gateway_at(remote, asked.as_deref())
    }
}
