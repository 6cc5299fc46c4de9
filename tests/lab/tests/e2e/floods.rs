// SPDX-License-Identifier: GPL-2.0-or-later

//! Clients that send too much, too slowly or nonsense, while others work and the tunnel fails over.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use extsock_lab::{wait, ClientOptions, Extsock, Lab, Loading};
use serde_json::Value;

use crate::{expect_failover, Tunnel};

/// Requests of the longest flood. A million take ten times as long, in the same memory.
const TINY: usize = 100_000;

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).expect("the plugin listens");
    let patience = Some(wait::DEADLINE);
    stream
        .set_read_timeout(patience)
        .and_then(|()| stream.set_write_timeout(patience))
        .expect("no duration of zero");
    stream
}

/// The last line before the end of the connection, which may come as a reset.
#[track_caller]
fn last_line(mut stream: UnixStream) -> Value {
    let mut text = Vec::new();
    let end = stream.read_to_end(&mut text).map_err(|error| error.kind());
    assert!(
        matches!(end, Ok(_) | Err(ErrorKind::ConnectionReset)),
        "{end:?}"
    );
    let text = String::from_utf8(text).expect("it says nothing but UTF-8");
    let last = text.lines().last().expect("there is a line");
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {last}"))
}

#[track_caller]
fn assert_refused(stream: UnixStream, message: &str) {
    let reply = last_line(stream);
    assert_eq!(reply["ok"], false, "{reply}");
    assert_eq!(reply["error"]["message"], message);
}

/// Sends it and then a request, the reply to which is the last line.
#[track_caller]
fn assert_survived(path: &Path, what: &str, bytes: &[u8]) {
    let mut stream = connect(path);
    let mut asking = stream.try_clone().expect("a descriptor is free");
    let bytes = bytes.to_vec();
    let sender = thread::spawn(move || {
        asking.write_all(&bytes).expect("it reads");
        asking.write_all(b"\nVERSION\n").expect("it reads");
        asking.shutdown(Shutdown::Write).expect("it is open");
    });
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it answers");
    sender.join().expect("it has sent all");
    let last = text.lines().last().unwrap_or_default();
    assert!(
        last.starts_with(r#"{"reply":"VERSION","ok":true"#),
        "{what}: {last}"
    );
}

/// One request after the other, each of which must be answered, while `disturb` runs. Returns how many.
fn work_during(control: &mut Extsock, disturb: impl FnOnce() + Send) -> usize {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _done = SetOnDrop(&done);
            disturb();
        });
        let mut answered = 0;
        while !done.load(Ordering::Relaxed) {
            control.ok("LIST");
            answered += 1;
        }
        answered
    })
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn floods_and_nonsense_bother_nobody_else() {
    let mut tunnel = Tunnel::up_with(ClientOptions {
        settings: "plugins {\n extsock {\n request_timeout = 5s\n }\n }".to_owned(),
        ..ClientOptions::default()
    });
    let path = tunnel.client.socket_path();
    let mut worker = tunnel.client.connect();
    let answered = work_during(&mut worker, || {
        let flooding = AtomicBool::new(true);
        let (floods, answers) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                while flooding.load(Ordering::Relaxed) {
                    let stream = connect(&path);
                    let mut asking = stream.try_clone().expect("a descriptor is free");
                    let replies = BufReader::new(stream).lines();
                    let count = thread::spawn(move || {
                        let replies = replies.map_while(Result::ok);
                        replies
                            .filter(|line| !line.contains("\"event\""))
                            .take(TINY)
                            .count()
                    });
                    let flood = "X\n".repeat(TINY);
                    asking.write_all(flood.as_bytes()).expect("it reads");
                    let count = count.join().expect("it reads");
                    assert_eq!(count, TINY, "each is answered");
                    answers.fetch_add(count, Ordering::Relaxed);
                    floods.fetch_add(1, Ordering::Relaxed);
                }
            });
            let _flooding = ClearOnDrop(&flooding);
            let begun = floods.load(Ordering::Relaxed);
            tunnel.gateway_1.kill();
            expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
            wait::until("a flood is over", || {
                (floods.load(Ordering::Relaxed) > begun).then_some(())
            });
        });
        let blanks = " \t\r\n".repeat((10 << 20) / 4);
        let deep = "[".repeat(1 << 18);
        for (what, bytes) in [
            ("10 MiB of blanks", blanks.as_bytes()),
            (
                "deep nesting",
                format!("APPLY_CONFIG {deep}\n{}", "]".repeat(1 << 18)).as_bytes(),
            ),
            (
                "a deep value",
                format!("APPLY_CONFIG {deep}{}", "]".repeat(1 << 18)).as_bytes(),
            ),
            ("NUL bytes", b"\0\0\0\nLIST\0\nAPPLY_CONFIG {\"\0\": 1}"),
            ("what is not UTF-8", b"LIST \xff\xfe\n\x80\n\xf0\x9f"),
        ] {
            assert_survived(&path, what, bytes);
        }
        for unfinished in ["INITIATE ne", "APPLY_CONFIG {\"connections\": {\"", "\n"] {
            let mut dying = connect(&path);
            dying.write_all(unfinished.as_bytes()).expect("it reads");
        }
        // One that asks and never reads.
        let mut deaf = connect(&path);
        let error = deaf.write_all("STATUS\n".repeat(1 << 20).as_bytes());
        let error = error.expect_err("it is dropped").kind();
        assert!(
            matches!(error, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
            "{error}"
        );
        assert_eq!(tunnel.control.ok("STATS")["clients_dropped"], 1);
    });
    assert!(answered > 0);
    tunnel.client.ping("10.2.0.1");
    // Who died and who was dropped is forgotten, and nothing is kept for them.
    wait::until("only two clients are left", || {
        let stats = tunnel.control.ok("STATS");
        (stats["clients"] == 2 && stats["queued_bytes"] == 0).then_some(())
    });
    assert_eq!(tunnel.control.ok("STATS")["clients_refused"], 0);
}

