//! Asks: what do reading and writing a request head of ten fields cost? Unit: ns per head.
//!
//! `cargo bench --bench head -- --count N` reads and writes N times without timing, for an
//! instruction counter: divide the difference of two counts by the difference of their rounds.
#![expect(clippy::expect_used, reason = "a bench that cannot run should say so")]

use std::hint::black_box;

use criterion::Criterion;
use meshcore_http::h1::{BodyKind, Limits, parse_request, write_request};
use meshcore_http::{Known, RequestHead};

const REQUEST: &[u8] = b"GET /productpage?u=normal HTTP/1.1\r\n\
    Host: productpage.default.svc.cluster.local:9080\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br\r\n\
    Cookie: session=eyJ1c2VyIjoibm9ybWFsIn0.ZxY; theme=dark\r\n\
    X-Request-Id: 0a4dd1ba-7f1c-4c8f-9f2e-1f2b3c4d5e6f\r\n\
    X-Forwarded-Proto: http\r\n\
    Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\
    X-Tenant: reviews-team\r\n\r\n";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.as_slice() {
        [_, flag, rounds] if flag == "--count" => count(rounds.parse().expect("a number")),
        _ => {
            let mut criterion = Criterion::default().configure_from_args();
            heads(&mut criterion);
            criterion.final_summary();
        }
    }
}

fn heads(c: &mut Criterion) {
    let (limits, mut head, mut out) = (Limits::default(), RequestHead::new(), Vec::new());
    round(&limits, &mut head, &mut out);
    assert_eq!(head.fields.len(), 9, "ten with Host: never time a wrong answer");
    assert_eq!(head.fields.get(Known::XForwardedProto), Some(&b"http"[..]));
    assert_eq!(out.len(), REQUEST.len(), "the same bytes but for the case of Host");
    let mut group = c.benchmark_group("head");
    group.bench_function("parse", |b| {
        b.iter(|| parse_request(black_box(REQUEST), &mut head, &limits));
    });
    group.bench_function("write", |b| {
        b.iter(|| {
            out.clear();
            write_request(black_box(&head), BodyKind::None, &mut out);
        });
    });
    group.finish();
}

fn round(limits: &Limits, head: &mut RequestHead, out: &mut Vec<u8>) {
    let parsed = parse_request(black_box(REQUEST), head, limits).expect("valid").expect("whole");
    out.clear();
    write_request(head, parsed.body, out);
    black_box(&out);
}

fn count(rounds: usize) {
    let (limits, mut head, mut out) = (Limits::default(), RequestHead::new(), Vec::new());
    for _ in 0..rounds {
        round(&limits, &mut head, &mut out);
    }
}
