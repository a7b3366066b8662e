//! Streams over real connections.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use http::uri::PathAndQuery;
use meshcore_model::Settings;
use prost_types::value::Kind;
use serde_json::{Value, json};
use tonic::transport::Endpoint;
use tonic::{Code, IntoRequest};

use super::*;
use crate::peer::{Refused, Tokens};
use crate::server::{Limits, Listener, Options, serve};

const WITHIN: Duration = Duration::from_secs(20);

/// A token is the name of a service account of the namespace `one`.
#[derive(Debug)]
struct NamesAreTokens;

impl Tokens for NamesAreTokens {
    fn identity(&self, bearer: &str) -> Result<Identity, Refused> {
        let no = Refused { reason: "the token is none of ours".into() };
        Identity::new("cluster.local", "one", bearer).map_err(|_| no)
    }
}

struct Stream {
    requests: mpsc::Sender<DeltaRequest>,
    responses: Streaming<DeltaResponse>,
}

impl Stream {
    async fn open(address: SocketAddr, token: Option<&str>, node: &[(&str, &str)]) -> Self {
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let mut grpc = tonic::client::Grpc::new(channel.connect().await.unwrap());
        grpc.ready().await.unwrap();
        let (requests, outgoing) = mpsc::channel(8);
        requests.send(hello(node)).await.unwrap();
        let mut request = ReceiverStream::new(outgoing).into_request();
        if let Some(token) = token {
            let bearer = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", bearer);
        }
        let codec = ProstCodec::<DeltaRequest, DeltaResponse>::default();
        let path = PathAndQuery::from_static(wire::DELTA_RESOURCES);
        let responses = grpc.streaming(request, path, codec).await.unwrap().into_inner();
        Self { requests, responses }
    }

    /// Receives a response and acknowledges it; the names in it.
    async fn take(&mut self) -> Result<Vec<String>, Status> {
        let received = timeout(WITHIN, self.responses.message()).await.unwrap()?;
        let received = received.unwrap();
        let answer = DeltaRequest { response_nonce: received.nonce, ..DeltaRequest::default() };
        self.requests.send(answer).await.unwrap();
        Ok(received.resources.into_iter().map(|one| one.name).collect())
    }
}

fn hello(node: &[(&str, &str)]) -> DeltaRequest {
    let fields = node.iter().map(|(name, value)| {
        let kind = Some(Kind::StringValue((*value).into()));
        ((*name).to_owned(), prost_types::Value { kind })
    });
    let metadata = Some(prost_types::Struct { fields: fields.collect() });
    let node = wire::Node { id: "sidecar~10.0.0.9~w.one~x".into(), metadata, ..Default::default() };
    let resource_names_subscribe = vec!["host/web".into()];
    DeltaRequest { node: Some(node), resource_names_subscribe, ..DeltaRequest::default() }
}

fn server(state: Option<&Path>, limits: Limits) -> Arc<Server> {
    let options = Options {
        state: state.map(Path::to_owned),
        settings: Settings::default(),
        version: "test".into(),
        grace: Duration::from_secs(30),
        limits,
    };
    Arc::new(Server::open(options, Some(Arc::new(NamesAreTokens))).unwrap())
}

async fn listening(server: &Arc<Server>) -> SocketAddr {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.address().unwrap();
    let (connections, incoming) = mpsc::channel(8);
    tokio::spawn(listener.accept(connections));
    tokio::spawn(serve(incoming, vec![Arc::new(Ads::new(Arc::clone(server)))]));
    address
}

fn service() -> (String, Vec<u8>) {
    let service = json!({"service": {
        "origin": {"kind": "Service", "namespace": "one", "name": "web"}, "name": "web",
        "host": "web.one.svc.cluster.local", "namespace": "one", "ports": [],
        "location": "internal", "resolution": "static", "selector": {"app": "web"},
    }});
    ("service/one/web".into(), service.to_string().into_bytes())
}

fn large(number: u32) -> (String, Vec<u8>) {
    let workload = json!({"workload": {
        "origin": {"kind": "Pod", "namespace": "one", "name": "web"}, "name": "web",
        "namespace": "one", "address": format!("10.0.0.{number}"), "service_account": "web",
        "labels": {"app": "web", "note": "x".repeat(200_000)},
    }});
    (format!("workload/one/web-{number}"), workload.to_string().into_bytes())
}

