"""WorkloadGroups: what is not applied."""

from collections.abc import Iterator

from meshcore.config.check.not_applied import FieldTable
from meshcore.config.check.world import World
from meshcore.config.document import Document
from meshcore.config.models.workload_group import WorkloadGroup
from meshcore.errors import Diagnostic, Severity

NOT_APPLIED = FieldTable(
    {
        "metadata.annotations": "workloads have no annotations",
        "template.locality": "localities are not looked at",
        "template.network": "all networks are one",
    }
)


def check_document(document: Document[WorkloadGroup], world: World) -> Iterator[Diagnostic]:
    """Yields what is to say about a WorkloadGroup."""
    del world
    yield from NOT_APPLIED.find(document)
    if document.spec.template.address:
        message = "the address of a template means nothing: each workload brings its own"
        yield document.report(Severity.WARNING, "IST0133", message, "template", "address")
