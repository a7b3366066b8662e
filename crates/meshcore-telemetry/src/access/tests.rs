use std::time::{Duration, UNIX_EPOCH};

use meshcore_model::{Flag, Flags};

use super::*;

/// Fields by name, the request's before the response's before the trailer's.
#[derive(Default)]
struct Headers {
    request: Vec<(&'static str, Vec<u8>)>,
    response: Vec<(&'static str, Vec<u8>)>,
    trailer: Vec<(&'static str, Vec<u8>)>,
}

fn find<'a>(fields: &'a [(&str, Vec<u8>)], name: &str) -> Option<&'a [u8]> {
    fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_slice())
}

impl AccessHeaders for Headers {
    fn request_header(&self, name: &str) -> Option<&[u8]> {
        find(&self.request, name)
    }

    fn response_header(&self, name: &str) -> Option<&[u8]> {
        find(&self.response, name)
    }

    fn response_trailer(&self, name: &str) -> Option<&[u8]> {
        find(&self.trailer, name)
    }
}

fn headers() -> Headers {
    Headers {
        request: vec![
            ("user-agent", b"curl/8.5".to_vec()),
            ("x-forwarded-for", b"10.0.0.9".to_vec()),
            ("x-request-id", b"8f2c".to_vec()),
        ],
        ..Headers::default()
    }
}

fn record(headers: &Headers) -> AccessRecord<'_> {
    let start = UNIX_EPOCH.checked_add(Duration::from_millis(1_709_210_096_007)).unwrap();
    AccessRecord {
        method: b"GET",
        scheme: b"http",
        authority: b"reviews:9080",
        path: b"/reviews/0?full=1",
        protocol: Some("HTTP/1.1"),
        response_code: 200,
        response_code_details: Some("via_upstream"),
        bytes_received: 3,
        bytes_sent: 375,
        upstream_service_time: Some(Duration::from_micros(4_900)),
        upstream_host: Some("10.1.0.7:9080".parse().unwrap()),
        upstream_cluster: Some("outbound|9080||reviews.prod.svc.cluster.local"),
        upstream_local: Some("10.1.0.3:40000".parse().unwrap()),
        downstream_local: Some("10.9.0.1:9080".parse().unwrap()),
        downstream_remote: Some("[fd00::3]:51000".parse().unwrap()),
        route_name: Some("default"),
        ..AccessRecord::new(headers, start, Duration::from_micros(5_999))
    }
}

fn line(format: &AccessFormat, record: &AccessRecord<'_>) -> String {
    let mut out = Vec::new();
    format.write(record, &mut out);
    String::from_utf8(out).unwrap()
}

fn text(pattern: &str, record: &AccessRecord<'_>) -> String {
    line(&AccessFormat::text(Some(pattern)).unwrap(), record)
}

#[test]
fn istios_text() {
    let headers = headers();
    let format = AccessFormat::text(None).unwrap();
    assert_eq!(
        line(&format, &record(&headers)),
        "[2024-02-29T12:34:56.007Z] \"GET /reviews/0?full=1 HTTP/1.1\" 200 - via_upstream - \
         \"-\" 3 375 5 4 \"10.0.0.9\" \"curl/8.5\" \"8f2c\" \"reviews:9080\" \"10.1.0.7:9080\" \
         outbound|9080||reviews.prod.svc.cluster.local 10.1.0.3:40000 10.9.0.1:9080 \
         [fd00::3]:51000 - default\n"
    );
    let nothing = Headers::default();
    let denied = AccessRecord {
        response_code: 0,
        flags: Flags::default().with(Flag::NoRoute).with(Flag::DownstreamClosed),
        response_code_details: Some("rbac access denied"),
        upstream_failure: Some("certificate has expired"),
        reason: Some("AuthorizationPolicy prod/deny"),
        ..AccessRecord::new(&nothing, UNIX_EPOCH, Duration::ZERO)
    };
    assert_eq!(
        line(&format, &denied),
        "[1970-01-01T00:00:00.000Z] \"- - -\" 0 NR,DC rbac_access_denied - \
         \"certificate has expired\" 0 0 0 - \"-\" \"-\" \"-\" \"-\" \"-\" - - - - - -\n"
    );
}

