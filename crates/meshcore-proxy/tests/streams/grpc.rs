//! gRPC as the sidecar sees it: HTTP/2 streams whose messages flow, and its own way to fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Request};
use meshcore_testkit::h2::{H2Answer, H2Application, H2Call, H2Client, end, piece, request, run};
use meshcore_testkit::{Client, ClosedPort, MeshBuilder, Sidecar, TestCa, host, rule};
use serde_json::json;

const HOST: &str = "api:80";
const GRPC: &[(&str, &str)] = &[("content-type", "application/grpc"), ("te", "trailers")];

fn mesh() -> MeshBuilder {
    MeshBuilder::new().service_speaking("api", 80, "grpc")
}

fn to(application: &H2Application) -> Sidecar {
    Sidecar::outbound_to(&mesh().endpoint("v1", application.address()))
}

fn call(method: &str) -> Request<()> {
    request("POST", HOST, &format!("/pkg.Service/{method}"), GRPC)
}

/// A message with its prefix. Source: the gRPC protocol over HTTP/2, `Length-Prefixed-Message`.
fn message(text: &str) -> Bytes {
    let mut bytes = vec![0];
    bytes.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes.into()
}

fn status(code: u8) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", u16::from(code).into());
    trailers
}

/// Answers by the method: each message as it comes, all at once, or a failure.
async fn serve(mut call: H2Call) {
    let method = call.head.uri.path().rsplit('/').next().unwrap().to_owned();
    match method.as_str() {
        "Fail" => {
            let _read = call.read().await;
            call.answer_head(200, &[("content-type", "application/grpc"), ("grpc-status", "5")]);
        }
        "Collect" => {
            let (all, _) = call.read().await.unwrap();
            let mut send = call.begin(200, GRPC).unwrap();
            send.send_data(all.into(), false).unwrap();
            end(&mut send, Some(status(0)));
        }
        _stream => {
            let mut send = call.begin(200, GRPC).unwrap();
            while let Some(Ok(piece)) = call.piece().await {
                send.send_data(piece, false).unwrap();
            }
            end(&mut send, Some(status(0)));
        }
    }
}

#[test]
fn a_unary_call_ends_with_its_status() {
    let application = H2Application::start(serve);
    let sidecar = to(&application);
    run(async {
        let client = H2Client::connect(sidecar.outbound()).await;
        let answer = client.ask(call("Collect"), &message("hello")).await.unwrap();
        assert_eq!((answer.status, &*answer.body), (200, &*message("hello")));
        assert_eq!(answer.trailers.unwrap().get("grpc-status").unwrap(), "0");
    });
    let labels = [
        ("request_protocol", "grpc"),
        ("grpc_response_status", "0"),
        ("response_code", "200"),
        ("destination_service", "api.default.svc.cluster.local"),
    ];
    sidecar.series("istio_requests_total", &labels, 1);
}

#[test]
fn messages_flow_both_ways_while_the_call_is_open() {
    let application = H2Application::start(serve);
    let sidecar = to(&application);
    run(async {
        let client = H2Client::connect(sidecar.outbound()).await;
        let (response, mut send) = client.begin(call("Chat"), false).await.unwrap();
        // The answer begins before any message, and each message comes back before the next.
        let mut body = response.await.unwrap().into_body();
        for n in 0..50 {
            let text = message(&format!("message {n}"));
            send.send_data(text.clone(), false).unwrap();
            assert_eq!(piece(&mut body).await.unwrap().unwrap(), text);
        }
        end(&mut send, None);
        assert!(piece(&mut body).await.is_none());
        assert_eq!(body.trailers().await.unwrap().unwrap().get("grpc-status").unwrap(), "0");
    });
}

#[test]
fn a_server_streams_and_a_client_streams() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let next = Arc::new(tokio::sync::Notify::new());
    let wanted = Arc::clone(&next);
    let application = H2Application::start(move |mut call| {
        let (tell, next) = (tell.clone(), Arc::clone(&next));
        async move {
            if call.head.uri.path().ends_with("Watch") {
                let mut send = call.begin(200, GRPC).unwrap();
                for n in 0..3 {
                    send.send_data(message(&format!("event {n}")), false).unwrap();
                    next.notified().await;
                }
                return end(&mut send, Some(status(0)));
            }
            while let Some(Ok(piece)) = call.piece().await {
                tell.send(piece).unwrap();
            }
            call.answer_head(200, &[("grpc-status", "0")]);
        }
    });
    let sidecar = to(&application);
    run(async {
        let client = H2Client::connect(sidecar.outbound()).await;
        let (response, _send) = client.begin(call("Watch"), true).await.unwrap();
        let mut body = response.await.unwrap().into_body();
        for n in 0..3 {
            let event = piece(&mut body).await.unwrap().unwrap();
            assert_eq!(event, message(&format!("event {n}")));
            wanted.notify_one();
        }
        assert!(piece(&mut body).await.is_none());

        let (response, mut send) = client.begin(call("Upload"), false).await.unwrap();
        for n in 0..3 {
            let part = message(&format!("part {n}"));
            send.send_data(part.clone(), false).unwrap();
            assert_eq!(told.recv().await.unwrap(), part, "it comes while the call is open");
        }
        end(&mut send, None);
        assert_eq!(response.await.unwrap().headers().get("grpc-status").unwrap(), "0");
    });
}

