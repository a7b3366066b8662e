//! Hellos of rustls and OpenSSL clients, cut, split and garbled.

use std::sync::Arc;

use proptest::prelude::*;
use rustls::crypto::{CryptoProvider, aws_lc_rs::kx_group};
use rustls::{ClientConfig, ClientConnection};

use super::*;
use crate::provider::{provider, versions};

const HOST: &str = "outbound_.80_._.web.ns.svc.cluster.local";

/// The first flight of a rustls client.
fn hello(name: &str, alpn: &[&[u8]], post_quantum: bool, tls12: bool) -> Vec<u8> {
    let kx_groups = if post_quantum {
        provider().kx_groups.clone()
    } else {
        vec![kx_group::X25519, kx_group::SECP256R1]
    };
    let crypto = CryptoProvider { kx_groups, ..provider().as_ref().clone() };
    let mut config = ClientConfig::builder_with_provider(Arc::new(crypto))
        .with_protocol_versions(versions(tls12))
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn::owned(alpn);
    let name = name.to_owned().try_into().unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// The same message in records of `size` bytes.
fn split(hello: &[u8], size: usize) -> Vec<u8> {
    hello[5..].chunks(size).flat_map(record).collect()
}

fn record(fragment: &[u8]) -> Vec<u8> {
    let length = u16::try_from(fragment.len()).unwrap().to_be_bytes();
    [&[22, 3, 1], &length[..], fragment].concat()
}

fn message(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[1], &length[1..], body].concat()
}

fn vector(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&length[..], content].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [kind.to_be_bytes().to_vec(), vector(content)].concat()
}

/// A handmade hello with these extensions.
fn made(extensions: &[Vec<u8>]) -> Vec<u8> {
    made_raw(&vector(&extensions.concat()))
}

fn made_raw(after_compressions: &[u8]) -> Vec<u8> {
    let fixed = [&[3, 3][..], &[7; 32], &[0], &vector(&[0x13, 1]), &[1, 0]].concat();
    message(&[&fixed, after_compressions].concat())
}

fn server_name(name: &[u8]) -> Vec<u8> {
    extension(0, &vector(&[&[0][..], &vector(name)].concat()))
}

fn offers(hello: &ClientHello) -> Vec<&[u8]> {
    hello.alpn().collect()
}

#[test]
fn rustls_hellos_are_read() {
    for post_quantum in [false, true] {
        for tls12 in [false, true] {
            for list in [&[][..], alpn::OUTBOUND_HTTP1, alpn::OUTBOUND_TCP, alpn::HBONE] {
                let bytes = hello(HOST, list, post_quantum, tls12);
                let read = client_hello(&bytes).unwrap().unwrap();
                assert_eq!(read.server_name(), Some(HOST));
                assert_eq!(offers(&read), list);
                assert_eq!(bytes.len() > 1400, post_quantum, "{}", bytes.len());
            }
        }
    }
}

#[test]
fn an_address_sends_no_name() {
    let read = client_hello(&hello("127.0.0.1", &[], true, false)).unwrap().unwrap();
    assert_eq!(read.server_name(), None);
    assert_eq!(offers(&read), Vec::<&[u8]>::new());
}

#[test]
fn mesh_clients_are_told_by_alpn() {
    for (list, is_mesh) in [
        (&[][..], false),
        (alpn::OUTBOUND_TCP, true),
        (alpn::OUTBOUND_HTTP1, true),
        (alpn::OUTBOUND_HTTP2, true),
        (alpn::HBONE, false),
        (&[alpn::HTTP_1_1][..], false),
        (&[alpn::HTTP_1_1, alpn::H2][..], false),
    ] {
        let read = client_hello(&hello(HOST, list, true, false)).unwrap().unwrap();
        assert_eq!(read.is_mesh_alpn(), is_mesh, "{list:?}");
    }
}

#[test]
fn every_prefix_asks_for_more_and_more_changes_nothing() {
    for bytes in [hello(HOST, alpn::OUTBOUND_TCP, true, true), hello("a", &[], false, false)] {
        let whole = client_hello(&bytes).unwrap().unwrap();
        for length in 0..bytes.len() {
            assert_eq!(client_hello(&bytes[..length]), Ok(None), "{length}");
        }
        let with_more = [&bytes[..], b"more"].concat();
        assert_eq!(client_hello(&with_more), Ok(Some(whole.clone())));
        for size in [1, 3, 4, 5, 100, 600, bytes.len()] {
            let records = split(&bytes, size);
            for length in (0..records.len()).step_by(1 + size / 7) {
                assert_eq!(client_hello(&records[..length]), Ok(None), "{length} of {size}");
            }
            assert_eq!(client_hello(&records), Ok(Some(whole.clone())), "records of {size}");
        }
    }
}

#[test]
fn a_hello_over_several_full_records_is_read() {
    let padding = extension(21, &vec![0; 40_000]);
    let hello = made(&[padding, server_name(b"Big.Example"), extension(16, &vector(b"\x02h2"))]);
    let bytes: Vec<u8> = hello.chunks(MAX_RECORD_BYTES).flat_map(record).collect();
    assert!(bytes.len() > 2 * MAX_RECORD_BYTES);
    let read = client_hello(&bytes).unwrap().unwrap();
    assert_eq!(read.server_name(), Some("big.example"));
    assert_eq!(offers(&read), [b"h2"]);
    assert_eq!(client_hello(&bytes[..bytes.len() - 1]), Ok(None));
}

