//! All families in the order in which they are shown, for whoever writes them down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use meshcore_model::{ServiceLabels, WorkloadLabels};

use super::counters::{Counter, Gauge, Labelled, Level, Named};
use super::histogram::{Histogram, HistogramTotals};
use super::key::{PeerIds, Peers};
use super::registry::{Group, Merged, Registry};
use super::series::{LabelledSeries, RequestSeries, Shared, TcpSeries};
use super::totals::FamilyKind;

/// What is written above the samples of a family.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heading {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: FamilyKind,
    /// Histograms only: how many units of its sum make one of its bounds.
    pub(super) sum_divisor: u32,
}

/// Writes families down. A heading is followed by its samples.
pub(super) trait Visit {
    fn family(&mut self, heading: &Heading);
    fn number(&mut self, labels: &dyn Labels, value: Number);
    fn histogram(&mut self, labels: &dyn Labels, totals: &HistogramTotals);
}

/// The value of a sample.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Count(u64),
    Level(i64),
}

/// Labels of a sample, in order.
pub(super) trait Labels {
    fn each(&self, emit: &mut dyn FnMut(&'static str, &str));
}

impl Registry {
    pub(super) fn walk(&self, visit: &mut impl Visit) {
        self.read(|workers, merged| {
            requests(merged, visit);
            tcp(merged, visit);
            self.build(visit);
            counters(workers, visit);
            labelled(merged, visit);
            gauges(workers, visit);
            self.levels(visit);
        });
    }

    fn build(&self, visit: &mut impl Visit) {
        visit.family(&plain("istio_build", "Version of the component.", FamilyKind::Gauge));
        let labels = [("component", "proxy"), ("tag", self.version())];
        visit.number(&labels.as_slice(), Number::Level(1));
    }

    fn levels(&self, visit: &mut impl Visit) {
        for level in Level::ALL {
            let named = level.named();
            visit.family(&plain(named.name, named.help, FamilyKind::Gauge));
            visit.number(&[].as_slice(), Number::Level(self.level(level)));
        }
    }
}

const fn plain(name: &'static str, help: &'static str, kind: FamilyKind) -> Heading {
    Heading { name, help, kind, sum_divisor: 1 }
}

fn requests(merged: &Merged, visit: &mut impl Visit) {
    type Part = fn(&RequestSeries) -> &Histogram;
    let histograms: [(Heading, Part); 3] = [
        (
            Heading {
                name: "istio_request_duration_milliseconds",
                help: "Duration of requests.",
                kind: FamilyKind::Histogram,
                sum_divisor: 1_000,
            },
            |series| &series.duration,
        ),
        (
            plain("istio_request_bytes", "Size of request bodies.", FamilyKind::Histogram),
            |series| &series.request_bytes,
        ),
        (
            plain("istio_response_bytes", "Size of response bodies.", FamilyKind::Histogram),
            |series| &series.response_bytes,
        ),
    ];
    visit.family(&plain("istio_requests_total", "Requests.", FamilyKind::Counter));
    for group in merged.requests.iter() {
        let parts = group.parts().map(|series| series.duration.count());
        visit.number(&*group.first, Number::Count(parts.fold(0, u64::wrapping_add)));
    }
    for (heading, part) in histograms {
        visit.family(&heading);
        for group in merged.requests.iter() {
            let mut totals = HistogramTotals::default();
            group.parts().for_each(|series| totals.add(part(series)));
            visit.histogram(&*group.first, &totals);
        }
    }
}

fn tcp(merged: &Merged, visit: &mut impl Visit) {
    type Part = fn(&TcpSeries) -> &AtomicU64;
    let families: [(&str, &str, Part); 4] = [
        ("istio_tcp_sent_bytes_total", "Bytes sent over TCP connections.", |series| &series.sent),
        ("istio_tcp_received_bytes_total", "Bytes received over TCP connections.", |series| {
            &series.received
        }),
        ("istio_tcp_connections_opened_total", "TCP connections opened.", |series| &series.opened),
        ("istio_tcp_connections_closed_total", "TCP connections closed.", |series| &series.closed),
    ];
    for (name, help, part) in families {
        visit.family(&plain(name, help, FamilyKind::Counter));
        for group in merged.tcp.iter() {
            visit.number(&*group.first, Number::Count(sum(group.parts().map(part))));
        }
    }
}

fn counters(workers: &[Arc<Shared>], visit: &mut impl Visit) {
    let mut family = "";
    for counter in Counter::ALL {
        let named = counter.named();
        if named.name != family {
            family = named.name;
            visit.family(&plain(named.name, named.help, FamilyKind::Counter));
        }
        let cells = workers.iter().filter_map(|worker| worker.counters.get(counter as usize));
        visit.number(&named, Number::Count(sum(cells)));
    }
}

fn labelled(merged: &Merged, visit: &mut impl Visit) {
    for family in Labelled::ALL {
        let named = family.named();
        visit.family(&plain(named.name, named.help, FamilyKind::Counter));
        let is_in_family = |group: &&Group<LabelledSeries>| group.first.family == family;
        for group in merged.labelled.iter().filter(is_in_family) {
            let labels = [(family.label(), &*group.first.value)];
            let count = sum(group.parts().map(|series| &series.count));
            visit.number(&labels.as_slice(), Number::Count(count));
        }
    }
}

fn gauges(workers: &[Arc<Shared>], visit: &mut impl Visit) {
    for gauge in Gauge::ALL {
        let named = gauge.named();
        visit.family(&plain(named.name, named.help, FamilyKind::Gauge));
        let cells = workers.iter().filter_map(|worker| worker.gauges.get(gauge as usize));
        visit.number(&named, Number::Level(sum(cells).cast_signed()));
    }
}

fn sum<'a>(cells: impl Iterator<Item = &'a AtomicU64>) -> u64 {
    cells.fold(0, |total, cell| total.wrapping_add(cell.load(Ordering::Relaxed)))
}

impl Labels for &[(&'static str, &str)] {
    fn each(&self, emit: &mut dyn FnMut(&'static str, &str)) {
        for (name, value) in *self {
            emit(name, value);
        }
    }
}

impl Labels for Named {
    fn each(&self, emit: &mut dyn FnMut(&'static str, &str)) {
        if let Some((name, value)) = self.label {
            emit(name, value);
        }
    }
}

impl Labels for RequestSeries {
    fn each(&self, emit: &mut dyn FnMut(&'static str, &str)) {
        let ids = &self.ids;
        self.peers.each(ids.peers, emit);
        emit("request_protocol", ids.protocol.label());
        emit("response_code", itoa::Buffer::new().format(ids.code));
        match ids.grpc_status {
            Some(status) => emit("grpc_response_status", itoa::Buffer::new().format(status)),
            None => emit("grpc_response_status", ""),
        }
        flags_and_security(ids.peers, emit);
    }
}

impl Labels for TcpSeries {
    fn each(&self, emit: &mut dyn FnMut(&'static str, &str)) {
        self.peers.each(self.ids, emit);
        emit("request_protocol", "tcp");
        flags_and_security(self.ids, emit);
    }
}

fn flags_and_security(ids: PeerIds, emit: &mut dyn FnMut(&'static str, &str)) {
    if ids.flags.is_empty() {
        emit("response_flags", "-");
    } else {
        emit("response_flags", &ids.flags.to_string());
    }
    emit("connection_security_policy", ids.security.label());
}

impl Peers {
    /// Names and order. Source: Istio's goldens of its standard metrics (istio/proxy,
    /// testdata/metric).
    fn each(&self, ids: PeerIds, emit: &mut dyn FnMut(&'static str, &str)) {
        emit("reporter", ids.reporter.label());
        let WorkloadLabels { workload, namespace, principal, app, version, cluster, .. } =
            &*self.source;
        emit("source_workload", or_unknown(workload));
        emit("source_canonical_service", or_unknown(&self.source.canonical_service));
        emit("source_canonical_revision", or_latest(&self.source.canonical_revision));
        emit("source_workload_namespace", or_unknown(namespace));
        emit("source_principal", or_unknown(principal));
        emit("source_app", or_unknown(app));
        emit("source_version", or_unknown(version));
        emit("source_cluster", or_unknown(cluster));
        let WorkloadLabels { workload, namespace, principal, app, version, cluster, .. } =
            &*self.destination;
        emit("destination_workload", or_unknown(workload));
        emit("destination_workload_namespace", or_unknown(namespace));
        emit("destination_principal", or_unknown(principal));
        emit("destination_app", or_unknown(app));
        emit("destination_version", or_unknown(version));
        let ServiceLabels { host, name, namespace, .. } = &*self.service;
        emit("destination_service", or_unknown(host));
        emit("destination_canonical_service", or_unknown(&self.destination.canonical_service));
        emit("destination_canonical_revision", or_latest(&self.destination.canonical_revision));
        emit("destination_service_name", or_unknown(name));
        emit("destination_service_namespace", or_unknown(namespace));
        emit("destination_cluster", or_unknown(cluster));
    }
}

const fn or_unknown(text: &str) -> &str {
    if text.is_empty() { "unknown" } else { text }
}

const fn or_latest(text: &str) -> &str {
    if text.is_empty() { "latest" } else { text }
}
