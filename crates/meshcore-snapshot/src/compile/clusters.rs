//! The clusters of every visible service.

use std::sync::Arc;

use meshcore_model::ServiceLabels;
use meshcore_model::{ConnectionPool, ServicePort, Subset, Workload};
use meshcore_model::{H2Upgrade, LoadBalancer, Policy, Protocol, Resolution as Found, Service};

use crate::cluster::{Cluster, Limits, Resolution, Transport, UpstreamProtocol, Weights};
use crate::ids::{ClusterId, EndpointIds, Ids};
use crate::labels;
use crate::map::Map;
use crate::rejected::Rejected;
use crate::snapshot::{Clusters, Snapshot};

use super::endpoints::{Members, Setting};
use super::policies::Merged;
use super::scope::Scope;

/// Idle time after which connections are closed. Source: Istio's default of one hour.
const IDLE_MS: u64 = 3_600_000;

/// All clusters, and those of each service by name.
pub(super) struct Catalog<'a> {
    pub(super) clusters: Clusters,
    pub(super) services: Map<&'a str, ServiceClusters<'a>>,
}

/// The clusters of one service.
pub(super) struct ServiceClusters<'a> {
    pub(super) service: &'a Service,
    pub(super) labels: Arc<ServiceLabels>,
    pub(super) origin: Arc<meshcore_model::Origin>,
    /// Clusters by port, of each subset; the empty name is the whole service.
    pub(super) subsets: Map<Box<str>, Arc<[(u16, ClusterId)]>>,
}

/// Makes the clusters.
pub(super) struct Builder<'a, 'b> {
    scope: &'b Scope<'a>,
    previous: Option<&'b Snapshot>,
    ids: &'b mut Ids,
    endpoint_ids: &'b mut EndpointIds,
    members: Members<'a>,
    slots: Vec<Option<Arc<Cluster>>>,
}

/// What the clusters of one service have in common.
struct Common<'a, 'b> {
    service: &'a Service,
    host: Arc<str>,
    labels: Arc<ServiceLabels>,
    origin: Arc<meshcore_model::Origin>,
    policy: Option<&'b Merged>,
    workloads: Vec<&'a Workload>,
}

impl<'a, 'b> Builder<'a, 'b> {
    pub(super) fn new(
        scope: &'b Scope<'a>,
        previous: Option<&'b Snapshot>,
        ids: &'b mut Ids,
        endpoint_ids: &'b mut EndpointIds,
    ) -> Self {
        Self { scope, previous, ids, endpoint_ids, members: Members::default(), slots: Vec::new() }
    }