struct ClearOnDrop<'a>(&'a AtomicBool);

impl Drop for ClearOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[test]
fn over_a_limit_a_client_is_told_and_goes_and_others_stay() {
    let mut tunnel = Tunnel::up_with(ClientOptions {
        settings: "plugins {\n extsock {\n max_clients = 4\n max_request = 4096\n \
                   request_timeout = 1s\n }\n }"
            .to_owned(),
        ..ClientOptions::default()
    });
    let path = tunnel.client.socket_path();
    let mut worker = tunnel.client.connect();
    let answered = work_during(&mut worker, || {
        tunnel.gateway_1.kill();

        // A byte now and then: no request, and no pause that would end one.
        let mut slow = connect(&path);
        slow.write_all(b"INITIATE ").expect("it reads");
        let mut feeder = slow.try_clone().expect("a descriptor is free");
        let feeding = thread::spawn(move || {
            while feeder.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
        });
        assert_refused(slow, "request is not complete after 1s");
        feeding.join().expect("it is cut off");

        // Without another byte it is one, though not a good one.
        let mut idle = connect(&path);
        idle.write_all(b"APPLY_CONFIG {\"connections\": ")
            .expect("it reads");
        let mut line = String::new();
        BufReader::new(&idle)
            .read_line(&mut line)
            .expect("it answers");
        assert!(line.contains("PARSING_FAILED"), "{line}");
        drop(idle);

        let mut long = connect(&path);
        let request = format!(
            "APPLY_CONFIG {{\"connections\": \"{}\"}}\n",
            "x".repeat(4096)
        );
        // It may be cut off before all is written.
        let _ = long.write_all(request.as_bytes());
        assert_refused(long, "request is longer than 4096 bytes");

        wait::until("those are gone", || {
            (tunnel.control.ok("STATS")["clients"] == 2).then_some(())
        });
        let others = [connect(&path), connect(&path)];
        wait::until("there are as many as may be", || {
            (tunnel.control.ok("STATS")["clients"] == 4).then_some(())
        });
        for _ in 0..10 {
            assert_refused(
                connect(&path),
                "there are 4 clients, as many as max_clients allows",
            );
        }
        drop(others);
        expect_failover(&mut tunnel.control, 11, 12, "dpd_timeout");
    });
    assert!(answered > 0);
    let log = tunnel.client.log();
    assert!(log.contains("a client is refused: there are 4 clients, as many as max_clients allows"));
    let stats = tunnel.control.ok("STATS");
    assert_eq!(stats["clients_refused"], 10);
    assert_eq!(stats["clients_dropped"], 2);
}

#[test]
fn charon_ends_while_a_client_does_not_read() {
    let lab = Lab::new();
    let mut client = lab.client_with(ClientOptions {
        // Nothing of the plugin may be left to run when its library is closed.
        loading: Loading::Directory,
        ..ClientOptions::default()
    });
    let mut control = client.connect();
    let mut deaf = connect(&client.socket_path());
    deaf.set_nonblocking(true).expect("it is open");
    wait::until("it waits for itself", || {
        while deaf.write(b"LIST\nLIST\nLIST\nLIST\n").is_ok() {}
        let queued = control.ok("STATS")["queued_bytes"].as_u64();
        (queued > Some(1 << 19)).then_some(())
    });
    let (status, _) = client.stop();
    assert!(status.success(), "{status}");
}
