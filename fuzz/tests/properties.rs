//! The targets with made inputs: pieces that mean something, in any order, and what was kept with
//! a few bytes changed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::path::Path;

use meshcore_fuzz::{TARGETS, mutate, target};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// These texts and a few other bytes, in any order.
fn pieces(texts: Vec<&'static str>, most: usize) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => select(texts).prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..most).prop_map(|pieces| pieces.concat())
}

fn heads() -> impl Strategy<Value = Vec<u8>> {
    let texts = vec![
        "GET ",
        "POST ",
        "CONNECT ",
        "OPTIONS ",
        "/ ",
        "* ",
        "/a?b ",
        "http://a/ ",
        "a:80 ",
        "HTTP/1.1\r\n",
        "HTTP/1.0\r\n",
        "Host: a\r\n",
        "Host: b:80\r\n",
        "Content-Length: 5\r\n",
        "Content-Length:0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close, x\r\n",
        "X: 1\r\n",
        "x:\t2 \r\n",
        "Upgrade: a\r\n",
        "TE: trailers\r\n",
        "Expect: 100-continue\r\n",
        "\r\n",
        "\n",
        "\r",
        " ",
        ":",
        "a_b: c\r\n",
        "content_length: 1\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 304\r\n",
        "Keep-Alive: a\r\n",
        "Cookie: a=b; c\r\n",
        "Trailer: x\r\n",
        "01234",
    ];
    pieces(texts, 12)
}

/// Requests of which most are accepted.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let line = "(GET|POST|PURGE|OPTIONS) (/|/a\\?b=c|\\*|http://A:80/x) HTTP/1\\.[01]\r\n";
    let fields = vec("[A-Za-z-]{1,20}:[ \t]{0,2}[ -~]{0,40}\r\n", 0..8);
    let host = "(Host: a:80\r\n|host:A:80\r\n)?";
    let framing = "(Content-Length: [0-9]\r\n|Transfer-Encoding: chunked\r\n)?";
    (line, fields, host, framing, chunks()).prop_map(|(line, fields, host, framing, body)| {
        let head = format!("{line}{}{host}{framing}\r\n", fields.concat());
        [head.as_bytes(), &body].concat()
    })
}

fn chunks() -> impl Strategy<Value = Vec<u8>> {
    let texts = vec![
        "3\r\nabc\r\n",
        "1\r\nx\r\n",
        "0A\r\n0123456789\r\n",
        "2;a=b;c=\"d\\\"\"\r\nhi\r\n",
        "0\r\n\r\n",
        "0\r\n",
        "a: b\r\n",
        "Host: x\r\n",
        "\r\n",
        ";",
        " ",
        "\n",
        "5",
        "\"",
        "\\",
    ];
    pieces(texts, 10)
}

fn paths() -> impl Strategy<Value = Vec<u8>> {
    let texts = vec![
        "/", "//", ".", "..", ";a", "\\", "a", "%2e", "%2F", "%5c", "%41", "%25", "%", "?", "%00",
        "%e9", "%3B",
    ];
    pieces(texts, 12).prop_map(|tail| [b"/", tail.as_slice()].concat())
}

fn names() -> impl Strategy<Value = Vec<u8>> {
    let texts = vec![
        "outbound_",
        ".",
        "_.",
        "80",
        "v1",
        "a",
        "A",
        ":",
        "[::1]",
        "127.0.0.1",
        "spiffe://",
        "/ns/",
        "/sa/",
        "-",
        "_",
        "*",
        "0",
        "65536",
        "svc.cluster.local",
    ];
    pieces(texts, 12)
}

