"""What differs between two meshes, in the words of their documents."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from meshcore.config.resources import Mesh

# Changes that are named; of more, only the number is said.
MAX_NAMED = 12

_LISTS = (
    "services", "workloads", "routes", "traffic_policies", "peer_auths", "authorizations",
    "workload_groups", "gateways", "credentials",
)  # fmt: skip


def changes(before: Mapping[str, Any], after: Mesh) -> list[str]:
    """Returns a word for each document that is new (`+`), gone (`-`) or different (`~`)."""
    old, new = _by_document(before), _by_document(after)
    found = [f"{sign} {name}" for sign, name in _differences(old, new)]
    if before.get("settings") != after["settings"]:
        found.append("~ MeshConfig")
    if len(found) > MAX_NAMED:
        return [*found[:MAX_NAMED], f"and {len(found) - MAX_NAMED} more"]
    return found


def _differences(
    old: Mapping[str, list[object]], new: Mapping[str, list[object]]
) -> Iterator[tuple[str, str]]:
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            yield "+", name
        elif name not in new:
            yield "-", name
        elif old[name] != new[name]:
            yield "~", name


def _by_document(mesh: Mapping[str, Any]) -> dict[str, list[object]]:
    found: dict[str, list[object]] = {}
    for kind in _LISTS:
        for resource in mesh.get(kind, ()):
            origin = resource["origin"]
            name = f"{origin['kind']} {origin['namespace']}/{origin['name']}"
            found.setdefault(name, []).append(_without_places(resource))
    return found


def _without_places(value: object) -> object:
    """Returns a resource without files and lines: a document that only moved is the same."""
    if isinstance(value, Mapping):
        return {k: _without_places(v) for k, v in value.items() if k not in {"line", "origin"}}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_places(item) for item in value]
    return value
