"""WorkloadGroup to what workloads that register have in common."""

from meshcore.config.document import Document
from meshcore.config.models.workload_group import HttpProbe, Probe, WorkloadGroup
from meshcore.config.resources import Check, Mesh
from meshcore.config.resources import Probe as Resource

# What holds where a probe does not say. Source: `ReadinessProbe` of Istio's WorkloadGroup.
_TIMEOUT_SECONDS, _PERIOD_SECONDS, _SUCCESSES, _FAILURES = 1, 10, 1, 3


def compile_document(document: Document[WorkloadGroup], mesh: Mesh) -> None:
    """Adds the group; labels of its metadata count as well."""
    spec, template = document.spec, document.spec.template
    mesh["workload_groups"].append(
        {
            "origin": document.origin(),
            "name": document.name,
            "namespace": document.namespace,
            "labels": {**spec.metadata.labels, **template.labels},
            "ports": dict(template.ports),
            "service_account": template.service_account or "default",
            "locality": template.locality,
            "weight": template.weight or 1,
            "probe": _probe(spec.probe) if spec.probe is not None else None,
        }
    )


def _probe(written: Probe) -> Resource | None:
    check = _check(written)
    if check is None:
        return None
    return {
        "initial_delay_ms": written.initial_delay_seconds * 1000,
        "timeout_ms": (written.timeout_seconds or _TIMEOUT_SECONDS) * 1000,
        "period_ms": (written.period_seconds or _PERIOD_SECONDS) * 1000,
        "success_threshold": written.success_threshold or _SUCCESSES,
        "failure_threshold": written.failure_threshold or _FAILURES,
        "check": check,
    }


def _check(written: Probe) -> Check | None:
    if written.http_get is not None:
        return {"http": _http(written.http_get)}
    if written.tcp_socket is not None:
        return {"tcp": {"port": written.tcp_socket.port, "host": written.tcp_socket.host or None}}
    if written.exec is not None:
        return {"exec": {"command": list(written.exec.command)}}
    if written.grpc is not None:
        return {"grpc": {"port": written.grpc.port, "service": written.grpc.service}}
    return None


def _http(written: HttpProbe) -> dict[str, object]:
    return {
        "path": written.path if written.path.startswith("/") else f"/{written.path}",
        "port": written.port,
        "host": written.host or None,
        "scheme": (written.scheme or "HTTP").lower(),
        "headers": [(header.name, header.value) for header in written.http_headers],
    }
