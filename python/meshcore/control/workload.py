"""Finds the workload that a sidecar stands beside, among those of a mesh."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TypedDict

from meshcore.config.resources import Mesh, Service, Workload
from meshcore.config.suggest import did_you_mean
from meshcore.control.node import gateway_labels
from meshcore.control.served import served
from meshcore.control.settings import Wanted

# Workloads that a message names.
_SHOWN = 6


class Own(TypedDict):
    """What a sidecar takes over from the mesh about itself, ready for JSON."""

    name: str
    address: str
    labels: dict[str, str]
    service_account: str
    hosts: list[str]
    """Services that the workload is an endpoint of."""
    ports: list[int]
    """Ports of the application."""
    inbound_port: int | None
    hbone_port: int | None


@dataclass(frozen=True, slots=True)
class NotFound(Exception):
    """The mesh has no such workload, or more than one."""

    why: str
    is_ambiguous: bool = False


def find(mesh: Mesh, wanted: Wanted) -> Own:
    """Returns the workload that is wanted.

    A client that the mesh does not mention gets an identity of its own: its service account is
    its name.

    Raises:
        NotFound: No workload fits, or several do. Says how to choose.
    """
    services = [
        service
        for service in mesh["services"]
        if service["name"] == wanted.service and service["namespace"] == wanted.namespace
    ]
    if not services:
        return _gateway(wanted) if wanted.is_gateway else _client(mesh, wanted)
    candidates = [w for service in services for w in endpoints(mesh, service)]
    return _own(_one(candidates, wanted), services)


def endpoints(mesh: Mesh, service: Service) -> list[Workload]:
    """Returns the workloads of a service, named by it or selected."""
    selector = service["selector"]
    selected = [
        workload
        for workload in mesh["workloads"]
        if selector
        and workload["namespace"] == service["namespace"]
        and selector.items() <= workload["labels"].items()
    ]
    return [*service["endpoints"], *selected]


def _client(mesh: Mesh, wanted: Wanted) -> Own:
    if wanted.has_inbound and wanted.ports:
        known = [s["name"] for s in mesh["services"] if s["namespace"] == wanted.namespace]
        hint = did_you_mean(wanted.service, known)
        more = hint or "add it, or say --no-inbound if nobody calls it"
        where = f"in namespace {wanted.namespace} of the mesh"
        raise NotFound(f"there is no service {wanted.service} {where}: {more}")
    labels = {"app": wanted.service}
    if wanted.version:
        labels["version"] = wanted.version
    return {
        "name": wanted.service,
        "address": wanted.address or "127.0.0.1",
        "labels": labels,
        "service_account": wanted.service,
        "hosts": [],
        "ports": [],
        "inbound_port": None,
        "hbone_port": None,
    }


def _gateway(wanted: Wanted) -> Own:
    """Returns a gateway that the mesh does not mention."""
    return {
        "name": wanted.service,
        "address": wanted.address or "127.0.0.1",
        "labels": gateway_labels(wanted.service),
        "service_account": wanted.service,
        "hosts": [],
        "ports": [],
        "inbound_port": None,
        "hbone_port": None,
    }


def _one(candidates: list[Workload], wanted: Wanted) -> Workload:
    """Returns the only workload that fits."""
    unique = {(w["address"], w["labels"].get("version"), w["name"]): w for w in candidates}
    fitting = [
        workload
        for workload in unique.values()
        if wanted.version in {None, workload["labels"].get("version")}
        and (wanted.address is None or _is_same(wanted.address, workload["address"]))
    ]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise NotFound(f"{wanted.service} has {_list(unique.values())}: {_nothing(wanted)}")
    have_versions = len({w["labels"].get("version") for w in fitting}) == len(fitting)
    say = "--version or --address" if have_versions else "--address"
    raise NotFound(f"{wanted.service} has {_list(fitting)}: say {say}", is_ambiguous=True)


def _is_same(one: str, other: str) -> bool:
    try:
        return ip_address(one) == ip_address(other)
    except ValueError:
        return one == other


def _list(workloads: Iterable[Workload]) -> str:
    words = [
        " at ".join(filter(None, (w["labels"].get("version"), w["address"]))) for w in workloads
    ]
    shown = words[:_SHOWN]
    if len(words) > _SHOWN:
        shown.append(f"{len(words) - _SHOWN} more")
    return " and ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:]))) or "no workloads"


def _nothing(wanted: Wanted) -> str:
    asked = [
        f"--{name} {value}"
        for name, value in (("version", wanted.version), ("address", wanted.address))
        if value
    ]
    return f"none fits {' '.join(asked)}" if asked else "add its address to the mesh"


def _own(workload: Workload, services: list[Service]) -> Own:
    return {
        "name": workload["name"],
        "address": workload["address"],
        "labels": workload["labels"],
        "service_account": workload["service_account"],
        "hosts": sorted({service["host"] for service in services}),
        "ports": served(workload, services),
        "inbound_port": workload["inbound_port"],
        "hbone_port": workload["hbone_port"],
    }
