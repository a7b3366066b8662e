//! The endpoints of a cluster, and how each is reached.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use meshcore_model::{ClientTls, Identity, Location, MtlsMode, Origin, Protocol};
use meshcore_model::{MeshSni, WorkloadLabels};
use meshcore_model::{Resolution as Found, Service, ServicePort, Subset, Workload};

use crate::authority::Authority;
use crate::cluster::{Cluster, DnsTarget, Endpoint, EndpointAddress, Resolution, Transport};
use crate::ids::EndpointIds;
use crate::labels;
use crate::map::Map;
use crate::rejected::Rejected;
use crate::snapshot::Snapshot;

use super::scope::{Scope, target_port};

/// What an endpoint's transport follows from, beside the workload itself.
pub(super) struct Setting<'a, 'b> {
    pub(super) scope: &'b Scope<'a>,
    pub(super) service: &'a Service,
    pub(super) port: &'b ServicePort,
    pub(super) subset: Option<&'b Subset>,
    pub(super) tls: Option<&'b ClientTls>,
    pub(super) policy_origin: Option<&'b Origin>,
    pub(super) host: &'b Arc<str>,
}

/// What is known of each workload, whichever clusters it is in.
#[derive(Default)]
pub(super) struct Members<'a> {
    known: Map<(&'a str, &'a str, &'a str), Known>,
}

#[derive(Clone)]
struct Known {
    labels: Arc<WorkloadLabels>,
    identities: Arc<[Identity]>,
    locality: Arc<str>,
}

/// An endpoint before it has an id.
struct Draft {
    address: Address,
    dial_port: Option<u16>,
    weight: u32,
    locality: Arc<str>,
    transport: Transport,
    labels: Arc<WorkloadLabels>,
}

/// Where a workload says that it is.
enum Address {
    Socket(SocketAddr),
    Unix(Arc<str>),
    Name(Arc<str>, u16),
}

/// The endpoints of a cluster before they have ids.
pub(super) struct Drafts(Vec<Draft>);

impl<'a> Members<'a> {
    /// The endpoints of a port of a service.
    pub(super) fn of(
        &mut self,
        setting: &Setting<'a, '_>,
        workloads: &[&'a Workload],
    ) -> Result<Drafts, Rejected> {
        let mut drafts = Vec::new();
        let labels = setting.subset.map(|subset| &subset.labels);
        for workload in workloads {
            let wanted = labels.is_none_or(|labels| {
                labels.iter().all(|(key, value)| workload.labels.get(key) == Some(value))
            });
            let port = target_port(setting.port, workload).filter(|_| wanted);
            if let Some(port) = port {
                drafts.push(self.endpoint(setting, workload, port)?);
            }
        }
        let resolves = matches!(setting.service.resolution, Found::Dns | Found::DnsRoundRobin);
        let is_its_own = setting.service.selector.is_none() && setting.service.endpoints.is_empty();
        if resolves && is_its_own && !setting.host.starts_with('*') {
            drafts.push(setting.itself()?);
        }
        Ok(Drafts(drafts))
    }

    fn endpoint(
        &mut self,
        setting: &Setting<'a, '_>,
        workload: &'a Workload,
        port: u16,
    ) -> Result<Draft, Rejected> {
        let known = self.know(setting.scope, workload)?;
        let address = address_of(workload, port)?;
        let transport = setting.transport(workload, port, &known)?;
        let dial_port = match &transport {
            Transport::Plain | Transport::Originate { .. } => None,
            Transport::Mtls { .. } => workload.inbound_port,
            Transport::Hbone { .. } => workload.hbone_port,
        };
        Ok(Draft {
            address,
            dial_port,
            weight: workload.weight.max(1),
            locality: known.locality,
            transport,
            labels: known.labels,
        })
    }

    fn know(&mut self, scope: &Scope<'a>, workload: &'a Workload) -> Result<Known, Rejected> {
        let key = (&*workload.namespace, &*workload.name, &*workload.address);
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let (namespace, account) = (&workload.namespace, &workload.service_account);
        let own = super::identity(scope, &workload.origin, namespace, account)?;
        let labels = labels::workload(&workload.name, namespace, own.as_str(), &workload.labels);
        let aliases = scope.mesh.settings.trust_domain_aliases.iter();
        let aliases = aliases.filter_map(|domain| Identity::new(domain, namespace, account).ok());
        let identities = std::iter::once(own.clone()).chain(aliases).collect();
        let known = Known {
            labels: labels::numbered_workload(labels),
            identities,
            locality: workload.locality.as_str().into(),
        };
        self.known.insert(key, known.clone());
        Ok(known)
    }
}

fn address_of(workload: &Workload, port: u16) -> Result<Address, Rejected> {
    let text = workload.address.as_str();
    if let Some(path) = text.strip_prefix("unix://") {
        return Ok(Address::Unix(path.into()));
    }
    if let Some(address) = super::ip(text) {
        return Ok(Address::Socket(SocketAddr::new(address, port)));
    }
    let named = Authority::parse(text.as_bytes()).filter(|name| name.port().is_none());
    if named.is_none() {
        let reason = format!("{text:?} is not an IP address, a host name or a unix:// path");
        return Err(Rejected::new(&workload.origin, "address", reason));
    }
    Ok(Address::Name(text.to_ascii_lowercase().into(), port))
}

impl Setting<'_, '_> {
    /// How connections without an endpoint are secured.
    pub(super) fn anywhere(&self) -> Result<Transport, Rejected> {
        match self.tls {
            None | Some(ClientTls::Disable) => Ok(Transport::Plain),
            Some(ClientTls::Originate(_)) => Ok(self.originate()),
            Some(ClientTls::IstioMutual { .. }) => self.mtls(&Arc::default()),
        }
    }