#[test]
fn an_error_without_messages_passes_as_it_is() {
    let application = H2Application::start(serve);
    let sidecar = to(&application);
    run(async {
        let client = H2Client::connect(sidecar.outbound()).await;
        let answer = client.ask(call("Fail"), &message("x")).await.unwrap();
        assert_eq!((answer.status, answer.field("grpc-status")), (200, Some("5")));
        assert!(answer.body.is_empty() && answer.trailers.is_none(), "it has but a head");
        assert_eq!(answer.field("content-length"), None, "as it came");
    });
    sidecar.series("istio_requests_total", &[("grpc_response_status", "5")], 1);
}

async fn failing(sidecar: &Sidecar) -> H2Answer {
    let client = H2Client::connect(sidecar.outbound()).await;
    client.ask(call("Any"), &message("x")).await.unwrap()
}

fn assert_fails(answer: &H2Answer, code: &str) {
    assert_eq!((answer.status, answer.field("grpc-status")), (200, Some(code)));
    assert_eq!(answer.field("content-type"), Some("application/grpc"));
    assert!(answer.field("grpc-message").is_some_and(|message| !message.is_empty()));
}

#[test]
fn without_an_endpoint_it_is_unavailable() {
    let sidecar = Sidecar::outbound_to(&mesh());
    run(async { assert_fails(&failing(&sidecar).await, "14") });
    let labels =
        [("response_code", "200"), ("grpc_response_status", "14"), ("response_flags", "UH")];
    sidecar.series("istio_requests_total", &labels, 1);
}

#[test]
fn an_endpoint_that_cannot_be_reached_is_unavailable() {
    let nobody = ClosedPort::new();
    let sidecar = Sidecar::outbound_to(&mesh().endpoint("v1", nobody.address()));
    run(async { assert_fails(&failing(&sidecar).await, "14") });
    sidecar.series("istio_requests_total", &[("grpc_response_status", "14")], 1);
}

#[test]
fn a_call_that_takes_too_long_has_its_deadline_exceeded() {
    let application = H2Application::start(|mut call| async move {
        let _reset = call.reset_by_client().await;
    });
    let forward = json!({"forward": [{"host": host("api"), "weight": 1}]});
    let timed = rule(forward, json!({"timeout_ms": 50}));
    let mesh = mesh().endpoint("v1", application.address()).route("api", [timed]);
    let sidecar = Sidecar::outbound_to(&mesh);
    run(async { assert_fails(&failing(&sidecar).await, "4") });
    sidecar.series(
        "istio_requests_total",
        &[("grpc_response_status", "4"), ("response_flags", "UT")],
        1,
    );
}

#[test]
fn what_policy_denies_is_permission_denied() {
    let ca = TestCa::default();
    let application = H2Application::start(serve);
    let allow = json!([{"to": [{"paths": {"any": [{"exact": "/pkg.Service/Collect"}]}}]}]);
    let mesh = mesh().authorization("only-collect", "api", "allow", allow);
    let server = Sidecar::of("api")
        .inbound(80, application.address())
        .materials(ca.materials("api"))
        .mesh(&mesh)
        .start();
    let with_server = mesh.mesh_endpoint("v1", server.inbound());
    server.apply(&with_server, 2);
    let client = Sidecar::of("web").outbound().materials(ca.materials("web")).mesh(&with_server);
    let client = client.start();
    run(async {
        assert_fails(&failing(&client).await, "7");
        let through = H2Client::connect(client.outbound()).await;
        let answer = through.ask(call("Collect"), &message("x")).await.unwrap();
        assert_eq!(answer.field("grpc-status"), Some("0"));
    });
    for (sidecar, reporter) in [(&server, "destination"), (&client, "source")] {
        for code in ["7", "0"] {
            let labels = [
                ("reporter", reporter),
                ("grpc_response_status", code),
                ("request_protocol", "grpc"),
            ];
            sidecar.series("istio_requests_total", &labels, 1);
        }
    }
}

#[test]
fn unavailable_without_messages_is_tried_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let application = H2Application::start(move |mut call| {
        let number = calls.fetch_add(1, Ordering::SeqCst);
        async move {
            if number == 0 {
                let _read = call.read().await;
                call.answer_head(
                    200,
                    &[("content-type", "application/grpc"), ("grpc-status", "14")],
                );
            } else {
                serve(call).await;
            }
        }
    });
    let sidecar = to(&application); // with the retries of the mesh's default
    run(async {
        let client = H2Client::connect(sidecar.outbound()).await;
        let answer = client.ask(call("Collect"), &message("once more")).await.unwrap();
        assert_eq!(
            (&*answer.body, answer.field("grpc-status")),
            (&*message("once more"), Some("0"))
        );
    });
    assert_eq!(application.calls(), 2);
    sidecar.series("meshcore_retries_total", &[], 1);
}

#[test]
fn a_plain_request_to_a_grpc_port_fails_in_plain_words() {
    let sidecar = Sidecar::outbound_to(&mesh());
    let mut client = Client::connect(sidecar.outbound());
    let answer = client.ask("GET / HTTP/1.1\r\nhost: api\r\n\r\n");
    assert_eq!((answer.status(), answer.field("grpc-status")), (503, None));
    sidecar.series("istio_requests_total", &[("request_protocol", "http")], 1);
}
