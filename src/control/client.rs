// SPDX-License-Identifier: GPL-2.0-or-later

//! One connected client. What it does not read waits in a bounded queue; nobody waits for it.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use extsock_core::error::Error;
use extsock_core::failover::event::Event;
use extsock_core::protocol::{self, Framer, Rejection, Reply, Request, Subscription, PAUSE};

use super::access::{Access, Limits};
use crate::charon::{self, on_secure_heap, queue, schedule, Handler, Priority, Reader, Stream};

/// Who has accepted clients and answers their requests.
pub(super) trait ClientOwner: Send + Sync {
    /// Answers a client's request.
    fn answer(&self, request: Request) -> Reply;
    /// A client is dropped for what it did.
    fn count_dropped(&self);
    /// Closes the client's connection. Waits for running callbacks: not from one.
    fn close(&self, client: u64);
}

/// One connected client.
///
/// Callbacks only read and write, because charon runs them in the thread that watches all descriptors
/// when no worker is idle. Requests are answered in a job, and nothing more is read until they are.
/// Nothing is answered while the queue is half full, so that a client that reads less than it asks for
/// only delays itself.
///
/// Of the two locks, `input` is taken first. Stream callbacks take both, so that nothing that waits
/// for a callback to end (closing, watching) is done under either.
pub(super) struct Client {
    id: u64,
    owner: Weak<dyn ClientOwner>,
    access: Access,
    max_queue: usize,
    request_timeout: Duration,
    input: Mutex<Input>,
    output: Mutex<Output>,
}

struct Input {
    framer: Framer,
    /// When something was read last, for the sender's pause.
    last_read: Instant,
    /// When the first byte of the incomplete request came.
    begun: Option<Instant>,
    /// A job is scheduled that checks whether the sender pauses.
    timer: bool,
    /// A job answers requests, or will do so when there is room for the replies.
    answering: bool,
    /// No further request is read.
    ended: bool,
}

#[derive(Default)]
struct Output {
    stream: Option<Arc<Stream>>,
    subscription: Subscription,
    queue: VecDeque<Line>,
    /// How many bytes of the first line in the queue are written.
    written: usize,
    /// Bytes in the queue.
    queued: usize,
    /// Bytes of the events in the queue.
    queued_events: usize,
    /// Bytes written since the client connected.
    total: u64,
    /// Answering waits until the client has read more of the queue.
    stalled: bool,
    /// A job is scheduled that checks whether the client reads.
    stall_timer: bool,
    /// charon watches for room in the socket's buffer, or a job that has it do so is queued.
    watched: bool,
    /// Nothing more is read: the connection is closed when everything is written.
    finishing: bool,
    closing: bool,
}

struct Line {
    bytes: Arc<[u8]>,
    is_event: bool,
}

