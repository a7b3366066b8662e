"""What a mesh is made of, resource by resource, as it travels to sidecars."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from meshcore.config.resources import Mesh, Origin, Service, Settings

Resource: TypeAlias = Mapping[str, Any]
"""An object with one field, the kind. Source: `Resource` of `meshcore-model`."""

SETTINGS = "settings/mesh"
# Kind of a resource and the word for it in names, by its list in a mesh.
_KINDS = {
    "workloads": ("workload", "workload"),
    "routes": ("route", "route"),
    "traffic_policies": ("traffic_policy", "policy"),
    "peer_auths": ("peer_auth", "peer_auth"),
    "authorizations": ("authorization", "authorization"),
    "gateways": ("gateway", "listener"),
    "credentials": ("credential", "credential"),
    "workload_groups": ("workload_group", "group"),
}
_LISTS = {kind: name for name, (kind, _) in _KINDS.items()} | {"service": "services"}


def named(mesh: Mesh) -> Iterator[tuple[str, Resource]]:
    """Yields the resources of `mesh` but its settings, each with a name that no other has."""
    for service in mesh["services"]:
        yield service_name(service), {"service": service}
    lists: Mapping[str, Any] = mesh
    for name, (kind, word) in _KINDS.items():
        for resource in lists[name]:
            yield _name(word, resource["origin"]), {kind: resource}


def settings(of_mesh: Settings) -> tuple[str, Resource]:
    """Returns what holds for the whole mesh, with its name."""
    return SETTINGS, {"settings": of_mesh}


def service_name(service: Service) -> str:
    """Returns the name of a service.

    Several documents may speak for a host; the name of the document tells them apart. Kubernetes'
    own services have none, as one is all that a host has: unless capital letters hide a second.
    """
    origin, host = service["origin"], service["host"]
    name = f"service/{origin['namespace']}/{host}"
    is_plain = origin["kind"] == "Service" and origin["name"].islower()
    return name if is_plain else f"{name}/{origin['name']}"


def together(resources: Iterable[Resource], revision: int) -> dict[str, Any]:
    """Returns the mesh that resources make, the settings among them."""
    mesh: dict[str, Any] = {"revision": revision}
    mesh |= {name: [] for name in ("services", *_KINDS)}
    for resource in resources:
        for kind, value in resource.items():
            if kind == "settings":
                mesh[kind] = value
            else:
                mesh[_LISTS[kind]].append(value)
    return mesh


def _name(word: str, origin: Origin) -> str:
    return f"{word}/{origin['namespace']}/{origin['name']}"
