"""What a sidecar says when it starts."""

from collections.abc import Mapping

from meshcore.control.compiler import Prepared
from meshcore.control.node import identity, who
from meshcore.control.settings import Settings


def banner(
    settings: Settings,
    prepared: Prepared,
    addresses: Mapping[str, str | None],
    *,
    is_last_good: bool,
) -> str:
    """Returns a few lines: who it is, what it serves, where it listens."""
    head, own = prepared.head, who(settings, prepared.head)
    what = "gateway" if settings.wanted.is_gateway else "sidecar of"
    lines = [f"meshcore {settings.version}: {what} {own['name']}.{settings.wanted.namespace}"]
    rows = [("identity", identity(settings, head, own))]
    if settings.wanted.is_gateway:
        labels = ", ".join(f"{key}={value}" for key, value in sorted(own["labels"].items()))
        rows.append(("selected", f"by the Gateways for {labels}"))
    elif addresses.get("inbound"):
        hosts = ", ".join(own["hosts"]) or own["name"]
        application = settings.application or own["address"]
        ports = ", ".join(map(str, own["ports"]))
        rows.append(("serves", f"{hosts}, port {ports}, application at {application}"))
        rows.append(("inbound", f"{addresses['inbound']}, HBONE {addresses.get('hbone')}"))
    elif not own["hosts"]:
        name = f"{settings.wanted.service}.{settings.wanted.namespace}"
        rows.append(("serves", f"nothing: the mesh has no service {name}, so it can only call"))
    if addresses.get("outbound"):
        rows.append(("outbound", f"http://{addresses['outbound']} with Host: SERVICE:PORT"))
    rows.append(("admin", f"http://{addresses.get('admin')}"))
    rows.append(("health", f"http://{addresses.get('health')}/healthz/ready"))
    rows.append(("metrics", f"http://{addresses.get('metrics')}/metrics"))
    rows.append(("mesh", _mesh(settings, prepared, is_last_good=is_last_good)))
    return "\n".join([*lines, *(f"  {name:<9} {value}" for name, value in rows)])


def _mesh(settings: Settings, prepared: Prepared, *, is_last_good: bool) -> str:
    services, warnings = prepared.head["services"], len(prepared.head["diagnostics"])
    parts = [
        settings.mesh,
        f"revision {prepared.revision}" + (" (last good)" if is_last_good else ""),
        f"{services} service{'' if services == 1 else 's'}",
        f"{warnings} warning{'' if warnings == 1 else 's'}",
    ]
    return ", ".join(parts)
