// SPDX-License-Identifier: GPL-2.0-or-later

//! The control socket on charon's own streams.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use extsock::control::{Listening, Server};
use extsock_core::protocol::Reply;

use super::harness::{alone, start, PATIENCE};

/// A socket that answers every request with an empty list.
fn listen(path: &str) -> Listening {
    let answer = Box::new(|_| Reply::List {
        connections: Vec::new(),
    });
    Arc::new(Server::default())
        .listen(&format!("unix://{path}"), answer)
        .unwrap()
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
            let listening = listen(path);
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
