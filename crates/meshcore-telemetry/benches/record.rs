//! What does it cost a worker to count a request and to write its line, and the control thread
//! to render 10,000 series? Unit: time per request, per line, per scrape.
#![expect(
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    clippy::float_cmp,
    reason = "a bench stops when its premises do not hold"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use criterion::{Criterion, criterion_group, criterion_main};
use meshcore_model::{Flags, LabelIds, ServiceLabels, WorkloadLabels};
use meshcore_telemetry::{
    AccessFormat, AccessHeaders, AccessRecord, Recorder, Registry, RegistryOptions, Reporter,
    RequestKey, RequestProtocol, Security, TextFormat, Value,
};

struct World {
    sources: Vec<Arc<WorkloadLabels>>,
    destination: Arc<WorkloadLabels>,
    service: Arc<ServiceLabels>,
}

impl World {
    fn new(sources: usize) -> Self {
        let ids = LabelIds::default();
        let workload = |name: &str| {
            ids.workload(WorkloadLabels {
                id: 0,
                workload: format!("{name}-v1").into(),
                namespace: "prod".into(),
                principal: format!("spiffe://cluster.local/ns/prod/sa/{name}").into(),
                app: name.into(),
                version: "v1".into(),
                cluster: "Kubernetes".into(),
                canonical_service: name.into(),
                canonical_revision: "v1".into(),
            })
        };
        Self {
            sources: (0..sources).map(|n| workload(&format!("caller-{n}"))).collect(),
            destination: workload("reviews"),
            service: ids.service(ServiceLabels {
                id: 0,
                host: "reviews.prod.svc.cluster.local".into(),
                name: "reviews".into(),
                namespace: "prod".into(),
            }),
        }
    }

    fn keys(&self) -> impl Iterator<Item = RequestKey<'_>> {
        self.sources.iter().map(|source| RequestKey {
            reporter: Reporter::Destination,
            source,
            destination: &self.destination,
            service: &self.service,
            protocol: RequestProtocol::Http,
            code: 200,
            grpc_status: None,
            flags: Flags::default(),
            security: Security::MutualTls,
        })
    }

    fn fill(&self, recorder: &Recorder) {
        for key in self.keys() {
            recorder.request(&key, Duration::from_micros(900), 100, 5_000);
        }
    }
}

fn registry() -> Registry {
    Registry::new(RegistryOptions::default())
}

fn request(c: &mut Criterion) {
    let (world, registry) = (World::new(1_000), registry());
    let recorder = registry.recorder();
    world.fill(&recorder);
    let keys: Vec<_> = world.keys().collect();
    let mut turns = keys.iter().cycle();
    let mut next = || turns.next().expect("there are keys");
    let mut ns = 0_u32;
    let mut took = || {
        ns = ns.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Duration::from_nanos(u64::from(ns))
    };
    recorder.request(keys.first().expect("there are keys"), took(), 1, 1);
    assert_eq!(requests(&registry), 1_001.0, "each request is counted once");
    c.bench_function("request, same series", |b| {
        let key = keys.first().expect("there are keys");
        b.iter(|| recorder.request(black_box(key), took(), 100, 5_000));
    });
    c.bench_function("request, 1000 series in turn", |b| {
        b.iter(|| recorder.request(black_box(next()), took(), 100, 5_000));
    });
    c.bench_function("request, series at hand", |b| {
        let handle = recorder.request_series(keys.first().expect("there are keys"));
        b.iter(|| handle.record(black_box(took()), 100, 5_000));
    });
}

fn requests(registry: &Registry) -> f64 {
    let totals = registry.totals();
    let family = totals.families.first().expect("requests come first");
    let numbers = family.samples.iter().map(|sample| match sample.value {
        Value::Number(number) => number,
        Value::Histogram { .. } => 0.0,
    });
    numbers.sum()
}

fn render(c: &mut Criterion) {
    // A request key is 67 series: a counter and three histograms of 22 lines.
    for (name, sources) in
        [("render, 10,000 series (150 keys)", 150), ("render, 67,000 series (1000 keys)", 1_000)]
    {
        let (world, registry) = (World::new(sources), registry());
        let (one, two) = (registry.recorder(), registry.recorder());
        world.fill(&one);
        world.fill(&two);
        let mut out = Vec::new();
        registry.render(TextFormat::Prometheus, &mut out);
        let lines = out.split(|b| *b == b'\n').filter(|line| line.starts_with(b"istio_re"));
        assert_eq!(lines.count(), sources * 67, "every series has its line");
        c.bench_function(name, |b| {
            b.iter(|| {
                out.clear();
                registry.render(TextFormat::Prometheus, &mut out);
                out.len()
            });
        });
    }
}

struct Headers;

impl AccessHeaders for Headers {
    fn request_header(&self, name: &str) -> Option<&[u8]> {
        match name {
            "user-agent" => Some(b"curl/8.5.0"),
            "x-request-id" => Some(b"5c1b9a1e-6f0e-4b69-9f3c-0b8d5a1f2c3d"),
            _ => None,
        }
    }

    fn response_header(&self, _name: &str) -> Option<&[u8]> {
        None
    }

    fn response_trailer(&self, _name: &str) -> Option<&[u8]> {
        None
    }
}

fn line(c: &mut Criterion) {
    let address = |text: &str| Some(text.parse().expect("an address"));
    let start = UNIX_EPOCH.checked_add(Duration::from_secs(1_709_210_096)).expect("in range");
    let record = AccessRecord {
        method: b"GET",
        authority: b"reviews:9080",
        path: b"/reviews/0?full=1",
        protocol: Some("HTTP/1.1"),
        response_code: 200,
        response_code_details: Some("via_upstream"),
        bytes_sent: 375,
        upstream_service_time: Some(Duration::from_millis(4)),
        upstream_host: address("10.1.0.7:9080"),
        upstream_cluster: Some("outbound|9080||reviews.prod.svc.cluster.local"),
        upstream_local: address("10.1.0.3:40000"),
        downstream_local: address("10.9.0.1:9080"),
        downstream_remote: address("10.1.0.3:51000"),
        route_name: Some("default"),
        ..AccessRecord::new(&Headers, start, Duration::from_millis(5))
    };
    let forms = [
        ("line, text", AccessFormat::text(None).expect("Istio's text")),
        ("line, json", AccessFormat::istio_json().expect("Istio's JSON")),
    ];
    for (name, form) in forms {
        let mut out = Vec::with_capacity(4096);
        form.write(&record, &mut out);
        assert!(out.ends_with(b"\n") && out.len() > 250, "a whole line");
        c.bench_function(name, |b| {
            b.iter(|| {
                out.clear();
                form.write(black_box(&record), &mut out);
            });
        });
    }
}

criterion_group!(benches, request, render, line);
criterion_main!(benches);
