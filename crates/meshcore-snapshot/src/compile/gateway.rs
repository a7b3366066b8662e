//! The listeners of a gateway, from the servers of the documents that select it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use meshcore_model::{CertificateSource, ExportTo, Gateway as Wanted, GatewayProtocol};
use meshcore_model::{GatewayServer, Node, Origin, Route, ServerTls, ServerTlsMode};

use crate::gateway::{Gateway, GatewayChain, GatewayListener, GatewayTcp, GatewayTls};
use crate::gateway::{Serves, Termination};
use crate::rejected::Rejected;

use super::authorization;
use super::clusters::Catalog;
use super::gateway_hosts::Hosts;
use super::gateway_tcp;
use super::inbound::target_of;
use super::scope::{Scope, age};

/// Builds the listeners of this node; `None` when it is no gateway.
pub(super) fn build(scope: &Scope<'_>, catalog: &Catalog<'_>) -> Result<Option<Gateway>, Rejected> {
    let Some(address) = scope.node.listen.gateway else { return Ok(None) };
    let mut gateway = Gateway {
        authorization: Arc::new(authorization::build(scope.mesh, scope.node)?),
        ..Gateway::default()
    };
    for (address, servers) in by_address(scope, address) {
        let listener = Listener { scope, catalog, servers: &servers };
        gateway.listeners.push(listener.build(address, &mut gateway.left_out)?);
    }
    Ok(Some(gateway))
}

/// A server, with the document that it is in.
#[derive(Clone, Copy)]
pub(super) struct Server<'a> {
    pub(super) gateway: &'a Wanted,
    pub(super) server: &'a GatewayServer,
}

/// What servers of one listener have to have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Http,
    Tcp,
    Tls,
}

impl Server<'_> {
    /// What routes are bound to: `namespace/name`.
    pub(super) fn name(&self) -> String {
        let origin = &self.gateway.origin;
        format!("{}/{}", origin.namespace, origin.name)
    }

    pub(super) fn origin(&self) -> Origin {
        let origin = &self.gateway.origin;
        origin.at(if self.server.line == 0 { origin.line } else { self.server.line })
    }

    /// The hosts that it has in common with a route. Source: Istio's
    /// `pickMatchingGatewayHosts`.
    pub(super) fn common_hosts<'b>(&'b self, route: &'b Route) -> impl Iterator<Item = &'b str> {
        let own = self.server.hosts.iter();
        own.filter(|host| host.takes_routes_of(&route.origin.namespace)).flat_map(|host| {
            route.hosts.iter().filter_map(|other| meshcore_model::narrower(&host.host, other))
        })
    }

    fn family(&self) -> Family {
        match (&self.server.tls, self.server.protocol) {
            (Some(_), _) => Family::Tls,
            (None, GatewayProtocol::Http) => Family::Http,
            (None, GatewayProtocol::Tcp) => Family::Tcp,
        }
    }
}

/// The servers of this node, by where they listen; the older document first.
fn by_address<'a>(scope: &Scope<'a>, own: IpAddr) -> Vec<(SocketAddr, Vec<Server<'a>>)> {
    let node = scope.node;
    let has_labels = |gateway: &&Wanted| {
        gateway.selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
    };
    let mut gateways: Vec<&Wanted> = scope.mesh.gateways.iter().filter(has_labels).collect();
    gateways.sort_by(|a, b| age(&a.created, &a.origin).cmp(&age(&b.created, &b.origin)));
    let mut all: Vec<(SocketAddr, Vec<Server<'a>>)> = Vec::new();
    for gateway in gateways {
        for server in &gateway.servers {
            let port = target_of(scope, server.port).or(server.target_port).unwrap_or(server.port);
            let address = SocketAddr::new(server.bind.unwrap_or(own), port);
            let server = Server { gateway, server };
            match all.iter_mut().find(|(known, _)| *known == address) {
                Some((_, servers)) => servers.push(server),
                None => all.push((address, vec![server])),
            }
        }
    }
    all
}

/// One listener while it is made.
struct Listener<'a, 'b> {
    scope: &'b Scope<'a>,
    catalog: &'b Catalog<'a>,
    servers: &'b [Server<'a>],
}