impl Client {
    pub fn new(
        id: u64,
        owner: Weak<dyn ClientOwner>,
        access: Access,
        limits: &Limits,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            owner,
            access,
            max_queue: limits.max_queue,
            request_timeout: limits.request_timeout,
            input: Mutex::new(Input {
                framer: Framer::new(limits.max_request),
                last_read: Instant::now(),
                begun: None,
                timer: false,
                answering: false,
                ended: false,
            }),
            output: Mutex::default(),
        })
    }

    /// Takes the connection and begins to read.
    pub fn start(self: &Arc<Self>, mut stream: Stream) {
        stream.set_handler(Arc::new(Callbacks(Arc::downgrade(self))));
        let stream = Arc::new(stream);
        let mut output = lock(&self.output);
        if output.closing {
            return;
        }
        output.stream = Some(Arc::clone(&stream));
        self.flush(&mut output);
        drop(output);
        stream.watch_read();
        self.release(stream);
    }

    /// Sends the event, if the client wants it. Never waits.
    pub fn send_event(self: &Arc<Self>, event: &Event, line: &Arc<[u8]>) {
        let mut output = lock(&self.output);
        if !output.subscription.wants(event) {
            return;
        }
        // An event that is longer than the limit is sent all the same if no other one waits. Replies do not
        // count: stall() limits how many of them wait.
        let is_full = |output: &Output| {
            output.queued_events > 0 && output.queued_events + line.len() > self.max_queue
        };
        if is_full(&output) {
            // The client may have read since, and charon not yet have reported that there is room.
            self.write(&mut output);
        }
        if is_full(&output) {
            self.drop_slow_reader(&mut output);
            return;
        }
        output.queued_events += line.len();
        self.send(
            &mut output,
            Line {
                bytes: Arc::clone(line),
                is_event: true,
            },
        );
    }

    /// Bytes that wait for it.
    pub fn queued(&self) -> usize {
        lock(&self.output).queued
    }

    /// Queues a line, writes what there is room for. Never waits.
    fn send(self: &Arc<Self>, output: &mut Output, line: Line) {
        if output.closing {
            return;
        }
        output.queued += line.bytes.len();
        output.queue.push_back(line);
        self.flush(output);
    }

    fn drop_slow_reader(&self, output: &mut Output) {
        if output.closing {
            return;
        }
        log::info!("a client does not read what it is sent and is dropped");
        if let Some(owner) = self.owner.upgrade() {
            owner.count_dropped();
        }
        self.drop_later(output);
    }

    /// Closes the connection. Waits for running callbacks: not from one.
    pub fn close(&self) {
        let stream = {
            let mut output = lock(&self.output);
            output.closing = true;
            output.stream.take()
        };
        if let Some(stream) = stream {
            self.release(stream);
        }
    }

    /// Drops a reference to the stream, which may be the last one.
    fn release(&self, stream: Arc<Stream>) {
        // When charon shuts down, destroying a stream does not wait for a callback that still runs. Every
        // callback holds one of these locks, so that taking them waits for it.
        drop(lock(&self.input));
        drop(lock(&self.output));
        drop(stream);
    }

    fn readable(self: &Arc<Self>, stream: &Reader<'_>) -> bool {
        let _unwinding = DropOnPanic(self);
        let mut input = lock(&self.input);
        let mut buffer = on_secure_heap(|| vec![0; 16 * 1024]);
        match stream.read(&mut buffer[..]) {
            Ok(0) => {
                on_secure_heap(|| input.framer.end());
                input.ended = true;
            }
            Ok(n) => {
                input.last_read = Instant::now();
                on_secure_heap(|| input.framer.push(&buffer[..n]));
                input.ended = input.framer.is_broken();
                if !input.framer.is_partial() {
                    input.begun = None;
                } else if input.begun.is_none() || input.framer.has_request() {
                    input.begun = Some(input.last_read);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
            Err(_) => {
                drop(input);
                self.drop_later(&mut lock(&self.output));
                return false;
            }
        }
        self.answer_soon(&mut input);
        false
    }

    fn writable(self: &Arc<Self>) -> bool {
        let _unwinding = DropOnPanic(self);
        let mut output = lock(&self.output);
        output.watched = false;
        self.write(&mut output);
        if output.queue.is_empty() || output.closing {
            return false;
        }
        output.watched = true;
        true
    }

    /// Queues a job that answers the complete requests, unless there is one.
    fn answer_soon(self: &Arc<Self>, input: &mut Input) {
        if !input.answering {
            input.answering = true;
            let client = Arc::clone(self);
            queue(Priority::Medium, move || client.answer());
        }
    }

    /// Answers the complete requests in their order, then has charon read on.
    fn answer(self: &Arc<Self>) {
        let _unwinding = DropOnPanic(self);
        let mut input = lock(&self.input);
        loop {
            if self.stall(&mut lock(&self.output)) {
                return;
            }
            let Some(request) = input.framer.next_request() else {
                break;
            };
            drop(input);
            let Some(owner) = self.owner.upgrade() else {
                return;
            };
            let reply = request
                .and_then(|text| on_secure_heap(|| protocol::parse(&text, charon::version())))
                .and_then(|request| self.permit(request))
                .map_or_else(Reply::Failed, |request| {
                    if let Request::Subscribe(subscription) = &request {
                        lock(&self.output).subscription = subscription.clone();
                    }
                    owner.answer(request)
                });
            let line = Line {
                bytes: reply.to_line().into_bytes().into(),
                is_event: false,
            };
            self.send(&mut lock(&self.output), line);
            input = lock(&self.input);
        }
        if input.ended {
            // `answering` stays set: what is read until the connection is closed is neither answered nor
            // counted again.
            let broken = input.framer.is_broken();
            drop(input);
            if let (true, Some(owner)) = (broken, self.owner.upgrade()) {
                owner.count_dropped();
            }
            self.finish();
            return;
        }
        input.answering = false;
        if input.framer.is_partial() && !input.timer {
            input.timer = true;
            self.watch_for_pause(PAUSE);
        }
        drop(input);
        let stream = lock(&self.output).stream.clone();
        if let Some(stream) = stream {
            stream.watch_read();
            self.release(stream);
        }
    }

    /// Whether answering has to wait; [`Self::write`] resumes it.
    fn stall(self: &Arc<Self>, output: &mut Output) -> bool {
        if output.closing || output.queued <= self.max_queue / 2 {
            return false;
        }
        output.stalled = true;
        if !output.stall_timer {
            self.watch_stall(output);
        }
        true
    }

    /// Drops the client if it reads nothing for as long as a request may take.
    fn watch_stall(self: &Arc<Self>, output: &mut Output) {
        output.stall_timer = true;
        let (client, total) = (Arc::downgrade(self), output.total);
        schedule(self.request_timeout, move || {
            let Some(client) = client.upgrade() else {
                return;
            };
            let mut output = lock(&client.output);
            if !output.stalled {
                output.stall_timer = false;
            } else if output.total == total {
                client.drop_slow_reader(&mut output);
            } else {
                client.watch_stall(&mut output);
            }
        });
    }

    fn permit(&self, request: Request) -> Result<Request, Rejection> {
        let verb = request.verb();
        if self.access == Access::All || verb.is_read_only() {
            return Ok(request);
        }
        let message = format!(
            "{}: expected a client that may do more than read",
            verb.name()
        );
        log::info!("a client of read_only_gids is refused {}", verb.name());
        Err(Rejection {
            verb: verb.name().to_owned(),
            error: Error::invalid(message),
        })
    }

    /// A request without a newline at its end is complete when its sender pauses.
    fn watch_for_pause(self: &Arc<Self>, delay: Duration) {
        let client = Arc::downgrade(self);
        schedule(delay, move || {
            let Some(client) = client.upgrade() else {
                return;
            };
            let mut input = lock(&client.input);
            let left = PAUSE.saturating_sub(input.last_read.elapsed());
            let late = |begun: Instant| begun.elapsed() >= client.request_timeout;
            if !input.framer.is_partial() {
                input.timer = false;
            } else if input.begun.is_some_and(late) {
                input.timer = false;
                input.framer.time_out(client.request_timeout);
                input.ended = true;
                client.answer_soon(&mut input);
            } else if left.is_zero() {
                input.timer = false;
                on_secure_heap(|| input.framer.pause());
                client.answer_soon(&mut input);
            } else {
                client.watch_for_pause(left);
            }
        });
    }

    /// Writes what there is room for, and has charon watch for more room if something is left.
    fn flush(self: &Arc<Self>, output: &mut Output) {
        if output.watched || output.closing {
            return;
        }
        self.write(output);
        if output.queue.is_empty() || output.closing {
            return;
        }
        let Some(stream) = output.stream.clone() else {
            // start() has not run yet; it writes what is queued.
            return;
        };
        output.watched = true;
        // In a job, because watch_write() waits for a running callback, which may wait for the caller's locks.
        let client = Arc::clone(self);
        queue(Priority::Medium, move || {
            stream.watch_write();
            client.release(stream);
        });
    }

    fn write(self: &Arc<Self>, output: &mut Output) {
        while let (Some(stream), Some(line)) = (&output.stream, output.queue.front()) {
            match stream.write(&line.bytes[output.written..]) {
                Ok(n) => {
                    output.written += n;
                    output.queued -= n;
                    output.total += n as u64;
                    if output.written == line.bytes.len() {
                        if line.is_event {
                            output.queued_events -= line.bytes.len();
                        }
                        output.written = 0;
                        output.queue.pop_front();
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.drop_later(output);
                    return;
                }
            }
        }
        if output.stalled && output.queued <= self.max_queue / 4 {
            output.stalled = false;
            let client = Arc::clone(self);
            queue(Priority::Medium, move || client.answer());
        }
        if output.finishing && output.queue.is_empty() {
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

    /// Closes the connection in a job, because closing waits for callbacks and the caller may be one.
    fn drop_later(&self, output: &mut Output) {
        if output.closing {
            return;
        }
        output.closing = true;
        output.queue.clear();
        let (id, owner) = (self.id, self.owner.clone());
        queue(Priority::Medium, move || {
            if let Some(owner) = owner.upgrade() {
                owner.close(id);
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

/// Closes the connection of a client whose request or bytes caused a panic, as nothing would answer it any more.
struct DropOnPanic<'a>(&'a Arc<Client>);

impl Drop for DropOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.drop_later(&mut lock(&self.0.output));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // After a panic a reply may be missing, but the queues are consistent.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
