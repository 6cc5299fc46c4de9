// SPDX-License-Identifier: GPL-2.0-or-later

//! The listening socket and its clients.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use extsock_core::error::Error;
use extsock_core::protocol::{ClientStats, Published, Rejection, Reply, Request};

use super::access::{Access, Limits};
use super::client::{Client, ClientOwner};
use crate::adapter::Publisher;
use crate::charon::{Stream, StreamService};

/// Answers a request.
pub type RequestHandler = Box<dyn Fn(Request) -> Reply + Send + Sync>;

/// The control socket's clients.
#[derive(Default)]
pub struct Server {
    limits: Limits,
    clients: Mutex<Clients>,
    handler: OnceLock<RequestHandler>,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Clients {
    connected: BTreeMap<u64, Arc<Client>>,
    last: u64,
    refused: u64,
    closed: bool,
}

impl Server {
    /// A server that does not listen yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Listens on the URI and answers with the handler, until the result is dropped. Fails if charon cannot
    /// listen there, which charon has logged.
    pub fn listen(
        self: &Arc<Self>,
        uri: &str,
        handler: RequestHandler,
    ) -> Result<Listening, String> {
        if self.handler.set(handler).is_err() {
            return Err("the control socket is already served".into());
        }
        let server = Arc::clone(self);
        let service = StreamService::listen(uri, Box::new(move |stream| server.accept(stream)))
            .ok_or_else(|| format!("cannot listen on {uri}"))?;
        Ok(Listening {
            service: Some(service),
            server: Arc::clone(self),
        })
    }

    fn accept(self: &Arc<Self>, stream: Stream) {
        let peer = stream.peer();
        let access = self.limits.access(peer.as_ref());
        let mut clients = self.lock();
        if clients.closed {
            return;
        }
        let refusal = if access == Access::Refused {
            let uid = peer.map_or("unknown".to_owned(), |peer| peer.uid.to_string());
            Some(format!("user {uid} is not in allowed_uids"))
        } else if clients.connected.len() >= self.limits.max_clients {
            let limit = self.limits.max_clients;
            Some(format!(
                "there are {limit} clients, as many as max_clients allows"
            ))
        } else {
            None
        };
        if let Some(refusal) = refusal {
            clients.refused += 1;
            drop(clients);
            log::warn!("a client is refused: {refusal}");
            refuse(&stream, refusal);
            return;
        }
        clients.last += 1;
        let id = clients.last;
        let owner: Weak<Self> = Arc::downgrade(self);
        let client = Client::new(id, owner, access, &self.limits);
        clients.connected.insert(id, Arc::clone(&client));
        drop(clients);
        client.start(stream);
    }

    fn close_all(&self) {
        let mut clients = self.lock();
        clients.closed = true;
        let connected = std::mem::take(&mut clients.connected);
        drop(clients);
        for client in connected.into_values() {
            client.close();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Clients> {
        // Nothing panics in the middle of a change of the table: it is consistent after a panic, too.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientOwner for Server {
    fn answer(&self, request: Request) -> Reply {
        // Clients are accepted after the handler is set.
        self.handler.get().expect("listen() sets the handler")(request)
    }

    fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    fn close(&self, client: u64) {
        let client = self.lock().connected.remove(&client);
        if let Some(client) = client {
            client.close();
        }
    }
}

impl Publisher for Arc<Server> {
    fn publish(&self, event: &Published) {
        let clients = self.lock();
        if clients.connected.is_empty() {
            return;
        }
        let line: Arc<[u8]> = event.to_line().into_bytes().into();
        for client in clients.connected.values() {
            client.send_event(&event.event, &line);
        }
    }

    fn stats(&self) -> ClientStats {
        let clients = self.lock();
        let connected = clients.connected.values();
        ClientStats {
            clients: clients.connected.len(),
            clients_accepted: clients.last,
            clients_refused: clients.refused,
            clients_dropped: self.dropped.load(Ordering::Relaxed),
            queued_bytes: connected.map(|client| client.queued()).sum(),
        }
    }
}

/// Tells a client why it is refused. A new socket has room for one line; should it have none, the
/// connection is closed without the reason.
fn refuse(stream: &Stream, message: String) {
    let reply = Reply::Failed(Rejection {
        verb: String::new(),
        error: Error::invalid(message),
    });
    let _ = stream.write(reply.to_line().as_bytes());
}

/// The socket is open; dropping this closes it and every connection.
pub struct Listening {
    service: Option<StreamService>,
    server: Arc<Server>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        // No new clients before the old ones go.
        drop(self.service.take());
        self.server.close_all();
    }
}
