// SPDX-License-Identifier: GPL-2.0-or-later

//! One connected client. What it does not read waits in a bounded queue; nobody waits for it.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use extsock_core::protocol::{self, Framer, Reply, MAX_REQUEST, PAUSE};

use super::server::Server;
use crate::charon::{queue, schedule, Handler, Priority, Reader, Stream};

/// Bytes that may wait for a client; one that lets more wait is dropped.
const MAX_QUEUED: usize = 1 << 20;

/// One connected client.
///
/// Of the two locks, `input` is taken first. Stream callbacks take both, so that nothing that waits
/// for a callback to end (closing, watching for room to write) is done under either.
pub(super) struct Client {
    id: u64,
    server: Weak<Server>,
    input: Mutex<Input>,
    output: Mutex<Output>,
}

struct Input {
    framer: Framer,
    /// When something was read last, for the sender's pause.
    last_read: Instant,
    /// A job looks for the pause.
    timer: bool,
}

#[derive(Default)]
struct Output {
    stream: Option<Arc<Stream>>,
    queue: VecDeque<Arc<[u8]>>,
    /// How much of the first one is written.
    written: usize,
    queued: usize,
    /// The stream tells, or will be asked to tell, when there is room.
    watched: bool,
    /// Nothing more is read: close when all is written.
    finishing: bool,
    closing: bool,
}

impl Client {
    pub fn new(id: u64, server: Weak<Server>) -> Arc<Self> {
        Arc::new(Self {
            id,
            server,
            input: Mutex::new(Input {
                framer: Framer::new(MAX_REQUEST),
                last_read: Instant::now(),
                timer: false,
            }),
            output: Mutex::default(),
        })
    }

    /// Takes the connection and begins to read.
    pub fn start(self: &Arc<Self>, mut stream: Stream) {
        stream.set_handler(Arc::new(Callbacks(Arc::downgrade(self))));
        let stream = Arc::new(stream);
        // Before it is shared: registering both ways is not for two threads at a time.
        stream.watch_read();
        let mut output = lock(&self.output);
        if output.closing {
            // It is gone already; closing waits for its callback, which may wait for the lock.
            drop(output);
            return;
        }
        output.stream = Some(stream);
        self.flush(&mut output);
    }

    /// Queues a line, writes what there is room for. Never waits.
    pub fn send(self: &Arc<Self>, line: &Arc<[u8]>) {
        let mut output = lock(&self.output);
        if output.closing {
            return;
        }
        if output.queued + line.len() > MAX_QUEUED {
            log::info!("a client does not read its events and is dropped");
            self.drop_later(&mut output);
            return;
        }
        output.queued += line.len();
        output.queue.push_back(Arc::clone(line));
        self.flush(&mut output);
    }

    /// Closes the connection. Waits for running callbacks: not from one.
    pub fn close(&self) {
        let stream = {
            let mut output = lock(&self.output);
            output.closing = true;
            output.stream.take()
        };
        drop(stream);
    }

    fn readable(self: &Arc<Self>, stream: &Reader<'_>) -> bool {
        let mut input = lock(&self.input);
        let mut buffer = zeroize::Zeroizing::new([0; 16 * 1024]);
        match stream.read(&mut buffer[..]) {
            Ok(0) => {
                input.framer.end();
                self.answer(&mut input);
                drop(input);
                self.finish();
                false
            }
            Ok(n) => {
                input.last_read = Instant::now();
                input.framer.push(&buffer[..n]);
                self.answer(&mut input);
                if input.framer.is_broken() {
                    drop(input);
                    self.finish();
                    return false;
                }
                if input.framer.is_partial() && !input.timer {
                    input.timer = true;
                    self.watch_for_pause(PAUSE);
                }
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => true,
            Err(_) => {
                drop(input);
                self.drop_later(&mut lock(&self.output));
                false
            }
        }
    }

    fn writable(self: &Arc<Self>) -> bool {
        let mut output = lock(&self.output);
        output.watched = false;
        self.write(&mut output);
        if output.queue.is_empty() || output.closing {
            return false;
        }
        output.watched = true;
        true
    }

    /// Answers what is complete, in order.
    fn answer(self: &Arc<Self>, input: &mut Input) {
        let Some(server) = self.server.upgrade() else {
            return;
        };
        while let Some(request) = input.framer.next_request() {
            let reply = request
                .and_then(|text| protocol::parse(&text))
                .map_or_else(Reply::Failed, |request| server.answer(request));
            self.send(&reply.to_line().into_bytes().into());
        }
    }

    /// A sender that ends no request ends it by a pause.
    fn watch_for_pause(self: &Arc<Self>, delay: std::time::Duration) {
        let client = Arc::downgrade(self);
        schedule(delay, move || {
            let Some(client) = client.upgrade() else {
                return;
            };
            let mut input = lock(&client.input);
            let left = PAUSE.saturating_sub(input.last_read.elapsed());
            if !input.framer.is_partial() {
                input.timer = false;
            } else if left.is_zero() {
                input.timer = false;
                input.framer.pause();
                client.answer(&mut input);
            } else {
                client.watch_for_pause(left);
            }
        });
    }

    /// Writes what there is room for, and has the stream tell when there is more.
    fn flush(self: &Arc<Self>, output: &mut Output) {
        if output.watched || output.closing {
            return;
        }
        self.write(output);
        if output.queue.is_empty() || output.closing {
            return;
        }
        let Some(stream) = output.stream.clone() else {
            // start() has yet to come, and writes what is queued.
            return;
        };
        output.watched = true;
        // Waits for a running callback, which may wait for the caller's locks: hence a job.
        queue(Priority::Medium, move || stream.watch_write());
    }

    fn write(self: &Arc<Self>, output: &mut Output) {
        while let (Some(stream), Some(line)) = (&output.stream, output.queue.front()) {
            match stream.write(&line[output.written..]) {
                Ok(n) => {
                    output.written += n;
                    output.queued -= n;
                    if output.written == line.len() {
                        output.written = 0;
                        output.queue.pop_front();
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.drop_later(output);
                    return;
                }
            }
        }
        if output.finishing {
            self.drop_later(output);
        }
    }

    /// Closes when everything is written.
    fn finish(self: &Arc<Self>) {
        let mut output = lock(&self.output);
        output.finishing = true;
        if output.queue.is_empty() {
            self.drop_later(&mut output);
        }
    }

    /// Closes soon: this may be one of the callbacks that closing waits for.
    fn drop_later(&self, output: &mut Output) {
        if output.closing {
            return;
        }
        output.closing = true;
        output.queue.clear();
        let (id, server) = (self.id, self.server.clone());
        queue(Priority::Medium, move || {
            if let Some(client) = server.upgrade().and_then(|server| server.take(id)) {
                client.close();
            }
        });
    }
}

/// What the stream calls. Weak, because the client owns the stream.
struct Callbacks(Weak<Client>);

impl Handler for Callbacks {
    fn readable(&self, reader: &Reader<'_>) -> bool {
        self.0
            .upgrade()
            .is_some_and(|client| client.readable(reader))
    }

    fn writable(&self) -> bool {
        self.0.upgrade().is_some_and(|client| client.writable())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while answering may cost that reply, the queues stay whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
