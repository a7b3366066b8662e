//! Delta ADS. Source: `envoy/service/discovery/v3/discovery.proto`, `envoy/config/core/v3/base.proto`,
//! `google/rpc/status.proto`.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message;
use prost_types::Struct;

/// Path of the call.
pub const DELTA_RESOURCES: &str =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

/// Type of all resources: the value is `meshcore_model::Resource` as JSON.
pub const RESOURCE: &str = "type.googleapis.com/meshcore.v1.Resource";

/// Type of requests that tell whether the application is healthy. Source: Istio's
/// `pkg/model/xds.go`.
pub const HEALTH: &str = "type.googleapis.com/istio.v1.HealthInformation";

/// Type of the details of a NACK: the value is JSON, a list of objects with `name` and `reason`.
pub const REFUSALS: &str = "type.googleapis.com/meshcore.v1.Refusals";

/// What a client wants from now on, or its answer to a response.
#[derive(Clone, PartialEq, Message)]
pub struct DeltaRequest {
    /// Who asks; only in the first request of a stream.
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
    /// [`RESOURCE`] or [`HEALTH`].
    #[prost(string, tag = "2")]
    pub type_url: String,
    /// Keys that are wanted.
    #[prost(string, repeated, tag = "3")]
    pub resource_names_subscribe: Vec<String>,
    /// Keys that are wanted no more.
    #[prost(string, repeated, tag = "4")]
    pub resource_names_unsubscribe: Vec<String>,
    /// What the client has of an earlier stream: versions by name. Only in the first request.
    #[prost(map = "string, string", tag = "5")]
    pub initial_resource_versions: HashMap<String, String>,
    /// The response that this is the answer to.
    #[prost(string, tag = "6")]
    pub response_nonce: String,
    /// Why something of the response was refused.
    #[prost(message, optional, tag = "7")]
    pub error_detail: Option<Status>,
}

/// What is new.
#[derive(Clone, PartialEq, Message)]
pub struct DeltaResponse {
    /// The revision; ends in `+` when more of it follows.
    #[prost(string, tag = "1")]
    pub system_version_info: String,
    /// New or changed resources.
    #[prost(message, repeated, tag = "2")]
    pub resources: Vec<Resource>,
    /// [`RESOURCE`].
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// To be named in the answer.
    #[prost(string, tag = "5")]
    pub nonce: String,
    /// Names that are gone.
    #[prost(string, repeated, tag = "6")]
    pub removed_resources: Vec<String>,
}

/// A resource with its version.
#[derive(Clone, PartialEq, Message)]
pub struct Resource {
    /// Changes when the value does.
    #[prost(string, tag = "1")]
    pub version: String,
    /// The value, of type [`RESOURCE`].
    #[prost(message, optional, tag = "2")]
    pub resource: Option<Any>,
    /// Unique in the mesh.
    #[prost(string, tag = "3")]
    pub name: String,
}

/// A value with its type. It is shared, so that a resource is encoded once for all who get it.
///
/// Source: `google/protobuf/any.proto`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Any {
    /// [`RESOURCE`] or [`REFUSALS`].
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The value.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// Who asks.
#[derive(Clone, PartialEq, Message)]
pub struct Node {
    /// Unique in the mesh: `sidecar~<address>~<workload>.<namespace>~<namespace>.svc.<domain>`.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The service.
    #[prost(string, tag = "2")]
    pub cluster: String,
    /// All else, under Istio's names.
    #[prost(message, optional, tag = "3")]
    pub metadata: Option<Struct>,
    /// Where it runs.
    #[prost(message, optional, tag = "4")]
    pub locality: Option<Locality>,
    /// Which program it is: `meshcore`.
    #[prost(string, tag = "6")]
    pub user_agent_name: String,
    /// Version of the program.
    #[prost(string, tag = "7")]
    pub user_agent_version: String,
}

/// Where something runs.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Locality {
    /// Region.
    #[prost(string, tag = "1")]
    pub region: String,
    /// Zone in the region.
    #[prost(string, tag = "2")]
    pub zone: String,
    /// Part of the zone.
    #[prost(string, tag = "3")]
    pub sub_zone: String,
}

/// An error as gRPC tells it.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// Number of the gRPC code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// For people.
    #[prost(string, tag = "2")]
    pub message: String,
    /// For programs.
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}