#[test]
fn istios_json() {
    let headers = headers();
    let format = AccessFormat::istio_json().unwrap();
    let ok = record(&headers);
    let start = concat!(
        r#"{"start_time":"2024-02-29T12:34:56.007Z","route_name":"default","method":"GET","#,
        r#""path":"/reviews/0?full=1","protocol":"HTTP/1.1","response_code":200,"#,
        r#""response_flags":"-","response_code_details":"via_upstream","#,
        r#""connection_termination_details":null,"bytes_received":3,"bytes_sent":375,"#,
        r#""duration":5,"upstream_service_time":"4","x_forwarded_for":"10.0.0.9","#,
        r#""user_agent":"curl/8.5","request_id":"8f2c","authority":"reviews:9080","#,
        r#""upstream_host":"10.1.0.7:9080","#,
        r#""upstream_cluster":"outbound|9080||reviews.prod.svc.cluster.local","#,
        r#""upstream_local_address":"10.1.0.3:40000","#,
        r#""downstream_local_address":"10.9.0.1:9080","#,
        r#""downstream_remote_address":"[fd00::3]:51000","requested_server_name":null,"#,
        r#""upstream_transport_failure_reason":null"#,
    );
    assert_eq!(line(&format, &ok), format!("{start}}}\n"));
    let denied = AccessRecord { reason: Some("AuthorizationPolicy prod/deny"), ..ok };
    let end = r#","reason":"AuthorizationPolicy prod/deny""#;
    assert_eq!(line(&format, &denied), format!("{start}{end}}}\n"));
}

#[test]
fn operators_say_what_envoys_say() {
    let mut headers = headers();
    headers.request.push(("x-empty", Vec::new()));
    headers.response.push(("content-type", b"text/html".to_vec()));
    headers.response.push(("x-envoy-upstream-service-time", b"17".to_vec()));
    headers.trailer.push(("grpc-status", b"0".to_vec()));
    let record = AccessRecord {
        server_name: Some("outbound_.9080_._.reviews"),
        peer_uri_san: Some("spiffe://cluster.local/ns/prod/sa/web"),
        connection_termination_details: Some("idle timeout"),
        reason: Some("AuthorizationPolicy prod/deny (mesh.yaml:7)"),
        ..record(&headers)
    };
    for (pattern, expected) in [
        ("%REQ(X-None?User-Agent)% %REQ(X-None)% %REQ(X-EMPTY)%", "curl/8.5 - -"),
        ("%REQ(:SCHEME)% %REQ(Host)%", "http reviews:9080"),
        ("%REQ_WITHOUT_QUERY(:PATH)%", "/reviews/0"),
        ("%RESP(CONTENT-TYPE)% %RESP(A?content-type)%", "text/html text/html"),
        ("%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%", "17"),
        ("%TRAILER(GRPC-STATUS)% %TRAILER(X)%", "0 -"),
        ("%START_TIME(%s.%3f)% %START_TIME()%", "1709210096.007 2024-02-29T12:34:56.007Z"),
        ("%START_TIME(%F %T):10%", "2024-02-29"),
        ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "fd00::3"),
        ("%REQUESTED_SERVER_NAME%", "outbound_.9080_._.reviews"),
        ("%DOWNSTREAM_PEER_URI_SAN%", "spiffe://cluster.local/ns/prod/sa/web"),
        ("%CONNECTION_TERMINATION_DETAILS%", "idle_timeout"),
        ("%MESHCORE_REASON%", "AuthorizationPolicy prod/deny (mesh.yaml:7)"),
        ("%UPSTREAM_CLUSTER:8%", "outbound"),
        ("%REQ(USER-AGENT):4%|%RESPONSE_CODE:1%", "curl|2"),
        ("100%% \"é\"", "100% \"é\""),
        ("", ""),
    ] {
        assert_eq!(text(pattern, &record), format!("{expected}\n"), "{pattern}");
        assert_eq!(text(&format!("{pattern}\n"), &record), format!("{expected}\n"), "{pattern}");
    }
}

#[test]
fn json_of_own_keys() {
    let headers = headers();
    let members = [("a \"b\"", "%METHOD\n"), ("code", "%RESPONSE_CODE%")];
    assert!(AccessFormat::json(members).is_err());
    let members = [
        ("a \"b\"", "\"%REQ(:METHOD)%\" %REQ(X)%"),
        ("code", "%RESPONSE_CODE%"),
        ("none", "%REQ(X)%"),
    ];
    let format = AccessFormat::json(members).unwrap();
    assert_eq!(
        line(&format, &record(&headers)),
        "{\"a \\\"b\\\"\":\"\\\"GET\\\" -\",\"code\":200,\"none\":null}\n"
    );
    assert_eq!(line(&AccessFormat::json([]).unwrap(), &record(&headers)), "{}\n");
}

