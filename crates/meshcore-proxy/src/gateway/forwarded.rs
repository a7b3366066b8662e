//! What a gateway tells those behind it about its client. Source: Envoy with
//! `use_remote_address`, and `forward_client_cert_details` as `SANITIZE_SET`, as Istio's gateways
//! have them.

use std::fmt::Write as _;
use std::net::IpAddr;

use meshcore_http::{Known, RequestHead};
use meshcore_model::{Failure, Kind};
use meshcore_tls::ClientCertificate;

use crate::client::Client;

/// Says who the client is and how it came; what it says of that itself is not believed.
///
/// # Errors
///
/// `Internal` when a value cannot be said.
pub(crate) fn tell_client(client: &Client, head: &mut RequestHead) -> Result<(), Failure> {
    let address = client.peer.ip().to_canonical();
    let said = address.to_string();
    let mut way = Vec::new();
    for before in head.fields.values(Known::XForwardedFor) {
        way.extend_from_slice(before);
        way.push(b',');
    }
    way.extend_from_slice(said.as_bytes());
    for known in [
        Known::XEnvoyOriginalPath,
        Known::XEnvoyInternal,
        Known::XEnvoyExternalAddress,
        Known::XEnvoyPeerMetadata,
        Known::XEnvoyPeerMetadataId,
        Known::XForwardedClientCert,
    ] {
        head.fields.remove(known);
    }
    let mut set = |name: &[u8], value: &[u8]| {
        head.fields.set(name, value).map_err(|bad| Failure::because(Kind::Internal, bad))
    };
    set(b"x-forwarded-for", &way)?;
    let is_tls = client.entrance.as_ref().is_some_and(|entrance| entrance.is_tls());
    set(b"x-forwarded-proto", if is_tls { b"https" } else { b"http" })?;
    if is_internal(address) {
        set(b"x-envoy-internal", b"true")?;
    } else {
        set(b"x-envoy-external-address", said.as_bytes())?;
    }
    let certificate = client.entrance.as_ref().and_then(|entrance| entrance.certificate.as_ref());
    match certificate {
        Some(certificate) => set(b"x-forwarded-client-cert", certificate.as_bytes()),
        None => Ok(()),
    }
}

/// A certificate as `x-forwarded-client-cert` says it.
pub(super) fn certificate(shown: &ClientCertificate) -> String {
    let mut out = format!("Hash={};Cert=\"", shown.hash);
    for byte in shown.pem.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => {
                let _written = write!(out, "%{byte:02X}"); // to memory
            }
        }
    }
    out.push_str("\";Subject=\"");
    out.push_str(&quoted(&shown.subject));
    out.push('"');
    for (name, values) in [("URI", &shown.uris), ("DNS", &shown.dns)] {
        for value in values {
            let _written = write!(out, ";{name}={}", said(value));
        }
    }
    out
}

/// A value in quotes; what no field may carry is left out.
fn quoted(text: &str) -> String {
    let is_sayable = |character: &char| *character == ' ' || character.is_ascii_graphic();
    text.chars()
        .filter(is_sayable)
        .flat_map(|one| matches!(one, '"' | '\\').then_some('\\').into_iter().chain([one]))
        .collect()
}

/// A value, in quotes when it would not end where it ends.
fn said(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'=');
    if text.bytes().all(is_plain) { text.to_owned() } else { format!("\"{}\"", quoted(text)) }
}

/// Whether an address is of a network of one's own. Source: RFC 1918, RFC 4193.
fn is_internal(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_loopback(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_cannot_say_more_than_one_thing() {
        let shown = ClientCertificate {
            hash: "ab".into(),
            pem: "-\n+".into(),
            subject: "CN=a\",By=\"evil\r\n".into(),
            uris: vec!["spiffe://a/b".into(), "x;By=y".into()],
            dns: vec!["a.com".into()],
        };
        assert_eq!(
            certificate(&shown),
            "Hash=ab;Cert=\"-%0A%2B\";Subject=\"CN=a\\\",By=\\\"evil\";URI=spiffe://a/b;\
             URI=\"x;By=y\";DNS=a.com"
        );
    }
}
