"""What only shows when documents are looked at together, or is known and not applied."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import import_module

from meshcore.config.check.world import World, world_of
from meshcore.config.document import Document
from meshcore.config.models import module_of, names_in
from meshcore.config.models.base import Model
from meshcore.config.resources import Mesh
from meshcore.errors import Diagnostic, Severity

Checker = Callable[[Document[Model], World], Iterator[Diagnostic]]


def check(
    documents: Sequence[Document[Model]], mesh: Mesh, *, is_whole: bool
) -> Iterator[Diagnostic]:
    """Yields what is to say about `documents`, which `mesh` was compiled from.

    Args:
        documents: What was read, each name once.
        mesh: What became of it.
        is_whole: Nothing was refused before, so that what is missing is truly missing.
    """
    world = world_of(documents, mesh, is_whole=is_whole)
    for document in documents:
        yield from check_document(document, world)


def check_document(document: Document[Model], world: World) -> Iterator[Diagnostic]:
    """Yields what is to say about one document among those of `world`."""
    checker = _checker_of(document.kind)
    if checker is not None:
        yield from checker(document, world)


def replaced(documents: Sequence[Document[Model]]) -> Iterator[Diagnostic]:
    """Yields a warning for each document that a later one of the same name replaces."""
    last = {(d.kind, d.namespace, d.name): d for d in documents}
    for document in documents:
        other = last[document.kind, document.namespace, document.name]
        if other is not document:
            yield document.report(
                Severity.WARNING,
                "MC0102",
                f"{document.title} is given again, and this one does not count",
                hint=f"the one that counts is at {other.source.name}:{other.node.line}",
            )


@cache
def _checker_of(kind: str) -> Checker | None:
    module = module_of(kind)
    if module not in names_in(__name__):
        return None
    checker: Checker | None = getattr(import_module(f"{__name__}.{module}"), "check_document", None)
    return checker
