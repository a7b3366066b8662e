"""WorkloadEntries: what is not applied."""

from collections.abc import Iterator

from meshcore.config.check.not_applied import FieldTable
from meshcore.config.check.world import World
from meshcore.config.document import Document
from meshcore.config.models.workload_entry import OWN_LABELS, WorkloadEntry
from meshcore.config.suggest import did_you_mean
from meshcore.errors import Diagnostic, Severity

NOT_APPLIED = FieldTable(
    {
        "locality": "localities are not looked at",
        "network": "all networks are one",
    }
)


def check_document(document: Document[WorkloadEntry], world: World) -> Iterator[Diagnostic]:
    """Yields what is to say about a WorkloadEntry."""
    del world
    yield from NOT_APPLIED.find(document)
    for name in document.spec.labels:
        if name.startswith("meshcore.io/") and name not in OWN_LABELS:
            message = f"the label {name[:80]} is not one that meshcore knows"
            hint = did_you_mean(name, OWN_LABELS)
            yield document.report(Severity.WARNING, "IST0108", message, "labels", name, hint=hint)
