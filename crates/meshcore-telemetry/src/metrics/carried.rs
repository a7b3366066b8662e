//! How much each service has carried, to see which are used.

use std::collections::HashMap;

use super::histogram::HistogramTotals;
use super::registry::Registry;
use super::walk::{Heading, Labels, Number, Visit};

/// Families that grow while a service is called.
const GROWING: [&str; 4] = [
    "istio_requests_total",
    "istio_tcp_connections_opened_total",
    "istio_tcp_sent_bytes_total",
    "istio_tcp_received_bytes_total",
];

impl Registry {
    /// Requests, connections and bytes together, by the host of the service that was called.
    pub fn carried(&self) -> HashMap<String, u64> {
        let mut carried = Carried::default();
        self.walk(&mut carried);
        carried.by_host
    }
}

#[derive(Default)]
struct Carried {
    by_host: HashMap<String, u64>,
    counts: bool,
}

impl Visit for Carried {
    fn family(&mut self, heading: &Heading) {
        self.counts = GROWING.contains(&heading.name);
    }

    fn number(&mut self, labels: &dyn Labels, value: Number) {
        let Number::Count(count) = value else { return };
        if !self.counts {
            return;
        }
        let (mut is_ours, mut host) = (false, String::new());
        labels.each(&mut |name, value| match name {
            "reporter" => is_ours = value == "source",
            "destination_service" => value.clone_into(&mut host),
            _ => {}
        });
        if is_ours {
            let sum = self.by_host.entry(host).or_default();
            *sum = sum.wrapping_add(count);
        }
    }

    fn histogram(&mut self, _labels: &dyn Labels, _totals: &HistogramTotals) {}
}
