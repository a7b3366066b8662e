"""Istio's Gateway: servers at the edge of the mesh."""

import base64
import binascii
import re
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from meshcore.config.addresses import is_dns_label, is_host, is_ip
from meshcore.config.models import Kind
from meshcore.config.models.base import Model, PortNumber, Wanted, refusal

Mode: TypeAlias = Literal[
    "PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"
]
Version: TypeAlias = Literal["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"]

# What is in HTTP and what is bytes, of the protocols that Istio takes.
HTTP = frozenset({"HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTPS"})
BYTES = frozenset({"TCP", "MONGO", "REDIS", "MYSQL", "TLS"})
# Those that are in TLS.
IN_TLS = frozenset({"HTTPS", "TLS"})
# Certificates of one server, and credentials. Source: Istio's gateway.proto.
_MOST_CERTIFICATES = 2
_SHA256_BYTES = 32
_HEX_SHA256 = re.compile(r"(?:[0-9a-fA-F]{64}|[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){31})", re.ASCII)


def _read_host(value: str) -> str:
    namespace, slash, host = value.rpartition("/")
    if slash and namespace not in {"*", "."} and not is_dns_label(namespace):
        raise refusal(
            f"{namespace[:60]!r} is not a namespace, write namespace/host, ./host or */host"
        )
    if host != "*" and not is_ip(host) and not is_host(host, wildcard=True):
        raise refusal(f"{host[:60]!r} is not a host name")
    return value


def _read_bind(value: str) -> str:
    if value and not is_ip(value) and not value.startswith("unix://"):
        raise refusal(f"{value[:60]!r} is not an IP address or unix:// path")
    return value


def _read_protocol(value: str) -> str:
    if value.upper() not in HTTP | BYTES:
        allowed = ", ".join(sorted(HTTP | BYTES))
        raise refusal(f"unsupported protocol {value[:60]!r}, use one of {allowed}")
    return value.upper()


def _read_certificate_hash(value: str) -> str:
    if _HEX_SHA256.fullmatch(value) is None:
        raise refusal("not a SHA-256 of a certificate: 64 hexadecimal digits, with or without ':'")
    return value.replace(":", "").lower()


def _read_key_hash(value: str) -> str:
    try:
        digest = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise refusal("not base64") from error
    if len(digest) != _SHA256_BYTES:
        raise refusal(f"not a SHA-256 of a public key: {len(digest)} bytes, not {_SHA256_BYTES}")
    return value


class Port(Model):
    """A port of a gateway."""

    number: PortNumber
    name: Annotated[str, Field(min_length=1)]
    protocol: Annotated[str, AfterValidator(_read_protocol)]
    target_port: Annotated[int, Field(ge=0, le=65535)] | None = None


class CertificateFiles(Model):
    """A certificate and its key, in files of the gateway."""

    server_certificate: Annotated[str, Field(min_length=1)]
    private_key: Annotated[str, Field(min_length=1)]
    ca_certificates: str = ""


