"""What Python adds to a scrape of the metrics port: metrics of plugins and of the process.

`prometheus_client` takes 14 MB to import. It is used if a plugin has imported it, and never
imported here: without one there is nothing in its registry.
"""

import logging
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from meshcore.telemetry import process

if TYPE_CHECKING:
    from prometheus_client import Metric

_log = logging.getLogger("meshcore")

# Names that are the data plane's own. A family must not be in a scrape twice.
RESERVED = ("istio_", "meshcore_")

_told: set[str] = set()


def exposition() -> bytes:
    """Returns Prometheus' text, without names of the data plane."""
    client = sys.modules.get("prometheus_client")
    if client is None or not hasattr(client, "generate_latest"):  # or being imported
        return process.exposition().encode()
    families = list(_others(client.REGISTRY.collect()))
    text: bytes = client.generate_latest(_Collected(families))
    if any(family.name.startswith("process_") for family in families):
        return text
    return text + process.exposition().encode()


class _Collected:
    """Families in the place of a registry."""

    def __init__(self, families: "list[Metric]") -> None:
        self._families = families

    def collect(self) -> "Iterable[Metric]":
        return self._families


def _others(families: "Iterable[Metric]") -> "Iterator[Metric]":
    """Yields families that are not the data plane's, once each."""
    seen: set[str] = set()
    for family in families:
        if family.name in seen:
            continue
        seen.add(family.name)
        if not family.name.startswith(RESERVED):
            yield family
        elif family.name not in _told:
            _told.add(family.name)
            _log.debug("metric %s is left out: its name is the data plane's", family.name)
