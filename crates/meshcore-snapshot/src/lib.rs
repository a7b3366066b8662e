//! Resources and who I am, compiled into an immutable snapshot.
//!
//! [`Snapshot::compile`] resolves everything a request will ask for: hosts to rules, rules to
//! clusters, clusters to endpoints, ports to authorization. What is on the request path is an
//! integer or an `Arc`; nothing is looked up by a name that was put together for it.
#![forbid(unsafe_code)]

mod authority;
mod authorization;
mod cell;
mod cidr;
mod cluster;
mod compile;
mod gateway;
mod hooks;
mod ids;
mod inbound;
mod labels;
mod map;
mod outbound;
mod peers;
mod rejected;
mod route_table;
mod rule;
mod snapshot;
mod text;
mod trie;

pub use authority::Authority;
pub use authorization::{AuthorizationTable, CompiledAuthorization, CompiledCondition};
pub use authorization::{CompiledOperation, CompiledRule, CompiledSource, ConditionTest};
pub use authorization::{ServiceAccounts, Test};
pub use cell::{Reader, SnapshotCell, SnapshotWriter, Stale};
pub use cidr::Cidr;
pub use cluster::{Cluster, DnsTarget, Endpoint, EndpointAddress, Limits, Resolution, Transport};
pub use cluster::{UpstreamProtocol, Weights};
pub use gateway::{Gateway, GatewayChain, GatewayHosts, GatewayListener, GatewayTcp, GatewayTls};
pub use gateway::{Serves, Termination};
pub use hooks::{Hooks, SnapshotHook};
pub use ids::{ClusterId, EndpointId};
pub use inbound::{Inbound, InboundPort};
pub use outbound::{Lookup, Outbound, TcpDestination, TcpRoute, VirtualHost, VirtualHostPort};
pub use peers::Peers;
pub use rejected::Rejected;
pub use route_table::{Entry, PathForm, Predicates, RouteTable};
pub use rule::{Destinations, Fault, Field, HeaderEdits, Mirror, Redirect, RetryPolicy, RetrySet};
pub use rule::{Rewrite, Rule, RuleAction, WeightedDestination};
pub use snapshot::Snapshot;
pub use text::{Text, TextSet, ValuePredicate};