    /// The host of the service as its own, only endpoint.
    fn itself(&self) -> Result<Draft, Rejected> {
        let port = self.port.target_port.unwrap_or(self.port.number);
        let address = match super::ip(self.host) {
            Some(address) => Address::Socket(SocketAddr::new(address, port)),
            None => Address::Name(Arc::clone(self.host), port),
        };
        let labels = WorkloadLabels {
            namespace: self.service.namespace.as_str().into(),
            canonical_service: self.service.name.as_str().into(),
            ..WorkloadLabels::default()
        };
        Ok(Draft {
            address,
            dial_port: None,
            weight: 1,
            locality: "".into(),
            transport: self.anywhere()?,
            labels: labels::numbered_workload(labels),
        })
    }

    /// Automatic mutual TLS where nothing else is said and both sides can.
    fn transport(
        &self,
        workload: &Workload,
        port: u16,
        known: &Known,
    ) -> Result<Transport, Rejected> {
        let secure = match self.tls {
            Some(ClientTls::Disable) => return Ok(Transport::Plain),
            Some(ClientTls::Originate(_)) => return Ok(self.originate()),
            Some(ClientTls::IstioMutual { .. }) => true,
            None => self.is_automatic(workload, port),
        };
        if !secure {
            return Ok(Transport::Plain);
        }
        let mtls = self.mtls(&known.identities)?;
        let is_opaque = matches!(self.port.protocol, Protocol::Tcp | Protocol::Tls);
        match (mtls, super::ip(&workload.address)) {
            (Transport::Mtls { expected, .. }, Some(address))
                if is_opaque && workload.hbone_port.is_some() =>
            {
                let authority = SocketAddr::new(address, port).to_string().into();
                Ok(Transport::Hbone { authority, expected })
            }
            (mtls, _) => Ok(mtls),
        }
    }

    fn is_automatic(&self, workload: &Workload, port: u16) -> bool {
        let mode = || self.scope.modes.of(&workload.namespace, &workload.labels, port);
        self.scope.mesh.settings.auto_mtls
            && workload.mtls
            && self.service.location == Location::Internal
            && mode() != MtlsMode::Disable
    }

