"""What a control plane knows of services and the workloads behind them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from meshcore.config.resources import Labels, Service, Workload
from meshcore.control.in_force import InForce

_ByLabel = Mapping[tuple[str, str, str], list[Workload]]


def registry(in_force: InForce) -> list[dict[str, Any]]:
    """Returns the services that documents make, with the workloads of documents behind each."""
    resources = list(in_force.resources.values())  # at once: another thread may change them
    by_label = _by_label(value["workload"] for value in resources if "workload" in value)
    services: list[Service] = [value["service"] for value in resources if "service" in value]
    return [
        {
            "host": service["host"],
            "namespace": service["namespace"],
            "document": _document(service),
            "ports": [_port(port["number"], port["protocol"]) for port in service["ports"]],
            "workloads": [
                {"name": it["name"], "address": it["address"], "labels": it["labels"]}
                for it in (*service["endpoints"], *_selected(service, by_label))
            ],
        }
        for service in sorted(services, key=lambda service: service["host"])
    ]


def _by_label(workloads: Iterator[Workload]) -> _ByLabel:
    found: dict[tuple[str, str, str], list[Workload]] = defaultdict(list)
    for workload in workloads:
        for item in workload["labels"].items():
            found[workload["namespace"], *item].append(workload)
    return found


def _selected(service: Service, by_label: _ByLabel) -> Iterator[Workload]:
    selector: Labels = service["selector"] or {}
    candidates = [by_label.get((service["namespace"], *item), []) for item in selector.items()]
    for workload in min(candidates, key=len, default=[]):
        if selector.items() <= workload["labels"].items():
            yield workload


def _document(service: Service) -> str:
    origin = service["origin"]
    return f"{origin['kind']} {origin['namespace']}/{origin['name']}"


def _port(number: int, protocol: str) -> str:
    return f"{number}/{protocol}"
