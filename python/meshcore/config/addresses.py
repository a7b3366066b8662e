"""IP addresses, CIDRs and host names as documents write them."""

import re
from functools import lru_cache
from ipaddress import ip_address, ip_network

# Source: RFC 1123 section 2.1, RFC 1035 section 2.3.4; `_` as DNS and Istio allow it.
_LABEL = re.compile(r"[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?", re.ASCII | re.IGNORECASE)
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_MAX_HOST_CHARACTERS = 253


@lru_cache(maxsize=8192)
def is_ip(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 address, which is of no interface (`%eth0`)."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text


@lru_cache(maxsize=8192)
def is_cidr(text: str) -> bool:
    """Whether `text` is an IP address or a CIDR, whose host bits may be set.

    The length is a number: the data plane knows no masks such as `/255.0.0.0`.
    """
    address, slash, length = text.partition("/")
    if not is_ip(address) or (slash and not length.isdecimal()):
        return False
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def is_dns_label(text: str) -> bool:
    """Whether `text` is one label of a Kubernetes name. Source: RFC 1123 section 2.1."""
    return _DNS_LABEL.fullmatch(text) is not None


@lru_cache(maxsize=8192)
def is_host(text: str, *, wildcard: bool = False) -> bool:
    """Whether `text` is a host name; with `wildcard`, one that may begin with `*.`."""
    name = text.removesuffix(".")
    if wildcard and name.startswith("*."):
        name = name[2:]
    if not name or len(name) > _MAX_HOST_CHARACTERS:
        return False
    return all(_LABEL.fullmatch(label) for label in name.split("."))


def full_name(host: str, namespace: str, domain: str) -> str:
    """Returns the fully qualified host in lower case.

    A name without a dot is a service of `namespace`; anything else is taken as it is.
    Source: Istio's `ResolveShortnameToFQDN`.
    """
    name = host.lower()
    if not name or name == "*" or "." in name or is_ip(name):
        return name
    return f"{name}.{namespace}.svc.{domain}"
