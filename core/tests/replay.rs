// SPDX-License-Identifier: GPL-2.0-or-later

//! What real charons told in the lab's tests, replayed: the core decides as it did then. Each version of
//! strongSwan has its own recordings in `core/tests/recordings`, as what charon tells differs between them;
//! `cargo xtask record` makes them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use extsock_core::config::ConnectionConfig;
use extsock_core::domain::address::AddressList;
use extsock_core::domain::policy::FailoverPolicy;
use extsock_core::domain::Now;
use extsock_core::failover::action::{Action, Begin, Settings};
use extsock_core::failover::evidence::{Evidence, IkeSaState};
use extsock_core::failover::manager::FailoverManager;
use extsock_core::protocol::{parse, Request};
use extsock_core::strongswan::Version;
use extsock_fake_charon::Plugin;
use serde::Deserialize;
use serde_json::Value;

/// Within this time charon has returned from an initiation of which it tells nothing.
const RETURNS: Duration = Duration::from_secs(1);

/// A line of a recording; the time is in microseconds since its begin.
#[derive(Deserialize)]
struct Line {
    at: u64,
    evidence: Option<Evidence>,
    request: Option<String>,
    event: Option<Value>,
}

/// The manager, and what surrounds it.
#[derive(Default)]
struct Replay {
    manager: FailoverManager,
    now: Now,
    /// Initiations from which charon has not returned.
    initiating: Vec<(Begin, Duration)>,
    /// The remote addresses of connections that others loaded, as charon told last.
    foreign: Vec<(String, AddressList)>,
    /// The events that tell of decisions.
    decided: Vec<Value>,
    /// Actions whose outcome is in no recording.
    unanswered: Vec<String>,
}

impl Replay {
    fn line(&mut self, line: Line) -> Option<Value> {
        let at = Duration::from_micros(line.at);
        self.now.monotonic = at;
        self.now.unix = at;
        // The shortest delay: nothing is later than it was then.
        self.now.random = 1.0;
        let late = |(_, since): &(Begin, Duration)| at.saturating_sub(*since) > RETURNS;
        self.returns(late);
        self.step(FailoverManager::expire);
        if let Some(request) = line.request {
            self.request(&request);
        }
        if let Some(evidence) = line.evidence {
            self.evidence(evidence);
        }
        line.event
    }

    fn evidence(&mut self, evidence: Evidence) {
        let mut connects = None;
        if let Evidence::State { ike_sa, to } = &evidence {
            let list = AddressList::parse(&ike_sa.remote_addrs);
            // charon was led to another gateway by a configuration with that one only.
            if list.len() >= 2 {
                self.foreign.retain(|(name, _)| *name != ike_sa.name);
                self.foreign.push((ike_sa.name.clone(), list));
            }
            connects = (*to == IkeSaState::Connecting).then(|| ike_sa.name.clone());
        }
        self.step(|manager, now| manager.handle(evidence, now));
        if let Some(name) = connects {
            self.returns(|(begin, _)| name.starts_with(&begin.connection));
        }
    }

    /// charon returns from initiations.
    fn returns(&mut self, which: impl Fn(&(Begin, Duration)) -> bool) {
        let (returned, rest) = std::mem::take(&mut self.initiating)
            .into_iter()
            .partition(which);
        self.initiating = rest;
        let returned: Vec<(Begin, Duration)> = returned;
        for (begin, _) in returned {
            let asked = begin.children.clone();
            self.initiated(begin, true, &asked);
        }
    }

    fn request(&mut self, request: &str) {
        let Ok(parsed) = parse(request, Version::NEWEST) else {
            // The test sends what is refused.
            return;
        };
        let manager = &mut self.manager;
        let result = match parsed {
            Request::ApplyConfig(configuration) => {
                let connections = configuration.connections.iter();
                return connections.for_each(|connection| self.load(connection));
            }
            Request::RemoveConfig { connection } => manager.remove(&connection, self.now),
            Request::Initiate { connection, child } => manager
                .initiate(&connection, child.as_deref(), self.now)
                .map(|(_, actions)| actions),
            Request::Terminate { name } => manager.terminate(&name, self.now).map(|(_, a)| a),
            Request::Failover {
                connection,
                gateway,
            } => manager
                .failover(&connection, gateway.as_deref(), self.now)
                .map(|(_, actions)| actions),
            _ => Ok(Vec::new()),
        };
        // What was refused then is refused now.
        self.step(|_, _| result.unwrap_or_default());
    }