#[test]
fn no_field_can_forge_a_line_or_a_field() {
    const EVIL: &str = "x\"\r\n[2024] \"GET /forged HTTP/1.1\" 200\u{1b}[2K\u{2028}\\\u{0}";
    let evil = EVIL.as_bytes().to_vec();
    let headers = Headers {
        request: vec![
            ("x-forwarded-for", evil.clone()),
            ("user-agent", [evil.as_slice(), b"\xff\xfe\xc3"].concat()),
            ("x-request-id", evil.clone()),
            ("x-envoy-original-path", evil.clone()),
        ],
        response: vec![("x-envoy-upstream-service-time", evil.clone())],
        trailer: Vec::new(),
    };
    let record = AccessRecord {
        method: &evil,
        authority: &evil,
        protocol: Some(EVIL),
        response_code_details: Some(EVIL),
        connection_termination_details: Some(EVIL),
        upstream_failure: Some(EVIL),
        upstream_cluster: Some(EVIL),
        server_name: Some(EVIL),
        route_name: Some(EVIL),
        reason: Some(EVIL),
        ..record(&headers)
    };
    let nothing = Headers::default();
    let plain = AccessRecord::new(&nothing, UNIX_EPOCH, Duration::ZERO);
    let quotes = |line: &str| line.replace("\\\\", "").replace("\\\"", "").matches('"').count();
    let is_one_line = |line: &str| {
        let inside = line.strip_suffix('\n').unwrap();
        !inside.contains(|c: char| c.is_control() || c == '\u{2028}')
    };
    let format = AccessFormat::text(None).unwrap();
    let written = line(&format, &record);
    assert!(is_one_line(&written), "{written:?}");
    assert_eq!(quotes(&written), quotes(&line(&format, &plain)));
    let format = AccessFormat::istio_json().unwrap();
    let written = line(&format, &record);
    assert!(is_one_line(&written), "{written:?}");
    // 24 keys and `reason`, each with a string for its value but for four numbers.
    assert_eq!(quotes(&written), 25 * 4 - 4 * 2);
}

#[test]
fn a_limit_counts_before_escapes_and_cuts_no_character() {
    let headers = Headers {
        request: vec![("a", b"\"\"\"\"".to_vec()), ("b", "éé".as_bytes().to_vec())],
        ..Headers::default()
    };
    assert_eq!(text("%REQ(A):2%|%REQ(B):3%", &record(&headers)), "\\\"\\\"|é\n");
}

#[test]
fn errors_name_the_column() {
    for (pattern, column, part) in [
        ("%FOO%", 1, "%FOO% is not a known operator"),
        ("é %FOO%", 3, "%FOO%"),
        ("a % b", 3, "write %% for the sign itself"),
        ("%", 1, "write %%"),
        ("%PROTOCOL", 1, "end it with %"),
        ("%REQ(:PATH%", 1, "add )%"),
        ("%REQ%", 1, "write %REQ(NAME)%"),
        ("%REQ()%", 6, "is not a header"),
        ("%REQ(a b)%", 6, "is not a header"),
        ("%REQ(a?b?c)%", 6, "is not a header"),
        ("%REQ(:STATUS)%", 6, "pseudo header"),
        ("%RESP(:PATH)%", 7, "pseudo header"),
        ("%PROTOCOL(X)%", 11, "takes no arguments"),
        ("%PROTOCOL:x%", 11, "length"),
        ("%PROTOCOL:0%", 11, "length"),
        ("%START_TIME(%Y%Q)%", 15, "unknown time specifier %Q"),
        ("%METADATA(a:b)%", 1, "%METADATA% is not a known operator"),
    ] {
        let error = AccessFormat::text(Some(pattern)).unwrap_err();
        assert_eq!(error.column, column, "{pattern}: {error}");
        assert!(error.problem.contains(part), "{pattern}: {error}");
        assert!(error.to_string().starts_with(&format!("access log format, column {column}: ")));
    }
}
