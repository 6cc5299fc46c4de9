// SPDX-License-Identifier: GPL-2.0-or-later

//! The counters in the text format of Prometheus, version 0.0.4.

use std::collections::BTreeMap;
use std::fmt::Write;

use extsock_core::domain::reason::Reason;
use serde_json::Value;

use crate::show::{items, text as shown};

/// Key of the reply to STATS, name, type and help of the metric.
const STATS: &[(&str, &str, &str, &str)] = &[
    (
        "connections",
        "connections",
        "gauge",
        "Connections that are known.",
    ),
    (
        "attempts",
        "attempts_total",
        "counter",
        "Attempts that were begun.",
    ),
    (
        "attempts_under_way",
        "attempts_under_way",
        "gauge",
        "Attempts that are under way.",
    ),
    (
        "attempts_queued",
        "attempts_queued",
        "gauge",
        "Attempts that wait for fewer of them.",
    ),
    (
        "established",
        "established_total",
        "counter",
        "IKE_SAs of connections that came up.",
    ),
    (
        "exhausted",
        "exhausted_total",
        "counter",
        "Times that a connection reached max_retries.",
    ),
    (
        "failovers",
        "failovers_total",
        "counter",
        "Failovers that were begun, by reason.",
    ),
    (
        "events",
        "events_total",
        "counter",
        "Events that were published.",
    ),
    (
        "clients",
        "clients",
        "gauge",
        "Clients of the socket that are connected.",
    ),
    (
        "clients_accepted",
        "clients_accepted_total",
        "counter",
        "Clients of the socket that were accepted.",
    ),
    (
        "clients_refused",
        "clients_refused_total",
        "counter",
        "Clients of the socket that were refused.",
    ),
    (
        "clients_dropped",
        "clients_dropped_total",
        "counter",
        "Clients of the socket that were dropped for what they did.",
    ),
    (
        "queued_bytes",
        "queued_bytes",
        "gauge",
        "Bytes that wait for clients of the socket.",
    ),
];

/// The replies to STATS and LIST.
pub fn text(stats: &Value, list: &Value) -> String {
    let mut text = String::new();
    for (key, name, kind, help) in STATS {
        let value = &stats[*key];
        if let Some(counted) = value.as_object() {
            // All reasons, also with 0: Prometheus sees no increase in a series that begins with 1.
            let none = Reason::ALL.map(|reason| (reason.as_str(), 0.to_string()));
            let mut by_reason = BTreeMap::from(none);
            by_reason.extend(counted.iter().map(|(reason, n)| (&**reason, n.to_string())));
            let samples = by_reason
                .into_iter()
                .map(|(reason, count)| (labels(&[("reason", reason)]), count));
            metric(&mut text, name, kind, help, samples);
        } else if value.is_number() {
            metric(
                &mut text,
                name,
                kind,
                help,
                [(String::new(), value.to_string())],
            );
        }
    }
    let connections = || items(&list["connections"]).iter();
    let of = |connection: &Value| labels(&[("connection", &shown(&connection["name"]))]);
    metric(
        &mut text,
        "connection_established",
        "gauge",
        "1 if the IKE_SA of the connection is established, 0 if not.",
        connections().map(|connection| {
            let established = connection["state"] == "established";
            (of(connection), u8::from(established).to_string())
        }),
    );
    metric(
        &mut text,
        "connection_degraded",
        "gauge",
        "1 if the IKE_SA is established and CHILD_SAs that are wanted were lost or cannot be had, 0 if not.",
        connections().map(|connection| {
            let degraded = connection["degraded"] == true;
            (of(connection), u8::from(degraded).to_string())
        }),
    );
    metric(
        &mut text,
        "connection_retries",
        "gauge",
        "Failovers in a row without an established IKE_SA.",
        connections().map(|connection| (of(connection), connection["retries"].to_string())),
    );
    let gateways = || {
        connections().flat_map(|connection| {
            let gateways = items(&connection["gateway_status"]).iter();
            gateways.map(move |gateway| {
                let (name, gateway_name) = (&connection["name"], &gateway["gateway"]);
                let labels = labels(&[
                    ("connection", &shown(name)),
                    ("gateway", &shown(gateway_name)),
                ]);
                let active = connection["active_gateway"] == *gateway_name;
                (labels, active, gateway["failures_in_a_row"].to_string())
            })
        })
    };
    metric(
        &mut text,
        "gateway_active",
        "gauge",
        "1 if the gateway is in use by the connection or being tried, 0 if not.",
        gateways().map(|(labels, active, _)| (labels, u8::from(active).to_string())),
    );
    metric(
        &mut text,
        "gateway_failures_in_a_row",
        "gauge",
        "Failures of the gateway since its last success.",
        gateways().map(|(labels, _, failures)| (labels, failures)),
    );
    text
}

/// Each with its labels, in braces unless there are none, and its value.
fn metric(
    text: &mut String,
    name: &str,
    kind: &str,
    help: &str,
    samples: impl IntoIterator<Item = (String, String)>,
) {
    let _ = writeln!(
        text,
        "# HELP extsock_{name} {help}\n# TYPE extsock_{name} {kind}"
    );
    for (labels, value) in samples {
        let _ = writeln!(text, "extsock_{name}{labels} {value}");
    }
}

