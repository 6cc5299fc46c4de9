// SPDX-License-Identifier: GPL-2.0-or-later

//! The control socket on charon's own streams.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::sync::{mpsc, Arc, Mutex};
use std::time::{Duration, Instant};

use extsock::adapter::Publisher;
use extsock::charon::{queue, Priority};
use extsock::control::{Limits, Listening, Server};
use extsock_core::failover::event::Event;
use extsock_core::protocol::{Published, Reply, Request, Subscription, MAX_REQUEST};

use super::harness::{alone, start, PATIENCE, WORKERS};

/// A socket that answers every request with an empty list.
fn listen(path: &str) -> Listening {
    serve(&Arc::default(), path)
}

fn serve(server: &Arc<Server>, path: &str) -> Listening {
    let answer = Box::new(|request| match request {
        Request::Subscribe(Subscription {
            events,
            connections,
        }) => Reply::Subscribe {
            events,
            connections,
        },
        _ => Reply::List {
            connections: Vec::new(),
        },
    });
    server.listen(&format!("unix://{path}"), answer).unwrap()
}

/// A path that no other process has, removed at the end.
struct Path(String);

impl Path {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("extsock-{}", std::process::id()));
        Self(path.to_str().unwrap().to_owned())
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn connect(path: &str) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn assert_answered(path: &str) {
    let mut stream = connect(path);
    stream.write_all(b"LIST\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert!(line.starts_with('{') && line.ends_with("}\n"), "{line:?}");
}

#[test]
fn clients_that_ask_and_never_read_are_dropped_and_nobody_else() {
    alone(
        "control::clients_that_ask_and_never_read_are_dropped_and_nobody_else",
        || {
            start();
            let path = std::env::temp_dir().join(format!("extsock-{}", std::process::id()));
            let path = path.to_str().unwrap();
            let server = Arc::new(Server::new(Limits {
                request_timeout: Duration::from_secs(1),
                ..Limits::default()
            }));
            let listening = serve(&server, path);
            assert_answered(path);

            // More than there are threads, one after the other: none may take a thread with it.
            for client in 0..8 {
                let mut stream = connect(path);
                let flood = "LIST\n".repeat(1_000_000);
                let error = stream
                    .write_all(flood.as_bytes())
                    .expect_err("it is dropped");
                let dropped = matches!(
                    error.kind(),
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                );
                assert!(dropped, "client {client}: {error}");
                assert_answered(path);
            }
            drop(listening);
            let _ = std::fs::remove_file(path);
        },
    );
}

fn wait_for_clients(server: &Arc<Server>, clients: usize) {
    let begin = Instant::now();
    while server.stats().clients != clients {
        assert!(begin.elapsed() < PATIENCE, "expected {clients} clients");
        std::thread::yield_now();
    }
}

/// Everything up to the end of the connection, which may come as a reset.
fn read_all(stream: &mut UnixStream) -> String {
    let mut text = Vec::new();
    let end = stream.read_to_end(&mut text).map_err(|error| error.kind());
    assert!(
        matches!(end, Ok(_) | Err(ErrorKind::ConnectionReset)),
        "{end:?}"
    );
    String::from_utf8(text).unwrap()
}

#[track_caller]
fn assert_refused(text: &str, verb: &str, message: &str) {
    let last = text.lines().last().unwrap_or_default();
    let expected = format!(
        "{{\"reply\":\"{verb}\",\"ok\":false,\"error\":{{\"code\":1,\"name\":\"INVALID_PARAMETER\",\
         \"message\":\"{message}\"}}}}"
    );
    assert_eq!(last, expected, "{text:?}");
}

#[test]
fn over_a_limit_there_is_an_error_and_then_the_end() {
    alone(
        "control::over_a_limit_there_is_an_error_and_then_the_end",
        || {
            start();
            let path = Path::new();
            let server = Arc::new(Server::new(Limits {
                max_clients: 2,
                max_request: 100,
                request_timeout: Duration::from_secs(1),
                ..Limits::default()
            }));
            let _listening = serve(&server, &path.0);

            // charon accepts in jobs, in any order.
            let first = connect(&path.0);
            let second = connect(&path.0);
            wait_for_clients(&server, 2);
            let mut third = connect(&path.0);
            let message = "there are 2 clients, as many as max_clients allows";
            assert_refused(&read_all(&mut third), "", message);
            drop((first, second));
            wait_for_clients(&server, 0);
            assert_answered(&path.0);

            let mut long = connect(&path.0);
            let request = format!("LIST\nINITIATE {}", "x".repeat(100));
            long.write_all(request.as_bytes()).unwrap();
            let text = read_all(&mut long);
            assert!(
                text.starts_with("{\"reply\":\"LIST\",\"ok\":true"),
                "{text}"
            );
            assert_refused(&text, "INITIATE", "request is longer than 100 bytes");

            // A byte now and then is no pause, and no request either.
            let mut slow = connect(&path.0);
            slow.write_all(b"INITIATE ").unwrap();
            slow.set_read_timeout(Some(Duration::from_millis(50)))
                .unwrap();
            let mut buffer = [0; 1000];
            let begin = Instant::now();
            let n = loop {
                assert!(begin.elapsed() < PATIENCE, "it is ended");
                // It may be ended since the last look, which reading tells.
                let _ = slow.write_all(b"x");
                if let Ok(n) = slow.read(&mut buffer) {
                    break n;
                }
            };
            let text = std::str::from_utf8(&buffer[..n]).unwrap();
            assert_refused(text, "INITIATE", "request is not complete after 1s");
            assert!(begin.elapsed() >= Duration::from_millis(900));
            slow.set_read_timeout(Some(PATIENCE)).unwrap();
            assert_eq!(read_all(&mut slow), "");

            let stats = server.stats();
            assert_eq!((stats.clients_refused, stats.clients_dropped), (1, 2));
            assert_eq!(stats.clients_accepted, 5);
        },
    );
}

