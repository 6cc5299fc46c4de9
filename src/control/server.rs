// SPDX-License-Identifier: GPL-2.0-or-later

//! The listening socket and who is connected to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use extsock_core::protocol::{Published, Reply, Request};

use super::client::Client;
use crate::adapter::Publisher;
use crate::charon::{Stream, StreamService};

/// Answers a request.
pub type Handler = Box<dyn Fn(Request) -> Reply + Send + Sync>;

/// The control socket's clients.
#[derive(Default)]
pub struct Server {
    clients: Mutex<Clients>,
    handler: OnceLock<Handler>,
}

#[derive(Default)]
struct Clients {
    connected: BTreeMap<u64, Arc<Client>>,
    last: u64,
    closed: bool,
}

impl Server {
    /// Listens on the URI and answers with the handler, until the result is dropped; an error tells
    /// that charon could not, which it has logged.
    pub fn listen(self: &Arc<Self>, uri: &str, handler: Handler) -> Result<Listening, String> {
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

    /// Answers a client's request.
    pub(super) fn answer(&self, request: Request) -> Reply {
        // Clients are accepted after the handler is set.
        self.handler.get().expect("listen() sets the handler")(request)
    }

    /// Takes a client out; its connection closes when the caller drops it.
    pub(super) fn take(&self, id: u64) -> Option<Arc<Client>> {
        self.lock().connected.remove(&id)
    }

    fn accept(self: &Arc<Self>, stream: Stream) {
        let mut clients = self.lock();
        if clients.closed {
            return;
        }
        clients.last += 1;
        let id = clients.last;
        let client = Client::new(id, Arc::downgrade(self));
        clients.connected.insert(id, Arc::clone(&client));
        drop(clients);
        client.start(stream);
    }

    fn close(&self) {
        let mut clients = self.lock();
        clients.closed = true;
        let connected = std::mem::take(&mut clients.connected);
        drop(clients);
        for client in connected.into_values() {
            client.close();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Clients> {
        // A table that no panic can leave half-changed.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
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
            client.send(&line);
        }
    }
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
        self.server.close();
    }
}
