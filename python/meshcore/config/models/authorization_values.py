"""The small languages inside an AuthorizationPolicy: keys, paths, accounts, ports.

A value that the data plane could not decide on is refused here. Source: Istio's validation of
authorization policies (pkg/config/security).
"""

import re

from meshcore.config.addresses import is_cidr, is_dns_label, is_host
from meshcore.config.models.base import refusal
from meshcore.config.suggest import did_you_mean

PLAIN_KEYS = {
    "source.ip": "source_ip",
    "remote.ip": "remote_ip",
    "source.namespace": "source_namespace",
    "source.principal": "source_principal",
    "source.serviceAccount": "source_service_account",
    "source.trustDomain": "source_trust_domain",
    "request.auth.principal": "request_principal",
    "request.auth.audiences": "request_audiences",
    "request.auth.presenter": "request_presenter",
    "destination.ip": "destination_ip",
    "destination.port": "destination_port",
    "connection.sni": "connection_sni",
}
"""Keys without a name in brackets, with the model's name for them."""
HEADER_KEY = re.compile(r"request\.headers\[([!#$%&'*+.^_`|~0-9A-Za-z-]+)\]")
CLAIM_KEY = re.compile(r"request\.auth\.claims((?:\[[^\[\]]+\])+)")
ENVOY_KEY = re.compile(r"experimental\.envoy\.filters\.[\w.-]+(?:\[[^\[\]]+\])+")

_IP_KEYS = frozenset({"source.ip", "remote.ip", "destination.ip"})
_TEMPLATES = ("{*}", "{**}")
# Characters of a path segment. Source: RFC 3986 appendix A, pchar.
_LITERAL = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()+,;:@=*]|%[0-9A-Fa-f]{2})*")
_MAX_PORT = 65535


def key_problem(key: str) -> tuple[str, str]:
    """Returns why `when` cannot ask for `key`, and a hint; both empty when it can."""
    if key in PLAIN_KEYS or any(p.fullmatch(key) for p in (HEADER_KEY, CLAIM_KEY, ENVOY_KEY)):
        return "", ""
    allowed = [*PLAIN_KEYS, "request.headers[NAME]", "request.auth.claims[NAME]"]
    return f"unknown key {key[:80]!r}", did_you_mean(key, allowed)


def check_values(key: str, value: str) -> str | None:
    """Returns why `value` cannot be compared with the attribute `key`, or `None`."""
    if key in _IP_KEYS and not is_cidr(value):
        return f"{value[:60]!r} is not an IP address or CIDR"
    if key == "destination.port" and not _is_port(value):
        return f"{value[:20]!r} is not a port"
    if key == "source.serviceAccount" and not _is_service_account(value):
        return f"{value[:60]!r} is not a service account, write NAME or NAMESPACE/NAME"
    return None


def read_port(value: str) -> str:
    """Returns a port of an operation.

    Raises:
        PydanticCustomError: It is not a port.
    """
    if not _is_port(value):
        raise refusal(f"{value[:20]!r} is not a port, write its number in quotes")
    return value


def read_service_account(value: str) -> str:
    """Returns a service account as `name` or `namespace/name`.

    Raises:
        PydanticCustomError: It is neither, or has a wildcard.
    """
    if not _is_service_account(value):
        raise refusal(f"{value[:60]!r} is not a service account, write NAME or NAMESPACE/NAME",
                      hint="wildcards are not allowed here")  # fmt: skip
    return value


def read_path(value: str) -> str:
    """Returns a path of an operation, which may be a template.

    Raises:
        PydanticCustomError: It is empty, or its template cannot be read.
    """
    if not value:
        raise refusal("a path cannot be empty")
    is_template = any(part in value for part in _TEMPLATES)
    seen_last = False
    for segment in value.strip("/").split("/"):
        if segment in _TEMPLATES:
            if seen_last:
                raise refusal(f"{{**}} must be the last operator of the path {value[:80]!r}")
            seen_last = segment == "{**}"
        elif "{" in segment or "}" in segment:
            raise refusal(f"{value[:80]!r} has braces that are neither {{*}} nor {{**}}")
        elif is_template and (not _LITERAL.fullmatch(segment) or "*" in segment):
            raise refusal(f"the segment {segment[:80]!r} of a path template must be literal")
    return value


def is_template(path: str) -> bool:
    """Whether a path is a template rather than an exact path, prefix or suffix."""
    return any(part in path for part in _TEMPLATES)


def _is_port(value: str) -> bool:
    return value.isascii() and value.isdecimal() and 0 < int(value[:6]) <= _MAX_PORT


def _is_service_account(value: str) -> bool:
    namespace, slash, name = value.rpartition("/")
    return is_host(name) and (not slash or is_dns_label(namespace))
