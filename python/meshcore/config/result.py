"""The whole way of documents: parse, compile, check."""

from collections.abc import Sequence
from dataclasses import dataclass

from meshcore.config.check import check, replaced
from meshcore.config.compile import compile_documents, mesh_config
from meshcore.config.compile.mesh_config import access_log_format
from meshcore.config.document import Document
from meshcore.config.models.base import Model
from meshcore.config.parse import parse
from meshcore.config.resources import AccessLogFormat, Mesh
from meshcore.config.source import Source
from meshcore.errors import ConfigError, Diagnostic


@dataclass(frozen=True, slots=True)
class Result:
    """What became of some sources."""

    mesh: Mesh | None
    """What the data plane takes, or `None` when something is refused."""
    diagnostics: tuple[Diagnostic, ...]
    """Everything that was found, in the order of the sources."""
    documents: tuple[Document[Model], ...]
    """What was read; the short form is expanded."""

    @property
    def access_log_format(self) -> AccessLogFormat:
        """The form of an access log, also when the mesh does not say where it goes."""
        return access_log_format(mesh_config(self.documents))

    def required(self) -> Mesh:
        """Returns the mesh.

        Raises:
            ConfigError: Something is refused.
        """
        if self.mesh is None:
            raise ConfigError([item for item in self.diagnostics if item.is_refusal])
        return self.mesh


def compile_mesh(sources: Sequence[Source], revision: int) -> Result:
    """Returns the mesh that `sources` describe as `revision`, and all that is to say about them.

    Never raises for what a source contains.
    """
    parsed = parse(sources)
    documents = _last_of_each(parsed.documents)
    mesh = compile_documents(documents, revision)
    found = parsed.diagnostics
    found += replaced(parsed.documents)
    found += check(documents, mesh, is_whole=parsed.is_whole)
    order = {source.name: index for index, source in enumerate(sources)}
    found.sort(key=lambda item: (order.get(item.file, -1), item.line, item.column))
    everything = (*found, *found.summary())
    return Result(None if found.is_refused else mesh, everything, tuple(documents))


def _last_of_each(documents: Sequence[Document[Model]]) -> list[Document[Model]]:
    """Returns the documents without those that a later one of the same name replaces."""
    last: dict[tuple[str, str, str], Document[Model]] = {}
    for document in documents:
        key = (document.kind, document.namespace, document.name)
        last.pop(key, None)
        last[key] = document
    return list(last.values())
