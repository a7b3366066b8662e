"""The ports of a workload that its services lead to."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshcore.config.resources import Service, Workload


def served(workload: "Workload", services: "Iterable[Service]") -> list[int]:
    """Returns the ports of the application, by the services that the workload stands behind."""
    ports: set[int] = set()
    for port in (port for service in services for port in service["ports"]):
        names = (port["target_port_name"], port["name"])
        named = [workload["ports"][name] for name in names if name and name in workload["ports"]]
        ports.add(named[0] if named else port["target_port"] or port["number"])
    return sorted(ports)
