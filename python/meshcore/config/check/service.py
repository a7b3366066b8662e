"""Services of Kubernetes: what they name, and what is not applied."""

from collections.abc import Iterator

from meshcore.config.check.conflicts import shared_host
from meshcore.config.check.not_applied import CODE, FieldTable
from meshcore.config.check.references import selects_nothing
from meshcore.config.check.world import World
from meshcore.config.compile.protocol import selected
from meshcore.config.document import Document
from meshcore.config.models.service import Service
from meshcore.errors import Diagnostic, Severity

NOT_APPLIED = FieldTable(
    {
        "externalIPs": "only clusterIP is known",
        "trafficDistribution": "localities are not looked at",
    }
)
# Values, by field, that ask for something which is not applied.
_VALUES_NOT_APPLIED = {"sessionAffinity": "ClientIP", "internalTrafficPolicy": "Local"}


def check_document(document: Document[Service], world: World) -> Iterator[Diagnostic]:
    """Yields what is to say about a Service."""
    spec = document.spec
    yield from NOT_APPLIED.find(document)
    given = {
        "sessionAffinity": spec.session_affinity,
        "internalTrafficPolicy": spec.internal_traffic_policy,
    }
    for field, value in _VALUES_NOT_APPLIED.items():
        if given[field] == value:
            message = f"{field}: {value} is accepted but not applied yet"
            yield document.report(Severity.WARNING, CODE, message, field)
    yield from _ports(document)
    yield from selects_nothing(document, dict(spec.selector or {}), world, "selector")
    host = f"{document.name}.{document.namespace}.svc.{world.settings['domain']}"
    yield from shared_host(document, host.lower(), world)


def _ports(document: Document[Service]) -> Iterator[Diagnostic]:
    for index, port in enumerate(document.spec.ports):
        protocol = selected(port.port, port.name, port.app_protocol)
        if port.protocol != "TCP" or protocol is None:
            message = f"{port.protocol if protocol else 'UDP'} is not carried: the port is left out"
            yield document.report(Severity.INFO, CODE, message, "ports", index)
        elif protocol == "detect" and document.spec.type != "ExternalName":
            message = f"the port {port.name or port.port} does not say what is spoken on it"
            hint = "add appProtocol, or begin its name with http-, grpc-, tcp- or tls-"
            yield document.report(Severity.INFO, "IST0118", message, "ports", index, hint=hint)
