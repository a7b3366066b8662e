//! Lines of the access log: a pattern of the operator, and values of a stranger.

use std::time::{Duration, SystemTime};

use meshcore_telemetry::{AccessFormat, AccessHeaders, AccessRecord};
use serde_json::Value;

/// The fields of a request that says the same everywhere.
struct Everywhere<'a>(&'a [u8]);

impl AccessHeaders for Everywhere<'_> {
    fn request_header(&self, _name: &str) -> Option<&[u8]> {
        Some(self.0)
    }

    fn response_header(&self, _name: &str) -> Option<&[u8]> {
        Some(self.0)
    }

    fn response_trailer(&self, _name: &str) -> Option<&[u8]> {
        Some(self.0)
    }
}

/// The input is a pattern, a newline, and a value. A value ends neither its field nor its line, and
/// is read back from JSON as it was.
pub(crate) fn run(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (pattern, value) = data.split_at(end);
    let Ok(pattern) = std::str::from_utf8(pattern) else { return };
    let value = value.get(1..).unwrap_or_default();
    let headers = Everywhere(value);
    let name = std::str::from_utf8(value).ok();
    let record = AccessRecord {
        method: value,
        scheme: value,
        authority: value,
        path: value,
        protocol: name,
        response_code_details: name,
        connection_termination_details: name,
        upstream_failure: name,
        upstream_cluster: name,
        server_name: name,
        route_name: name,
        peer_uri_san: name,
        reason: name,
        ..AccessRecord::new(&headers, SystemTime::UNIX_EPOCH, Duration::from_millis(7))
    };
    in_text(&record, pattern);
    in_json(&record, pattern, value);
}

fn in_text(record: &AccessRecord<'_>, pattern: &str) {
    let istio = line(&AccessFormat::text(None).expect("built in"), record);
    assert_eq!(quotes(&istio), 14, "a value ends its field: {istio:?}");
    let Ok(format) = AccessFormat::text(Some(pattern)) else { return };
    let line = line(&format, record);
    let is_written = |char: char| pattern.contains(char);
    let strange = line.chars().find(|char| char.is_control() && !is_written(*char));
    assert_eq!(strange, None, "{line:?}");
}

fn in_json(record: &AccessRecord<'_>, pattern: &str, value: &[u8]) {
    let read = |format: &AccessFormat| -> Value {
        let line = line(format, record);
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    };
    let expected = match String::from_utf8_lossy(value) {
        text if text.is_empty() => Value::Null,
        text => Value::from(text),
    };
    let istio = read(&AccessFormat::istio_json().expect("built in"));
    assert_eq!(istio["authority"], expected);
    let members = [("pattern", pattern), (pattern, "%REQ(:PATH)%"), ("end", "%REQ(A)%")];
    let Ok(format) = AccessFormat::json(members) else { return };
    let object = read(&format);
    if !["pattern", "end"].contains(&pattern) {
        assert_eq!(object[pattern], expected);
    }
    assert_eq!(object["end"], expected);
}

/// The line for `record`, without the newline that ends it.
fn line(format: &AccessFormat, record: &AccessRecord<'_>) -> String {
    let mut out = Vec::new();
    format.write(record, &mut out);
    let text = String::from_utf8(out).expect("a line is text");
    let line = text.strip_suffix('\n').expect("a line ends").to_owned();
    assert!(!line.contains('\n'), "one record, several lines: {line:?}");
    line
}

/// Quotes that are not escaped.
fn quotes(line: &str) -> usize {
    let (mut count, mut is_escaped) = (0, false);
    for char in line.chars() {
        count += usize::from(char == '"' && !is_escaped);
        is_escaped = char == '\\' && !is_escaped;
    }
    count
}
