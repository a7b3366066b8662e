//! Prometheus' text format and `OpenMetrics`.

use super::histogram::{BOUND_TEXTS, HistogramTotals};
use super::registry::Registry;
use super::totals::FamilyKind;
use super::walk::{Heading, Labels, Number, Visit};

/// How totals are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFormat {
    /// Prometheus text format 0.0.4.
    Prometheus,
    /// `OpenMetrics` 1.0.
    OpenMetrics,
}

impl TextFormat {
    /// Value of the header `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Size at which [`Registry::render_chunks`] hands over what it has.
const CHUNK_BYTES: usize = 64 * 1024;

impl Registry {
    /// Appends all totals to `out`. Much memory when there are many series (each request
    /// series is some 45 KB of text); [`Registry::render_chunks`] needs none.
    pub fn render(&self, format: TextFormat, out: &mut Vec<u8>) {
        self.render_chunks(format, &mut |chunk| out.extend_from_slice(chunk));
    }

    /// Hands all totals to `sink` in pieces of about 64 KiB. Other scrapes wait meanwhile;
    /// workers do not.
    pub fn render_chunks(&self, format: TextFormat, sink: &mut dyn FnMut(&[u8])) {
        let mut text = Text {
            format,
            sink,
            out: Vec::with_capacity(CHUNK_BYTES.saturating_mul(2)),
            labels: Vec::with_capacity(1024),
            name: "",
            sum_divisor: 1,
        };
        self.walk(&mut text);
        text.finish();
    }
}

struct Text<'a> {
    format: TextFormat,
    sink: &'a mut dyn FnMut(&[u8]),
    out: Vec<u8>,
    /// `a="b",c="d"` of the sample at hand.
    labels: Vec<u8>,
    name: &'static str,
    sum_divisor: u32,
}

impl Text<'_> {
    fn take_labels(&mut self, labels: &dyn Labels) {
        let text = &mut self.labels;
        text.clear();
        labels.each(&mut |name, value| {
            if !text.is_empty() {
                text.push(b',');
            }
            text.extend_from_slice(name.as_bytes());
            text.extend_from_slice(b"=\"");
            escape(value, text);
            text.push(b'"');
        });
    }

    /// Name and labels of a line, up to its value.
    fn start_line(&mut self, suffix: &str, le: Option<&str>) {
        let out = &mut self.out;
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(suffix.as_bytes());
        if !self.labels.is_empty() || le.is_some() {
            out.push(b'{');
            out.extend_from_slice(&self.labels);
            if let Some(le) = le {
                if !self.labels.is_empty() {
                    out.push(b',');
                }
                out.extend_from_slice(b"le=\"");
                out.extend_from_slice(le.as_bytes());
                if self.format == TextFormat::OpenMetrics && is_whole(le) {
                    out.extend_from_slice(b".0");
                }
                out.push(b'"');
            }
            out.push(b'}');
        }
        out.push(b' ');
    }

    fn end_line(&mut self, value: impl itoa::Integer) {
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self.out.push(b'\n');
    }

    fn end_sum_line(&mut self, sum: u64) {
        let divisor = u64::from(self.sum_divisor);
        let whole = sum.checked_div(divisor).unwrap_or(sum);
        let rest = sum.checked_rem(divisor).unwrap_or(0);
        self.out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
        if rest > 0 {
            let text = format!(".{rest:03}");
            self.out.extend_from_slice(text.trim_end_matches('0').as_bytes());
        }
        self.out.push(b'\n');
    }

    fn hand_over(&mut self, from_bytes: usize) {
        if self.out.len() >= from_bytes {
            (self.sink)(&self.out);
            self.out.clear();
        }
    }

    fn finish(mut self) {
        if self.format == TextFormat::OpenMetrics {
            self.out.extend_from_slice(b"# EOF\n");
        }
        self.hand_over(1);
    }
}

impl Visit for Text<'_> {
    fn family(&mut self, heading: &Heading) {
        self.name = heading.name;
        self.sum_divisor = heading.sum_divisor;
        let name = match (self.format, heading.kind) {
            (TextFormat::OpenMetrics, FamilyKind::Counter) => {
                heading.name.strip_suffix("_total").unwrap_or(heading.name)
            }
            (TextFormat::OpenMetrics | TextFormat::Prometheus, _) => heading.name,
        };
        for part in ["# HELP ", name, " ", heading.help, "\n# TYPE ", name, " "] {
            self.out.extend_from_slice(part.as_bytes());
        }
        self.out.extend_from_slice(heading.kind.label().as_bytes());
        self.out.push(b'\n');
    }

    fn number(&mut self, labels: &dyn Labels, value: Number) {
        self.take_labels(labels);
        self.start_line("", None);
        match value {
            Number::Count(count) => self.end_line(count),
            Number::Level(level) => self.end_line(level),
        }
        self.hand_over(CHUNK_BYTES);
    }

    fn histogram(&mut self, labels: &dyn Labels, totals: &HistogramTotals) {
        self.take_labels(labels);
        let cumulated = totals.cumulated();
        for (bound, below) in BOUND_TEXTS.iter().zip(cumulated) {
            self.start_line("_bucket", Some(bound));
            self.end_line(below);
        }
        self.start_line("_sum", None);
        self.end_sum_line(totals.sum);
        self.start_line("_count", None);
        self.end_line(cumulated.last().copied().unwrap_or(0));
        self.hand_over(CHUNK_BYTES);
    }
}

/// `OpenMetrics` wants bounds to look like floats.
fn is_whole(bound: &str) -> bool {
    bound.bytes().all(|b| b.is_ascii_digit())
}

/// Source: Prometheus exposition formats, text format details (`\\`, `\"`, `\n`).
fn escape(value: &str, out: &mut Vec<u8>) {
    if !value.bytes().any(|b| matches!(b, b'\\' | b'"' | b'\n')) {
        out.extend_from_slice(value.as_bytes());
        return;
    }
    for byte in value.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'"' => out.extend_from_slice(b"\\\""),
            b'\n' => out.extend_from_slice(b"\\n"),
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_cannot_leave_their_quotes() {
        let mut out = Vec::new();
        escape("a\"} 1\nb\\", &mut out);
        assert_eq!(out, br#"a\"} 1\nb\\"#);
    }
}
