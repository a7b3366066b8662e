//! What the tests of this crate share: workloads, and handshakes in memory.

use std::sync::Arc;
use std::time::Duration;

use meshcore_model::Identity;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

use crate::ca::Authority;
use crate::{Materials, TrustBundle};

pub(crate) const DAY: Duration = Duration::from_hours(24);

pub(crate) fn identity(service_account: &str) -> Identity {
    Identity::new("td", "ns", service_account).unwrap()
}

pub(crate) fn bundle_of(authority: &Authority) -> TrustBundle {
    TrustBundle::from_pem([("td", authority.root_pem())]).unwrap()
}

/// Materials in trust domain `td`, valid for a day.
pub(crate) fn materials(authority: &Authority, service_account: &str) -> Materials {
    materials_for(authority, service_account, DAY)
}

pub(crate) fn materials_for(authority: &Authority, account: &str, ttl: Duration) -> Materials {
    let issued = authority.issue(&identity(account), ttl).unwrap();
    let (chain, key) = (issued.chain_pem.as_bytes(), issued.key_pem.as_bytes());
    Materials::from_pem(chain, key, bundle_of(authority)).unwrap()
}

/// Both ends of a finished handshake, tickets delivered.
pub(crate) type Pair = (ClientConnection, ServerConnection);

/// Shakes hands in memory, or gives the first error and the side that met it.
pub(crate) fn shake(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    name: &str,
) -> Result<Pair, (&'static str, rustls::Error)> {
    let name = name.to_owned().try_into().unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut read = wire.as_slice();
        while !read.is_empty() {
            server.read_tls(&mut read).unwrap();
            server.process_new_packets().map_err(|error| ("server", error))?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut read = wire.as_slice();
        while !read.is_empty() {
            client.read_tls(&mut read).unwrap();
            client.process_new_packets().map_err(|error| ("client", error))?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking(), "handshake did not end");
    Ok((client, server))
}

/// Base64 as in PEM. Source: RFC 4648 section 4, RFC 7468 section 2.
pub(crate) fn base64_lines(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for (index, group) in bytes.chunks(3).enumerate() {
        let mut word = [0; 4];
        word[1..=group.len()].copy_from_slice(group);
        let word = u32::from_be_bytes(word);
        for (position, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = ALPHABET[(word >> shift) as usize & 63] as char;
            text.push(if position <= group.len() { digit } else { '=' });
        }
        if index % 16 == 15 {
            text.push('\n');
        }
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}
