// SPDX-License-Identifier: GPL-2.0-or-later

//! Replies and events for people.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use serde_json::{json, Value};

use crate::table::{plain, table, wrap};

/// A value as text; null is `-`.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The items of an array.
pub fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The texts in an array.
pub fn names(value: &Value) -> Vec<String> {
    items(value).iter().map(text).collect()
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

/// Like [`duration`], but below ten seconds with a fraction, as `1.5s`.
fn short_duration(value: &Value) -> String {
    match value.as_u64() {
        Some(ms @ 1000..10_000) => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
        _ => duration(value),
    }
}

/// The state of a connection for people; for programs it stays `established`.
fn state(connection: &Value) -> String {
    if connection["degraded"] == true {
        "degraded".to_owned()
    } else {
        text(&connection["state"])
    }
}

/// The reply to LIST.
pub fn list(reply: &Value) -> String {
    let rows: Vec<Vec<String>> = items(&reply["connections"])
        .iter()
        .map(|connection| {
            vec![
                text(&connection["name"]),
                state(connection),
                text(&connection["active_gateway"]),
                items(&connection["gateways"]).len().to_string(),
                text(&connection["retries"]),
                duration(&connection["next_retry_ms"]),
            ]
        })
        .collect();
    table(
        &["NAME", "STATE", "GATEWAY", "OF", "RETRIES", "NEXT"],
        &rows,
    )
}

/// The reply to STATUS. Established connections are green, exhausted ones red.
pub fn status(reply: &Value) -> String {
    items(&reply["connections"])
        .iter()
        .map(connection)
        .collect()
}

/// The reply to STATUS on a terminal with so many rows: in short where it does not fit.
pub fn screen(reply: &Value, rows: usize) -> String {
    // The last row is for the cursor.
    let rows = rows.saturating_sub(1);
    let whole = status(reply);
    if whole.lines().count() <= rows {
        return whole;
    }
    let mut connections = items(&reply["connections"]).to_vec();
    let last = last_failovers(&connections);
    connections.sort_by_key(|connection| match state(connection).as_str() {
        "exhausted" => 0,
        "waiting" | "connecting" | "degraded" => 1,
        "established" => 3,
        _ => 2,
    });
    let below = match &last[..] {
        [] => String::new(),
        last => format!("\n{}", failovers(last, Columns::All)),
    };
    // A row for the headings, and one that tells how many are not shown.
    let room = rows.saturating_sub(below.lines().count() + 2);
    let hidden = connections.len().saturating_sub(room);
    connections.truncate(room);
    let mut shown = list(&json!({"connections": connections}));
    if hidden > 0 {
        let _ = writeln!(shown, "... and {hidden} more");
    }
    let lines: Vec<&str> = shown.lines().chain(below.lines()).take(rows).collect();
    lines.join("\n") + "\n"
}

/// The last failovers of all connections, newest first.
fn last_failovers(connections: &[Value]) -> Vec<Value> {
    const COUNT: usize = 5;
    let of = |connection: &Value| items(&connection["last_failovers"]).to_vec();
    let mut all: Vec<Value> = connections.iter().flat_map(of).collect();
    all.sort_by_key(|entry| std::cmp::Reverse(entry["time_ms"].as_u64()));
    all.truncate(COUNT);
    all
}

fn connection(connection: &Value) -> String {
    let state = state(connection);
    let colour = match state.as_str() {
        "established" => "\u{1b}[32m",
        "exhausted" => "\u{1b}[31m",
        "connecting" | "waiting" | "degraded" => "\u{1b}[33m",
        _ => "",
    };
    let reset = if colour.is_empty() { "" } else { "\u{1b}[0m" };
    let mut head = format!(
        "{}: {colour}{}{reset}",
        plain(&text(&connection["name"])),
        plain(&state)
    );
    if !connection["established_ms"].is_null() {
        let _ = write!(
            head,
            " for {} by IKE_SA #{}",
            duration(&connection["established_ms"]),
            text(&connection["ike_sa_uniqueid"])
        );
    }
    if !connection["next_retry_ms"].is_null() {
        let _ = write!(
            head,
            ", next attempt in {}",
            duration(&connection["next_retry_ms"])
        );
    }
    let children = names(&connection["child_sas"]);
    if !children.is_empty() {
        let _ = write!(head, ", CHILD_SAs {}", plain(&children.join(", ")));
    }
    let missing = names(&connection["missing"]);
    if connection["degraded"] == true {
        let _ = write!(head, ", missing {}", plain(&missing.join(", ")));
    }
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
    let mut shown = wrap(&head);
    shown += &table(&["  GATEWAY", "LAST", "FAILURES", "ASIDE"], &gateways);
    let last = items(&connection["last_failovers"]);
    if !last.is_empty() {
        shown += &failovers(last, Columns::OfOneConnection);
    }
    shown.push('\n');
    shown
}

/// What a connection that is not up waits for.
pub fn waiting(status: &Value) -> String {
    let next = next_step(status).unwrap_or_default();
    plain(&format!("{}: {next}", text(&status["name"])))
}

/// Why a connection is not up: what it waits for, and how each of its gateways failed.
pub fn why_not_up(status: &Value) -> String {
    let failed = |gateway: &Value| {
        let reason = gateway["last_result"].as_str();
        let reason = reason.filter(|reason| *reason != "established")?;
        Some(format!("{} failed ({reason})", text(&gateway["gateway"])))
    };
    let failures = items(&status["gateway_status"]).iter().filter_map(failed);
    let reasons: Vec<String> = next_step(status).into_iter().chain(failures).collect();
    plain(&reasons.join("; "))
}

/// None if nothing is wanted.
fn next_step(status: &Value) -> Option<String> {
    if !status["next_retry_ms"].is_null() {
        let wait = duration(&status["next_retry_ms"]);
        return Some(format!("next attempt in {wait}"));
    }
    match status["state"].as_str() {
        Some("connecting" | "waiting") => {
            let gateway = text(&status["active_gateway"]);
            Some(format!("waiting for {gateway}"))
        }
        Some("exhausted") => Some("not tried again until it is initiated".to_owned()),
        _ => None,
    }
}

/// An event as a step on the way to an established connection.
pub fn progress(event: &Value) -> String {
    let [name, from, to] = ["connection", "from", "to"].map(|key| text(&event[key]));
    let shown = match event["event"].as_str().unwrap_or_default() {
        "failover_started" => format!(
            "{name}: {from} failed ({}), failover {} to {to}",
            text(&event["reason"]),
            text(&event["attempt"]),
        ),
        "failover_established" => format!(
            "{name}: failed over to {}, {} without a tunnel",
            text(&event["gateway"]),
            short_duration(&event["outage_ms"]),
        ),
        "ike_sa_up" => format!("{name}: IKE_SA is up"),
        "tunnel_up" => format!("{name}: CHILD_SA {} is up", text(&event["child_sa_name"])),
        "failover_exhausted" => format!(
            "{name}: exhausted after {} failovers",
            text(&event["retries"])
        ),
        _ => return self::event(event),
    };
    plain(&shown)
}

/// The reply to HISTORY.
pub fn history(reply: &Value) -> String {
    failovers(items(&reply["failovers"]), Columns::All)
}

fn failovers(entries: &[Value], columns: Columns) -> String {
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|entry| {
            let result = match entry["outage_ms"] {
                Value::Null => text(&entry["result"]),
                ref outage => format!("up after {}", short_duration(outage)),
            };
            let mut row = vec![
                time(&entry["time_ms"]),
                text(&entry["connection"]),
                text(&entry["from"]),
                text(&entry["to"]),
                text(&entry["reason"]),
                result,
            ];
            if columns == Columns::OfOneConnection {
                row.remove(1);
            }
            row
        })
        .collect();
    let mut headings = vec!["TIME", "NAME", "FROM", "TO", "REASON", "RESULT"];
    if columns == Columns::OfOneConnection {
        headings.remove(1);
    }
    table(&headings, &rows)
}

