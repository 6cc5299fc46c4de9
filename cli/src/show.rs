// SPDX-License-Identifier: GPL-2.0-or-later

//! Replies and events for people.

use std::fmt::Write;

use serde_json::Value;

use crate::table::{plain, table};

/// A value as text: what is null is `-`.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Milliseconds as `250ms`, `12s`, `5m12s` or `3h05m`; `-` for null.
fn duration(value: &Value) -> String {
    let Some(ms) = value.as_u64() else {
        return "-".to_owned();
    };
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms}ms"),
        1..=59 => format!("{seconds}s"),
        60..=3599 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// The reply to LIST.
pub fn list(reply: &Value) -> String {
    let rows: Vec<Vec<String>> = items(&reply["connections"])
        .iter()
        .map(|connection| {
            vec![
                text(&connection["name"]),
                text(&connection["state"]),
                text(&connection["active_gateway"]),
                items(&connection["gateways"]).len().to_string(),
                text(&connection["retries"]),
                duration(&connection["next_retry_ms"]),
            ]
        })
        .collect();
    table(
        &["CONNECTION", "STATE", "GATEWAY", "OF", "RETRIES", "NEXT"],
        &rows,
    )
}

/// The reply to STATUS. What is up is green, what was given up red.
pub fn status(reply: &Value) -> String {
    let mut shown = String::new();
    for connection in items(&reply["connections"]) {
        let state = text(&connection["state"]);
        let colour = match state.as_str() {
            "established" => "\u{1b}[32m",
            "exhausted" => "\u{1b}[31m",
            "connecting" | "waiting" => "\u{1b}[33m",
            _ => "",
        };
        let reset = if colour.is_empty() { "" } else { "\u{1b}[0m" };
        let _ = write!(
            shown,
            "{}: {colour}{}{reset}",
            plain(&text(&connection["name"])),
            plain(&state)
        );
        if !connection["established_ms"].is_null() {
            let _ = write!(
                shown,
                " for {} by IKE_SA #{}",
                duration(&connection["established_ms"]),
                text(&connection["ike_sa_uniqueid"])
            );
        }
        if !connection["next_retry_ms"].is_null() {
            let _ = write!(
                shown,
                ", next attempt in {}",
                duration(&connection["next_retry_ms"])
            );
        }
        let children: Vec<String> = items(&connection["child_sas"]).iter().map(text).collect();
        if !children.is_empty() {
            let _ = write!(shown, ", CHILD_SAs {}", plain(&children.join(", ")));
        }
        shown.push('\n');
        let active = &connection["active_gateway"];
        let gateways: Vec<Vec<String>> = items(&connection["gateway_status"])
            .iter()
            .map(|gateway| {
                let mark = if gateway["gateway"] == *active {
                    "*"
                } else {
                    ""
                };
                vec![
                    format!("{mark:<1} {}", text(&gateway["gateway"])),
                    text(&gateway["last_result"]),
                    text(&gateway["failures_in_a_row"]),
                    duration(&gateway["set_aside_ms"]),
                ]
            })
            .collect();
        shown += &table(&["  GATEWAY", "LAST", "FAILURES", "ASIDE"], &gateways);
        if !items(&connection["last_failovers"]).is_empty() {
            shown += &failovers(&connection["last_failovers"]);
        }
        shown.push('\n');
    }
    shown
}

/// The reply to HISTORY.
pub fn history(reply: &Value) -> String {
    failovers(&reply["failovers"])
}

fn failovers(entries: &Value) -> String {
    let rows: Vec<Vec<String>> = items(entries)
        .iter()
        .map(|entry| {
            vec![
                time(&entry["time_ms"]),
                text(&entry["connection"]),
                text(&entry["from"]),
                text(&entry["to"]),
                text(&entry["reason"]),
                text(&entry["result"]),
                duration(&entry["outage_ms"]),
            ]
        })
        .collect();
    table(
        &[
            "TIME",
            "CONNECTION",
            "FROM",
            "TO",
            "REASON",
            "RESULT",
            "OUTAGE",
        ],
        &rows,
    )
}

/// Milliseconds since 1970 as `11-14 22:13:20`, in UTC.
fn time(value: &Value) -> String {
    let ms = value.as_u64().unwrap_or_default();
    let rfc3339 = extsock_core::protocol::rfc3339(std::time::Duration::from_millis(ms));
    rfc3339[5..19].replace('T', " ")
}

