//! The first bytes of a connection: is it TLS, and for whom?

use std::io::Cursor;

use meshcore_model::MeshSni;
use meshcore_tls::rustls::server::Acceptor;
use meshcore_tls::{ClientHello, client_hello};

use crate::reads::in_any_reads;

/// The answer does not depend on reads, and is that of rustls, which carries on with the bytes: the
/// same names, as soon as it has them. To refuse what rustls would take is allowed.
pub(crate) fn run(data: &[u8]) {
    let ours = in_any_reads(data, client_hello);
    if let Ok(Some(hello)) = &ours {
        assert!(hello.alpn().all(|name| !name.is_empty()));
        let mesh = hello.server_name().and_then(|name| name.parse::<MeshSni>().ok());
        if let Some(name) = mesh {
            assert_eq!(name.to_string().parse::<MeshSni>(), Ok(name));
        }
    }
    let Some((server_name, alpn)) = of_rustls(data) else { return };
    let Ok(read) = ours else { return };
    let hello = read.expect("rustls waits for no more");
    assert!(is_named(&hello, server_name.as_deref()), "{hello:?} is {server_name:?} for rustls");
    assert_eq!(hello.alpn().collect::<Vec<_>>(), alpn);
}

/// Server name and ALPN of a hello that rustls would answer.
fn of_rustls(data: &[u8]) -> Option<(Option<String>, Vec<Vec<u8>>)> {
    let mut acceptor = Acceptor::default();
    let mut bytes = Cursor::new(data);
    while acceptor.read_tls(&mut bytes).ok()? > 0 {
        if let Some(accepted) = acceptor.accept().ok()? {
            let hello = accepted.client_hello();
            let alpn = hello.alpn().map(|names| names.map(<[u8]>::to_vec).collect());
            return Some((hello.server_name().map(str::to_owned), alpn.unwrap_or_default()));
        }
    }
    None
}

fn is_named(hello: &ClientHello, expected: Option<&str>) -> bool {
    match (hello.server_name(), expected) {
        (Some(name), Some(expected)) => name.eq_ignore_ascii_case(expected),
        (name, expected) => name == expected,
    }
}
