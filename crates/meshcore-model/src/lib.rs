//! The mesh model: resources, identities and failures, the words every room shares.
//!
//! Istio and Gateway API documents are compiled into these few typed resources. They are
//! *client-independent*: nothing here is written for one sidecar. Each sidecar compiles the
//! resources that concern it into its own snapshot (see `meshcore-snapshot`).
#![forbid(unsafe_code)]

mod authorization;
mod failure;
mod gateway;
mod group;
mod hook;
mod identity;
mod labels;
mod matching;
mod mesh;
mod node;
mod origin;
mod peer_auth;
mod resource;
mod route;
mod service;
mod sni;
mod traffic;
mod trust;

pub use authorization::{
    Action as AuthorizationAction, Authorization, AuthorizationRule, Condition,
};
pub use authorization::{ConditionKey, Matchers, Operation, Principal, ServiceAccount, Source};
pub use failure::{Failure, Flag, Flags, Kind};
pub use gateway::{CertificateSource, ClientProof, Credential, Gateway, GatewayHost};
pub use gateway::{GatewayProtocol, GatewayServer, Secret, ServerTls, ServerTlsMode, TlsVersion};
pub use gateway::{covers, narrower};
pub use group::{Probe, ProbeCheck, WorkloadGroup};
pub use hook::{Attribute, Hook, HookAnswer, HookMode, HookStage};
pub use identity::{Identity, InvalidIdentity};
pub use labels::{LabelIds, ServiceLabels, WorkloadLabels};
pub use matching::{Labels, PathMatch, Selector, StringMatch};
pub use mesh::{AccessLog, LogFormat, Mesh, OutboundPolicy, PathNormalization, Settings};
pub use node::{Listen, Node, NodePort};
pub use origin::Origin;
pub use peer_auth::{MtlsMode, PeerAuth};
pub use resource::Resource;
pub use route::{Action, Destination, Fault, HeaderEdits, HttpMatch, HttpRule, Mirror, Redirect};
pub use route::{Retries, RetryOn, Rewrite, Route, TcpMatch, TcpRule, ValueMatch};
pub use service::{ExportTo, Location, Protocol, Resolution, Service, ServicePort, Workload};
pub use sni::{MeshSni, NotMeshSni};
pub use traffic::{ClientTls, ConnectionPool, H2Upgrade, LoadBalancer, OutlierDetection};
pub use traffic::{Policy, Subset, TlsOrigination, TrafficPolicy};
pub use trust::Trust;