fn labels(labels: &[(&str, &str)]) -> String {
    let labels: Vec<String> = labels
        .iter()
        .map(|(name, value)| {
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            format!("{name}=\"{value}\"")
        })
        .collect();
    format!("{{{}}}", labels.join(","))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use extsock_core::failover::report::Counters;
    use extsock_core::protocol::{ClientStats, Reply, Stats};
    use serde_json::json;

    use super::*;

    /// Reads the text, as strictly as the format's description demands, into values by name and labels.
    fn read(text: &str) -> BTreeMap<(String, Vec<(String, String)>), f64> {
        let mut samples = BTreeMap::new();
        let mut announced: Option<(String, bool)> = None;
        let mut names = BTreeSet::new();
        assert!(text.ends_with('\n'));
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a name and a help text");
                assert!(
                    is_name(name) && !help.is_empty() && !help.contains('\\'),
                    "{line}"
                );
                assert!(names.insert(name.to_owned()), "twice: {line}");
                announced = Some((name.to_owned(), false));
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a type");
                assert_eq!(announced, Some((name.to_owned(), false)), "{line}");
                assert!(["counter", "gauge"].contains(&kind), "{line}");
                assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
                announced = Some((name.to_owned(), true));
            } else {
                let (name, labels, value) = sample(line);
                assert_eq!(announced, Some((name.clone(), true)), "{line}");
                let value = value
                    .parse()
                    .unwrap_or_else(|_| panic!("no number: {line}"));
                assert!(
                    samples.insert((name, labels), value).is_none(),
                    "twice: {line}"
                );
            }
        }
        samples
    }

    fn is_name(name: &str) -> bool {
        let mut characters = name.chars();
        characters
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
    }

    fn sample(line: &str) -> (String, Vec<(String, String)>, &str) {
        let end = line.find(['{', ' ']).expect("a value");
        let (name, mut rest) = line.split_at(end);
        assert!(is_name(name), "{line}");
        let mut labels = Vec::new();
        if rest.starts_with('{') {
            loop {
                let (label, after) = rest[1..].split_once("=\"").expect("a label");
                assert!(is_name(label), "{line}");
                let mut value = String::new();
                let mut characters = after.char_indices();
                let end = loop {
                    match characters.next().expect("a closing quote") {
                        (at, '"') => break at,
                        (_, '\\') => match characters.next().expect("an escaped character").1 {
                            'n' => value.push('\n'),
                            c @ ('\\' | '"') => value.push(c),
                            c => panic!("\\{c}: {line}"),
                        },
                        (_, c) => value.push(c),
                    }
                };
                labels.push((label.to_owned(), value));
                rest = &after[end + 1..];
                if let Some(after) = rest.strip_prefix('}') {
                    rest = after;
                    break;
                }
                assert!(rest.starts_with(','), "{line}");
            }
        }
        (
            name.to_owned(),
            labels,
            rest.strip_prefix(' ').expect("a blank"),
        )
    }

    fn stats() -> Value {
        let counters = Counters {
            connections: 1,
            attempts: 2,
            failovers: [("dpd_timeout", 3), ("operator", 1)].into(),
            ..Counters::default()
        };
        let stats = Stats::new(
            std::time::Duration::ZERO,
            counters,
            8,
            ClientStats::default(),
        );
        serde_json::from_str(&Reply::Stats(stats).to_line()).expect("JSON")
    }

    #[test]
    fn every_counter_is_there() {
        let stats = stats();
        let told: BTreeSet<&str> = STATS.iter().map(|(key, ..)| *key).collect();
        let keys = stats
            .as_object()
            .expect("an object")
            .keys()
            .map(String::as_str);
        let keys: BTreeSet<&str> = keys
            .filter(|key| !["reply", "ok", "since"].contains(key))
            .collect();
        assert_eq!(told, keys);
        let samples = read(&text(&stats, &json!({"connections": []})));
        let value = |name: &str, labels: &[(&str, &str)]| {
            let labels = labels
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            samples.get(&(name.to_owned(), labels.collect())).copied()
        };
        assert_eq!(value("extsock_attempts_total", &[]), Some(2.0));
        assert_eq!(
            value("extsock_failovers_total", &[("reason", "dpd_timeout")]),
            Some(3.0)
        );
        for reason in Reason::ALL.map(Reason::as_str) {
            let count = value("extsock_failovers_total", &[("reason", reason)]);
            let counted = &stats["failovers"][reason];
            assert_eq!(count, Some(counted.as_f64().unwrap_or(0.0)), "{reason}");
        }
        assert_eq!(value("extsock_queued_bytes", &[]), Some(0.0));
        assert_eq!(samples.len(), STATS.len() - 1 + Reason::ALL.len());
    }

    #[test]
    fn names_are_escaped() {
        let name = "a\"b\\c\nd{e=\"f\",} 7 é";
        let list = json!({"connections": [{
            "name": name, "state": "established", "degraded": true, "retries": 0, "active_gateway": "192.0.2.1",
            "gateway_status": [
                {"gateway": "192.0.2.1", "failures_in_a_row": 0},
                {"gateway": "192.0.2.2", "failures_in_a_row": 4},
            ],
        }]});
        let samples = read(&text(&stats(), &list));
        let connection = ("connection".to_owned(), name.to_owned());
        let key = (
            "extsock_connection_established".to_owned(),
            vec![connection.clone()],
        );
        assert_eq!(samples.get(&key), Some(&1.0), "{samples:?}");
        let key = (
            "extsock_connection_degraded".to_owned(),
            vec![connection.clone()],
        );
        assert_eq!(samples.get(&key), Some(&1.0), "{samples:?}");
        let gateway = ("gateway".to_owned(), "192.0.2.2".to_owned());
        let key = (
            "extsock_gateway_failures_in_a_row".to_owned(),
            vec![connection, gateway],
        );
        assert_eq!(samples.get(&key), Some(&4.0), "{samples:?}");
    }
}
