//! Many clients of a control plane in one process, for measuring:
//! `clients ADDRESS NUMBER NAMESPACE HOST...`.
//!
//! Each subscribes to all the hosts, acknowledges what comes, and connects again when its stream
//! ends, as a sidecar does. Whenever all of them have reached a revision, a line of JSON says so.
//! Ends when its standard input ends.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use meshcore_discovery::wire::{DELTA_RESOURCES, DeltaRequest, DeltaResponse, Node, RESOURCE};
use parking_lot::Mutex;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;
use tonic_prost::ProstCodec;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How long a client whose stream ended waits before it connects again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, number, namespace, hosts @ ..] = arguments.as_slice() else {
        return Err("usage: clients ADDRESS NUMBER NAMESPACE HOST...".into());
    };
    let number: usize = number.parse()?;
    let reached = Arc::new(Reached::new(number));
    let wanted = Wanted {
        endpoint: Endpoint::from_shared(format!("http://{address}"))?,
        namespace: namespace.clone(),
        keys: hosts.iter().map(|host| format!("host/{host}")).collect(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            for place in 0..number {
                tokio::spawn(live(place, wanted.clone(), Arc::clone(&reached)));
            }
            std::future::pending::<()>().await;
        });
    });
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// What every client wants.
#[derive(Clone)]
struct Wanted {
    endpoint: Endpoint,
    namespace: String,
    keys: Vec<String>,
}

/// The revision that each client has.
struct Reached(Mutex<Vec<u64>>);

impl Reached {
    fn new(number: usize) -> Self {
        Self(Mutex::new(vec![0; number]))
    }

    /// Notes it; says so when all have reached it.
    fn note(&self, place: usize, revision: u64) {
        let mut revisions = self.0.lock();
        let before = revisions.iter().min().copied();
        if let Some(mine) = revisions.get_mut(place) {
            *mine = revision;
        }
        let now = revisions.iter().min().copied();
        if now > before {
            let line = serde_json::json!({"revision": now, "clients": revisions.len()});
            let mut out = std::io::stdout().lock();
            // Nobody may be reading any more.
            let _ = writeln!(out, "{line}").and_then(|()| out.flush());
        }
    }
}

/// Lives as one client, stream after stream.
async fn live(place: usize, wanted: Wanted, reached: Arc<Reached>) {
    let mut held = HashMap::new();
    loop {
        // A stream that ends is what this waits for.
        let _ended = listen(place, &wanted, &mut held, &reached).await;
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

async fn listen(
    place: usize,
    wanted: &Wanted,
    held: &mut HashMap<String, String>,
    reached: &Reached,
) -> Result<(), Failure> {
    let channel = wanted.endpoint.connect().await?;
    let (requests, taken) = mpsc::channel(4);
    requests.send(hello(place, wanted, held.clone())).await?;
    let mut grpc = Grpc::new(channel).max_decoding_message_size(32 << 20);
    grpc.ready().await?;
    let codec = ProstCodec::<DeltaRequest, DeltaResponse>::default();
    let path = PathAndQuery::from_static(DELTA_RESOURCES);
    let request = Request::new(ReceiverStream::new(taken));
    let mut stream = grpc.streaming(request, path, codec).await?.into_inner();
    while let Some(response) = stream.message().await? {
        for one in response.resources {
            held.insert(one.name, one.version);
        }
        for name in &response.removed_resources {
            held.remove(name);
        }
        requests.send(acknowledge(response.nonce)).await?;
        if let Ok(revision) = response.system_version_info.parse() {
            reached.note(place, revision);
        }
    }
    Ok(())
}

fn hello(place: usize, wanted: &Wanted, held: HashMap<String, String>) -> DeltaRequest {
    let text = |value: String| Value { kind: Some(Kind::StringValue(value)) };
    let fields = [
        ("NAMESPACE".to_owned(), text(wanted.namespace.clone())),
        ("WORKLOAD_NAME".to_owned(), text(format!("client-{place}"))),
        ("SERVICE_ACCOUNT".to_owned(), text("client".to_owned())),
    ];
    let metadata = Struct { fields: fields.into() };
    DeltaRequest {
        node: Some(Node {
            id: format!("sidecar~127.0.0.1~client-{place}.{0}~{0}", wanted.namespace),
            metadata: Some(metadata),
            ..Node::default()
        }),
        type_url: RESOURCE.to_owned(),
        resource_names_subscribe: wanted.keys.clone(),
        initial_resource_versions: held,
        ..DeltaRequest::default()
    }
}

fn acknowledge(nonce: String) -> DeltaRequest {
    DeltaRequest { type_url: RESOURCE.to_owned(), response_nonce: nonce, ..DeltaRequest::default() }
}
