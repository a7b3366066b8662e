//! The client's session store, which ends with the materials under which it was made.
//!
//! rustls does not verify the server's chain again when a session resumes, so a store belongs to
//! one generation of materials: after a rotation it neither takes nor gives a session, not even
//! one of a handshake that was under way, and the next configuration begins with an empty one.

use std::sync::Arc;

use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls_pki_types::ServerName;

use crate::shared::Shared;

/// Sessions kept for one configuration, at most. Eight for each server name.
const MAX_SESSIONS: usize = 256;

/// Sessions of one client configuration and one generation of materials.
#[derive(Debug)]
pub(crate) struct Sessions {
    shared: Arc<Shared>,
    generation: u64,
    store: ClientSessionMemoryCache,
}

// === impl Sessions ===

impl Sessions {
    pub(crate) fn new(shared: Arc<Shared>, generation: u64) -> Self {
        Self { shared, generation, store: ClientSessionMemoryCache::new(MAX_SESSIONS) }
    }

    fn current(&self) -> Option<&ClientSessionMemoryCache> {
        (self.shared.current().generation == self.generation).then_some(&self.store)
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.store.set_kx_hint(server_name, group);
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.store.kx_hint(server_name)
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        if let Some(store) = self.current() {
            store.set_tls12_session(server_name, value);
        }
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.current()?.tls12_session(server_name)
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.store.remove_tls12_session(server_name);
    }

    fn insert_tls13_ticket(
        &self,
        server_name: ServerName<'static>,
        value: Tls13ClientSessionValue,
    ) {
        if let Some(store) = self.current() {
            store.insert_tls13_ticket(server_name, value);
        }
    }

    fn take_tls13_ticket(
        &self,
        server_name: &ServerName<'static>,
    ) -> Option<Tls13ClientSessionValue> {
        self.current()?.take_tls13_ticket(server_name)
    }
}
