//! Totals as values, for collectors in other languages.

use super::histogram::{BOUND_TEXTS, HistogramTotals};
use super::registry::Registry;
use super::walk::{Heading, Labels, Number, Visit};

/// All families at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Totals {
    /// Families, in the order of the text format.
    pub families: Vec<Family>,
}

/// Samples of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Full name; a counter's ends in `_total`.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Kind of the values.
    pub kind: FamilyKind,
    /// Names of the labels; the same for all samples.
    pub label_names: Vec<&'static str>,
    /// Samples; none for a family nothing was counted in.
    pub samples: Vec<Sample>,
}

/// Kind of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Values by size.
    Histogram,
}

impl FamilyKind {
    /// Name in the text format.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One set of label values and what was counted for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// One value for each of the family's names.
    pub labels: Vec<String>,
    /// What was counted.
    pub value: Value,
}

/// What was counted.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a counter or gauge.
    Number(f64),
    /// Of a histogram.
    Histogram {
        /// Values at or below each bound of [`Totals::BOUNDS`], the last of which is `+Inf`.
        cumulated: Vec<u64>,
        /// Sum of the values, in the unit of the family's name.
        sum: f64,
    },
}

impl Totals {
    /// Upper bounds of every histogram, as text.
    pub const BOUNDS: &'static [&'static str] = &BOUND_TEXTS;
}

impl Registry {
    /// All totals as values.
    pub fn totals(&self) -> Totals {
        let mut collect = Collect { totals: Totals::default(), sum_divisor: 1 };
        self.walk(&mut collect);
        collect.totals
    }
}

struct Collect {
    totals: Totals,
    sum_divisor: u32,
}

impl Collect {
    fn sample(&mut self, labels: &dyn Labels, value: Value) {
        let Some(family) = self.totals.families.last_mut() else {
            return;
        };
        let is_first = family.samples.is_empty();
        let mut values = Vec::with_capacity(family.label_names.len());
        labels.each(&mut |name, value| {
            if is_first {
                family.label_names.push(name);
            }
            values.push(value.to_owned());
        });
        family.samples.push(Sample { labels: values, value });
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus' values are floats")]
impl Visit for Collect {
    fn family(&mut self, heading: &Heading) {
        let Heading { name, help, kind, sum_divisor } = *heading;
        let (label_names, samples) = (Vec::new(), Vec::new());
        self.totals.families.push(Family { name, help, kind, label_names, samples });
        self.sum_divisor = sum_divisor;
    }

    fn number(&mut self, labels: &dyn Labels, value: Number) {
        let value = match value {
            Number::Count(count) => count as f64,
            Number::Level(level) => level as f64,
        };
        self.sample(labels, Value::Number(value));
    }

    fn histogram(&mut self, labels: &dyn Labels, totals: &HistogramTotals) {
        let sum = totals.sum as f64 / f64::from(self.sum_divisor);
        let cumulated = totals.cumulated().to_vec();
        self.sample(labels, Value::Histogram { cumulated, sum });
    }
}