    /// Mutual TLS with the names that the policy or the service gives, else with `identities`.
    fn mtls(&self, identities: &Arc<[Identity]>) -> Result<Transport, Rejected> {
        let (names, sni) = match self.tls {
            Some(ClientTls::IstioMutual { subject_alt_names, sni }) => {
                (subject_alt_names.as_slice(), sni.as_deref())
            }
            Some(ClientTls::Disable | ClientTls::Originate(_)) | None => (&[][..], None),
        };
        let service = self.service;
        let expected = if !names.is_empty() {
            let origin = self.policy_origin.unwrap_or(&service.origin);
            identities_of(names, origin, "tls.subject_alt_names")?
        } else if !service.subject_alt_names.is_empty() {
            identities_of(&service.subject_alt_names, &service.origin, "subject_alt_names")?
        } else {
            Arc::clone(identities)
        };
        let sni = sni.map_or_else(|| self.sni(), Arc::from);
        Ok(Transport::Mtls { sni, expected })
    }

    fn sni(&self) -> Arc<str> {
        let sni = MeshSni {
            port: self.port.number,
            subset: self.subset.map(|subset| subset.name.clone()).unwrap_or_default(),
            host: self.host.to_string(),
        };
        sni.to_string().into()
    }

    fn originate(&self) -> Transport {
        let Some(ClientTls::Originate(tls)) = self.tls else { return Transport::Plain };
        let mut tls = tls.clone();
        if tls.subject_alt_names.is_empty() {
            tls.subject_alt_names.clone_from(&self.service.subject_alt_names);
        }
        let host = if self.host.starts_with('*') { "".into() } else { Arc::clone(self.host) };
        Transport::Originate { tls: Arc::new(tls), host }
    }
}

fn identities_of(
    names: &[String],
    origin: &Origin,
    field: &str,
) -> Result<Arc<[Identity]>, Rejected> {
    let parse = |name: &String| {
        name.parse().map_err(|error| Rejected::new(origin, field, format!("{error}")))
    };
    names.iter().map(parse).collect()
}

impl Drafts {
    /// Gives every endpoint the id it had in the cluster `before`, or a fresh one. Names get
    /// the addresses that were last found for them.
    pub(super) fn settle(
        self,
        setting: &Setting<'_, '_>,
        before: Option<&Cluster>,
        fresh: &mut EndpointIds,
    ) -> (Resolution, Box<[Endpoint]>) {
        let mut known = KnownIds::of(before, fresh);
        if self.0.iter().all(|draft| !matches!(draft.address, Address::Name(..))) {
            let endpoints = self.0.into_iter().filter_map(|draft| known.endpoint(draft));
            return (Resolution::Static, endpoints.collect());
        }
        let last = |host: &str| match before.map(|cluster| &cluster.resolution) {
            Some(Resolution::Dns { targets, .. }) => {
                let target = targets.iter().find(|target| &*target.host == host);
                target.map(|target| target.addresses.clone()).unwrap_or_default()
            }
            Some(Resolution::Static | Resolution::OriginalDst) | None => Box::default(),
        };
        let targets: Box<[DnsTarget]> =
            self.0.into_iter().filter_map(|draft| target(draft, last)).collect();
        let first_only = setting.service.resolution == Found::DnsRoundRobin;
        let endpoints = resolved(&targets, first_only, &mut known);
        (Resolution::Dns { targets, first_only }, endpoints)
    }
}

/// A name to resolve. An address among names stands for itself.
fn target(draft: Draft, last: impl Fn(&str) -> Box<[IpAddr]>) -> Option<DnsTarget> {
    let (host, port, addresses): (Arc<str>, _, Box<[IpAddr]>) = match draft.address {
        Address::Socket(address) => {
            (address.ip().to_string().into(), address.port(), [address.ip()].into())
        }
        Address::Name(host, port) => {
            let addresses = last(&host);
            (host, port, addresses)
        }
        Address::Unix(_) => return None,
    };
    Some(DnsTarget {
        host,
        port,
        addresses,
        dial_port: draft.dial_port,
        weight: draft.weight,
        locality: draft.locality,
        transport: draft.transport,
        labels: draft.labels,
    })
}

fn resolved(targets: &[DnsTarget], first_only: bool, known: &mut KnownIds<'_>) -> Box<[Endpoint]> {
    let mut endpoints = Vec::new();
    for target in targets {
        let count = if first_only { 1 } else { usize::MAX };
        for address in target.addresses.iter().take(count) {
            let draft = Draft {
                address: Address::Socket(SocketAddr::new(*address, target.port)),
                dial_port: target.dial_port,
                weight: target.weight,
                locality: Arc::clone(&target.locality),
                transport: target.transport.clone(),
                labels: Arc::clone(&target.labels),
            };
            endpoints.extend(known.endpoint(draft));
        }
    }
    endpoints.into()
}

/// Ids of the endpoints of a cluster in the snapshot before.
struct KnownIds<'a> {
    before: Map<(EndpointAddress, EndpointAddress), Vec<&'a Endpoint>>,
    fresh: &'a mut EndpointIds,
}

