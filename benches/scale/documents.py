"""A mesh of many services in a directory, a file each, and edits of it."""

from pathlib import Path

WORKLOADS = 10
NAMESPACES = 20

_SERVICE = """apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  hosts: [{name}.{namespace}.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 8080, name: http, protocol: HTTP}}]
  workloadSelector: {{labels: {{app: {name}}}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{host: {name}, subsets: [{{name: v1, labels: {{version: v1}}}}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  hosts: [{name}]
  http: [{{route: [{{destination: {{host: {name}, subset: v1}}}}], timeout: {timeout}ms}}]
"""
_WORKLOAD = """---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: {name}-{number}, namespace: {namespace}}}
spec:
  address: {address}
  labels: {{app: {name}, version: v1, security.istio.io/tlsMode: istio}}
  serviceAccount: {name}
"""


def host(number: int) -> str:
    """Returns the host of a service."""
    return f"{_name(number)}.{_namespace(number)}.svc.cluster.local"


def write(folder: Path, services: int) -> None:
    """Writes a mesh."""
    folder.mkdir()
    for number in range(services):
        edit(folder, number)


def edit(folder: Path, number: int, *, timeout_ms: int = 5000, last_address: int = 0) -> None:
    """Writes one service, in one step.

    Args:
        folder: The directory.
        number: Which service.
        timeout_ms: What its route says.
        last_address: Part of the address of its last workload.
    """
    names = {"name": _name(number), "namespace": _namespace(number)}
    text = _SERVICE.format(**names, timeout=timeout_ms)
    for workload in range(WORKLOADS):
        at = 100 + last_address if workload == WORKLOADS - 1 else workload
        address = f"10.{number // 250}.{number % 250}.{at}"
        text += _WORKLOAD.format(**names, number=workload, address=address)
    beside = folder / ".new"
    beside.write_text(text)
    beside.replace(folder / f"{_name(number)}.yaml")


def _name(number: int) -> str:
    return f"service-{number:04}"


def _namespace(number: int) -> str:
    return f"team-{number % NAMESPACES}"
