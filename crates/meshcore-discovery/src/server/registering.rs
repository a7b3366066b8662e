//! Who a client is, and the workload that it registers.

use std::sync::Arc;
use std::time::Instant;

use meshcore_model::Identity;
use tokio::sync::Notify;
use tonic::Status;

use super::Server;
use super::ads::Caller;
use super::client::ClientId;
use super::node::Facts;
use super::state::State;
use crate::registry::{Registration, Write, admit};
use crate::wire;
use crate::world::Name;

/// gRPC's code of what was ended by its caller. Source: `google/rpc/code.proto`.
const CANCELLED: i32 = 1;

impl Server {
    /// The identity that a client has proved, by its certificate, else by a token. In plain text
    /// a client may read the mesh without one.
    ///
    /// # Errors
    ///
    /// `UNAUTHENTICATED` and `PERMISSION_DENIED`, which are counted.
    pub(super) fn identify(
        &self,
        caller: &Caller,
        facts: &Facts,
    ) -> Result<Option<Identity>, Status> {
        let identity = self.proved(caller)?;
        if let Some(identity) = &identity {
            self.state.lock().is_claim_of(identity, facts).map_err(Status::permission_denied)?;
        }
        Ok(identity)
    }

    /// The same, whatever the client says of itself.
    pub(super) fn proved(&self, caller: &Caller) -> Result<Option<Identity>, Status> {
        match (&caller.peer.identity, &caller.bearer, &self.tokens) {
            (Some(proved), _, _) => Ok(Some(proved.clone())),
            (None, Some(bearer), Some(tokens)) => {
                let proved = tokens.identity(bearer);
                proved.map(Some).map_err(|refused| Status::unauthenticated(refused.to_string()))
            }
            (None, Some(_), None) => {
                Err(Status::unauthenticated("this control plane takes no tokens"))
            }
            (None, None, _) if caller.peer.is_secure => {
                Err(Status::unauthenticated("a token or a certificate is missing"))
            }
            (None, None, _) => Ok(None),
        }
    }

    /// Registers the workload of a client, if it has one: it is on disk when this returns.
    pub(super) async fn register(
        &self,
        id: ClientId,
        facts: &Facts,
        identity: Option<&Identity>,
    ) -> Result<(), Status> {
        if facts.service.is_none() {
            return Ok(());
        }
        let identity = identity.ok_or_else(|| {
            Status::unauthenticated("to register a workload, prove who it is: a token is missing")
        })?;
        let wanted = self.state.lock().registration(facts, identity);
        let Some(registration) = wanted.map_err(Status::permission_denied)? else { return Ok(()) };
        if let Some(store) = self.store() {
            let put = Write::Put(registration.resource(), Box::new(registration.clone()));
            let written = store.write(vec![put]).await;
            written.map_err(|error| {
                self.state.lock().counts.unwritten(&error.to_string());
                Status::unavailable(
                    "the registration cannot be kept: see the control plane's status",
                )
            })?;
        }
        let entered = self.state.lock().enter(id, registration, Instant::now());
        entered.map_err(Status::permission_denied)
    }

    /// Hears how the application of a client is, or that it has left.
    pub(super) async fn hear_health(&self, id: ClientId, said: Option<&wire::Status>) {
        let changed = self.state.lock().hear_health(id, said, Instant::now());
        self.persist(changed.into_iter().collect()).await;
    }
}

impl State {
    /// Whether a client is what it says it is.
    fn is_claim_of(&self, identity: &Identity, facts: &Facts) -> Result<(), String> {
        let settings = self.world.settings();
        let domain = identity.trust_domain();
        let is_of_mesh = domain == settings.trust_domain
            || settings.trust_domain_aliases.iter().any(|alias| alias == domain);
        let account = facts.service_account.as_deref();
        if !is_of_mesh {
            return Err(format!("{identity} is not of the trust domain {}", settings.trust_domain));
        }
        if identity.namespace() != facts.namespace {
            return Err(format!("{identity} may not act for the namespace {}", facts.namespace));
        }
        match account.filter(|account| *account != identity.service_account()) {
            None => Ok(()),
            Some(other) => Err(format!("{identity} may not act for the service account {other}")),
        }
    }

    /// What a client registers.
    ///
    /// # Errors
    ///
    /// Why it may not.
    pub(crate) fn registration(
        &self,
        facts: &Facts,
        identity: &Identity,
    ) -> Result<Option<Registration>, String> {
        let wanted = Registration::read(&self.world, facts, identity)?;
        let Some(mut registration) = wanted else { return Ok(None) };
        self.is_free(&registration)?;
        admit(&self.world, &registration)?;
        let is_new = self.registry.get(&registration.resource()).is_none();
        if is_new && !self.registry.has_room_for(identity) {
            return Err(format!(
                "{identity} has registered too many workloads, some have to leave"
            ));
        }
        if let Some(before) = self.registry.get(&registration.resource()) {
            registration.is_healthy &= before.registration.is_healthy;
        }
        Ok(Some(registration))
    }

    /// Whether the name of a registration is not another identity's.
    fn is_free(&self, wanted: &Registration) -> Result<(), String> {
        let name = wanted.resource();
        let other = self.registry.get(&name).map(|entry| &entry.registration.identity);
        match other.filter(|other| **other != wanted.identity) {
            None => Ok(()),
            Some(other) => Err(format!("{name} is registered by {other}")),
        }
    }

    /// Enters what is kept by now.
    pub(crate) fn enter(
        &mut self,
        id: ClientId,
        registration: Registration,
        now: Instant,
    ) -> Result<(), String> {
        // Another one may have come first while this one was written.
        self.is_free(&registration)?;
        let name = registration.resource();
        let stored = self.standing(&registration);
        self.registry.enter(registration, id);
        self.counts.registrations = self.counts.registrations.saturating_add(1);
        self.apply(stored.map(|stored| (name, stored)).into_iter().collect(), Vec::new(), now);
        Ok(())
    }

    /// Takes what a client says of its health; what is to be written of it.
    pub(crate) fn hear_health(
        &mut self,
        id: ClientId,
        said: Option<&wire::Status>,
        now: Instant,
    ) -> Option<Write> {
        let name: Name = self.clients.get(&id)?.facts.resource()?;
        let code = said.map_or(0, |status| status.code);
        if code == CANCELLED {
            if !self.registry.remove(&name, id) {
                return None;
            }
            self.apply(Vec::new(), vec![Arc::clone(&name)], now);
            return Some(Write::Remove(name));
        }
        if !self.registry.set_health(&name, id, code == 0) {
            return None;
        }
        let registration = self.registry.get(&name)?.registration.clone();
        let stored = self.standing(&registration);
        let changed = stored.map(|stored| (Arc::clone(&name), stored)).into_iter().collect();
        self.apply(changed, Vec::new(), now);
        Some(Write::Put(name, Box::new(registration)))
    }

    /// What wakes the stream of a client.
    pub(crate) fn wake(&self, id: ClientId) -> Arc<Notify> {
        self.clients.get(&id).map(|client| Arc::clone(&client.wake)).unwrap_or_default()
    }
}
