"""Settings: whether there is more than one set of them."""

from collections.abc import Iterator

from meshcore.config.check.world import World
from meshcore.config.document import Document
from meshcore.config.models.mesh_config import MeshConfig
from meshcore.errors import Diagnostic, Severity


def check_document(document: Document[MeshConfig], world: World) -> Iterator[Diagnostic]:
    """Yields a warning when a later document replaces these settings."""
    last = world.configs[-1]
    if document is not last:
        message = f"the settings at {last.source.name}:{last.node.line} replace these"
        yield document.report(Severity.WARNING, "MC0102", message)
