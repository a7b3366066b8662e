use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use meshcore_model::{Flag, Flags, LabelIds, ServiceLabels, WorkloadLabels};

use super::*;

struct World {
    productpage: Arc<WorkloadLabels>,
    reviews: Arc<WorkloadLabels>,
    service: Arc<ServiceLabels>,
    nobody: Arc<WorkloadLabels>,
}

fn workload(ids: &LabelIds, name: &str, version: &str) -> Arc<WorkloadLabels> {
    ids.workload(WorkloadLabels {
        id: 0,
        workload: format!("{name}-{version}").into(),
        namespace: "prod".into(),
        principal: format!("spiffe://cluster.local/ns/prod/sa/{name}").into(),
        app: name.into(),
        version: version.into(),
        cluster: "Kubernetes".into(),
        canonical_service: name.into(),
        canonical_revision: version.into(),
    })
}

fn world() -> World {
    let ids = LabelIds::default();
    World {
        productpage: workload(&ids, "productpage", "v1"),
        reviews: workload(&ids, "reviews", "v2"),
        service: ids.service(ServiceLabels {
            id: 0,
            host: "reviews.prod.svc.cluster.local".into(),
            name: "reviews".into(),
            namespace: "prod".into(),
        }),
        nobody: ids.workload(WorkloadLabels::default()),
    }
}

impl World {
    fn client_key(&self) -> RequestKey<'_> {
        RequestKey {
            reporter: Reporter::Source,
            source: &self.productpage,
            destination: &self.reviews,
            service: &self.service,
            protocol: RequestProtocol::Http,
            code: 200,
            grpc_status: None,
            flags: Flags::default(),
            security: Security::MutualTls,
        }
    }

    fn server_key(&self) -> RequestKey<'_> {
        RequestKey {
            reporter: Reporter::Destination,
            source: &self.nobody,
            protocol: RequestProtocol::Grpc,
            code: 0,
            grpc_status: Some(14),
            flags: Flags::default().with(Flag::UpstreamTimeout).with(Flag::DownstreamClosed),
            ..self.client_key()
        }
    }

    fn tcp_key(&self) -> TcpKey<'_> {
        TcpKey {
            reporter: Reporter::Destination,
            source: &self.productpage,
            destination: &self.reviews,
            service: &self.service,
            flags: Flags::default(),
            security: Security::MutualTls,
        }
    }
}

fn registry(max_series: usize) -> Registry {
    Registry::new(RegistryOptions { version: "1.2.3".into(), max_series })
}

fn rendered(registry: &Registry, format: TextFormat) -> String {
    let mut out = Vec::new();
    registry.render(format, &mut out);
    String::from_utf8(out).unwrap()
}

