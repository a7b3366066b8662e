"""Kubernetes' Service to a service."""

from typing import Literal

from meshcore.config.compile import auto_address
from meshcore.config.compile.protocol import selected
from meshcore.config.compile.workload_entry import bare_workload
from meshcore.config.document import Document
from meshcore.config.models.service import Service, ServicePort
from meshcore.config.resources import Mesh
from meshcore.config.resources import Service as Resource
from meshcore.config.resources import ServicePort as Port

_HEADLESS = frozenset({"", "None"})


def compile_document(document: Document[Service], mesh: Mesh) -> None:
    """Adds the service; one of type ExternalName is outside of the mesh and found by DNS."""
    spec = document.spec
    is_external = spec.type == "ExternalName"
    resource: Resource = {
        "origin": document.origin(),
        "host": f"{document.name}.{document.namespace}.svc.{mesh['settings']['domain']}".lower(),
        "name": document.name,
        "namespace": document.namespace,
        "ports": [port for item in spec.ports if (port := _port(item)) is not None],
        "addresses": _addresses(spec),
        "auto_addresses": [],
        "location": "external" if is_external else "internal",
        "resolution": _resolution(spec),
        "export_to": [],
        "subject_alt_names": [],
        "selector": dict(spec.selector) if spec.selector and not is_external else None,
        "endpoints": [],
        "created": document.created,
    }
    if not resource["addresses"] and spec.cluster_ip != "None":
        resource["auto_addresses"] = auto_address.preferred(document, resource["host"])
    if is_external and spec.external_name:
        resource["endpoints"].append(bare_workload(document, spec.external_name))
    mesh["services"].append(resource)


def _port(written: ServicePort) -> Port | None:
    protocol = selected(written.port, written.name, written.app_protocol)
    if written.protocol != "TCP" or protocol is None:
        return None
    target = written.target_port
    return {
        "number": written.port,
        "name": written.name,
        "protocol": protocol,
        "target_port": target if isinstance(target, int) else None,
        "target_port_name": target if isinstance(target, str) else None,
    }


def _addresses(spec: Service) -> list[str]:
    given = [*spec.cluster_ips, spec.cluster_ip or ""]
    return list(dict.fromkeys(ip for ip in given if ip not in _HEADLESS))


def _resolution(spec: Service) -> Literal["none", "static", "dns"]:
    if spec.type == "ExternalName":
        return "dns"
    return "none" if spec.cluster_ip == "None" and not spec.selector else "static"