class Tls(Model):
    """How TLS is taken."""

    https_redirect: bool = False
    mode: Mode = "PASSTHROUGH"
    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    ca_crl: str = ""
    credential_name: str = ""
    credential_names: Annotated[list[str], Field(max_length=_MOST_CERTIFICATES)] = []
    ca_cert_credential_name: str = ""
    tls_certificates: Annotated[list[CertificateFiles], Field(max_length=_MOST_CERTIFICATES)] = []
    subject_alt_names: list[str] = []
    verify_certificate_spki: list[Annotated[str, AfterValidator(_read_key_hash)]] = []
    verify_certificate_hash: list[Annotated[str, AfterValidator(_read_certificate_hash)]] = []
    insecure_skip_verify: bool = False
    min_protocol_version: Version = "TLS_AUTO"
    max_protocol_version: Version = "TLS_AUTO"
    cipher_suites: list[str] = []

    def credentials(self) -> list[str]:
        """Returns the names of the credentials with the server's certificates."""
        return self.credential_names or [name for name in [self.credential_name] if name]

    def files(self) -> list[CertificateFiles]:
        """Returns the files with the server's certificates."""
        if not self.server_certificate or not self.private_key:
            return self.tls_certificates
        return [
            CertificateFiles(
                server_certificate=self.server_certificate, private_key=self.private_key
            )
        ]

    @property
    def ends_here(self) -> bool:
        """Whether the gateway has the keys, rather than those behind it."""
        return self.mode not in {"PASSTHROUGH", "AUTO_PASSTHROUGH"}

    @model_validator(mode="after")
    def _says_certificates_once(self) -> Self:
        if self.credential_name and self.credential_names:
            raise refusal("only one of credentialName, credentialNames may be given",
                          "credentialNames")  # fmt: skip
        if self.tls_certificates and (self.server_certificate or self.private_key):
            raise refusal("only one of serverCertificate, tlsCertificates may be given",
                          "tlsCertificates")  # fmt: skip
        return self

    @model_validator(mode="after")
    def _has_what_its_mode_needs(self) -> Self:
        if self.mode == "ISTIO_MUTUAL":
            for name in ("server_certificate", "private_key", "ca_certificates", "ca_crl",
                         "credential_name", "credential_names", "tls_certificates"):  # fmt: skip
                if getattr(self, name):
                    raise refusal("ISTIO_MUTUAL takes the certificates of the mesh: remove it",
                                  _camel(name))  # fmt: skip
        elif self.ends_here and not self.credentials():
            self._needs_files()
        return self

    def _needs_files(self) -> None:
        if not self.tls_certificates:
            for name in ("server_certificate", "private_key"):
                if not getattr(self, name):
                    raise refusal(f"{self.mode} TLS requires {_camel(name)}, or a credentialName")
        has_authorities = (
            self.ca_certificates
            or self.ca_cert_credential_name
            or any(one.ca_certificates for one in self.tls_certificates)
        )
        if self.mode in {"MUTUAL", "OPTIONAL_MUTUAL"} and not has_authorities:
            raise refusal(f"{self.mode} TLS requires caCertificates, or a credentialName")


class Server(Model):
    """Some hosts on a port."""

    port: Port
    bind: Annotated[str, AfterValidator(_read_bind)] = ""
    hosts: Annotated[list[Annotated[str, AfterValidator(_read_host)]], Field(min_length=1)]
    tls: Tls | None = None
    default_endpoint: str = ""
    name: str = ""

    @model_validator(mode="after")
    def _tls_fits_the_protocol(self) -> Self:
        protocol = self.port.protocol
        if protocol in IN_TLS:
            if self.tls is None:
                raise refusal("server must have TLS settings for HTTPS/TLS protocols",
                              hint="add tls: {mode: ...}")  # fmt: skip
            return self
        if self.tls is None:
            return self
        is_only_redirect = self.tls.https_redirect and self.tls == Tls(https_redirect=True)
        if protocol not in HTTP or not is_only_redirect:
            hint = "use the protocol HTTPS or TLS, or keep httpsRedirect alone"
            raise refusal("server cannot have TLS settings for non HTTPS/TLS ports", "tls",
                          hint=hint)  # fmt: skip
        return self


class Gateway(Model):
    """Servers that the selected gateways open."""

    selector: Wanted = {}
    servers: Annotated[list[Server], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        ports: set[str] = set()
        names: set[str] = set()
        for index, server in enumerate(self.servers):
            if server.port.name in ports:
                raise refusal(f"port names in servers must be unique: {server.port.name!r}",
                              "servers", index, "port", "name")  # fmt: skip
            if server.name and server.name in names:
                raise refusal(f"server names must be unique: {server.name!r}", "servers", index,
                              "name")  # fmt: skip
            ports.add(server.port.name)
            names.add(server.name)
        return self


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


KIND = Kind(
    "Gateway",
    groups=("networking.istio.io",),
    versions=("v1", "v1beta1", "v1alpha3"),
    spec=Gateway,
)
