//! The form of a line.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};

use super::escape;
use super::operator::{Field, Operator, Simple};
use super::pattern::{self, PatternError, Piece};
use super::record::AccessRecord;

/// The form of a line of the access log, compiled once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessFormat(Form);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Text(Vec<Piece>),
    Json(Vec<Member>),
}

/// A member of the JSON object.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    /// `"key":`, escaped.
    key: Vec<u8>,
    value: Vec<Piece>,
    /// Whether it is left out when it is missing, instead of being null.
    is_optional: bool,
}

/// Source: Istio, `pilot/pkg/model/telemetry_logging.go`, default text format.
const ISTIO_TEXT: &str = concat!(
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" ",
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% ",
    "\"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ",
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" ",
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% ",
    "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% ",
    "%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n",
);

/// Source: as above, default JSON keys.
const ISTIO_JSON: [(&str, &str); 24] = [
    ("start_time", "%START_TIME%"),
    ("route_name", "%ROUTE_NAME%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("response_code", "%RESPONSE_CODE%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
    ("connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%"),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    ("duration", "%DURATION%"),
    ("upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"),
    ("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"),
    ("user_agent", "%REQ(USER-AGENT)%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("authority", "%REQ(:AUTHORITY)%"),
    ("upstream_host", "%UPSTREAM_HOST%"),
    ("upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"),
    ("upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"),
    ("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    ("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("requested_server_name", "%REQUESTED_SERVER_NAME%"),
    ("upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"),
];

impl AccessFormat {
    /// Lines of text in the form of `pattern`, or in Istio's when there is none. A newline is
    /// added when the pattern does not end in one.
    ///
    /// # Errors
    ///
    /// [`PatternError`] when an operator is not known or not well formed.
    pub fn text(pattern: Option<&str>) -> Result<Self, PatternError> {
        let pattern = pattern.unwrap_or(ISTIO_TEXT);
        let pieces = pattern::parse(pattern.strip_suffix('\n').unwrap_or(pattern))?;
        Ok(Self(Form::Text(pieces)))
    }

    /// JSON objects of Istio's keys, and `reason` when the request was denied.
    ///
    /// # Errors
    ///
    /// None in practice; the patterns are built in and tested.
    pub fn istio_json() -> Result<Self, PatternError> {
        let Self(form) = Self::json(ISTIO_JSON)?;
        Ok(Self(match form {
            Form::Json(mut members) => {
                let operator = Operator::Simple(Simple::Reason);
                let value = vec![Piece::Operator { operator, limit: None }];
                members.push(Member { is_optional: true, ..Member::new("reason", value) });
                Form::Json(members)
            }
            form @ Form::Text(_) => form,
        }))
    }

    /// JSON objects of these keys and patterns. A pattern that is one operator gives a number
    /// where the operator is one, and null where it is missing; others give text.
    ///
    /// # Errors
    ///
    /// [`PatternError`] when an operator is not known or not well formed.
    pub fn json<'a>(
        members: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, PatternError> {
        let member = |(key, pattern)| Ok(Member::new(key, pattern::parse(pattern)?));
        Ok(Self(Form::Json(members.into_iter().map(member).collect::<Result<_, _>>()?)))
    }

    /// Appends the line for `record`, with its newline.
    pub fn write(&self, record: &AccessRecord<'_>, out: &mut Vec<u8>) {
        match &self.0 {
            Form::Text(pieces) => write_pieces(pieces, record, Syntax::Text, out),
            Form::Json(members) => write_object(members, record, out),
        }
        out.push(b'\n');
    }
}

impl Member {
    fn new(key: &str, value: Vec<Piece>) -> Self {
        let mut text = vec![b'"'];
        escape::json(key.as_bytes(), &mut text);
        text.extend_from_slice(b"\":");
        Self { key: text, value, is_optional: false }
    }
}

/// What a value is written into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Syntax {
    Text,
    JsonString,
}

impl Syntax {
    fn write_value(self, value: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Text => escape::text(value, out),
            Self::JsonString => escape::json(value, out),
        }
    }

    /// Writes a part of the pattern, which in text may hold what values may not.
    fn write_literal(self, text: &str, out: &mut Vec<u8>) {
        match self {
            Self::Text => out.extend_from_slice(text.as_bytes()),
            Self::JsonString => escape::json(text.as_bytes(), out),
        }
    }
}

fn write_pieces(pieces: &[Piece], record: &AccessRecord<'_>, syntax: Syntax, out: &mut Vec<u8>) {
    for piece in pieces {
        match piece {
            Piece::Literal(text) => syntax.write_literal(text, out),
            Piece::Operator { operator, limit } => {
                write_field(operator.of(record), *limit, syntax, out);
            }
        }
    }
}

fn write_object(members: &[Member], record: &AccessRecord<'_>, out: &mut Vec<u8>) {
    let mut separator = b'{';
    for member in members {
        let typed = match member.value.as_slice() {
            [Piece::Operator { operator, limit }] => Some((operator.of(record), *limit)),
            _ => None,
        };
        if member.is_optional && matches!(typed, Some((Field::Missing, _))) {
            continue;
        }
        out.push(separator);
        separator = b',';
        out.extend_from_slice(&member.key);
        match typed {
            Some((Field::Missing, _)) => out.extend_from_slice(b"null"),
            Some((Field::Number(number), _)) => write_number(number, out),
            Some((field, limit)) => {
                out.push(b'"');
                write_field(field, limit, Syntax::JsonString, out);
                out.push(b'"');
            }
            None => {
                out.push(b'"');
                write_pieces(&member.value, record, Syntax::JsonString, out);
                out.push(b'"');
            }
        }
    }
    if separator == b'{' {
        out.push(separator);
    }
    out.push(b'}');
}

fn write_field(field: Field<'_>, limit: Option<usize>, syntax: Syntax, out: &mut Vec<u8>) {
    let limit = limit.unwrap_or(usize::MAX);
    let start = out.len();
    // Writing to a vector cannot fail.
    let _ = match field {
        Field::Missing => out.write_all(b"-"),
        Field::Text(value) => return syntax.write_value(escape::shorten(value, limit), out),
        Field::Word(value) => {
            let word = value.replace(' ', "_");
            return syntax.write_value(escape::shorten(word.as_bytes(), limit), out);
        }
        Field::Number(number) | Field::Digits(number) => {
            write_number(number, out);
            Ok(())
        }
        Field::Address(SocketAddr::V4(address)) => {
            write_ipv4(*address.ip(), out);
            out.push(b':');
            write_number(address.port().into(), out);
            Ok(())
        }
        Field::Address(address @ SocketAddr::V6(_)) => write!(out, "{address}"),
        Field::Ip(address) => write!(out, "{address}"),
        Field::Flags(flags) if flags.is_empty() => out.write_all(b"-"),
        Field::Flags(flags) => write!(out, "{flags}"),
        Field::Time(format, time) => {
            format.write(time, out);
            Ok(())
        }
    };
    let written = out.get(start..).unwrap_or_default();
    out.truncate(start.saturating_add(escape::shorten(written, limit).len()));
}

/// As `Display` does, in a fifth of the time; a line has up to four addresses.
fn write_ipv4(address: Ipv4Addr, out: &mut Vec<u8>) {
    let [first, rest @ ..] = address.octets();
    write_number(first.into(), out);
    for octet in rest {
        out.push(b'.');
        write_number(octet.into(), out);
    }
}

fn write_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}
