"""Asks the admin ports of sidecars."""

import http.client
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshcore.config import compile_mesh
from meshcore.control.running import running
from meshcore.errors import UnreadableSource
from meshcore.sources.file import read

# Source: Istio's ports.
ADMIN_PORT = 15000
# How long an answer may take: the port is on this machine.
WITHIN_SECONDS = 2.0
# Sidecars that are asked at the same time.
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Answer:
    """What an admin port said."""

    admin: str
    status: dict[str, Any] | None
    """`None` when there was no answer."""
    why: str = ""


def ask_all(mesh: Path, state: Path) -> list[Answer]:
    """Returns what the sidecars of a mesh say that run on this host.

    Their state directory knows them; others are found at the loopback addresses of the mesh.
    """
    known = [one.addresses.get("admin") for one in running(str(state), str(mesh))]
    certain = list(dict.fromkeys(admin for admin in known if admin))
    probed = [address for address in _loopback(mesh) if address not in certain]
    answers = ask([*certain, *probed])
    return [one for one in answers if one.status is not None or one.admin in certain]


def ask(addresses: Sequence[str]) -> list[Answer]:
    """Returns what each admin port says of its sidecar."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(_ask, addresses))


def _ask(admin: str) -> Answer:
    try:
        with closing(http.client.HTTPConnection(admin, timeout=WITHIN_SECONDS)) as connection:
            connection.request("GET", "/status")
            response = connection.getresponse()
            status = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Answer(admin, None, why.lower())
    if response.status != http.client.OK or not _is_status(status):
        return Answer(admin, None, "what listens there is no sidecar")
    return Answer(admin, status)


def _is_status(found: object) -> bool:
    """Whether this is what a sidecar says, rather than another program on its port."""
    if not isinstance(found, dict):
        return False
    return {"state", "revision"} <= found.keys() and isinstance(found.get("node"), dict)


def _loopback(mesh: Path) -> Iterator[str]:
    """Yields where sidecars of a mesh on one host have their admin port."""
    try:
        compiled = compile_mesh(read([mesh]), revision=1).mesh
    except UnreadableSource:
        return
    if compiled is None:
        return
    listed = [w for service in compiled["services"] for w in service["endpoints"]]
    for address in dict.fromkeys(w["address"] for w in [*compiled["workloads"], *listed]):
        if address.startswith("127."):
            yield f"{address}:{ADMIN_PORT}"