/// The reply to RELOAD.
pub fn reload(reply: &Value) -> String {
    let mut shown = String::new();
    for (key, word) in [("connections", "loaded"), ("removed", "removed")] {
        for name in items(&reply[key]) {
            let _ = writeln!(shown, "{word} {}", plain(&text(name)));
        }
    }
    shown
}

/// The reply to STATS, or any other of keys and values.
pub fn values(reply: &Value) -> String {
    let mut rows = Vec::new();
    for (key, value) in reply.as_object().into_iter().flatten() {
        match value {
            _ if ["reply", "ok"].contains(&key.as_str()) => {}
            Value::Object(inner) => {
                rows.extend(
                    inner
                        .iter()
                        .map(|(name, n)| vec![format!("{key}.{name}"), text(n)]),
                );
            }
            value => rows.push(vec![key.clone(), text(value)]),
        }
    }
    table(&["NAME", "VALUE"], &rows)
}

/// The reply to STATS in the text format of Prometheus.
pub fn prometheus(stats: &Value) -> String {
    const GAUGES: [&str; 5] = [
        "connections",
        "attempts_under_way",
        "attempts_queued",
        "clients",
        "queued_bytes",
    ];
    let mut shown = String::new();
    for (key, value) in stats.as_object().into_iter().flatten() {
        let gauge = GAUGES.contains(&key.as_str());
        let (name, kind) = if gauge {
            (format!("extsock_{key}"), "gauge")
        } else {
            (format!("extsock_{key}_total"), "counter")
        };
        if let Some(by_reason) = value.as_object() {
            let _ = writeln!(shown, "# TYPE {name} {kind}");
            for (reason, count) in by_reason {
                let _ = writeln!(shown, "{name}{{reason=\"{reason}\"}} {count}");
            }
        } else if value.is_number() {
            let _ = writeln!(shown, "# TYPE {name} {kind}\n{name} {value}");
        }
    }
    shown
}

/// An event in one line.
pub fn event(event: &Value) -> String {
    let mut shown = format!("{} {}", text(&event["time"]), text(&event["event"]));
    for key in [
        "connection",
        "ike_sa_name",
        "child_sa_name",
        "from",
        "to",
        "gateway",
        "reason",
        "attempt",
        "attempts",
        "retries",
        "outage_ms",
        "src",
        "dst",
        "spi_in",
        "spi_out",
    ] {
        if let Some(value) = event.get(key) {
            let _ = write!(shown, " {key}={}", text(value));
        }
    }
    plain(&shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn durations_are_short() {
        for (ms, shown) in [
            (json!(null), "-"),
            (json!(250), "250ms"),
            (json!(12_999), "12s"),
            (json!(312_000), "5m12s"),
            (json!(11_100_000), "3h05m"),
        ] {
            assert_eq!(duration(&ms), shown);
        }
    }

    #[test]
    fn counters_are_in_prometheus_format() {
        let stats = json!({
            "reply": "STATS", "ok": true, "since": "2023-11-14T22:13:20.000Z", "connections": 1,
            "attempts": 2, "failovers": {"dpd_timeout": 3},
        });
        assert_eq!(
            prometheus(&stats),
            "# TYPE extsock_attempts_total counter\nextsock_attempts_total 2\n\
             # TYPE extsock_connections gauge\nextsock_connections 1\n\
             # TYPE extsock_failovers_total counter\n\
             extsock_failovers_total{reason=\"dpd_timeout\"} 3\n"
        );
    }

    #[test]
    fn failovers_fit_a_terminal() {
        let entry = json!({
            "time_ms": 1_700_000_000_007_u64, "connection": "a-connection-with-a-long-name",
            "from": "2001:db8:1111:2222:3333:4444:5555:6666", "to": "segw.example.net",
            "reason": "address_unresolvable", "result": "established", "outage_ms": 1234,
        });
        let shown = history(&json!({"failovers": [entry]}));
        assert!(
            shown.lines().all(|line| line.chars().count() <= 80),
            "{shown}"
        );
        assert!(shown.contains("11-14 22:13:20"), "{shown}");
    }
}
