// SPDX-License-Identifier: GPL-2.0-or-later

//! Recordings of what a real charon told in a test, and of what the plugin decided, for
//! `core/tests/replay.rs`. They are made where `EXTSOCK_RECORD` names a directory, with a plugin that was built
//! with its feature `record`.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs, thread};

use serde_json::{json, Value};

/// Before each line of the log that the plugin's recorder writes.
const RECORDED: &str = "[extsock] recorded ";

/// What is kept of a CHILD_SA: no decision depends on more.
const TUNNEL: [&str; 2] = ["ike_sa_name", "child_sa_name"];

thread_local! {
    static REQUESTS: RefCell<Vec<Value>> = const { RefCell::new(Vec::new()) };
}

fn directory() -> Option<PathBuf> {
    env::var_os("EXTSOCK_RECORD").map(PathBuf::from)
}

/// A test sends bytes to the plugin's socket.
pub(crate) fn request(bytes: &[u8]) {
    if directory().is_none() {
        return;
    }
    let text = String::from_utf8_lossy(bytes);
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let at = since.expect("it is later than 1970").as_micros();
    let line = json!({"at": u64::try_from(at).expect("a time"), "request": text.trim()});
    REQUESTS.with_borrow_mut(|requests| requests.push(line));
}

/// A client's charon has ended, whose whole log is given: leaves the recording of a test that has passed.
pub(crate) fn save(log: &str) {
    let Some(directory) = directory() else {
        return;
    };
    let requests = REQUESTS.take();
    if thread::panicking() {
        return;
    }
    // charon may have been killed while it wrote its last line.
    let complete = log.rfind('\n').map_or("", |end| &log[..end]);
    let recorded = complete
        .lines()
        .filter_map(|line| line.split_once(RECORDED));
    let mut lines: Vec<Value> = recorded
        .map(|(_, line)| {
            serde_json::from_str(line)
                .unwrap_or_else(|e| panic!("a line of the recorder: {e}: {line}"))
        })
        .chain(requests)
        .filter(is_input_or_decision)
        .collect();
    let at = |line: &Value| line["at"].as_u64().expect("each line has its time");
    lines.sort_by_key(at);
    let Some(begin) = lines.first().map(at) else {
        return;
    };
    let mut text = String::new();
    for mut line in lines {
        line["at"] = json!(at(&line) - begin);
        shorten(&mut line);
        text.push_str(&format!("{line}\n"));
    }
    let name = thread::current()
        .name()
        .unwrap_or("main")
        .replace("::", ".");
    fs::create_dir_all(&directory).expect("EXTSOCK_RECORD names a directory");
    fs::write(directory.join(name + ".jsonl"), text).expect("EXTSOCK_RECORD is writable");
}

/// Requests that change nothing, and events that only repeat what charon tells, are left out.
fn is_input_or_decision(line: &Value) -> bool {
    if let Some(request) = line["request"].as_str() {
        let reads = ["LIST", "STATUS", "STATS", "HISTORY", "VERSION", "HELP"];
        return !reads.iter().any(|verb| request.starts_with(verb));
    }
    match line["event"]["event"].as_str() {
        Some(event) => event.starts_with("failover_"),
        None => true,
    }
}

fn shorten(line: &mut Value) {
    for kind in ["ChildUpdown", "ChildRekey"] {
        for key in ["tunnel", "old", "new"] {
            let tunnel = line.pointer_mut(&format!("/evidence/{kind}/{key}"));
            if let Some(tunnel) = tunnel.and_then(Value::as_object_mut) {
                tunnel.retain(|name, _| TUNNEL.contains(&name.as_str()));
            }
        }
    }
}