    /// Makes all clusters.
    pub(super) fn build(mut self) -> Result<Catalog<'a>, Rejected> {
        let mut services = Map::default();
        let scope = self.scope;
        for service in &scope.services {
            services.insert(service.host.as_str(), self.service(service)?);
        }
        self.slots.resize(self.ids.cluster_count(), None);
        let nowhere = self.nowhere();
        Ok(Catalog { clusters: Clusters { slots: self.slots, nowhere }, services })
    }

    fn service(&mut self, service: &'a Service) -> Result<ServiceClusters<'a>, Rejected> {
        let labels = labels::service(&service.host, &service.name, &service.namespace);
        let scope = self.scope;
        let common = Common {
            service,
            host: service.host.as_str().into(),
            labels: labels::numbered_service(labels),
            origin: Arc::new(service.origin.clone()),
            policy: scope.policies.find(service),
            workloads: scope.members(service),
        };
        let mut subsets = Map::default();
        subsets.insert("".into(), self.ports(&common, None)?);
        for subset in common.policy.map_or(&[][..], |policy| &policy.subsets) {
            subsets.insert(subset.name.as_str().into(), self.ports(&common, Some(subset))?);
        }
        Ok(ServiceClusters { service, labels: common.labels, origin: common.origin, subsets })
    }

    /// The clusters of all ports, of a subset or of the whole service.
    fn ports(
        &mut self,
        common: &Common<'a, '_>,
        subset: Option<&Subset>,
    ) -> Result<Arc<[(u16, ClusterId)]>, Rejected> {
        let ports = common.service.ports.iter();
        ports.map(|port| Ok((port.number, self.cluster(common, port, subset)?))).collect()
    }

    fn cluster(
        &mut self,
        common: &Common<'a, '_>,
        port: &ServicePort,
        subset: Option<&Subset>,
    ) -> Result<ClusterId, Rejected> {
        let service = common.service;
        let policy = common.policy.map(|merged| merged.effective(port.number, subset));
        let policy = policy.unwrap_or_default();
        let subset_name = subset.map_or("", |subset| subset.name.as_str());
        let name: Arc<str> =
            format!("outbound|{}|{subset_name}|{}", port.number, service.host).into();
        let id = self.ids.cluster(&name);
        let protocol = upstream_protocol(port.protocol, policy.connection_pool.as_ref());
        let setting = Setting {
            scope: self.scope,
            service,
            port,
            subset,
            tls: policy.tls.as_ref(),
            policy_origin: common.policy.map(|merged| &*merged.origin),
            host: &common.host,
        };
        let before = self
            .previous
            .and_then(|snapshot| snapshot.clusters.slots.get(id.index()).and_then(Option::as_ref));
        let before_usable = before.filter(|cluster| cluster.protocol == protocol);
        let original_dst = policy.load_balancer == Some(LoadBalancer::Passthrough)
            || service.resolution == Found::None;
        let (resolution, endpoints, transport) = if original_dst {
            (Resolution::OriginalDst, Box::default(), setting.anywhere()?)
        } else {
            let found = self.members.of(&setting, &common.workloads)?;
            let (resolution, endpoints) =
                found.settle(&setting, before_usable.map(|b| &**b), self.endpoint_ids);
            (resolution, endpoints, Transport::Plain)
        };
        let mut cluster = Cluster {
            id,
            name,
            host: Arc::clone(&common.host),
            subset: subset_name.into(),
            port: port.number,
            declared: port.protocol,
            protocol,
            load_balancer: policy.load_balancer.unwrap_or_default(),
            outlier_detection: policy.outlier_detection.clone(),
            limits: self.limits(&policy),
            resolution,
            endpoints,
            transport,
            service: Arc::clone(&common.labels),
            service_origin: Arc::clone(&common.origin),
            policy_origin: common.policy.map(|merged| Arc::clone(&merged.origin)),
            weights: Weights::default(),
        };
        cluster.weigh();
        self.keep(cluster, before);
        Ok(id)
    }

    /// Takes the cluster of the snapshot before when it is the same.
    fn keep(&mut self, cluster: Cluster, before: Option<&Arc<Cluster>>) {
        let index = cluster.id.index();
        if self.slots.len() <= index {
            self.slots.resize(index.saturating_add(1), None);
        }
        let kept = match before {
            Some(before) if **before == cluster => Arc::clone(before),
            Some(_) | None => Arc::new(cluster),
        };
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Some(kept);
        }
    }

    /// Source of the defaults: Istio's DestinationRule, where 0 is the same as not set.
    fn limits(&self, policy: &Policy) -> Limits {
        let unset = ConnectionPool::default();
        let pool = policy.connection_pool.as_ref().unwrap_or(&unset);
        let limit = |value: Option<u32>| value.filter(|value| *value > 0).unwrap_or(u32::MAX);
        let connect = pool.connect_timeout_ms.filter(|value| *value > 0);
        Limits {
            max_connections: limit(pool.max_connections),
            max_pending: limit(pool.max_pending_requests),
            max_requests: limit(pool.max_requests),
            max_requests_per_connection: limit(pool.max_requests_per_connection),
            max_retries: limit(pool.max_retries),
            max_concurrent_streams: limit(pool.max_concurrent_streams),
            connect_timeout_ms: connect.unwrap_or(self.scope.mesh.settings.connect_timeout_ms),
            tcp_idle_timeout_ms: pool.tcp_idle_timeout_ms.unwrap_or(IDLE_MS),
            http_idle_timeout_ms: pool.http_idle_timeout_ms.unwrap_or(IDLE_MS),
            max_connection_duration_ms: pool.max_connection_duration_ms.unwrap_or(0),
            keepalive: pool.keepalive,
            h2_upgrade: pool.h2_upgrade == H2Upgrade::Always,
        }
    }

    /// The cluster that is given for an id that is not in the snapshot.
    fn nowhere(&self) -> Arc<Cluster> {
        let origin = Arc::new(meshcore_model::Origin::default());
        Arc::new(Cluster {
            id: ClusterId::NOWHERE,
            name: "BlackHoleCluster".into(),
            host: "".into(),
            subset: "".into(),
            port: 0,
            declared: Protocol::Tcp,
            protocol: UpstreamProtocol::Tcp,
            load_balancer: LoadBalancer::default(),
            outlier_detection: None,
            limits: self.limits(&Policy::default()),
            resolution: Resolution::Static,
            endpoints: Box::default(),
            transport: Transport::Plain,
            service: Arc::new(ServiceLabels::default()),
            service_origin: origin,
            policy_origin: None,
            weights: Weights::default(),
        })
    }
}

fn upstream_protocol(declared: Protocol, pool: Option<&ConnectionPool>) -> UpstreamProtocol {
    let as_client = pool.is_some_and(|pool| pool.use_client_protocol);
    let upgrade = pool.is_some_and(|pool| pool.h2_upgrade == H2Upgrade::Always);
    match declared {
        Protocol::Tls | Protocol::Tcp => UpstreamProtocol::Tcp,
        Protocol::Http2 | Protocol::Grpc => UpstreamProtocol::Http2,
        Protocol::Http | Protocol::Detect if as_client => UpstreamProtocol::AsClient,
        Protocol::Http | Protocol::Detect if upgrade => UpstreamProtocol::Http2,
        Protocol::Http => UpstreamProtocol::Http1,
        Protocol::Detect => UpstreamProtocol::AsClient,
    }
}
