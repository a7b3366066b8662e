"""A document that was read: what it says, and where."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from meshcore.config.models.base import Metadata, Model
from meshcore.config.nodes import Mapping, entry, find
from meshcore.config.resources import Origin
from meshcore.config.source import Source
from meshcore.errors import Diagnostic, Severity

SpecT_co = TypeVar("SpecT_co", bound=Model, covariant=True)
"""What the `spec` of a kind is read into."""


@dataclass(frozen=True, slots=True)
class Document(Generic[SpecT_co]):
    """One document of a kind that meshcore knows."""

    kind: str
    api_version: str
    metadata: Metadata
    spec: SpecT_co
    node: Mapping
    source: Source
    from_short_form: bool = False

    @property
    def namespace(self) -> str:
        return self.metadata.namespace or "default"

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def created(self) -> str:
        return self.metadata.creation_timestamp or ""

    @property
    def title(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"

    def origin(self) -> Origin:
        """Returns what resources say they were made of."""
        return {
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
            "file": self.source.name,
            "line": self.node.line,
        }

    def line(self, *path: str | int) -> int:
        """Returns the line of a field below `spec`."""
        return self._place(path)[0]

    def report(
        self, severity: Severity, code: str, message: str, *path: str | int, hint: str = ""
    ) -> Diagnostic:
        """Returns a finding at a field below `spec`."""
        line, column = self._place(path)
        return Diagnostic(
            severity=severity,
            code=code,
            message=message,
            origin=self.title,
            file=self.source.name,
            line=line,
            column=column,
            source_line=self.source.line(line),
            hint=hint,
        )

    def _place(self, path: tuple[str | int, ...]) -> tuple[int, int]:
        if entry(self.node, "spec") is None:
            return find(self.node, path)
        return find(self.node, ("spec", *path))
