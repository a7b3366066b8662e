"""Who a sidecar with a control plane is: what it says of itself, and what is said of it."""
# pathlib would take 1.3 MB beside the data plane.
# ruff: noqa: PTH123

import base64
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshcore.control.node import HBONE_PORT, INBOUND_PORT, gateway_labels
from meshcore.control.served import served
from meshcore.control.settings import Settings
from meshcore.errors import StartFailed

if TYPE_CHECKING:
    from meshcore.config.resources import Workload
    from meshcore.control.prepare import Head
    from meshcore.control.workload import Own

# Largest token that is read.
_MAX_TOKEN_BYTES = 16 * 1024
# Source: Kubernetes' form of a service account as a user name.
_SUBJECT = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Claim:
    """Who the sidecar says it is, before the control plane has said anything."""

    name: str
    namespace: str
    service_account: str
    address: str
    serves: bool
    """Whether others call it, so that it registers."""
    is_gateway: bool = False

    @property
    def id(self) -> str:
        """Its name in the protocol. Source: Istio's node ids."""
        kind = "router" if self.is_gateway else "sidecar"
        return (
            f"{kind}~{self.address}~{self.name}.{self.namespace}~{self.namespace}.svc.cluster.local"
        )


def claim(settings: Settings, token: str | None) -> Claim:
    """Returns who the sidecar is by its options, and by its token if it has one.

    Raises:
        StartFailed: They do not go together.
    """
    wanted = settings.wanted
    if token is not None:
        namespace, account = _subject(token)
    else:
        namespace, account = wanted.namespace, wanted.service_account or wanted.service
    if namespace != wanted.namespace:
        raise StartFailed(
            f"the token is for the namespace {namespace}: say --namespace {namespace},"
            f" or take one for {wanted.namespace}"
        )
    if wanted.service_account not in {None, account}:
        raise StartFailed(
            f"the token is for the service account {account}, and --service-account says"
            f" {wanted.service_account}: leave it out, or take another token"
        )
    serves = wanted.has_inbound and not wanted.is_gateway
    address = wanted.address or _own_address(settings)
    version = f"-{wanted.version}" if wanted.version else ""
    name = wanted.name or f"{wanted.service}{version}"
    return Claim(name, namespace, account, address, serves, wanted.is_gateway)


def described(settings: Settings, who: Claim, *, is_ready: bool) -> dict[str, object]:
    """Returns the node as the control plane hears of it.

    Args:
        settings: What the sidecar was asked for.
        who: Who it is.
        is_ready: Whether it may be called at once, rather than when the application is healthy.
    """
    wanted, joining = settings.wanted, settings.joining
    metadata: dict[str, object] = {
        "NAMESPACE": who.namespace,
        "SERVICE_ACCOUNT": who.service_account,
        "WORKLOAD_NAME": who.name,
        "INSTANCE_IPS": who.address,
        "LABELS": _labels(settings),
    }
    if joining is not None and joining.group:
        metadata["AUTO_REGISTER_GROUP"] = joining.group
    if who.serves:
        metadata |= {
            "MESHCORE_SERVICE": wanted.service,
            "MESHCORE_VERSION": wanted.version or "",
            "MESHCORE_INBOUND_PORT": str(settings.ports.inbound or INBOUND_PORT),
            "MESHCORE_HBONE_PORT": str(settings.ports.hbone or HBONE_PORT),
            "MESHCORE_HEALTHY": "true" if is_ready else "false",
        }
    return {
        "id": who.id,
        "cluster": f"{wanted.service}.{who.namespace}",
        "metadata": metadata,
        "locality": "",
        "version": settings.version,
    }


def head(settings: Settings, who: Claim, about: Mapping[str, Any]) -> "Head":
    """Returns what a sidecar begins with, as the compiler says it of documents."""
    mesh = about["settings"]
    return {
        "revision": about["revision"],
        "diagnostics": [],
        "trust_domain": mesh["trust_domain"],
        "trust_domain_aliases": mesh["trust_domain_aliases"],
        "services": len(about["services"]),
        "own": _own(settings, who, about),
        "own_missing": "",
        "own_is_ambiguous": False,
        "changes": [],
    }


def probe(settings: Settings, about: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Returns how the application is asked whether it is ready, by its WorkloadGroup."""
    group = settings.joining.group if settings.joining else None
    found = next((one for one in about["groups"] if one["name"] == group), None)
    return found["probe"] if found else None


def read_token(path: str) -> str:
    """Returns the token in a file.

    Raises:
        StartFailed: There is none.
    """
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            token = file.read(_MAX_TOKEN_BYTES + 1).strip()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise StartFailed(f"token {path}: {why}, see meshcore token create") from error
    if not token or len(token) > _MAX_TOKEN_BYTES:
        raise StartFailed(f"token {path}: there is none in it, see meshcore token create")
    return token


def _subject(token: str) -> tuple[str, str]:
    """Returns the namespace and the service account that a token is for.

    It is not verified: the control plane does that, and this is about ourselves.
    """
    try:
        part = token.split(".")[1]
        payload = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        namespace, _, account = str(payload["sub"]).removeprefix(_SUBJECT).partition(":")
    except (IndexError, ValueError, KeyError, TypeError) as error:
        raise StartFailed("the token is none of meshcore, see meshcore token create") from error
    if not namespace or not account:
        raise StartFailed("the token is for no service account, see meshcore token create")
    return namespace, account


def _labels(settings: Settings) -> dict[str, str]:
    if settings.wanted.is_gateway:
        return gateway_labels(settings.wanted.service)
    labels = {"app": settings.wanted.service}
    if settings.wanted.version:
        labels["version"] = settings.wanted.version
    return labels


def _own_address(settings: Settings) -> str:
    """Returns the address from which the control plane is reached: others reach us there."""
    joining = settings.joining
    host, _, port = (joining.address if joining else settings.mesh).rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probing:
            probing.connect(address)  # sends nothing
            return str(probing.getsockname()[0])
    except (OSError, ValueError):
        return "127.0.0.1"


def _own(settings: Settings, who: Claim, about: Mapping[str, Any]) -> "Own":
    """Returns the workload: that which registered, else one of the documents, else a client."""
    here: list[Workload] = [
        one
        for one in about["workloads"]
        if one["namespace"] == who.namespace and one["address"] == who.address
    ]
    here.sort(key=lambda one: (one["origin"]["kind"] != "Registration", one["name"] != who.name))
    services = about["services"]
    own = here[0] if here else None
    return {
        "name": who.name,
        "address": who.address,
        "labels": own["labels"] if own and not who.is_gateway else _labels(settings),
        "service_account": who.service_account,
        "hosts": sorted({service["host"] for service in services}) if who.serves else [],
        "ports": served(own, services) if own and who.serves else [],
        "inbound_port": own["inbound_port"] if own else None,
        "hbone_port": own["hbone_port"] if own else None,
    }
