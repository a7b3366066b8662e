"""Who a sidecar is and where it listens, as the data plane takes it (`node.rs`)."""

import json
import socket
from typing import TYPE_CHECKING

from meshcore.control.settings import Ports, Settings
from meshcore.errors import StartFailed

if TYPE_CHECKING:
    from meshcore.control.prepare import Head
    from meshcore.control.workload import Own

# Source: Istio's ports.
INBOUND_PORT = 15006
HBONE_PORT = 15008


def who(settings: Settings, head: "Head") -> "Own":
    """Returns what the mesh says of the sidecar's workload, with what was asked for instead.

    Raises:
        StartFailed: The mesh has no such workload, or several.
    """
    own = head["own"]
    if own is None:
        raise StartFailed(head["own_missing"])
    wanted = settings.wanted
    return {
        **own,
        "name": wanted.name or own["name"],
        "service_account": wanted.service_account or own["service_account"],
        "ports": list(wanted.ports) or own["ports"],
    }


def gateway_labels(name: str) -> dict[str, str]:
    """Returns the labels of a gateway that the mesh does not mention: those of Istio's chart."""
    return {"app": name, "istio": name.removeprefix("istio-")}


def identity(settings: Settings, head: "Head", own: "Own") -> str:
    """Returns the SPIFFE identity. Source: Istio's form of it."""
    namespace = settings.wanted.namespace
    return f"spiffe://{head['trust_domain']}/ns/{namespace}/sa/{own['service_account']}"


def node(settings: Settings, head: "Head", own: "Own") -> bytes:
    """Returns the node as JSON.

    On a loopback address everything listens there, so that each workload of one host has the
    same ports. Else others reach what they need on all addresses, and the rest is on 127.0.0.1.

    Raises:
        StartFailed: An address or a port cannot be used.
    """
    address = own["address"]
    if not _is_ip(address):
        raise StartFailed(f"the address of {own['name']} is {address}, which is not an IP")
    if settings.intercepted and _is_loopback(address) and _is_called(settings, own):
        raise StartFailed(
            f"{own['name']} has the address {address}, and calls to a loopback address cannot be"
            " redirected: give the workload an address of this host, or run without --intercept"
        )
    return json.dumps(
        {
            "name": own["name"],
            "namespace": settings.wanted.namespace,
            "labels": own["labels"],
            "identity": identity(settings, head, own),
            "address": address,
            "ports": _ports(settings, own) if _may_be_called(settings) else [],
            "listen": _listen(settings, own),
            "intercepted": settings.intercepted,
        }
    ).encode()


def _ports(settings: Settings, own: "Own") -> list[dict[str, object]]:
    numbers, application = own["ports"], settings.application
    if application is None:
        return [{"number": n, "application": _join(own["address"], n)} for n in numbers]
    if len(numbers) != 1:
        raise StartFailed(
            f"--app {application} is for one port, and {own['name']} has"
            f" {', '.join(map(str, numbers)) or 'none'}: say --port"
        )
    return [{"number": numbers[0], "application": application}]


def _listen(settings: Settings, own: "Own") -> dict[str, str]:
    ports, address = settings.ports, own["address"]
    if _is_loopback(address):
        near = far = "127.0.0.1" if settings.intercepted else address
    elif ":" in address:
        near, far = "::1", "::"
    else:
        near, far = "127.0.0.1", "0.0.0.0"  # noqa: S104 - others must reach it
    listen = {
        "admin": _join(near, ports.admin),
        "health": _join(far, ports.health),
        "metrics": _join(far, ports.metrics),
    }
    if settings.wanted.is_gateway:
        return {**listen, "gateway": far}
    listen["outbound"] = _join(near, ports.outbound)
    if _is_called(settings, own):
        listen["inbound"] = _join(far, _inbound(ports, own))
        listen["hbone"] = _join(far, _first(ports.hbone, own["hbone_port"], HBONE_PORT))
    if ports.dns is not None:
        listen["dns"] = _join(near, ports.dns)
    if settings.both_families:
        listen |= {
            f"{name}_other": _other_family(listen[name])
            for name in ("outbound", "inbound", "dns")
            if name in listen
        }
    return listen


def _may_be_called(settings: Settings) -> bool:
    """Whether calls to an application may come in."""
    return settings.wanted.has_inbound and not settings.wanted.is_gateway


def _is_called(settings: Settings, own: "Own") -> bool:
    """Whether calls to an application come in: it may be called, and has ports for that."""
    return _may_be_called(settings) and bool(own["ports"])


def _other_family(address: str) -> str:
    """Returns where the same listener is for the other family, which has to be redirected too."""
    host, _, port = address.rpartition(":")
    hosts = {"127.0.0.1": "[::1]", "[::1]": "127.0.0.1", "0.0.0.0": "[::]", "[::]": "0.0.0.0"}  # noqa: S104 - others must reach it
    return f"{hosts[host]}:{port}"


def _inbound(ports: Ports, own: "Own") -> int:
    return _first(ports.inbound, own["inbound_port"], INBOUND_PORT)


def _first(*numbers: int | None) -> int:
    return next(number for number in numbers if number is not None)


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_ip(address: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, address)
        except OSError:
            continue
        return True
    return False


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"
