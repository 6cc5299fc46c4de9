// SPDX-License-Identifier: GPL-2.0-or-later

//! The connections that are loaded, and what belongs to them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use extsock_core::config::{SecretKind, SharedSecret};

use super::gateways::Gateways;
use crate::charon::{self, Backend, Credentials, PeerCfg};

/// Who brought secrets, certificates and keys, and has them for as long as it is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The connection of that name.
    Connection(String),
    /// A document without connections: the name of its file, or nothing for that of the socket.
    Source(String),
}

/// The connections that were loaded through the socket, their clones and their secrets.
pub struct Connections {
    backend: Backend,
    /// What gateways have of their own.
    pub(crate) gateways: Gateways,
    credentials: Credentials,
    /// Who brought the secret that is stored under a key.
    secrets: Mutex<HashMap<String, BTreeSet<Owner>>>,
    /// The certificates and keys of those that have some; a document's are shared by its connections.
    material: Mutex<HashMap<Owner, Vec<Arc<Credentials>>>>,
}

impl Connections {
    /// Registers an empty backend and an empty credential set with charon.
    pub fn register() -> Self {
        Self {
            backend: Backend::register(),
            gateways: Gateways::default(),
            credentials: Credentials::register(),
            secrets: Mutex::default(),
            material: Mutex::default(),
        }
    }

    /// Adds or replaces a connection or a clone; returns what it replaced.
    pub fn set(&self, config: PeerCfg) -> Option<PeerCfg> {
        self.backend.set(config)
    }

    /// The connection of that name.
    pub fn get(&self, name: &str) -> Option<PeerCfg> {
        self.backend.get(name)
    }

    /// Removes a clone.
    pub fn remove_clone(&self, name: &str) {
        self.backend.remove(name);
    }

    /// Removes a connection and the secrets that only it brought.
    pub fn remove(&self, name: &str) -> Option<PeerCfg> {
        self.gateways.remove(name);
        let config = self.backend.remove(name);
        self.set_secrets(&[Owner::Connection(name.to_owned())], &[]);
        config
    }

    /// Replaces the certificates and keys of an owner; returns the former ones, which charon uses until
    /// they are dropped.
    pub fn set_material(
        &self,
        owner: Owner,
        material: Vec<Arc<Credentials>>,
    ) -> Vec<Arc<Credentials>> {
        // A table of owners, in no bad state after a panic.
        let mut known = self.material.lock().unwrap_or_else(PoisonError::into_inner);
        let former = if material.is_empty() {
            known.remove(&owner)
        } else {
            known.insert(owner, material)
        };
        former.unwrap_or_default()
    }

    /// Replaces what the owners brought before by these secrets, which belong to all of them.
    pub fn set_secrets(&self, brought_by: &[Owner], secrets: &[SharedSecret]) {
        let mut known = self.lock_secrets();
        let keys: BTreeSet<String> = secrets.iter().map(secret_key).collect();
        known.retain(|key, owners| {
            if keys.contains(key) {
                return true;
            }
            owners.retain(|owner| !brought_by.contains(owner));
            if owners.is_empty() {
                self.credentials.remove_shared_secret(key);
            }
            !owners.is_empty()
        });
        for secret in secrets {
            let key = secret_key(secret);
            let kind = match secret.kind {
                SecretKind::Ike => charon::shared_key_type_t::SHARED_IKE,
                SecretKind::Eap => charon::shared_key_type_t::SHARED_EAP,
                SecretKind::Ntlm => charon::shared_key_type_t::SHARED_NT_HASH,
                SecretKind::Ppk => charon::shared_key_type_t::SHARED_PPK,
            };
            let bytes = secret.secret.as_bytes();
            self.credentials
                .set_shared_secret(kind, &key, &secret.ids, bytes);
            known
                .entry(key)
                .or_default()
                .extend(brought_by.iter().cloned());
        }
    }

    fn lock_secrets(&self) -> MutexGuard<'_, HashMap<String, BTreeSet<Owner>>> {
        // A table of names, in no bad state after a panic.
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Under which charon keeps it: one secret for each use by the same owners.
pub(crate) fn secret_key(secret: &SharedSecret) -> String {
    format!("{:?}\n{}", secret.kind, secret.ids.join("\n"))
}