impl<'a> KnownIds<'a> {
    fn of(before: Option<&'a Cluster>, fresh: &'a mut EndpointIds) -> Self {
        let mut known = Map::<_, Vec<_>>::default();
        for endpoint in before.map_or(&[][..], |cluster| &cluster.endpoints) {
            let key = (endpoint.address.clone(), endpoint.dial.clone());
            known.entry(key).or_default().push(endpoint);
        }
        Self { before: known, fresh }
    }

    fn endpoint(&mut self, draft: Draft) -> Option<Endpoint> {
        let (address, dial) = match draft.address {
            Address::Socket(address) => {
                let port = draft.dial_port.unwrap_or(address.port());
                let dial = SocketAddr::new(address.ip(), port);
                (EndpointAddress::Socket(address), EndpointAddress::Socket(dial))
            }
            Address::Unix(path) => {
                (EndpointAddress::Unix(Arc::clone(&path)), EndpointAddress::Unix(path))
            }
            Address::Name(..) => return None,
        };
        // An id is taken over once only: two endpoints may have the same address.
        let key = (address, dial);
        let taken = self.before.get_mut(&key).and_then(|candidates| {
            let same = candidates.iter().position(|one| one.transport == draft.transport)?;
            Some(candidates.swap_remove(same).id)
        });
        let (address, dial) = key;
        Some(Endpoint {
            id: taken.unwrap_or_else(|| self.fresh.fresh()),
            address,
            dial,
            weight: draft.weight,
            locality: draft.locality,
            transport: draft.transport,
            labels: draft.labels,
        })
    }
}

/// See [`Snapshot::with_resolved`].
pub(crate) fn resolve(before: &Snapshot, host: &str, found: &[IpAddr]) -> Option<Snapshot> {
    let mut endpoint_ids = before.endpoint_ids;
    let mut clusters = before.clusters.clone();
    let mut changed = false;
    for slot in clusters.slots.iter_mut().flatten() {
        let Resolution::Dns { targets, first_only } = &slot.resolution else { continue };
        let concerns = |target: &DnsTarget| &*target.host == host && *target.addresses != *found;
        if !targets.iter().any(concerns) {
            continue;
        }
        let first_only = *first_only;
        let mut targets = targets.clone();
        for target in targets.iter_mut().filter(|target| &*target.host == host) {
            target.addresses = found.into();
        }
        let endpoints =
            resolved(&targets, first_only, &mut KnownIds::of(Some(slot), &mut endpoint_ids));
        let mut cluster = Cluster::clone(slot);
        cluster.endpoints = endpoints;
        cluster.resolution = Resolution::Dns { targets, first_only };
        cluster.weigh();
        *slot = Arc::new(cluster);
        changed = true;
    }
    changed.then(|| Snapshot {
        revision: before.revision,
        node: before.node.clone(),
        settings: before.settings.clone(),
        workload: Arc::clone(&before.workload),
        outbound: Arc::clone(&before.outbound),
        inbound: Arc::clone(&before.inbound),
        gateway: before.gateway.clone(),
        hooks: Arc::clone(&before.hooks),
        clusters,
        peers: Arc::clone(&before.peers),
        ids: Arc::clone(&before.ids),
        endpoint_ids,
    })
}
