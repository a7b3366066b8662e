"""WorkloadEntry to a workload."""

from meshcore.config.document import Document
from meshcore.config.models.base import Model
from meshcore.config.models.workload_entry import (
    HBONE_PORT,
    INBOUND_PORT,
    TLS_MODE,
    TUNNEL,
    WORKLOAD_NAME,
    WorkloadEntry,
)
from meshcore.config.resources import Labels, Mesh, Workload

# Port of HBONE tunnels. Source: Istio's ports.
DEFAULT_HBONE_PORT = 15008


def compile_document(document: Document[WorkloadEntry], mesh: Mesh) -> None:
    """Adds the workload; labels of its metadata count as well."""
    labels = {**document.metadata.labels, **document.spec.labels}
    mesh["workloads"].append(workload(document, document.spec, labels))


def workload(document: Document[Model], entry: WorkloadEntry, labels: Labels) -> Workload:
    """Returns the workload of an entry that stands in `document`."""
    return {
        "origin": document.origin(),
        "name": labels.get(WORKLOAD_NAME) or document.name,
        "namespace": document.namespace,
        "address": entry.address,
        "ports": dict(entry.ports),
        "labels": labels,
        "service_account": entry.service_account or "default",
        "locality": entry.locality,
        "weight": entry.weight or 1,
        "mtls": _speaks_mtls(entry, labels),
        "inbound_port": _port(labels.get(INBOUND_PORT)),
        "hbone_port": _hbone_port(labels),
    }


def bare_workload(document: Document[Model], address: str) -> Workload:
    """Returns a workload of which only the address is known."""
    return workload(document, WorkloadEntry(address=address), {})


def _speaks_mtls(entry: WorkloadEntry, labels: Labels) -> bool:
    """Whether it takes mutual TLS: by its label, else when it has a service account.

    Source: Istio's `getTLSModeFromWorkloadEntry`.
    """
    mode = labels.get(TLS_MODE)
    return mode == "istio" if mode is not None else bool(entry.service_account)


def _hbone_port(labels: Labels) -> int | None:
    if labels.get(TUNNEL) != "http":
        return None
    return _port(labels.get(HBONE_PORT)) or DEFAULT_HBONE_PORT


def _port(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None
