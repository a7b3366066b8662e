//! Totals as plain values for collectors in Python.

use meshcore_telemetry::{Family, Sample, Totals, Value};
use pyo3::prelude::*;

/// Name, help, kind, names of labels, samples.
pub(crate) type FamilyTuple =
    (&'static str, &'static str, &'static str, Vec<&'static str>, Vec<SampleTuple>);

/// Values of labels, and a number or the counts of a histogram's buckets and its sum.
pub(crate) type SampleTuple = (Vec<String>, ValueTuple);

/// What was counted.
#[derive(Debug, IntoPyObject)]
pub(crate) enum ValueTuple {
    /// Of a counter or gauge.
    #[pyo3(transparent)]
    Number(f64),
    /// Of a histogram: at or below each bound, and their sum.
    Histogram(Vec<u64>, f64),
}

/// All families, and the upper bounds of histograms.
pub(crate) fn tuples(totals: Totals) -> (Vec<FamilyTuple>, Vec<&'static str>) {
    let families = totals.families.into_iter().map(|family| {
        let Family { name, help, kind, label_names, samples } = family;
        let samples = samples.into_iter().map(sample).collect();
        (name, help, kind.label(), label_names, samples)
    });
    (families.collect(), Totals::BOUNDS.to_vec())
}

fn sample(sample: Sample) -> SampleTuple {
    let value = match sample.value {
        Value::Number(number) => ValueTuple::Number(number),
        Value::Histogram { cumulated, sum } => ValueTuple::Histogram(cumulated, sum),
    };
    (sample.labels, value)
}
