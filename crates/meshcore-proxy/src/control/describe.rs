//! What is in force, as JSON for people and tools.

use meshcore_model::Origin;
use meshcore_snapshot::{Cluster, Endpoint, GatewayChain, GatewayHosts, GatewayListener};
use meshcore_snapshot::{Rule, RuleAction, Serves, Snapshot, Transport, VirtualHost};
use meshcore_tls::ChainLink;
use serde_json::{Value, json};

use crate::shared::Shared;

/// The snapshot in force, with the origin of everything.
pub(super) fn snapshot(shared: &Shared) -> Value {
    let snapshot = shared.cell.load();
    json!({
        "revision": snapshot.revision,
        "node": snapshot.node,
        "settings": snapshot.settings,
        "outbound": snapshot.outbound.hosts().map(|vhost| host(vhost)).collect::<Vec<_>>(),
        "inbound": inbound(&snapshot),
        "gateway": gateway(shared),
        "clusters": snapshot.clusters().map(|one| cluster(one, shared)).collect::<Vec<_>>(),
    })
}

/// Clusters with their endpoints.
pub(super) fn clusters(shared: &Shared) -> Value {
    let snapshot = shared.cell.load();
    snapshot.clusters().map(|one| cluster(one, shared)).collect()
}

/// Our certificate and whom we trust.
pub(super) fn certificate(shared: &Shared) -> Value {
    let Some(tls) = &shared.tls else { return Value::Null };
    let materials = tls.materials();
    let link = |link: &ChainLink| {
        json!({
            "subject": link.subject,
            "issuer": link.issuer,
            "serial": link.serial,
            "not_before": link.not_before,
            "not_after": link.not_after,
        })
    };
    let chain: Vec<Value> = materials.chain().iter().map(link).collect();
    let trust: Vec<Value> = materials
        .bundle()
        .summary()
        .map(|(domain, subject, not_after)| {
            json!({"trust_domain": domain, "subject": subject, "not_after": not_after})
        })
        .collect();
    json!({
        "identity": materials.identity(),
        "serial": materials.serial(),
        "not_before": materials.not_before(),
        "not_after": materials.not_after(),
        "chain": chain,
        "trust": trust,
    })
}

/// What a gateway serves, and how its certificates fare; null when it is none.
pub(super) fn gateway(shared: &Shared) -> Value {
    let snapshot = shared.cell.load();
    let Some(gateway) = snapshot.gateway.as_deref() else { return Value::Null };
    let left_out: Vec<Value> = gateway
        .left_out
        .iter()
        .map(|(server, why)| json!({"server": origin(server), "why": why}))
        .collect();
    json!({
        "listeners": gateway.listeners().iter().map(listener).collect::<Vec<_>>(),
        "tls": shared.terminations.status(gateway),
        "left_out": left_out,
        "deny": gateway.authorization.enforced.deny.len(),
        "allow": gateway.authorization.enforced.allow.len(),
        "denies_by_default": gateway.authorization.enforced.has_allow,
    })
}

fn listener(listener: &GatewayListener) -> Value {
    let hosts = |hosts: &GatewayHosts| hosts.all().map(|one| host(one)).collect::<Vec<_>>();
    let serves = match &listener.serves {
        Serves::Http(http) => json!({"http": hosts(http)}),
        Serves::Tcp(_) => json!("tcp"),
        Serves::Tls(tls) => tls
            .chains()
            .iter()
            .map(|chain| match chain {
                GatewayChain::Http(by, http) => {
                    json!({"server": origin(&by.origin), "mode": by.tls.mode, "http": hosts(http)})
                }
                GatewayChain::Tcp(by, _) => {
                    json!({"server": origin(&by.origin), "mode": by.tls.mode, "tcp": true})
                }
                GatewayChain::PassThrough(_) => json!({"mode": "passthrough"}),
            })
            .collect(),
    };
    json!({
        "address": listener.address,
        "port": listener.port,
        "origin": origin(&listener.origin),
        "serves": serves,
    })
}

/// Where this sidecar listens.
pub(super) fn listeners(shared: &Shared) -> Value {
    json!(shared.listen)
}

fn host(vhost: &VirtualHost) -> Value {
    let ports: Vec<Value> = vhost
        .ports
        .iter()
        .map(|port| json!({"number": port.number, "protocol": port.protocol}))
        .collect();
    let mut rules: Vec<Value> = Vec::new();
    for table in vhost.tables() {
        rules.extend(table.rules().iter().map(rule));
    }
    json!({"host": &*vhost.host, "ports": ports, "rules": rules})
}

fn rule(rule: &Rule) -> Value {
    let action = match &rule.action {
        RuleAction::Forward(destinations) => {
            let all: Vec<Value> = destinations
                .all()
                .iter()
                .map(|one| json!({"host": &*one.host, "weight": one.weight}))
                .collect();
            json!({"forward": all})
        }
        RuleAction::Redirect(redirect) => json!({"redirect": redirect.status}),
        RuleAction::Respond { status, .. } => json!({"respond": status}),
    };
    json!({
        "name": &*rule.name,
        "origin": origin(&rule.origin),
        "index": rule.index,
        "action": action,
        "timeout_ms": rule.timeout_ms,
        "retries": rule.retries.attempts,
    })
}

fn inbound(snapshot: &Snapshot) -> Value {
    snapshot
        .inbound
        .ports()
        .iter()
        .map(|port| {
            let enforced = &port.authorization.enforced;
            let origins = |rules: &[meshcore_snapshot::CompiledRule]| -> Vec<Value> {
                rules.iter().map(|rule| origin(&rule.origin)).collect()
            };
            json!({
                "port": port.number,
                "application": port.application,
                "protocol": port.protocol,
                "mtls": port.mtls,
                "service": &*port.service.host,
                "deny": origins(&enforced.deny),
                "allow": origins(&enforced.allow),
                "denies_by_default": enforced.has_allow,
                "allow_policies": enforced.allow_policies.iter().map(|one| origin(one)).collect::<Vec<_>>(),
            })
        })
        .collect()
}

fn cluster(cluster: &Cluster, shared: &Shared) -> Value {
    let endpoints: Vec<Value> = cluster.endpoints.iter().map(endpoint).collect();
    let usage = shared.usage_of(cluster.id);
    json!({
        "name": &*cluster.name,
        "service": origin(&cluster.service_origin),
        "policy": cluster.policy_origin.as_deref().map(origin),
        "load_balancer": cluster.load_balancer,
        "connections": usage.map(|(connections, _)| connections),
        "requests": usage.map(|(_, requests)| requests),
        "endpoints": endpoints,
    })
}

fn endpoint(endpoint: &Endpoint) -> Value {
    let transport = match &endpoint.transport {
        Transport::Plain => "plain",
        Transport::Mtls { .. } => "mutual TLS",
        Transport::Hbone { .. } => "HBONE",
        Transport::Originate { .. } => "TLS",
    };
    json!({
        "address": endpoint.address.to_string(),
        "dial": endpoint.dial.to_string(),
        "workload": &*endpoint.labels.workload,
        "version": &*endpoint.labels.version,
        "principal": &*endpoint.labels.principal,
        "weight": endpoint.weight,
        "locality": &*endpoint.locality,
        "transport": transport,
    })
}

fn origin(origin: &Origin) -> Value {
    json!(origin.to_string())
}
