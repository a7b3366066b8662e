"""The short form: one service in a few lines, for which Istio needs five documents."""

from typing import Annotated, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from meshcore.config.addresses import is_dns_label, is_host, is_ip
from meshcore.config.models.base import DurationMs, Model, PortNumber, refusal
from meshcore.config.models.http_action import HttpRetry
from meshcore.config.models.service_entry import read_protocol
from meshcore.config.suggest import did_you_mean

_WHOLE = 100
_MAX_PORT = 65535


def split_address(text: str) -> tuple[str, int | None]:
    """Returns host and port of `HOST`, `HOST:PORT`, `IPV6` or `[IPV6]:PORT`.

    Raises:
        ValueError: It is none of these.
    """
    if is_ip(text):
        return text, None
    host, colon, port = text.rpartition(":")
    if not colon:
        host, port = text, ""
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if not is_ip(host):
            raise ValueError(text)
    if not (is_ip(host) or is_host(host)) or (colon and not _is_port(port)):
        raise ValueError(text)
    return host, int(port) if port else None


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 0 < int(text[:6]) <= _MAX_PORT


def _read_address(value: str) -> str:
    try:
        split_address(value)
    except ValueError as error:
        raise refusal(f"{value[:60]!r} is not an address, write HOST:PORT") from error
    return value


def _read_label(value: str) -> str:
    if not is_dns_label(value):
        raise refusal(f"{value[:60]!r} is not a name, use lower-case letters, digits and '-'")
    return value


def _read_caller(value: str) -> str:
    namespace, slash, name = value.rpartition("/")
    if value != "*" and not (is_dns_label(name) and (not slash or is_dns_label(namespace))):
        raise refusal(f"{value[:60]!r} is not a caller, write a service, NAMESPACE/SERVICE or *")
    return value


Label: TypeAlias = Annotated[str, AfterValidator(_read_label)]
Address: TypeAlias = Annotated[str, AfterValidator(_read_address)]
Caller: TypeAlias = Annotated[str, AfterValidator(_read_caller)]
ServiceProtocol: TypeAlias = Annotated[str, AfterValidator(read_protocol)]


class ShortService(Model):
    """A service in the short form."""

    port: PortNumber
    """Port that clients call."""
    protocol: ServiceProtocol = "HTTP"
    """What is spoken on the port."""
    namespace: Label | None = None
    versions: dict[Label, Annotated[list[Address], Field(min_length=1)]] = {}
    """Addresses by version."""
    endpoints: list[Address] = []
    """Addresses, where there are no versions."""
    split: dict[str, Annotated[int, Field(ge=0, le=100)]] | None = None
    """Percent of the requests by version."""
    allow: list[Caller] | None = None
    """Services that may call; nobody when empty, anybody when absent."""
    timeout: DurationMs | None = None
    """Limit for a request with its retries."""
    retries: Annotated[int, Field(ge=0, le=100)] | HttpRetry | None = None
    """Tries after the first one, or Istio's `retries`."""

    @model_validator(mode="after")
    def _says_addresses_once(self) -> Self:
        if self.versions and self.endpoints:
            raise refusal("only one of versions, endpoints may be given", "endpoints")
        return self

    @model_validator(mode="after")
    def _split_is_whole(self) -> Self:
        if self.split is None:
            return self
        for version in self.split:
            if version not in self.versions:
                hint = did_you_mean(version, self.versions)
                raise refusal(f"unknown version {version[:40]!r}", "split", version, hint=hint)
        total = sum(self.split.values())
        if total != _WHOLE:
            raise refusal(f"the shares must sum to 100, not {total}", "split")
        return self

    @model_validator(mode="after")
    def _routes_only_http(self) -> Self:
        is_http = self.protocol in {"HTTP", "HTTP2", "GRPC", "GRPC-WEB"}
        for name in ("timeout", "retries"):
            if not is_http and getattr(self, name) is not None:
                raise refusal(f"{name} needs an HTTP protocol, not {self.protocol}", name)
        return self
