//! Requests that must be refused, by the reason that must be given.

use super::{Limits, Rejected, RequestHead, parse_request, request};
use Rejected as R;

/// Whole heads.
const HEADS: &[(&str, Rejected, &[u8])] = &[
    // --- method ---
    ("empty method", R::BadMethod, b" / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("method with slash", R::BadMethod, b"GE/T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("method with colon", R::BadMethod, b"GET: / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("method with NUL", R::BadMethod, b"G\0T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("method above ASCII", R::BadMethod, b"G\xc3\x8bT / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("method with bracket", R::BadMethod, b"GET[ / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("method of 33 letters", R::BadMethod, b"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n\r\n"),
    ("tab after method", R::BadMethod, b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("method alone", R::BadMethod, b"GET\r\nHost: a\r\n\r\n"),
    ("two empty lines before", R::BadMethod, b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("bare LF before", R::BadMethod, b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("space before", R::BadMethod, b" GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("bare CR before", R::BadMethod, b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("TLS hello", R::BadMethod, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"),
    // --- target ---
    ("two spaces before target", R::BadTarget, b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("HTTP/0.9", R::BadTarget, b"GET /\r\nHost: a\r\n\r\n"),
    ("tab in target", R::BadTarget, b"GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("NUL in target", R::BadTarget, b"GET /a\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("DEL in target", R::BadTarget, b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("UTF-8 in target", R::BadTarget, b"GET /\xc3\xbc HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("fragment", R::BadTarget, b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("fragment after query", R::BadTarget, b"GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("fragment of absolute form", R::BadTarget, b"GET http://a/#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("no leading slash", R::BadTarget, b"GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("query only", R::BadTarget, b"GET ?a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("asterisk of GET", R::BadTarget, b"GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("asterisk and more", R::BadTarget, b"OPTIONS *a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("authority form of GET", R::BadTarget, b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("other scheme", R::BadTarget, b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("scheme without slashes", R::BadTarget, b"GET http:a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("scheme with one slash", R::BadTarget, b"GET http:/a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("network path of GET is a path, but CR is not", R::BadTarget, b"GET //a\r HTTP/1.1\r\n\r\n"),
    ("absolute form without host", R::BadAuthority, b"GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("absolute form with bad host", R::BadAuthority, b"GET http://a,b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("absolute form with bad port", R::BadAuthority, b"GET http://a:b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("absolute form with empty port", R::BadAuthority, b"GET http://a:/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("absolute form with user", R::UserInfo, b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("absolute form with user and password", R::UserInfo, b"GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("absolute form with backslash", R::BadAuthority, b"GET http://a\\b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    // --- CONNECT ---
    ("CONNECT without port", R::BadAuthority, b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("CONNECT to port 0", R::BadAuthority, b"CONNECT a:0 HTTP/1.1\r\nHost: a:0\r\n\r\n"),
    ("CONNECT with path", R::BadAuthority, b"CONNECT a:80/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("CONNECT with scheme", R::BadAuthority, b"CONNECT http://a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("CONNECT of origin form", R::BadAuthority, b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("CONNECT with user", R::UserInfo, b"CONNECT u@a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("CONNECT to another host", R::AuthorityMismatch, b"CONNECT a:80 HTTP/1.1\r\nHost: b:80\r\n\r\n"),
    ("CONNECT to another port", R::AuthorityMismatch, b"CONNECT a:80 HTTP/1.1\r\nHost: a:81\r\n\r\n"),
    ("CONNECT with length", R::BodyOnConnect, b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\n\r\n"),
    ("CONNECT with chunks", R::BodyOnConnect, b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nTransfer-Encoding: chunked\r\n\r\n"),
    // --- version ---
    ("HTTP/2.0", R::UnsupportedVersion, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    ("HTTP/2 preface", R::UnsupportedVersion, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("HTTP/1.2", R::UnsupportedVersion, b"GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    ("HTTP/0.9 spelled out", R::UnsupportedVersion, b"GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
    ("HTTP/3.0", R::UnsupportedVersion, b"GET / HTTP/3.0\r\nHost: a\r\n\r\n"),
    ("lower-case version", R::BadVersion, b"GET / http/1.1\r\nHost: a\r\n\r\n"),
    ("version with two digits", R::BadVersion, b"GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
    ("version with leading zero", R::BadVersion, b"GET / HTTP/01.1\r\nHost: a\r\n\r\n"),
    ("version without minor", R::BadVersion, b"GET / HTTP/1\r\nHost: a\r\n\r\n"),
    ("version with comma", R::BadVersion, b"GET / HTTP/1,1\r\nHost: a\r\n\r\n"),
    ("version with letter", R::BadVersion, b"GET / HTTP/x.1\r\nHost: a\r\n\r\n"),
    ("other protocol", R::BadVersion, b"GET / HTTQ/1.1\r\nHost: a\r\n\r\n"),
    ("space after version", R::BadVersion, b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    ("tab after version", R::BadVersion, b"GET / HTTP/1.1\t\r\nHost: a\r\n\r\n"),
    ("two spaces before version", R::BadVersion, b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("fourth word", R::BadVersion, b"GET / a HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("bare LF after version", R::BadVersion, b"GET / HTTP/1.1\nHost: a\n\n"),
    ("bare CR after version", R::BadVersion, b"GET / HTTP/1.1\rHost: a\r\n\r\n"),
    ("CR CR LF after version", R::BadVersion, b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
    // --- field names ---
    ("empty name", R::BadFieldName, b"GET / HTTP/1.1\r\n: b\r\nHost: a\r\n\r\n"),
    ("name with space", R::SpaceBeforeColon, b"GET / HTTP/1.1\r\nA B: c\r\nHost: a\r\n\r\n"),
    ("space before colon", R::SpaceBeforeColon, b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
    ("tab before colon", R::SpaceBeforeColon, b"GET / HTTP/1.1\r\nHost\t: a\r\n\r\n"),
    ("space before colon of length", R::SpaceBeforeColon, b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\n"),
    ("line without colon", R::BadFieldName, b"GET / HTTP/1.1\r\nHost\r\n\r\n"),
    ("line without colon, then a field", R::BadFieldName, b"GET / HTTP/1.1\r\nA\r\nHost: a\r\n\r\n"),
    ("name with slash", R::BadFieldName, b"GET / HTTP/1.1\r\nA/B: c\r\nHost: a\r\n\r\n"),
    ("name with at sign", R::BadFieldName, b"GET / HTTP/1.1\r\nA@B: c\r\nHost: a\r\n\r\n"),
    ("name with quotes", R::BadFieldName, b"GET / HTTP/1.1\r\n\"A\": c\r\nHost: a\r\n\r\n"),
    ("name with parenthesis", R::BadFieldName, b"GET / HTTP/1.1\r\nA(: c\r\nHost: a\r\n\r\n"),
    ("name with comma", R::BadFieldName, b"GET / HTTP/1.1\r\nA,B: c\r\nHost: a\r\n\r\n"),
    ("name with semicolon", R::BadFieldName, b"GET / HTTP/1.1\r\nA;B: c\r\nHost: a\r\n\r\n"),
    ("name with equals", R::BadFieldName, b"GET / HTTP/1.1\r\nA=B: c\r\nHost: a\r\n\r\n"),
    ("name with brackets", R::BadFieldName, b"GET / HTTP/1.1\r\nA[]: c\r\nHost: a\r\n\r\n"),
    ("name with braces", R::BadFieldName, b"GET / HTTP/1.1\r\nA{}: c\r\nHost: a\r\n\r\n"),
    ("name with backslash", R::BadFieldName, b"GET / HTTP/1.1\r\nA\\B: c\r\nHost: a\r\n\r\n"),
    ("name with question mark", R::BadFieldName, b"GET / HTTP/1.1\r\nA?: c\r\nHost: a\r\n\r\n"),
    ("name with NUL", R::BadFieldName, b"GET / HTTP/1.1\r\nA\0: c\r\nHost: a\r\n\r\n"),
    ("name with DEL", R::BadFieldName, b"GET / HTTP/1.1\r\nA\x7f: c\r\nHost: a\r\n\r\n"),
    ("name above ASCII", R::BadFieldName, b"GET / HTTP/1.1\r\nA\xff: c\r\nHost: a\r\n\r\n"),
    ("name with vertical tab", R::BadFieldName, b"GET / HTTP/1.1\r\nA\x0b: c\r\nHost: a\r\n\r\n"),
    ("known name with CR for hyphen", R::BadFieldName, b"GET / HTTP/1.1\r\nContent\rLength: 5\r\nHost: a\r\n\r\n"),
    ("CR in name", R::BadFieldName, b"GET / HTTP/1.1\r\nHo\rst: a\r\n\r\n"),
    ("LF in name", R::BadFieldName, b"GET / HTTP/1.1\r\nHo\nst: a\r\n\r\n"),
    ("pseudo-field", R::BadFieldName, b"GET / HTTP/1.1\r\n:authority: b\r\nHost: a\r\n\r\n"),
    // --- folds and line ends ---
    ("fold", R::ObsoleteFold, b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n"),
    ("fold with tab", R::ObsoleteFold, b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\tc\r\n\r\n"),
    ("fold of Host", R::ObsoleteFold, b"GET / HTTP/1.1\r\nHost:\r\n a\r\n\r\n"),
    ("fold of encoding", R::ObsoleteFold, b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n \r\n\r\n"),
    ("first line folded", R::ObsoleteFold, b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    ("blank line of spaces", R::ObsoleteFold, b"GET / HTTP/1.1\r\nHost: a\r\n  \r\n\r\n"),
    ("bare LF ends a field", R::BareLf, b"GET / HTTP/1.1\r\nHost: a\nA: b\r\n\r\n"),
    ("bare LF ends the head", R::BareLf, b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    ("two bare LF end the head", R::BareLf, b"GET / HTTP/1.1\r\nHost: a\n\n"),
    ("bare CR ends a field", R::BareCr, b"GET / HTTP/1.1\r\nHost: a\rA: b\r\n\r\n"),
    ("bare CR in a value", R::BareCr, b"GET / HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n"),
    ("CR CR LF ends a field", R::BareCr, b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"),
    ("bare CR ends the head", R::BareCr, b"GET / HTTP/1.1\r\nHost: a\r\n\rx"),
    // --- values ---
    ("NUL in value", R::BadFieldValue, b"GET / HTTP/1.1\r\nHost: a\r\nA: b\0c\r\n\r\n"),
    ("NUL alone", R::BadFieldValue, b"GET / HTTP/1.1\r\nHost: a\r\nA: \0\r\n\r\n"),
    ("DEL in value", R::BadFieldValue, b"GET / HTTP/1.1\r\nHost: a\r\nA: b\x7f\r\n\r\n"),
    ("escape in value", R::BadFieldValue, b"GET / HTTP/1.1\r\nHost: a\r\nA: \x1b[2J\r\n\r\n"),
    ("backspace in value", R::BadFieldValue, b"GET / HTTP/1.1\r\nHost: a\r\nA: \x08\r\n\r\n"),
    ("vertical tab before value", R::BadFieldValue, b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\n\r\n"),
    ("form feed after value", R::BadFieldValue, b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\x0c\r\n\r\n"),
    // --- aliases ---
    ("content_length", R::AliasedName, b"GET / HTTP/1.1\r\nHost: a\r\ncontent_length: 5\r\n\r\n"),
    ("Content_Length", R::AliasedName, b"GET / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\n"),
    ("transfer_encoding", R::AliasedName, b"GET / HTTP/1.1\r\nHost: a\r\ntransfer_encoding: chunked\r\n\r\n"),
    ("content_type", R::AliasedName, b"GET / HTTP/1.1\r\nHost: a\r\ncontent_type: a/b\r\n\r\n"),
    ("x_forwarded_for", R::AliasedName, b"GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 1.2.3.4\r\n\r\n"),
    ("x-forwarded_for", R::AliasedName, b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded_For: 1.2.3.4\r\n\r\n"),
    ("x_forwarded-client-cert", R::AliasedName, b"GET / HTTP/1.1\r\nHost: a\r\nx_forwarded-client-cert: a\r\n\r\n"),
    ("x_forwarded_anything", R::AliasedName, b"GET / HTTP/1.1\r\nHost: a\r\nx_forwarded_anything: a\r\n\r\n"),
    ("x_envoy_internal", R::AliasedName, b"GET / HTTP/1.1\r\nHost: a\r\nx_envoy_internal: true\r\n\r\n"),
    ("x_meshcore_identity", R::AliasedName, b"GET / HTTP/1.1\r\nHost: a\r\nx_meshcore_identity: a\r\n\r\n"),
    ("x_real_ip", R::AliasedName, b"GET / HTTP/1.1\r\nHost: a\r\nx_real_ip: 1.2.3.4\r\n\r\n"),
    ("proxy_authorization", R::AliasedName, b"GET / HTTP/1.1\r\nHost: a\r\nproxy_authorization: a\r\n\r\n"),
    // --- Host ---
    ("no Host", R::MissingHost, b"GET / HTTP/1.1\r\n\r\n"),
    ("no Host with absolute form", R::MissingHost, b"GET http://a/ HTTP/1.1\r\n\r\n"),
    ("no Host with CONNECT", R::MissingHost, b"CONNECT a:80 HTTP/1.1\r\n\r\n"),
    ("empty Host", R::BadAuthority, b"GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    ("blank Host", R::BadAuthority, b"GET / HTTP/1.1\r\nHost:  \r\n\r\n"),
    ("empty Host on HTTP/1.0", R::BadAuthority, b"GET / HTTP/1.0\r\nHost:\r\n\r\n"),
    ("two Hosts", R::DuplicateHost, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    ("the same Host twice", R::DuplicateHost, b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n"),
    ("two Hosts on HTTP/1.0", R::DuplicateHost, b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"),
    ("Host with comma", R::BadAuthority, b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    ("Host with space", R::BadAuthority, b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    ("Host with path", R::BadAuthority, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ("Host with scheme", R::BadAuthority, b"GET / HTTP/1.1\r\nHost: http://a\r\n\r\n"),
    ("Host with query", R::BadAuthority, b"GET / HTTP/1.1\r\nHost: a?b\r\n\r\n"),
    ("Host with user", R::UserInfo, b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    ("Host with percent-encoding", R::BadAuthority, b"GET / HTTP/1.1\r\nHost: a%00b\r\n\r\n"),
    ("Host above ASCII", R::BadAuthority, b"GET / HTTP/1.1\r\nHost: \xc3\xbc\r\n\r\n"),
    ("Host with empty port", R::BadAuthority, b"GET / HTTP/1.1\r\nHost: a:\r\n\r\n"),
    ("Host with large port", R::BadAuthority, b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"),
    ("Host with signed port", R::BadAuthority, b"GET / HTTP/1.1\r\nHost: a:+80\r\n\r\n"),
    ("Host with two ports", R::BadAuthority, b"GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n"),
    ("Host with open bracket", R::BadAuthority, b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    ("Host with bare IPv6", R::BadAuthority, b"GET / HTTP/1.1\r\nHost: ::1\r\n\r\n"),
    ("Host with zone", R::BadAuthority, b"GET / HTTP/1.1\r\nHost: [fe80::1%25lo]\r\n\r\n"),
    ("Host with NUL", R::BadFieldValue, b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n"),
    ("absolute form for another host", R::AuthorityMismatch, b"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n"),
    ("absolute form for another port", R::AuthorityMismatch, b"GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("absolute form, default port of the other scheme", R::AuthorityMismatch, b"GET https://a/ HTTP/1.1\r\nHost: a:80\r\n\r\n"),
    ("absolute form and trailing dot", R::AuthorityMismatch, b"GET http://a/ HTTP/1.1\r\nHost: a.\r\n\r\n"),
    // --- Content-Length ---
    ("signed length", R::BadContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n"),
    (
        "length that a signed reader cannot count",
        R::BadContentLength,
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n",
    ),
    ("negative length", R::BadContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"),
    ("list of lengths", R::BadContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5,5\r\n\r\n"),
    ("list of lengths with space", R::BadContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n"),
    ("length with comma", R::BadContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5,\r\n\r\n"),
    ("empty length", R::BadContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n"),
    ("hexadecimal length", R::BadContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n"),
    ("length with fraction", R::BadContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5.0\r\n\r\n"),
    ("length with exponent", R::BadContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5e0\r\n\r\n"),
    ("length with underscore", R::BadContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5_0\r\n\r\n"),
    ("length with inner space", R::BadContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 0\r\n\r\n"),
    ("quoted length", R::BadContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \"5\"\r\n\r\n"),
    ("word for length", R::BadContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: five\r\n\r\n"),
    ("length above 64 bits", R::BadContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n"),
    ("length far above 64 bits", R::BadContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999999\r\n\r\n"),
    ("length with digits above ASCII", R::BadContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \xd9\xa5\r\n\r\n"),
    ("two lengths", R::DuplicateContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"),
    ("the same length twice", R::DuplicateContentLength, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\n"),
    // --- Transfer-Encoding ---
    ("length and encoding", R::LengthAndEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("encoding and length", R::LengthAndEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
    ("encoding and length 0", R::LengthAndEncoding, b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"),
    ("encoding on HTTP/1.0", R::EncodingOnHttp10, b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("gzip, chunked", R::UnsupportedEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
    ("identity, chunked", R::UnsupportedEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n"),
    ("gzip alone", R::BadTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"),
    ("identity", R::BadTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n"),
    ("chunked, gzip", R::BadTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n"),
    ("chunked, chunked", R::BadTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n"),
    ("chunked,", R::BadTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n"),
    (",chunked", R::BadTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n"),
    ("xchunked", R::BadTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n"),
    ("chunkedx", R::BadTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunkedx\r\n\r\n"),
    ("chunked with parameter", R::BadTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n"),
    ("quoted chunked", R::BadTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n"),
    ("spaced chunked", R::BadTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chun ked\r\n\r\n"),
    ("empty encoding", R::BadTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n"),
    ("chunked in two fields", R::BadTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("chunked, then identity", R::BadTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"),
    ("chunked above ASCII", R::BadTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chun\xc3\xafed\r\n\r\n"),
    ("Kelvin sign in chunked", R::BadTransferEncoding, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chun\xe2\x84\xaaed\r\n\r\n"),
    // --- Connection, Upgrade, Expect ---
    ("option with space", R::BadConnection, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: a b\r\n\r\n"),
    ("option with colon", R::BadConnection, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: a:b\r\n\r\n"),
    ("33 options", R::BadConnection, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a\r\n\r\n"),
    ("empty Upgrade", R::BadUpgrade, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade:\r\n\r\n"),
    ("Upgrade with space", R::BadUpgrade, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: web socket\r\n\r\n"),
    ("other expectation", R::UnknownExpectation, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 200-ok\r\n\r\n"),
];

#[test]
fn each_is_refused_for_its_reason() {
    assert!(HEADS.len() >= 150, "{} cases", HEADS.len());
    for (case, reason, bytes) in HEADS {
        assert_eq!(request(bytes).0, Err(*reason), "{case}: {}", bytes.escape_ascii());
    }
}

#[test]
fn each_name_stands_once() {
    let mut names: Vec<&str> = HEADS.iter().map(|(case, ..)| *case).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), HEADS.len());
}

#[test]
fn each_control_is_refused_in_four_places() {
    for byte in (0..=0x1f_u8).chain(0x7f..=0xff) {
        let above_ascii = byte >= 0x80;
        for (place, before, after) in [
            ("method", &b"G"[..], &b"T / HTTP/1.1\r\nHost: a\r\n\r\n"[..]),
            ("target", b"GET /", b" HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("name", b"GET / HTTP/1.1\r\nHost: a\r\nA", b"B: c\r\n\r\n"),
            ("value", b"GET / HTTP/1.1\r\nHost: a\r\nA: b", b"c\r\n\r\n"),
        ] {
            let bytes = [before, &[byte], after].concat();
            let (parsed, _) = request(&bytes);
            let legal = place == "value" && (above_ascii || byte == b'\t');
            assert_eq!(parsed.is_ok(), legal, "{byte:#x} in {place}: {parsed:?}");
        }
    }
}

#[test]
fn limits_hold_to_the_byte() {
    let limits = Limits { head_bytes: 64, fields: 3, target_bytes: 8, ..Limits::default() };
    let parse = |bytes: &[u8]| parse_request(bytes, &mut RequestHead::new(), &limits);
    let of_len = |len: usize| {
        let mut bytes = b"GET / HTTP/1.1\r\nHost: a\r\nA: ".to_vec();
        bytes.resize(len - 4, b'b');
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes
    };
    assert!(parse(&of_len(64)).unwrap().is_some());
    assert_eq!(parse(&of_len(65)), Err(R::HeadTooLarge));
    assert_eq!(parse(&of_len(65)[..64]), Err(R::HeadTooLarge), "before the end is seen");
    assert_eq!(parse(&of_len(6400)), Err(R::HeadTooLarge));
    assert!(parse(b"GET /2345678 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().is_some());
    assert_eq!(parse(b"GET /23456789 HTTP/1.1\r\nHost: a\r\n\r\n"), Err(R::TargetTooLong));
    assert_eq!(parse(b"GET /23456789"), Err(R::TargetTooLong), "before the end is seen");
    assert!(parse(b"GET / HTTP/1.1\r\nHost: a\r\nB:\r\nC:\r\n\r\n").unwrap().is_some());
    assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: a\r\nB:\r\nC:\r\nD:"), Ok(None));
    assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: a\r\nB:\r\nC:\r\nD:\r\n"), Err(R::TooManyFields));
}

#[test]
fn the_default_limits_answer_414_and_431() {
    let long_target = [&b"GET /"[..], &vec![b'a'; 8192], b" HTTP/1.1\r\n"].concat();
    assert_eq!(request(&long_target).0.unwrap_err().status(), 414);
    let many = [&b"GET / HTTP/1.1\r\nHost: a\r\n"[..], &b"A: b\r\n".repeat(100)].concat();
    assert_eq!(request(&many).0.unwrap_err().status(), 431);
    let large = [&b"GET / HTTP/1.1\r\nHost: a\r\nA: "[..], &vec![b'a'; 61 * 1024]].concat();
    assert_eq!(request(&large).0.unwrap_err().status(), 431);
}

#[test]
fn an_error_is_seen_as_soon_as_its_line() {
    for (case, seen, reason) in [
        ("method", &b"G\0"[..], R::BadMethod),
        ("target", b"GET /\0", R::BadTarget),
        ("bare LF", b"GET / HTTP/1.1\nHost", R::BadVersion),
        ("name", b"GET / HTTP/1.1\r\nA B", R::SpaceBeforeColon),
        ("value", b"GET / HTTP/1.1\r\nA: b\0", R::BadFieldValue),
        ("length", b"GET / HTTP/1.1\r\nContent-Length: x\r\n", R::BadContentLength),
    ] {
        assert_eq!(request(seen).0, Err(reason), "{case}");
    }
}
