"""ServiceEntries: what they name, and what is not applied."""

from collections.abc import Iterator

from meshcore.config.check.conflicts import shared_host
from meshcore.config.check.not_applied import CODE, FieldTable
from meshcore.config.check.references import selects_nothing
from meshcore.config.check.world import World
from meshcore.config.document import Document
from meshcore.config.models.service_entry import ServiceEntry
from meshcore.errors import Diagnostic, Severity

NOT_APPLIED = FieldTable(
    {
        "endpoints[].locality": "localities are not looked at",
        "endpoints[].network": "all networks are one",
    }
)


def check_document(document: Document[ServiceEntry], world: World) -> Iterator[Diagnostic]:
    """Yields what is to say about a ServiceEntry."""
    spec = document.spec
    yield from NOT_APPLIED.find(document)
    if spec.resolution == "DYNAMIC_DNS":
        message = "DYNAMIC_DNS is accepted but not applied yet: it is taken as NONE"
        yield document.report(Severity.WARNING, CODE, message, "resolution")
    for index, host in enumerate(spec.hosts):
        yield from shared_host(document, host.lower(), world, "hosts", index)
    yield from _addresses(document)
    yield from _ports(document)
    # The short form has services without endpoints, for clients that nobody calls.
    if spec.workload_selector is not None and not document.from_short_form:
        labels = dict(spec.workload_selector.labels)
        yield from selects_nothing(document, labels, world, "workloadSelector")


def _addresses(document: Document[ServiceEntry]) -> Iterator[Diagnostic]:
    spec = document.spec
    if spec.addresses:
        return
    for index, port in enumerate(spec.ports):
        if port.protocol == "TCP":
            message = "without addresses, TCP on this port is told apart by the port alone"
            path = ("ports", index)
            yield document.report(Severity.WARNING, "IST0134", message, *path)


def _ports(document: Document[ServiceEntry]) -> Iterator[Diagnostic]:
    for index, port in enumerate(document.spec.ports):
        if port.protocol == "UDP":
            message = "UDP is not carried: the port is left out"
            yield document.report(Severity.WARNING, CODE, message, "ports", index, "protocol")