/// Value of the only line that begins with `start`.
fn value(text: &str, start: &str) -> f64 {
    let mut lines = text.lines().filter(|line| line.starts_with(start));
    let line = lines.next().unwrap_or_else(|| panic!("{start} is not there"));
    assert_eq!(lines.next(), None, "{start} is there more than once");
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

/// Names, order and values are those of Istio's goldens (istio/proxy, testdata/metric).
const CLIENT: &str = concat!(
    r#"{reporter="source",source_workload="productpage-v1","#,
    r#"source_canonical_service="productpage",source_canonical_revision="v1","#,
    r#"source_workload_namespace="prod","#,
    r#"source_principal="spiffe://cluster.local/ns/prod/sa/productpage","#,
    r#"source_app="productpage",source_version="v1",source_cluster="Kubernetes","#,
    r#"destination_workload="reviews-v2",destination_workload_namespace="prod","#,
    r#"destination_principal="spiffe://cluster.local/ns/prod/sa/reviews","#,
    r#"destination_app="reviews",destination_version="v2","#,
    r#"destination_service="reviews.prod.svc.cluster.local","#,
    r#"destination_canonical_service="reviews",destination_canonical_revision="v2","#,
    r#"destination_service_name="reviews",destination_service_namespace="prod","#,
    r#"destination_cluster="Kubernetes",request_protocol="http",response_code="200","#,
    r#"grpc_response_status="",response_flags="-",connection_security_policy="unknown""#,
);

const SERVER: &str = concat!(
    r#"{reporter="destination",source_workload="unknown","#,
    r#"source_canonical_service="unknown",source_canonical_revision="latest","#,
    r#"source_workload_namespace="unknown",source_principal="unknown","#,
    r#"source_app="unknown",source_version="unknown",source_cluster="unknown","#,
    r#"destination_workload="reviews-v2",destination_workload_namespace="prod","#,
    r#"destination_principal="spiffe://cluster.local/ns/prod/sa/reviews","#,
    r#"destination_app="reviews",destination_version="v2","#,
    r#"destination_service="reviews.prod.svc.cluster.local","#,
    r#"destination_canonical_service="reviews",destination_canonical_revision="v2","#,
    r#"destination_service_name="reviews",destination_service_namespace="prod","#,
    r#"destination_cluster="Kubernetes",request_protocol="grpc",response_code="0","#,
    r#"grpc_response_status="14",response_flags="UT,DC","#,
    r#"connection_security_policy="mutual_tls""#,
);

#[test]
fn a_client_and_a_server_request_look_as_in_istio() {
    let (world, registry) = (world(), registry(10));
    let recorder = registry.recorder();
    recorder.request(&world.client_key(), Duration::from_micros(2_500), 0, 1_234);
    recorder.request(&world.server_key(), Duration::from_millis(70), 20_000, 5);
    let text = rendered(&registry, TextFormat::Prometheus);
    let start = format!(
        "# HELP istio_requests_total Requests.\n\
         # TYPE istio_requests_total counter\n\
         istio_requests_total{CLIENT}}} 1\n\
         istio_requests_total{SERVER}}} 1\n\
         # HELP istio_request_duration_milliseconds Duration of requests.\n\
         # TYPE istio_request_duration_milliseconds histogram\n\
         istio_request_duration_milliseconds_bucket{CLIENT},le=\"0.5\"}} 0\n\
         istio_request_duration_milliseconds_bucket{CLIENT},le=\"1\"}} 0\n\
         istio_request_duration_milliseconds_bucket{CLIENT},le=\"5\"}} 1\n"
    );
    assert!(text.starts_with(&start), "{text}");
    for (line, expected) in [
        (format!("istio_request_duration_milliseconds_bucket{CLIENT},le=\"+Inf\"}}"), 1.0),
        (format!("istio_request_duration_milliseconds_sum{CLIENT}}}"), 2.5),
        (format!("istio_request_duration_milliseconds_count{CLIENT}}}"), 1.0),
        (format!("istio_request_duration_milliseconds_bucket{SERVER},le=\"50\"}}"), 0.0),
        (format!("istio_request_duration_milliseconds_bucket{SERVER},le=\"100\"}}"), 1.0),
        (format!("istio_request_duration_milliseconds_sum{SERVER}}}"), 70.0),
        (format!("istio_request_bytes_bucket{CLIENT},le=\"0.5\"}}"), 1.0),
        (format!("istio_request_bytes_sum{SERVER}}}"), 20_000.0),
        (format!("istio_response_bytes_bucket{CLIENT},le=\"1000\"}}"), 0.0),
        (format!("istio_response_bytes_bucket{CLIENT},le=\"2500\"}}"), 1.0),
        (format!("istio_response_bytes_count{SERVER}}}"), 1.0),
        (r#"istio_build{component="proxy",tag="1.2.3"}"#.into(), 1.0),
    ] {
        assert!((value(&text, &line) - expected).abs() < 1e-9, "{line}");
    }
}

#[test]
fn tcp_connections_look_as_in_istio() {
    let (world, registry) = (world(), registry(10));
    let recorder = registry.recorder();
    let key = world.tcp_key();
    let kept = recorder.tcp_series(&key);
    kept.opened();
    recorder.tcp_series(&key).opened();
    kept.bytes(7, 11);
    recorder.tcp_series(&key).bytes(1, 0);
    kept.closed();
    let text = rendered(&registry, TextFormat::Prometheus);
    let (peers, _) = CLIENT.split_once(r#"request_protocol="http""#).unwrap();
    let peers = peers.replace(r#"reporter="source""#, r#"reporter="destination""#);
    let labels = format!(
        r#"{peers}request_protocol="tcp",response_flags="-",connection_security_policy="mutual_tls"}}"#
    );
    for (name, expected) in [
        ("istio_tcp_sent_bytes_total", 8.0),
        ("istio_tcp_received_bytes_total", 11.0),
        ("istio_tcp_connections_opened_total", 2.0),
        ("istio_tcp_connections_closed_total", 1.0),
    ] {
        assert!((value(&text, &format!("{name}{labels}")) - expected).abs() < 1e-9, "{name}");
        assert!(text.contains(&format!("# TYPE {name} counter\n")));
    }
}

#[test]
fn counts_of_the_process_are_summed_over_workers() {
    let registry = registry(10);
    let (one, two) = (registry.recorder(), registry.recorder());
    one.count(Counter::InboundConnections, 2);
    two.count(Counter::InboundConnections, 3);
    one.gauge(Gauge::ConnectionsOpen, 1);
    two.gauge(Gauge::ConnectionsOpen, -3);
    one.count_by(Labelled::HookCalls, "limit \"hosts\"", 1);
    two.labelled(Labelled::HookCalls, "limit \"hosts\"").add(4);
    registry.set(Level::ConfigRevision, 42);
    drop(two);
    let text = rendered(&registry, TextFormat::Prometheus);
    for (line, expected) in [
        ("meshcore_connections_accepted_total{listener=\"inbound\"}", 5.0),
        ("meshcore_connections_accepted_total{listener=\"hbone\"}", 0.0),
        ("meshcore_connections_open ", -2.0),
        ("meshcore_hook_calls_total{hook=\"limit \\\"hosts\\\"\"}", 5.0),
        ("meshcore_config_revision ", 42.0),
        ("meshcore_panics_total ", 0.0),
    ] {
        assert!((value(&text, line) - expected).abs() < 1e-9, "{line}");
    }
    let headings = text.matches("# TYPE meshcore_connections_accepted_total").count();
    assert_eq!(headings, 1);
}

#[test]
fn openmetrics_names_families_without_total_and_ends() {
    let (world, registry) = (world(), registry(10));
    registry.recorder().request(&world.client_key(), Duration::ZERO, 0, 0);
    let text = rendered(&registry, TextFormat::OpenMetrics);
    assert!(text.contains("# TYPE istio_requests counter\nistio_requests_total{"));
    assert!(text.contains("le=\"1.0\"} ") && text.contains("le=\"0.5\"} "));
    assert!(text.contains("le=\"+Inf\"} ") && !text.contains("le=\"1\"} "));
    assert!(text.ends_with("# EOF\n"));
    assert!(!rendered(&registry, TextFormat::Prometheus).contains("# EOF"));
}

#[test]
fn series_over_the_limit_are_folded_and_counted() {
    let (world, registry) = (world(), registry(2));
    let recorder = registry.recorder();
    for code in 200..210 {
        let key = RequestKey { code, ..world.client_key() };
        recorder.request(&key, Duration::from_millis(1), 1, 1);
    }
    let handle = recorder.request_series(&RequestKey { code: 500, ..world.client_key() });
    handle.record(Duration::from_millis(1), 1, 1);
    recorder.request(&RequestKey { code: 200, ..world.client_key() }, Duration::ZERO, 0, 0);
    let text = rendered(&registry, TextFormat::Prometheus);
    let series: Vec<_> =
        text.lines().filter(|line| line.starts_with("istio_requests_total{")).collect();
    assert_eq!(series.len(), 3, "{series:?}");
    assert!(series[0].ends_with(" 2") && series[1].ends_with(" 1"));
    assert!(series[2].contains("source_workload=\"overflow\""));
    assert!(series[2].contains("response_code=\"0\"") && series[2].ends_with(" 9"));
    assert!((value(&text, "meshcore_series_folded_total ") - 9.0).abs() < 1e-9);
}

#[test]
fn values_of_labelled_counters_are_few() {
    let registry = registry(2);
    let recorder = registry.recorder();
    for n in 0..1_000 {
        recorder.count_by(Labelled::RequestsRejected, &format!("reason {n}"), 1);
    }
    recorder.count_by(Labelled::HandshakesFailed, "expired", 1);
    let text = rendered(&registry, TextFormat::Prometheus);
    let lines = text.lines().filter(|line| line.starts_with("meshcore_requests_rejected_total{"));
    assert_eq!(lines.count(), 257);
    let other = value(&text, "meshcore_requests_rejected_total{reason=\"other\"}");
    assert!((other - 744.0).abs() < 1e-9);
    assert!(text.contains("meshcore_tls_handshakes_failed_total{reason=\"expired\"} 1\n"));
}

#[test]
fn values_and_text_say_the_same() {
    let (world, registry) = (world(), registry(10));
    let recorder = registry.recorder();
    recorder.request(&world.client_key(), Duration::from_micros(1_500), 3, 4);
    let totals = registry.totals();
    let family = |name: &str| totals.families.iter().find(|family| family.name == name).unwrap();
    let requests = family("istio_requests_total");
    assert_eq!(requests.kind, FamilyKind::Counter);
    assert_eq!(requests.label_names.len(), 25);
    assert_eq!(requests.label_names[0], "reporter");
    assert_eq!(requests.samples[0].labels[0], "source");
    assert_eq!(requests.samples[0].value, Value::Number(1.0));
    let duration = family("istio_request_duration_milliseconds");
    let Value::Histogram { cumulated, sum } = &duration.samples[0].value else {
        panic!("not a histogram");
    };
    assert_eq!(cumulated.len(), Totals::BOUNDS.len());
    assert_eq!(&cumulated[..3], [0, 0, 1]);
    assert!((sum - 1.5).abs() < 1e-9);
    let text = rendered(&registry, TextFormat::Prometheus);
    let headings = text.lines().filter(|line| line.starts_with("# TYPE ")).count();
    assert_eq!(totals.families.len(), headings);
}

#[test]
fn workers_lose_nothing_while_they_are_scraped() {
    const WORKERS: u64 = 4;
    const REQUESTS: u64 = 20_000;
    let (world, registry) = (world(), registry(1_000));
    let is_done = AtomicBool::new(false);
    let count = || {
        let recorder = registry.recorder();
        for n in 0..REQUESTS {
            let code = u16::try_from(200 + n % 300).unwrap();
            recorder.request(
                &RequestKey { code, ..world.client_key() },
                Duration::from_millis(1),
                n % 7,
                1,
            );
            recorder.count(Counter::Retries, 1);
        }
    };
    let total = || {
        let totals = registry.totals();
        let family = totals.families.iter().find(|f| f.name == "istio_requests_total").unwrap();
        let numbers = family.samples.iter().map(|sample| match sample.value {
            Value::Number(number) => number,
            Value::Histogram { .. } => panic!("not a counter"),
        });
        (family.samples.len(), numbers.sum::<f64>())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(count)).collect();
        let scraper = scope.spawn(|| {
            let mut last = 0.0;
            while !is_done.load(Ordering::Relaxed) {
                let (_, now) = total();
                assert!(now >= last, "a counter went back from {last} to {now}");
                last = now;
            }
        });
        for worker in workers {
            worker.join().unwrap();
        }
        is_done.store(true, Ordering::Relaxed);
        scraper.join().unwrap();
    });
    let (series, requests) = total();
    assert_eq!(series, 300);
    assert!((requests - 80_000.0).abs() < 1e-9);
    let text = rendered(&registry, TextFormat::Prometheus);
    assert!((value(&text, "meshcore_retries_total ") - 80_000.0).abs() < 1e-9);
}
