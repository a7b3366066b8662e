"""What checks look things up in."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from meshcore.config.document import Document
from meshcore.config.models.base import Model
from meshcore.config.resources import (
    Credential,
    Gateway,
    Labels,
    Mesh,
    PeerAuth,
    Route,
    Service,
    Settings,
    TrafficPolicy,
    Workload,
)
from meshcore.config.suggest import MAX_HINTS, did_you_mean

Key: TypeAlias = tuple[str, ...]
"""What may be asked for: a word for what it is, and its names."""
Resources = TypeVar("Resources", bound=Mapping[str, Any])
# Whether nothing was refused; and all names of hosts, which hints are made of.
_WHOLE: Key = ("whole",)
_HOSTS: Key = ("hosts",)
# All of a kind.
_GATEWAYS: Key = ("gateways",)
_CREDENTIALS: Key = ("credentials",)


class _Index(Generic[Resources]):
    """Resources by key, each as often as it was added."""

    def __init__(self) -> None:
        self._by_key: dict[Hashable, dict[int, Resources]] = {}

    def add(self, key: Hashable, resource: Resources) -> None:
        self._by_key.setdefault(key, {})[id(resource)] = resource

    def remove(self, key: Hashable, resource: Resources) -> None:
        found = self._by_key[key]
        del found[id(resource)]
        if not found:
            del self._by_key[key]

    def known(self) -> Iterable[Any]:
        return self._by_key.keys()

    def size(self, key: Hashable) -> int:
        return len(self._by_key.get(key, ()))

    def any(self, key: Hashable) -> Iterable[Resources]:
        """Returns what has the key, in no order."""
        return self._by_key.get(key, {}).values()

    def at(self, key: Hashable) -> list[Resources]:
        """Returns what has the key, by where it was written."""
        found = self._by_key.get(key)
        if found is None:
            return []
        return list(found.values()) if len(found) == 1 else sorted(found.values(), key=_written)


class World:
    """All documents together, by what others call them.

    Resources may come and go. `add` and `remove` say what somebody who asked before would be
    answered otherwise from now on; `take_asked` says what was asked.
    """

    def __init__(
        self, settings: Settings, configs: Sequence[Document[Model]], *, is_whole: bool
    ) -> None:
        """Makes an empty one.

        Args:
            settings: What holds for the whole mesh.
            configs: The documents with settings, in their order.
            is_whole: Nothing was refused, so that what is missing is truly missing.
        """
        self.settings = settings
        self.configs = configs
        self._is_whole = is_whole
        self._asked: set[Key] = set()
        self._hints_left = MAX_HINTS
        self._services: _Index[Service] = _Index()
        self._policies: _Index[TrafficPolicy] = _Index()
        self._routes: _Index[Route] = _Index()
        self._route_of: _Index[Route] = _Index()
        self._peer_auths: _Index[PeerAuth] = _Index()
        self._workloads: _Index[Workload] = _Index()
        self._gateways: _Index[Gateway] = _Index()
        self._credentials: _Index[Credential] = _Index()

    def add(self, mesh: Mesh) -> Iterator[Key]:
        """Adds all that `mesh` has; yields the keys that are answered otherwise now."""
        for index, key, resource in self._entries(mesh):
            if index is self._services and not index.size(key):
                yield _HOSTS
            index.add(key, resource)
            yield key

    def remove(self, mesh: Mesh) -> Iterator[Key]:
        """Removes what was added with `mesh`; yields the keys that are answered otherwise now."""
        for index, key, resource in self._entries(mesh):
            index.remove(key, resource)
            if index is self._services and not index.size(key):
                yield _HOSTS
            yield key

    def begin(self, *, is_whole: bool) -> Iterator[Key]:
        """Begins another round of checks; yields the keys that are answered otherwise now."""
        self._hints_left = MAX_HINTS
        if is_whole != self._is_whole:
            self._is_whole = is_whole
            yield _WHOLE

    def take_asked(self) -> set[Key]:
        """Returns the keys that were asked for since the last call."""
        asked, self._asked = self._asked, set()
        return asked

    @property
    def is_whole(self) -> bool:
        """Whether nothing was refused, so that what is missing is truly missing."""
        self._asked.add(_WHOLE)
        return self._is_whole

    def services_at(self, host: str) -> list[Service]:
        """Returns the services of a host, or of a wildcard."""
        key = ("service", host)
        self._asked.add(key)
        return self._services.at(key)

    def services_of(self, host: str) -> list[Service]:
        """Returns the services that answer to `host`, by name or by the nearest wildcard."""
        for name in (host, *wildcards(host)):
            if found := self.services_at(name):
                return found
        return []

    def policies_of(self, host: str) -> list[TrafficPolicy]:
        """Returns the traffic policies for `host`, of every wildcard that covers it."""
        keys = [("policy", name) for name in (host, *wildcards(host), "*")]
        self._asked.update(keys)
        return [policy for key in keys for policy in self._policies.at(key)]

    def routes_at(self, host: str) -> list[Route]:
        """Returns the routes for sidecars of a host, or of a wildcard."""
        key = ("route", host)
        self._asked.add(key)
        return self._routes.at(key)

    def route_of(self, document: Document[Model]) -> Route | None:
        """Returns what a VirtualService became."""
        key = ("route of", document.namespace, document.name)
        self._asked.add(key)
        return next(iter(self._route_of.any(key)), None)

    def peer_auths_in(self, namespace: str) -> list[PeerAuth]:
        """Returns the PeerAuthentications of a namespace."""
        key = ("peer auth", namespace)
        self._asked.add(key)
        return self._peer_auths.at(key)

    def gateway(self, name: str) -> Gateway | None:
        """Returns a gateway by `namespace/name`."""
        key = ("gateway", name)
        self._asked.add(key)
        return next(iter(self._gateways.any(key)), None)

    def gateways(self) -> list[Gateway]:
        """Returns all gateways."""
        self._asked.add(_GATEWAYS)
        return self._gateways.at(_GATEWAYS)

    def credential_names(self) -> set[str]:
        """Returns the names of Secrets with certificates."""
        self._asked.add(_CREDENTIALS)
        return {one["origin"]["name"] for one in self._credentials.any(_CREDENTIALS)}

    def did_you_mean(self, host: str) -> str:
        """Returns a hint at the service that was probably meant; may be empty."""
        self._asked.add(_HOSTS)
        self._hints_left -= 1
        if self._hints_left < 0:
            return ""
        hosts = [host for _, host in self._services.known()]
        return did_you_mean(host, hosts, show_allowed=False)

    def selected(self, selector: Labels, namespace: str) -> list[Workload]:
        """Returns the workloads with all the labels; of all namespaces for the root's."""
        if namespace == self.settings["root_namespace"]:
            namespace = ""
        keys = [("workload", namespace, *item) for item in selector.items()]
        if not keys:
            return []
        fewest = min(keys, key=self._workloads.size)
        self._asked.add(fewest)  # whatever has all labels has this one
        return [w for w in self._workloads.any(fewest) if selector.items() <= w["labels"].items()]

    def _entries(self, mesh: Mesh) -> Iterator[tuple[_Index[Any], Key, Mapping[str, Any]]]:
        """Yields where each resource of `mesh` stands, with its key."""
        for service in mesh["services"]:
            yield self._services, ("service", service["host"]), service
        for policy in mesh["traffic_policies"]:
            yield self._policies, ("policy", policy["host"]), policy
        for route in mesh["routes"]:
            origin = route["origin"]
            yield self._route_of, ("route of", origin["namespace"], origin["name"]), route
            for host in dict.fromkeys(route["hosts"]) if "mesh" in route["gateways"] else ():
                yield self._routes, ("route", host), route
        for peer_auth in mesh["peer_auths"]:
            yield self._peer_auths, ("peer auth", peer_auth["origin"]["namespace"]), peer_auth
        yield from self._entries_of_ports(mesh)

    def _entries_of_ports(self, mesh: Mesh) -> Iterator[tuple[_Index[Any], Key, Mapping[str, Any]]]:
        """Yields the same for workloads and gateways."""
        for workload in mesh["workloads"]:
            for item in workload["labels"].items():
                yield self._workloads, ("workload", workload["namespace"], *item), workload
                yield self._workloads, ("workload", "", *item), workload
        for gateway in mesh["gateways"]:
            origin = gateway["origin"]
            yield self._gateways, ("gateway", f"{origin['namespace']}/{origin['name']}"), gateway
            yield self._gateways, _GATEWAYS, gateway
        for credential in mesh["credentials"]:
            yield self._credentials, _CREDENTIALS, credential


def world_of(documents: Sequence[Document[Model]], mesh: Mesh, *, is_whole: bool) -> World:
    """Returns what documents, which became `mesh`, look things up in."""
    configs = [document for document in documents if document.kind == "MeshConfig"]
    world = World(mesh["settings"], configs, is_whole=is_whole)
    for _ in world.add(mesh):
        pass
    return world


def covers(wide: str, narrow: str) -> bool:
    """Whether a host, which may begin with `*.` or be `*`, has all names of another one."""
    return wide in {"*", narrow} or wide in wildcards(narrow)


def wildcards(host: str) -> list[str]:
    """Returns the wildcards that cover `host`, the longest first."""
    labels = host.removeprefix("*.").split(".")
    first = 0 if host.startswith("*.") else 1
    return ["*." + ".".join(labels[index:]) for index in range(first, len(labels))]


def _written(resource: Mapping[str, Any]) -> tuple[str, int]:
    origin = resource["origin"]
    return origin["file"], origin["line"]
