"""Gateway to the servers of gateways."""

from typing import Literal

from meshcore.config.document import Document
from meshcore.config.models.gateway import HTTP, Gateway, Server, Tls, Version
from meshcore.config.resources import (
    CertificateSource,
    GatewayHost,
    GatewayServer,
    Mesh,
    ServerTls,
    TlsVersion,
)


def compile_document(document: Document[Gateway], mesh: Mesh) -> None:
    """Adds the servers, but those that cannot be opened."""
    mesh["gateways"].append(
        {
            "origin": document.origin(),
            "selector": dict(document.spec.selector),
            "created": document.created,
            "servers": [
                _server(server, document, index)
                for index, server in enumerate(document.spec.servers)
                if is_opened(server)
            ],
        }
    )


def is_opened(server: Server) -> bool:
    """Whether the data plane can open a server."""
    is_automatic = server.tls is not None and server.tls.mode == "AUTO_PASSTHROUGH"
    return not is_automatic and not server.bind.startswith("unix://")


def host(written: str, namespace: str) -> GatewayHost:
    """Returns a host with the namespace of the routes that may be bound to it."""
    wanted, _, name = written.rpartition("/")
    name = name.lower().removesuffix(".") or "*"
    return {"namespace": None if wanted in {"", "*"} else namespace if wanted == "." else wanted,
            "host": name}  # fmt: skip


def _server(server: Server, document: Document[Gateway], index: int) -> GatewayServer:
    is_plain = server.tls is None or server.port.protocol not in {"HTTPS", "TLS"}
    passes_through = not is_plain and server.tls is not None and not server.tls.ends_here
    is_http = server.port.protocol in HTTP and not passes_through
    return {
        "line": document.line("servers", index),
        "port": server.port.number,
        "target_port": server.port.target_port or None,
        "protocol": "http" if is_http else "tcp",
        "bind": server.bind or None,
        "hosts": [host(written, document.namespace) for written in server.hosts],
        "https_redirect": is_plain and server.tls is not None and server.tls.https_redirect,
        "tls": None if is_plain or server.tls is None else _tls(server.tls),
    }


def _tls(tls: Tls) -> ServerTls:
    sources: list[CertificateSource] = [{"credential": name} for name in tls.credentials()]
    if not sources:
        sources = [
            {"files": {"certificate": one.server_certificate, "key": one.private_key}}
            for one in tls.files()
        ]
    ca_file = tls.ca_certificates or next(
        (one.ca_certificates for one in tls.tls_certificates if one.ca_certificates), ""
    )
    # A credential says by itself whom clients are trusted by. Source: Istio's `credentialName`.
    ca_file = "" if tls.credentials() else ca_file
    return {
        "mode": _MODES[tls.mode],
        "certificates": sources,
        "clients": {
            "ca_file": ca_file or None,
            "crl_file": tls.ca_crl or None,
            "credential": tls.ca_cert_credential_name or None,
            "names": list(tls.subject_alt_names),
            "key_hashes": list(tls.verify_certificate_spki),
            "certificate_hashes": list(tls.verify_certificate_hash),
        },
        "min_version": _version(tls.min_protocol_version, "tls12"),
        "max_version": _version(tls.max_protocol_version, "tls13"),
        "cipher_suites": list(tls.cipher_suites),
    }


_Mode = Literal["passthrough", "simple", "mutual", "optional_mutual", "istio_mutual"]
_MODES: dict[str, _Mode] = {
    "PASSTHROUGH": "passthrough",
    "SIMPLE": "simple",
    "MUTUAL": "mutual",
    "OPTIONAL_MUTUAL": "optional_mutual",
    "ISTIO_MUTUAL": "istio_mutual",
}


def _version(written: Version, automatic: TlsVersion) -> TlsVersion:
    """Returns a version that is spoken: TLS 1.2 in place of older ones."""
    if written == "TLS_AUTO":
        return automatic
    return "tls13" if written == "TLSV1_3" else "tls12"