impl Listener<'_, '_> {
    /// The first server says whether it is HTTP, TCP or TLS; servers of another kind are left
    /// out.
    fn build(
        &self,
        address: SocketAddr,
        left_out: &mut Vec<(Arc<Origin>, String)>,
    ) -> Result<GatewayListener, Rejected> {
        let first = self.servers.first().copied();
        let family = first.map_or(Family::Http, |server| server.family());
        let (own, others): (Vec<Server<'_>>, Vec<_>) =
            self.servers.iter().partition(|server| server.family() == family);
        for server in others {
            let why = format!("port {}: an older server takes something else", server.server.port);
            left_out.push((Arc::new(server.origin()), why));
        }
        let serves = match family {
            Family::Http => Serves::Http(Hosts::new(self.scope, self.catalog, &own).build()?),
            Family::Tcp => {
                Serves::Tcp(GatewayTcp(gateway_tcp::plain(self.scope, self.catalog, &own)?))
            }
            Family::Tls => Serves::Tls(self.tls(&own, left_out)?),
        };
        Ok(GatewayListener {
            address,
            port: first.map_or(address.port(), |server| server.server.port),
            origin: Arc::new(first.map(|server| server.origin()).unwrap_or_default()),
            serves,
        })
    }

    fn tls(
        &self,
        servers: &[Server<'_>],
        left_out: &mut Vec<(Arc<Origin>, String)>,
    ) -> Result<GatewayTls, Rejected> {
        let mut table = GatewayTls::default();
        for server in servers {
            let Some(tls) = &server.server.tls else { continue };
            if tls.mode == ServerTlsMode::Passthrough {
                self.pass_through(server, &mut table)?;
                continue;
            }
            let termination = Arc::new(termination(self.scope, server, tls));
            let one = std::slice::from_ref(server);
            let chain = match server.server.protocol {
                GatewayProtocol::Http => {
                    let hosts = Hosts::new(self.scope, self.catalog, one).build()?;
                    GatewayChain::Http(termination, hosts)
                }
                GatewayProtocol::Tcp => {
                    let rules = gateway_tcp::plain(self.scope, self.catalog, one)?;
                    GatewayChain::Tcp(termination, GatewayTcp(rules))
                }
            };
            let position = table.chains.len();
            table.chains.push(chain);
            for host in &server.server.hosts {
                if !table.enter(&host.host, position) {
                    let why = format!("host {}: an older server has it", host.host);
                    left_out.push((Arc::new(server.origin()), why));
                }
            }
        }
        Ok(table)
    }

    /// Each server name that a route asks for has rules of its own.
    fn pass_through(&self, server: &Server<'_>, table: &mut GatewayTls) -> Result<(), Rejected> {
        for (name, rules) in gateway_tcp::by_server_name(self.scope, self.catalog, server)? {
            let position = table.chains.len();
            table.chains.push(GatewayChain::PassThrough(GatewayTcp(rules)));
            table.enter(&name, position);
        }
        Ok(())
    }
}

/// The routes that are bound to a server and that this node sees, in the order in which they
/// count: the oldest first.
pub(super) fn bound<'a>(scope: &Scope<'a>, server: &Server<'_>) -> Vec<&'a Route> {
    let (name, node) = (server.name(), scope.node);
    let is_bound = |route: &&Route| {
        route.gateways.contains(&name)
            && ExportTo::is_visible(&route.export_to, &route.origin.namespace, &node.namespace)
    };
    let mut routes: Vec<&Route> = scope.mesh.routes.iter().filter(is_bound).collect();
    routes.sort_by(|a, b| age(&a.created, &a.origin).cmp(&age(&b.created, &b.origin)));
    routes
}

/// Whether a match is meant for a gateway. Source: Istio's `sourceMatchHTTP`.
pub(super) fn is_for(
    node: &Node,
    gateway: &str,
    (gateways, labels, namespace): (&[String], &meshcore_model::Labels, Option<&str>),
) -> bool {
    if !gateways.is_empty() {
        return gateways.iter().any(|name| name == gateway);
    }
    labels.iter().all(|(key, value)| node.labels.get(key) == Some(value))
        && namespace.is_none_or(|namespace| namespace.is_empty() || namespace == node.namespace)
}

/// Credentials are looked for in the namespace of the gateway itself, as Istio does.
fn termination(scope: &Scope<'_>, server: &Server<'_>, tls: &ServerTls) -> Termination {
    let certificates = tls.certificates.iter().filter_map(|source| match source {
        CertificateSource::Credential(name) => Some(name),
        CertificateSource::Files { .. } => None,
    });
    let names: Vec<&String> = certificates.chain(&tls.clients.credential).collect();
    let is_named = |name: &str| names.iter().any(|wanted| *wanted == name);
    let credentials = scope.mesh.credentials.iter().filter(|credential| {
        credential.origin.namespace == scope.node.namespace && is_named(&credential.origin.name)
    });
    Termination {
        origin: Arc::new(server.origin()),
        tls: tls.clone(),
        credentials: credentials.cloned().collect(),
        is_http: server.server.protocol == GatewayProtocol::Http,
    }
}
