//! Histograms with Envoy's buckets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Number of buckets, the last of which has no bound.
pub(super) const BUCKETS: usize = 20;

/// Upper bounds as they are printed. Source: Envoy, default buckets of its histograms.
pub(super) const BOUND_TEXTS: [&str; BUCKETS] = [
    "0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000",
    "30000", "60000", "300000", "600000", "1800000", "3600000", "+Inf",
];

/// The bounds for whole numbers (bytes); no whole number lies between 0 and 0.5.
const BOUNDS: [u64; BUCKETS - 1] = [
    0, 1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000,
    600_000, 1_800_000, 3_600_000,
];

/// The bounds of milliseconds, in microseconds.
const BOUNDS_US: [u64; BUCKETS - 1] = [
    500,
    1_000,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    600_000_000,
    1_800_000_000,
    3_600_000_000,
];

/// Adds to a cell that only this thread writes: a plain load and store, no locked instruction.
pub(super) fn add(cell: &AtomicU64, n: u64) {
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
}

/// A histogram with one writer. Its count is the sum of its buckets.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

impl Histogram {
    pub(super) fn record_bytes(&self, bytes: u64) {
        self.record(&BOUNDS, bytes);
    }

    pub(super) fn record_duration(&self, duration: Duration) {
        self.record(&BOUNDS_US, u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    fn record(&self, bounds: &[u64; BUCKETS - 1], value: u64) {
        let bucket = bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(bucket) {
            add(bucket, 1);
        }
        add(&self.sum, value);
    }

    /// How many values were recorded.
    pub(super) fn count(&self) -> u64 {
        self.buckets
            .iter()
            .fold(0, |count, bucket| count.wrapping_add(bucket.load(Ordering::Relaxed)))
    }
}

/// Histograms of several workers, added up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct HistogramTotals {
    /// Values per bucket, not cumulated.
    pub(super) buckets: [u64; BUCKETS],
    /// Sum of the values: bytes, or microseconds.
    pub(super) sum: u64,
}

impl HistogramTotals {
    pub(super) fn add(&mut self, part: &Histogram) {
        for (total, bucket) in self.buckets.iter_mut().zip(&part.buckets) {
            *total = total.wrapping_add(bucket.load(Ordering::Relaxed));
        }
        self.sum = self.sum.wrapping_add(part.sum.load(Ordering::Relaxed));
    }

    /// Values at or below each bound.
    pub(super) fn cumulated(&self) -> [u64; BUCKETS] {
        let mut below = 0_u64;
        self.buckets.map(|bucket| {
            below = below.wrapping_add(bucket);
            below
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket_of(record: impl FnOnce(&Histogram)) -> &'static str {
        let histogram = Histogram::default();
        record(&histogram);
        let mut totals = HistogramTotals::default();
        totals.add(&histogram);
        BOUND_TEXTS[totals.buckets.iter().position(|n| *n == 1).unwrap()]
    }

    #[test]
    fn a_duration_at_the_bound_is_below_it() {
        for (us, bound) in [
            (0, "0.5"),
            (500, "0.5"),
            (501, "1"),
            (1_000, "1"),
            (1_001, "5"),
            (3_600_000_000, "3600000"),
            (3_600_000_001, "+Inf"),
        ] {
            let duration = Duration::from_micros(us);
            assert_eq!(bucket_of(|histogram| histogram.record_duration(duration)), bound, "{us}");
        }
        assert_eq!(bucket_of(|histogram| histogram.record_duration(Duration::MAX)), "+Inf");
    }

    #[test]
    fn bytes_at_the_bound_are_below_it() {
        for (bytes, bound) in
            [(0, "0.5"), (1, "1"), (2, "5"), (5, "5"), (6, "10"), (3_600_001, "+Inf")]
        {
            assert_eq!(bucket_of(|histogram| histogram.record_bytes(bytes)), bound, "{bytes}");
        }
        assert_eq!(bucket_of(|histogram| histogram.record_bytes(u64::MAX)), "+Inf");
    }

    #[test]
    fn printed_bounds_are_the_compared_ones() {
        for ((text, bytes), us) in BOUND_TEXTS.iter().zip(BOUNDS).zip(BOUNDS_US) {
            let bound: f64 = text.parse().unwrap();
            assert_eq!(format!("{}", bound * 1_000.0), us.to_string());
            assert_eq!(format!("{}", bound.floor()), bytes.to_string());
        }
    }
}