fn h2_heads() -> impl Strategy<Value = Vec<u8>> {
    let texts = vec![
        "GET\n",
        "CONNECT\n",
        "OPTIONS\n",
        "200\n",
        "304\n",
        "http\n",
        "https\n",
        "a\n",
        "a:80\n",
        "/\n",
        "/a?b\n",
        "*\n",
        "\n",
        "x: 1\n",
        "cookie: a\n",
        "content-length: 5\n",
        "te: trailers\n",
        "host: a\n",
        "host: A:80\n",
        "connection: x\n",
        "expect: 100-continue\n",
        "a_b: c\n",
    ];
    pieces(texts, 12)
}

fn records() -> impl Strategy<Value = Vec<u8>> {
    let texts = vec![
        "%REQ(:PATH)%",
        "%REQ(A?B):3%",
        "%RESP(A)%",
        "%START_TIME(%Y %3f)%",
        "%DURATION%",
        "%%",
        "\"",
        "\\",
        "a",
        "\n",
        "\r",
        "\0",
        "\u{2028}",
        "é",
        "\u{202e}",
        "%",
        "(",
        ")",
    ];
    pieces(texts, 12)
}

/// What was kept for a target, with a few bytes replaced, put in, or taken out.
fn changed(name: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let entries = std::fs::read_dir(folder).unwrap();
    let mut kept: Vec<Vec<u8>> =
        entries.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect();
    kept.sort();
    let change = (any::<Index>(), any::<u8>(), 0_u8..3);
    (select(kept), vec(change, 0..6)).prop_map(|(mut data, changes)| {
        for (at, byte, how) in changes {
            let at = at.index(data.len().saturating_add(1));
            match how {
                0 => data.insert(at, byte),
                1 if at < data.len() => drop(data.remove(at)),
                _ => data.iter_mut().skip(at).take(1).for_each(|old| *old = byte),
            }
        }
        data
    })
}

fn holds(name: &str, data: &[u8]) {
    (target(name).unwrap().run)(data);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn requests_hold(data in prop_oneof![heads(), requests()]) {
        holds("request", &data);
    }

    #[test]
    fn responses_hold(data in heads()) {
        holds("response", &data);
        holds("response", &[b"HTTP/1.1 200 OK\r\n", data.as_slice()].concat());
    }

    #[test]
    fn bodies_hold(data in chunks()) {
        holds("chunks", &data);
    }

    #[test]
    fn conversations_hold(data in vec(requests(), 0..4)) {
        holds("conversation", &data.concat());
    }

    #[test]
    fn h2_heads_hold(data in h2_heads()) {
        holds("h2_head", &data);
    }

    #[test]
    fn paths_hold(data in paths()) {
        holds("path", &data);
    }

    #[test]
    fn names_hold(data in names()) {
        holds("names", &data);
    }

    #[test]
    fn records_hold(data in records()) {
        holds("record", &data);
    }

    #[test]
    fn hellos_hold(data in changed("hello")) {
        holds("hello", &data);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn meshes_hold(data in changed("mesh"), seeds in vec(any::<u32>(), 1..4)) {
        holds("mesh", &data);
        for seed in seeds {
            holds("mesh", &mutate::json(&data, seed).unwrap_or_default());
        }
    }

    #[test]
    fn any_bytes_hold(data in vec(any::<u8>(), 0..300)) {
        for target in TARGETS.iter().filter(|target| target.name != "wire") {
            (target.run)(&data);
        }
    }

    #[test]
    fn what_is_sent_to_a_sidecar_holds(data in changed("wire")) {
        holds("wire", &data);
    }
}

#[test]
fn the_made_requests_are_mostly_accepted() {
    use meshcore_http::RequestHead;
    use meshcore_http::h1::{Limits, parse_request};

    let (mut runner, mut head) = (TestRunner::deterministic(), RequestHead::new());
    let accepted = (0..200)
        .filter(|_| {
            let data = requests().new_tree(&mut runner).unwrap().current();
            matches!(parse_request(&data, &mut head, &Limits::default()), Ok(Some(_)))
        })
        .count();
    assert!(accepted > 40, "only {accepted} of 200: the properties would test nothing");
}