#[test]
fn more_than_64_kib_is_never_asked_for() {
    let announced = [&[1, 0x01, 0x00, 0x00][..], &[0; 100]].concat();
    assert_eq!(client_hello(&record(&announced)), Err(NotTls), "64 KiB and a header");
    let largest = [&[1, 0x00, 0xff, 0xfc][..], &[0; 100]].concat();
    assert_eq!(client_hello(&record(&largest)), Ok(None));
    let mut grown = record(&largest);
    while client_hello(&grown) == Ok(None) {
        assert!(grown.len() < MAX_CLIENT_HELLO_BYTES);
        grown.extend(record(&[0; 16_000]));
    }
    let drip = [record(&largest), record(b"x").repeat(MAX_CLIENT_HELLO_BYTES)].concat();
    assert_eq!(client_hello(&drip), Err(NotTls));
    assert_eq!(client_hello(&drip[..MAX_CLIENT_HELLO_BYTES]), Err(NotTls));
    assert_eq!(client_hello(&drip[..MAX_CLIENT_HELLO_BYTES - 1]), Ok(None));
}

#[test]
fn what_follows_the_hello_is_not_looked_at() {
    let bytes = hello(HOST, alpn::OUTBOUND_TCP, true, false);
    let whole = client_hello(&bytes);
    for records in [bytes.clone(), split(&bytes, 300)] {
        for more in [&b"\x14\x03\x03\0\x01\x01"[..], b"\x17\x03\x03\x01\0early data", b"GET"] {
            assert_eq!(client_hello(&[&records, more].concat()), whole, "{more:?}");
        }
    }
}

#[test]
fn other_protocols_are_told_at_once() {
    for first in [
        &b"G"[..],
        b"GET / HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"SSH-2.0-x",
        b"\0\0\0\x4e\0\x03\0\0", // PostgreSQL
        b"\x16\x03\x09",
        b"\x16\x02",
        b"\x80\x2e\x01\x03\x01", // SSL 2.0
        b"\x17\x03\x03\0\x05hello",
        b"\x15\x03\x03\0\x02\x02\x28",
        b"\x16\x03\x01\0\0",               // a record of nothing
        b"\x16\x03\x01\x40\x01\x01",       // a record too long
        b"\x16\x03\x01\0\x04\x02\0\0\x10", // a server hello
    ] {
        assert_eq!(client_hello(first), Err(NotTls), "{first:?}");
    }
    assert_eq!(client_hello(b""), Ok(None));
    assert_eq!(client_hello(b"\x16"), Ok(None));
}

#[test]
fn malformed_hellos_are_refused() {
    let two_names = extension(16, &vector(b"\x02h2\x05istio"));
    assert!(client_hello(&record(&made(&[two_names]))).unwrap().is_some());
    for (case, bytes) in [
        ("empty", message(&[])),
        ("only a version", message(&[3, 3])),
        ("extensions cut off", made_raw(&[0, 9, 0])),
        ("extension longer than the list", made_raw(&[0, 4, 0, 0, 0, 9])),
        ("extension without length", made_raw(&[0, 3, 0, 0, 0])),
        ("ALPN name too long", made(&[extension(16, &vector(b"\x03h2"))])),
        ("ALPN name empty", made(&[extension(16, &vector(b"\x00"))])),
        ("ALPN without list", made(&[extension(16, b"")])),
        ("name list cut off", made(&[extension(0, &[0, 9, 0])])),
        ("name without length", made(&[extension(0, &vector(&[0]))])),
        ("two hosts", made(&[extension(0, &vector(b"\0\0\x01a\0\0\x01b"))])),
    ] {
        assert_eq!(client_hello(&record(&bytes)), Err(NotTls), "{case}");
    }
}

#[test]
fn names_that_select_nothing_are_left_out() {
    for name in
        [&b""[..], b"a b", b"a\0.b", b"\xff", b"a/b", &[b'a'; 254], b"[::1]", b"127.0.0.1", b"."]
    {
        let read = client_hello(&record(&made(&[server_name(name)]))).unwrap().unwrap();
        assert_eq!(read.server_name(), None, "{name:?}");
    }
    for name in [&b"WEB.ns"[..], b"web.ns."] {
        let read = client_hello(&record(&made(&[server_name(name)]))).unwrap().unwrap();
        assert_eq!(read.server_name(), Some("web.ns"));
    }
    let without_extensions = client_hello(&record(&made_raw(&[]))).unwrap().unwrap();
    assert_eq!(without_extensions, ClientHello::default());
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = client_hello(&bytes);
        let _ = client_hello(&record(&bytes));
        let _ = client_hello(&record(&message(&bytes)));
        let _ = client_hello(&record(&made_raw(&bytes)));
    }

    #[test]
    fn a_garbled_hello_never_panics_nor_waits_without_end(
        at in any::<proptest::sample::Index>(), to in any::<u8>(), cut in 0_usize..2000,
    ) {
        let mut bytes = hello(HOST, alpn::OUTBOUND_TCP, false, true);
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(Some(read)) = client_hello(&bytes) {
            prop_assert!(read.alpn().count() < 200);
        }
        bytes.truncate(cut);
        let _ = client_hello(&bytes);
        bytes.extend(record(&[0; 16_000]).repeat(5));
        prop_assert_ne!(client_hello(&bytes), Ok(None));
    }

    #[test]
    fn splitting_never_changes_the_answer(cuts in proptest::collection::vec(1_usize..400, 1..20)) {
        let bytes = hello(HOST, alpn::OUTBOUND_HTTP2, true, false);
        let whole = client_hello(&bytes);
        let (mut rest, mut records) = (&bytes[5..], Vec::new());
        for cut in cuts {
            let (head, tail) = rest.split_at(cut.min(rest.len()));
            if !head.is_empty() {
                records.extend(record(head));
            }
            rest = tail;
        }
        if !rest.is_empty() {
            records.extend(record(rest));
        }
        prop_assert_eq!(client_hello(&records), whole);
    }
}