    fn load(&mut self, connection: &ConnectionConfig) {
        let children = || connection.children.iter();
        let settings = Settings {
            gateways: connection.remote_addrs.clone(),
            children: children().map(|child| child.name.clone()).collect(),
            policy: connection.failover.over(&FailoverPolicy::default()),
        };
        self.step(|manager, now| manager.configure(&connection.name, settings, now));
        for child in children().filter(|child| child.start_action.starts()) {
            self.step(|manager, now| {
                let initiated = manager.initiate(&connection.name, Some(&child.name), now);
                initiated.expect("it is loaded").1
            });
        }
    }
}

impl Plugin for Replay {
    fn step(&mut self, call: impl FnOnce(&mut FailoverManager, Now) -> Vec<Action>) {
        for action in call(&mut self.manager, self.now) {
            self.carry_out(action);
        }
    }

    /// The addresses of a connection that was loaded by the socket do not change by themselves.
    fn configured(&self, connection: &str) -> Option<AddressList> {
        let known = self.foreign.iter().find(|(name, _)| name == connection);
        let known = known.map(|(_, list)| list.clone());
        known.or_else(|| Some(AddressList::default()))
    }

    fn initiate(&mut self, begin: Begin) {
        self.initiating.push((begin, self.now.monotonic));
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Terminate { connection } => {
                self.manager.terminating(&connection);
            }
            Action::Publish(event) => {
                let event = serde_json::to_value(event).expect("an event is JSON");
                let name = event["event"].as_str().unwrap_or_default();
                if name.starts_with("failover_") {
                    self.decided.push(decision(event));
                }
            }
            Action::Resolve {
                connection,
                attempt,
                gateway,
            } if gateway.ends_with(".invalid") => {
                self.step(|manager, now| {
                    manager.resolved(&connection, attempt, &gateway, Vec::new(), now)
                });
            }
            Action::Resolve { .. } | Action::Probe { .. } => {
                self.unanswered.push(format!("{action:?}"));
            }
            _ => {}
        }
    }
}

/// An event without the times, which differ.
fn decision(mut event: Value) -> Value {
    if let Some(keys) = event.as_object_mut() {
        keys.remove("outage_ms");
    }
    event
}

/// Replays one recording; what the core decided then, and now.
fn replay(path: &Path) -> [Vec<Value>; 2] {
    let text = fs::read_to_string(path).expect("a recording is readable");
    let mut replay = Replay::default();
    let mut then = Vec::new();
    for line in text.lines() {
        let line: Line = serde_json::from_str(line)
            .unwrap_or_else(|e| panic!("{}: {e}: {line}", path.display()));
        then.extend(replay.line(line).map(decision));
    }
    assert_eq!(replay.unanswered, [""; 0], "{}", path.display());
    [then, replay.decided]
}

fn recordings() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let in_order = |directory: &Path| {
        let entries = fs::read_dir(directory).expect("there are recordings");
        let mut paths: Vec<_> = entries
            .map(|entry| entry.expect("an entry").path())
            .collect();
        paths.sort();
        paths
    };
    let versions = in_order(&directory);
    versions
        .iter()
        .flat_map(|version| in_order(version))
        .collect()
}

#[test]
fn the_core_decides_as_it_did_on_real_charons() {
    let mut differing = Vec::new();
    let mut decisions = 0;
    for path in recordings() {
        let [then, now] = replay(&path);
        decisions += then.len();
        if then != now {
            differing.push(format!(
                "{}\n then {then:#?}\n now {now:#?}",
                path.display()
            ));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert!(decisions >= 100, "{decisions} decisions are not enough");
}
