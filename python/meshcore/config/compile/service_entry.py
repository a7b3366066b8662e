"""ServiceEntry to services: one for each host."""

from meshcore.config.compile import auto_address
from meshcore.config.compile.protocol import declared
from meshcore.config.compile.shared_fields import export_to
from meshcore.config.compile.workload_entry import workload
from meshcore.config.document import Document
from meshcore.config.models.service_entry import ServiceEntry
from meshcore.config.resources import Mesh, Service, ServicePort

_RESOLUTIONS = {
    "NONE": "none",
    "STATIC": "static",
    "DNS": "dns",
    "DNS_ROUND_ROBIN": "dns_round_robin",
    "DYNAMIC_DNS": "none",
}


def compile_document(document: Document[ServiceEntry], mesh: Mesh) -> None:
    """Adds a service for each host of the entry."""
    for host in document.spec.hosts:
        mesh["services"].append(_service(document, host.lower(), mesh))


def _service(document: Document[ServiceEntry], host: str, mesh: Mesh) -> Service:
    spec = document.spec
    selected = spec.workload_selector
    return {
        "origin": document.origin(),
        "host": host,
        "name": _short_name(host, document.namespace, mesh["settings"]["domain"]),
        "namespace": document.namespace,
        "ports": _ports(spec),
        "addresses": list(spec.addresses),
        "auto_addresses": _auto_addresses(document, host),
        "location": "internal" if spec.location == "MESH_INTERNAL" else "external",
        "resolution": _RESOLUTIONS[spec.resolution],  # type: ignore[typeddict-item]
        "export_to": export_to(spec.export_to),
        "subject_alt_names": list(spec.subject_alt_names),
        "selector": dict(selected.labels) if selected and selected.labels else None,
        "endpoints": [workload(document, e, dict(e.labels)) for e in spec.endpoints],
        "created": document.created,
    }


def _auto_addresses(document: Document[ServiceEntry], host: str) -> list[str]:
    spec = document.spec
    if spec.addresses or _RESOLUTIONS[spec.resolution] == "none":
        return []  # those of the entry, or the one that the client wants
    return auto_address.preferred(document, host)


def _short_name(host: str, namespace: str, domain: str) -> str:
    """Returns the name that telemetry shows: as Kubernetes would have it, else the host."""
    name = host.removesuffix(f".{namespace}.svc.{domain}")
    return name if "." not in name else host


def _ports(spec: ServiceEntry) -> list[ServicePort]:
    return [
        {
            "number": port.number,
            "name": port.name,
            "protocol": protocol,
            "target_port": port.target_port,
            "target_port_name": None,
        }
        for port in spec.ports
        if (protocol := declared(port.protocol)) is not None
    ]
