"""WorkloadEntries: what is not applied."""

from collections.abc import Iterator

from meshcore.config.check.not_applied import FieldTable
from meshcore.config.check.world import World
from meshcore.config.document import Document
from meshcore.config.models.workload_entry import WorkloadEntry
from meshcore.errors import Diagnostic

NOT_APPLIED = FieldTable({"network": "all networks are one"})


def check_document(document: Document[WorkloadEntry], world: World) -> Iterator[Diagnostic]:
    """Yields what is to say about a WorkloadEntry."""
    del world
    yield from NOT_APPLIED.find(document)
