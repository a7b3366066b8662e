"""What checks look things up in."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from meshcore.config.document import Document
from meshcore.config.models.base import Model
from meshcore.config.resources import Labels, Mesh, Route, Service, TrafficPolicy, Workload
from meshcore.config.suggest import MAX_HINTS, did_you_mean


@dataclass(slots=True)
class World:
    """All documents together, by what others call them."""

    documents: Sequence[Document[Model]]
    mesh: Mesh
    is_whole: bool
    """Nothing was refused, so that what is missing is truly missing."""
    hints_left: int = field(default=MAX_HINTS, init=False)
    services: dict[str, list[Service]] = field(init=False)
    """By host, wildcards included."""
    policies: dict[str, list[TrafficPolicy]] = field(init=False)
    """By host, wildcards included."""
    routes: dict[str, list[Route]] = field(init=False)
    """Those for sidecars, by host."""
    route_of: dict[tuple[str, str], Route] = field(init=False)
    """By namespace and name of the VirtualService."""
    workloads: dict[tuple[str, str, str], list[Workload]] = field(init=False)
    """By namespace, label and its value; the namespace is empty for all of them."""

    def __post_init__(self) -> None:
        self.services = defaultdict(list)
        for service in self.mesh["services"]:
            self.services[service["host"]].append(service)
        self.policies = defaultdict(list)
        for policy in self.mesh["traffic_policies"]:
            self.policies[policy["host"]].append(policy)
        self.routes = defaultdict(list)
        for route in self.mesh["routes"]:
            for host in route["hosts"] if "mesh" in route["gateways"] else []:
                self.routes[host].append(route)
        self.route_of = {
            (route["origin"]["namespace"], route["origin"]["name"]): route
            for route in self.mesh["routes"]
        }
        self.workloads = defaultdict(list)
        for workload in self.mesh["workloads"]:
            for key, value in workload["labels"].items():
                self.workloads[workload["namespace"], key, value].append(workload)
                self.workloads["", key, value].append(workload)

    def services_of(self, host: str) -> list[Service]:
        """Returns the services that answer to `host`, by name or by the nearest wildcard."""
        return nearest_host(self.services, host)

    def policies_of(self, host: str) -> list[TrafficPolicy]:
        """Returns the traffic policies for `host`, of every wildcard that covers it."""
        found: list[TrafficPolicy] = []
        for name in (host, *wildcards(host), "*"):
            found += self.policies.get(name, [])
        return found

    def did_you_mean(self, host: str) -> str:
        """Returns a hint at the service that was probably meant; may be empty."""
        self.hints_left -= 1
        if self.hints_left < 0:
            return ""
        return did_you_mean(host, self.services, show_allowed=False)

    def selected(self, selector: Labels, namespace: str) -> list[Workload]:
        """Returns the workloads with all the labels; of all namespaces for the root's."""
        if namespace == self.mesh["settings"]["root_namespace"]:
            namespace = ""
        candidates = [self.workloads.get((namespace, *item), []) for item in selector.items()]
        fewest = min(candidates, key=len) if candidates else []
        return [w for w in fewest if selector.items() <= w["labels"].items()]


def nearest_host(known: Mapping[str, list[Service]], host: str) -> list[Service]:
    """Returns what is known under `host`, or under the longest wildcard that covers it."""
    for name in (host, *wildcards(host)):
        if known.get(name):
            return known[name]
    return []


def covers(wide: str, narrow: str) -> bool:
    """Whether a host, which may begin with `*.` or be `*`, has all names of another one."""
    return wide in {"*", narrow} or wide in wildcards(narrow)


def wildcards(host: str) -> list[str]:
    """Returns the wildcards that cover `host`, the longest first."""
    labels = host.removeprefix("*.").split(".")
    first = 0 if host.startswith("*.") else 1
    return ["*." + ".".join(labels[index:]) for index in range(first, len(labels))]
