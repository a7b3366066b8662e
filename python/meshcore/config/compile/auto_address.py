"""Addresses for services that have none, for DNS to name, and for redirected connections.

They come from blocks that nobody routes. Source of the blocks, and of which services get one:
Istio's `PILOT_ENABLE_IP_AUTOALLOCATE`.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address

from meshcore.config.document import Document
from meshcore.config.models.base import Model
from meshcore.config.resources import Service

# 240.240.0.0/16 and 2001:2::/48.
_FIRST_IPV4, _FIRST_IPV6 = IPv4Address("240.240.0.0"), IPv6Address("2001:2::")
# How many there are: a prime, so that every step comes by all of them.
_COUNT = 65521
_LABEL = "networking.istio.io/enable-autoallocate-ip"

Key = tuple[str, str]


def preferred(document: Document[Model], host: str) -> list[str]:
    """Returns the addresses that a host of a document has unless another one is there already.

    A wildcard has none, and neither has a document whose label says so.
    """
    if host.startswith("*") or document.metadata.labels.get(_LABEL, "").lower() == "false":
        return []
    return _addresses((document.namespace, host), 0)


def settle(services: Sequence[Service]) -> list[Service]:
    """Gives services whose preferred addresses are not free the next ones; returns those.

    The result depends on which services there are, not on their order; one that is added or
    removed moves only those that want what it has.
    """
    keys = {_key(service) for service in services if service["auto_addresses"]}
    taken = {address for service in services for address in service["addresses"]}
    found: dict[Key, list[str]] = {}
    for key in sorted(keys):
        for turn in range(_COUNT):
            addresses = _addresses(key, turn)
            if taken.isdisjoint(addresses):
                break
        else:
            addresses = []
        taken.update(addresses)
        found[key] = addresses
    moved = [
        service
        for service in services
        if service["auto_addresses"] and service["auto_addresses"] != found[_key(service)]
    ]
    for service in moved:
        service["auto_addresses"] = found[_key(service)]
    return moved


def _key(service: Service) -> Key:
    return service["namespace"], service["host"]


def _addresses(key: Key, turn: int) -> list[str]:
    digest = int.from_bytes(blake2b("/".join(key).encode(), digest_size=8).digest(), "big")
    step = digest // _COUNT % (_COUNT - 1) + 1
    number = (digest + turn * step) % _COUNT + 1
    return list(_numbered(number))


@lru_cache(maxsize=_COUNT)
def _numbered(number: int) -> tuple[str, str]:
    """Returns the addresses with a number as text, which takes longer than all else here."""
    return str(_FIRST_IPV4 + number), str(_FIRST_IPV6 + number)
