//! The ALPN names of Istio's mesh, and the lists in which they are offered.
//!
//! Source: Istio `pilot/pkg/networking/util` (`ALPNInMesh*`) and its ALPN filter, which offers
//! the mesh name first, then `istio`, then the plain name of the same protocol.

/// Mesh peer, protocol not known: TCP.
pub const ISTIO: &[u8] = b"istio";
/// Mesh peer that can exchange workload metadata before the first byte of a TCP stream.
pub const ISTIO_PEER_EXCHANGE: &[u8] = b"istio-peer-exchange";
/// Mesh peer that speaks HTTP/1.0.
pub const ISTIO_HTTP_1_0: &[u8] = b"istio-http/1.0";
/// Mesh peer that speaks HTTP/1.1.
pub const ISTIO_HTTP_1_1: &[u8] = b"istio-http/1.1";
/// Mesh peer that speaks HTTP/2.
pub const ISTIO_H2: &[u8] = b"istio-h2";
/// HTTP/2, which is also HBONE's name. Source: RFC 9113 section 3.2.
pub const H2: &[u8] = b"h2";
/// HTTP/1.1. Source: RFC 7301 section 6.
pub const HTTP_1_1: &[u8] = b"http/1.1";

/// What an inbound sidecar listener accepts, best first.
pub const INBOUND: &[&[u8]] =
    &[ISTIO_H2, ISTIO_HTTP_1_1, ISTIO_HTTP_1_0, ISTIO_PEER_EXCHANGE, ISTIO, H2, HTTP_1_1];
/// What an HBONE listener or client speaks: HTTP/2 and nothing else.
pub const HBONE: &[&[u8]] = &[H2];
/// What a client offers for a plain TCP stream in the mesh.
pub const OUTBOUND_TCP: &[&[u8]] = &[ISTIO_PEER_EXCHANGE, ISTIO];
/// What a client offers for HTTP/1.1 in the mesh.
pub const OUTBOUND_HTTP1: &[&[u8]] = &[ISTIO_HTTP_1_1, ISTIO, HTTP_1_1];
/// What a client offers for HTTP/2 in the mesh.
pub const OUTBOUND_HTTP2: &[&[u8]] = &[ISTIO_H2, ISTIO, H2];

/// Whether the name says that its sender is a mesh client, so that a PERMISSIVE port answers it
/// with mutual TLS.
pub fn is_mesh(name: &[u8]) -> bool {
    [ISTIO, ISTIO_PEER_EXCHANGE, ISTIO_HTTP_1_0, ISTIO_HTTP_1_1, ISTIO_H2].contains(&name)
}

pub(crate) fn owned(list: &[&[u8]]) -> Vec<Vec<u8>> {
    list.iter().map(|name| name.to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_istio_names_are_mesh_names() {
        for name in [ISTIO, ISTIO_PEER_EXCHANGE, ISTIO_HTTP_1_0, ISTIO_HTTP_1_1, ISTIO_H2] {
            assert!(is_mesh(name), "{name:?}");
        }
        for name in [H2, HTTP_1_1, b"", b"istio2", b"ISTIO", b"istio-"] {
            assert!(!is_mesh(name), "{name:?}");
        }
    }
}