fn read(status: &str) -> Value {
    serde_json::from_str(status).unwrap()
}

async fn until(condition: impl Fn() -> bool) {
    let met = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(WITHIN, met).await.expect("it never came to be");
}

#[tokio::test]
async fn who_does_not_read_is_disconnected_and_holds_up_nobody() {
    let limits = Limits { write: Duration::from_millis(200), ..Limits::default() };
    let server = server(None, limits);
    let mut resources: Vec<_> = (1..60).map(large).collect();
    resources.push(service());
    server.update(1, &resources, &[]).unwrap();
    let address = listening(&server).await;
    let slow = Stream::open(address, None, &[]).await;
    let mut quick = Stream::open(address, None, &[]).await;
    let mut names = 0;
    while names < 62 {
        names += quick.take().await.unwrap().len();
    }
    until(|| server.state.lock().counts.slow == 1).await;
    until(|| server.state.lock().clients.len() == 1).await;
    drop(slow);
    server.update(2, &[large(1), large(70)], &[]).unwrap();
    assert_eq!(quick.take().await.unwrap(), ["host/web", "workload/one/web-70"]);
}

#[tokio::test]
async fn a_workload_that_registered_is_known_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let first = server(Some(directory.path()), Limits::default());
    first.update(1, &[service()], &[]).unwrap();
    let address = listening(&first).await;
    let node = [("MESHCORE_SERVICE", "web"), ("INSTANCE_IPS", "10.0.0.9")];
    let mut stream = Stream::open(address, Some("web"), &node).await;
    let name = "workload/one/w@10.0.0.9";
    assert!(stream.take().await.unwrap().contains(&name.to_owned()));
    drop(stream);
    until(|| read(&first.status())["workloads"][0]["is_connected"] == json!(false)).await;
    // As it would be after a kill: the file is all that is left.
    let copy = tempfile::tempdir().unwrap();
    let file = "registry.redb";
    std::fs::copy(directory.path().join(file), copy.path().join(file)).unwrap();

    let second = server(Some(copy.path()), Limits::default());
    second.update(1, &[service()], &[]).unwrap();
    let mut other = Stream::open(listening(&second).await, None, &[]).await;
    assert!(other.take().await.unwrap().contains(&name.to_owned()));
    let status = read(&second.status());
    assert_eq!(status["workloads"][0]["identity"], "spiffe://cluster.local/ns/one/sa/web");
}

#[tokio::test]
async fn who_is_not_what_it_says_is_refused_and_counted() {
    let server = server(None, Limits::default());
    server.update(1, &[service()], &[]).unwrap();
    let address = listening(&server).await;
    let registers = [("MESHCORE_SERVICE", "web"), ("INSTANCE_IPS", "10.0.0.9")];
    for (case, token, node, code, part) in [
        ("no token", None, &registers[..], Code::Unauthenticated, "a token is missing"),
        ("a bad token", Some("/"), &[], Code::Unauthenticated, "none of ours"),
        ("another's service", Some("other"), &registers, Code::PermissionDenied, "may not stand"),
        (
            "another namespace",
            Some("web"),
            &[("NAMESPACE", "two")],
            Code::PermissionDenied,
            "the namespace two",
        ),
        (
            "another account",
            Some("web"),
            &[("SERVICE_ACCOUNT", "other")],
            Code::PermissionDenied,
            "the service account other",
        ),
    ] {
        let mut stream = Stream::open(address, token, node).await;
        let status = stream.take().await.unwrap_err();
        assert_eq!(status.code(), code, "{case}: {status}");
        assert!(status.message().contains(part), "{case}: {status}");
    }
    let metrics = String::from_utf8(server.metrics()).unwrap();
    for line in ["{code=\"permission_denied\"} 3", "{code=\"unauthenticated\"} 2"] {
        assert!(metrics.contains(&format!("meshcore_control_streams_ended_total{line}")), "{line}");
    }
    assert_eq!(read(&server.status())["workloads"], json!([]));
}