#[test]
fn odd_input_bothers_nobody() {
    alone("control::odd_input_bothers_nobody", || {
        start();
        let path = Path::new();
        let _listening = listen(&path.0);
        let deep = format!("APPLY_CONFIG {}", "[".repeat(MAX_REQUEST / 2));
        let blanks = " \n".repeat(5 << 20);
        for input in [
            b"LIST \xff\xfe\n\x80\n".as_slice(),
            b"\0\0\0\nLIST\0\n",
            deep.as_bytes(),
            blanks.as_bytes(),
        ] {
            let mut client = connect(&path.0);
            client.write_all(input).unwrap();
            client.write_all(b"\nLIST\n").unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
            let text = read_all(&mut client);
            let last = text.lines().last().unwrap_or_default();
            assert_eq!(last, r#"{"reply":"LIST","ok":true,"connections":[]}"#);
            assert_answered(&path.0);
        }

        for unfinished in [
            b"INITIATE si".as_slice(),
            b"APPLY_CONFIG {\"a\": \"",
            b"\xf0\x9f",
        ] {
            connect(&path.0).write_all(unfinished).unwrap();
            assert_answered(&path.0);
        }

        const TINY: usize = 100_000;
        let mut asking = connect(&path.0);
        let answers = BufReader::new(asking.try_clone().unwrap());
        let reader =
            std::thread::spawn(move || answers.lines().take(TINY).map_while(Result::ok).count());
        asking.write_all("X\n".repeat(TINY).as_bytes()).unwrap();
        assert_eq!(reader.join().unwrap(), TINY);
        assert_answered(&path.0);
    });
}

#[test]
fn who_a_client_is_decides_what_it_may() {
    alone("control::who_a_client_is_decides_what_it_may", || {
        start();
        let me = std::fs::metadata("/proc/self").unwrap();
        let path = Path::new();
        let ask = |limits: Limits, request: &str| {
            let server = Arc::new(Server::new(limits));
            let _listening = serve(&server, &path.0);
            let mut client = connect(&path.0);
            // It may be refused before.
            let _ = client.write_all(request.as_bytes());
            let _ = client.shutdown(std::net::Shutdown::Write);
            read_all(&mut client)
        };
        let list = r#"{"reply":"LIST","ok":true,"connections":[]}"#;
        let limits = |allowed: &[u32], read_only: &[u32]| Limits {
            allowed_uids: allowed.to_vec(),
            read_only_gids: read_only.to_vec(),
            ..Limits::default()
        };
        let other = me.uid() + 1;

        let text = ask(limits(&[other], &[]), "LIST\n");
        let message = format!("user {} is not in allowed_uids", me.uid());
        assert_refused(&text, "", &message);
        for full in [
            limits(&[other, me.uid()], &[]),
            limits(&[me.uid()], &[me.gid()]),
        ] {
            assert_eq!(ask(full, "REMOVE_CONFIG a\n").trim_end(), list);
        }
        for read_only in [limits(&[], &[me.gid()]), limits(&[other], &[me.gid()])] {
            assert_eq!(ask(read_only.clone(), "LIST\n").trim_end(), list);
            for (verb, request) in [
                ("APPLY_CONFIG", "APPLY_CONFIG {\"secrets\": {}}\n"),
                ("REMOVE_CONFIG", "REMOVE_CONFIG a\n"),
                ("INITIATE", "INITIATE a\n"),
                ("TERMINATE", "TERMINATE a\n"),
                ("START_DPD", "START_DPD a\n"),
                ("FAILOVER", "FAILOVER a\n"),
            ] {
                let message = format!("{verb}: expected a client that may do more than read");
                assert_refused(&ask(read_only.clone(), request), verb, &message);
            }
        }
    });
}

#[test]
fn a_client_is_sent_what_it_subscribed_to() {
    alone("control::a_client_is_sent_what_it_subscribed_to", || {
        start();
        let path = Path::new();
        let server = Arc::<Server>::default();
        let _listening = serve(&server, &path.0);
        let mut client = connect(&path.0);
        let mut reader = BufReader::new(client.try_clone().unwrap());
        let mut ask = |request: &str, reader: &mut BufReader<UnixStream>| {
            client.write_all(request.as_bytes()).unwrap();
            line(reader)
        };
        let mut seq = 0;
        let mut publish = |connection: &str| {
            seq += 1;
            server.publish(&Published {
                event: Event::ConfigApplied {
                    connection: connection.to_owned(),
                },
                time: Duration::ZERO,
                seq,
            });
        };
        let seq_of = |line: String| line.rsplit_once(':').unwrap().1.to_owned();

        ask("LIST\n", &mut reader);
        publish("a");
        assert_eq!(seq_of(line(&mut reader)), "1}\n");
        assert_eq!(
            ask("SUBSCRIBE config_applied b\n", &mut reader),
            "{\"reply\":\"SUBSCRIBE\",\"ok\":true,\"events\":[\"config_applied\"],\"connections\":[\"b\"]}\n"
        );
        publish("a");
        publish("b");
        assert_eq!(seq_of(line(&mut reader)), "3}\n");
        ask("SUBSCRIBE ike_sa_up\n", &mut reader);
        publish("b");
        ask("SUBSCRIBE\n", &mut reader);
        publish("a");
        assert_eq!(seq_of(line(&mut reader)), "5}\n");
    });
}

#[test]
fn a_long_reply_is_no_reason_to_drop_who_is_reading_it() {
    alone(
        "control::a_long_reply_is_no_reason_to_drop_who_is_reading_it",
        || {
            start();
            let path = Path::new();
            let server = Arc::<Server>::default();
            let name = "x".repeat(4 << 20);
            let long = Reply::RemoveConfig { connection: name };
            let length = long.to_line().len();
            let answer = Box::new(move |_| long.clone());
            let _listening = server.listen(&format!("unix://{}", path.0), answer);
            let mut client = connect(&path.0);
            client.write_all(b"LIST\nLIST\n").unwrap();
            let begin = Instant::now();
            while server.stats().queued_bytes == 0 {
                assert!(begin.elapsed() < PATIENCE, "the reply waits");
                std::thread::yield_now();
            }
            let connection = "net".to_owned();
            server.publish(&Published {
                event: Event::ConfigApplied { connection },
                time: Duration::ZERO,
                seq: 1,
            });
            let mut reader = BufReader::new(client);
            assert_eq!(line(&mut reader).len(), length);
            assert!(line(&mut reader).contains("config_applied"));
            assert_eq!(line(&mut reader).len(), length);
        },
    );
}

#[test]
fn who_reads_in_a_burst_is_not_dropped_however_busy_charon_is() {
    alone(
        "control::who_reads_in_a_burst_is_not_dropped_however_busy_charon_is",
        || {
            start();
            let path = Path::new();
            let server = Arc::<Server>::default();
            let _listening = serve(&server, &path.0);
            let mut client = connect(&path.0);
            client.write_all(b"LIST\n").unwrap();
            line(&mut BufReader::new(&client));
            // Nobody is left to tell that there is room.
            let busy = Arc::new(Mutex::new(()));
            let hold = busy.lock().unwrap();
            let (begun, all_begun) = mpsc::channel();
            for _ in 0..WORKERS {
                let (busy, begun) = (Arc::clone(&busy), begun.clone());
                queue(Priority::High, move || {
                    begun.send(()).unwrap();
                    drop(busy.lock());
                });
            }
            for _ in 0..WORKERS {
                all_begun.recv_timeout(PATIENCE).unwrap();
            }

            client.set_nonblocking(true).unwrap();
            let connection = "x".repeat(1000);
            let (mut sent, mut received) = (0, 0);
            let mut buffer = vec![0; 1 << 20];
            while sent < 4 * Limits::default().max_queue {
                let event = Event::ConfigApplied {
                    connection: connection.clone(),
                };
                let published = Published {
                    event,
                    time: Duration::ZERO,
                    seq: 1,
                };
                sent += published.to_line().len();
                server.publish(&published);
                // Not before some wait, so that the plugin depends on being told.
                if sent > Limits::default().max_queue {
                    received += client.read(&mut buffer).unwrap_or(0);
                }
            }
            assert_eq!(server.stats().clients_dropped, 0);
            drop(hold);
            client.set_nonblocking(false).unwrap();
            while received < sent {
                let n = client.read(&mut buffer).unwrap();
                assert_ne!(n, 0, "{received} of {sent} bytes have come");
                received += n;
            }
            assert_eq!(received, sent);
        },
    );
}

fn line(reader: &mut BufReader<impl Read>) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    line
}
