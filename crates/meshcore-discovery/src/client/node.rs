//! Who asks, in the words of the protocol.

use std::collections::BTreeMap;

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use super::answer::Health;
use crate::wire::{Locality, Node};

/// Whether the workload may be called from the first request on.
const HEALTHY: &str = "MESHCORE_HEALTHY";
/// Name of the program.
const PROGRAM: &str = "meshcore";

/// A node of its metadata (JSON object), id, service, and version of meshcore. The locality is
/// `region/zone/subzone`, as much of it as is known.
pub fn node(
    (id, cluster): (String, String),
    metadata: serde_json::Map<String, serde_json::Value>,
    locality: &str,
    version: String,
) -> Node {
    let mut parts = locality.splitn(3, '/').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    let locality =
        (!locality.is_empty()).then(|| Locality { region: next(), zone: next(), sub_zone: next() });
    Node {
        id,
        cluster,
        metadata: Some(object(metadata)),
        locality,
        user_agent_name: PROGRAM.to_owned(),
        user_agent_version: version,
    }
}

/// The same node with its health as of now, which holds from the first request on.
pub(super) fn with_health(node: &Node, health: Option<&Health>) -> Node {
    let mut node = node.clone();
    if let (Some(metadata), Some(health)) = (&mut node.metadata, health) {
        let text = (*health == Health::Healthy).to_string();
        let value = Value { kind: Some(Kind::StringValue(text)) };
        metadata.fields.insert(HEALTHY.to_owned(), value);
    }
    node
}

fn object(fields: serde_json::Map<String, serde_json::Value>) -> Struct {
    let fields: BTreeMap<String, Value> =
        fields.into_iter().map(|(name, field)| (name, value(field))).collect();
    Struct { fields }
}

fn value(json: serde_json::Value) -> Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(bool) => Kind::BoolValue(bool),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(0.0)),
        serde_json::Value::String(text) => Kind::StringValue(text),
        serde_json::Value::Array(all) => {
            Kind::ListValue(ListValue { values: all.into_iter().map(value).collect() })
        }
        serde_json::Value::Object(fields) => Kind::StructValue(object(fields)),
    };
    Value { kind: Some(kind) }
}
