"""Gateways: `gateway.rs`."""

from typing import Literal, TypeAlias, TypedDict, final

from meshcore.config.resources.origin import Labels, Origin

TlsVersion: TypeAlias = Literal["tls12", "tls13"]


class CertificateFiles(TypedDict):
    """Paths of a certificate and its key."""

    certificate: str
    key: str


@final
class InFiles(TypedDict):
    """`CertificateSource::Files`."""

    files: CertificateFiles


@final
class InCredential(TypedDict):
    """`CertificateSource::Credential`."""

    credential: str


CertificateSource: TypeAlias = InFiles | InCredential


class ClientProof(TypedDict):
    """Whom clients are trusted by, and what more their certificates must be."""

    ca_file: str | None
    crl_file: str | None
    credential: str | None
    names: list[str]
    key_hashes: list[str]
    certificate_hashes: list[str]


class ServerTls(TypedDict):
    """How TLS is taken by a server."""

    mode: Literal["passthrough", "simple", "mutual", "optional_mutual", "istio_mutual"]
    certificates: list[CertificateSource]
    clients: ClientProof
    min_version: TlsVersion
    max_version: TlsVersion
    cipher_suites: list[str]


class GatewayHost(TypedDict):
    """A host, and the namespace whose routes may be bound to it."""

    namespace: str | None
    host: str


class GatewayServer(TypedDict):
    """Some hosts on a port."""

    line: int
    port: int
    target_port: int | None
    protocol: Literal["http", "tcp"]
    bind: str | None
    hosts: list[GatewayHost]
    https_redirect: bool
    tls: ServerTls | None


class Gateway(TypedDict):
    """Servers that the selected gateways open."""

    origin: Origin
    selector: Labels
    created: str
    servers: list[GatewayServer]


class Credential(TypedDict):
    """A certificate with its key, authorities, or both."""

    origin: Origin
    certificate: str | None
    key: str | None
    authorities: str | None
    revocations: str | None