/// A result in a table of failovers, in short.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Columns {
    All,
    OfOneConnection,
}

/// Milliseconds since 1970 as `22:13:20` if that is of today, else as `11-14 22:13`, in UTC.
fn time(value: &Value) -> String {
    let shown = |time| extsock_core::protocol::rfc3339(time);
    let then = shown(Duration::from_millis(value.as_u64().unwrap_or_default()));
    let now = shown(SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default());
    if then[..10] == now[..10] {
        then[11..19].to_owned()
    } else {
        then[5..16].replace('T', " ")
    }
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

/// The reply to STATS, or any other that has keys and values.
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
    fn why_a_connection_is_not_up_has_its_next_step_and_failed_gateways() {
        let gateway = |name: &str, last: Value| json!({"gateway": name, "last_result": last});
        let mut status = json!({
            "name": "net", "state": "waiting", "active_gateway": "segw2", "next_retry_ms": 12_345,
            "gateway_status": [
                gateway("segw1", json!("established")), gateway("segw2", json!("auth_failed")),
                gateway("segw3", json!(null)), gateway("segw4", json!("peer_unreachable")),
            ],
        });
        let failed = "segw2 failed (auth_failed); segw4 failed (peer_unreachable)";
        assert_eq!(
            why_not_up(&status),
            format!("next attempt in 12s; {failed}")
        );
        assert_eq!(waiting(&status), "net: next attempt in 12s");
        status["next_retry_ms"] = json!(null);
        for (state, next) in [
            ("connecting", "waiting for segw2; "),
            ("exhausted", "not tried again until it is initiated; "),
            ("down", ""),
        ] {
            status["state"] = json!(state);
            assert_eq!(why_not_up(&status), format!("{next}{failed}"), "{state}");
        }
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
        assert!(shown.contains("11-14 22:13 "), "{shown}");
    }

    #[test]
    fn usual_failovers_are_shown_whole() {
        let mut entry = json!({
            "time_ms": 1_700_000_000_007_u64, "connection": "site-1", "from": "192.168.7.11",
            "to": "192.168.7.12", "reason": "peer_unreachable", "result": "established",
            "outage_ms": 2345,
        });
        let shown = history(&json!({"failovers": [entry]}));
        let row =
            "11-14 22:13  site-1  192.168.7.11  192.168.7.12  peer_unreachable  up after 2.3s";
        assert_eq!(shown.lines().nth(1), Some(row));
        let now = SystemTime::UNIX_EPOCH
            .elapsed()
            .expect("it is later than 1970");
        entry["time_ms"] = json!(now.as_millis() as u64);
        entry["outage_ms"] = Value::Null;
        entry["result"] = json!("pending");
        let row = failovers(&[entry], Columns::OfOneConnection);
        assert!(
            row.contains("  192.168.7.11  192.168.7.12  peer_unreachable  pending\n"),
            "{row}"
        );
    }

    /// A connection as in the reply to STATUS, with names of the greatest length.
    fn long(number: usize, state: &str, gateways: usize) -> Value {
        let address = |n: usize| format!("{}.example.net", format!("gateway-{n}-").repeat(20));
        let failover = json!({
            "time_ms": 1_700_000_000_000_u64 + number as u64, "connection": "長".repeat(100),
            "from": address(1), "to": address(2), "reason": "child_creation_failed",
            "result": "established", "attempt": 1, "outage_ms": 987_654_321_u64,
        });
        let gateway = |n| {
            json!({
                "gateway": address(n), "last_result": "address_unresolvable", "last_success": 1,
                "failures_in_a_row": u32::MAX, "set_aside_ms": 600_000,
            })
        };
        json!({
            "name": format!("{number}-{}", "a long name, 長い名前, ".repeat(30)), "state": state,
            "gateways": (0..gateways).map(address).collect::<Vec<_>>(),
            "active_gateway": address(0), "retries": u32::MAX, "next_retry_ms": 12_000,
            "ike_sa_uniqueid": u32::MAX, "established_ms": 360_000_000_u64,
            "child_sas": (0..20).map(|n| format!("{n}{}", "x".repeat(100))).collect::<Vec<_>>(),
            "gateway_status": (0..gateways).map(gateway).collect::<Vec<_>>(),
            "last_failovers": vec![failover; 5],
        })
    }

    #[track_caller]
    fn assert_fits(shown: &str) {
        for line in shown.lines() {
            // Which knows of wide characters, and of colours that are none.
            let width = textwrap::core::display_width(line);
            assert!(width <= 80, "{width} columns: {line}");
        }
    }

    #[test]
    fn long_names_and_many_gateways_fit_a_terminal() {
        let reply = json!({"connections": [long(1, "established", 50), long(2, "waiting", 3)]});
        assert_fits(&status(&reply));
        assert_fits(&list(&reply));
        assert_fits(&history(
            &json!({"failovers": reply["connections"][0]["last_failovers"]}),
        ));
        let stats = json!({"failovers": {"x".repeat(100): 1}, "y".repeat(100): u64::MAX});
        assert_fits(&values(&stats));
    }

    #[test]
    fn many_connections_are_on_one_screen_those_in_trouble_first() {
        let mut all: Vec<Value> = (0..100).map(|n| long(n, "established", 2)).collect();
        all.push(long(100, "waiting", 2));
        let shown = screen(&json!({"connections": all}), 24);
        assert_fits(&shown);
        assert!(shown.lines().count() <= 23, "{shown}");
        let first = shown.lines().nth(1).unwrap_or_default();
        assert!(
            first.starts_with("100-") && first.contains("waiting"),
            "{shown}"
        );
        assert!(
            shown.contains("\n... and ") && shown.contains("11-14 22:13 "),
            "{shown}"
        );
        let one = json!({"connections": [{"name": "net", "state": "down"}]});
        assert_eq!(screen(&one, 24), status(&one));
    }
}
