"""Fields that are read and have no effect in this version, said at their place.

Each kind has one table of them in its file here; a field that comes to be applied leaves it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from meshcore.config.document import Document
from meshcore.config.models.base import Model
from meshcore.config.nodes import Items, Node, Scalar, entry, spelled
from meshcore.config.nodes import Mapping as MappingNode
from meshcore.errors import Diagnostic, Severity

CODE = "MC0103"
# Most findings of one field in one document: a list of a thousand needs no thousand lines.
_MOST_PLACES = 5

Path = tuple[str | int, ...]


@dataclass(slots=True)
class _Field:
    """A field of a table, with the fields below it."""

    name: str = ""
    instead: str = ""
    is_list: bool = False
    below: "dict[str, _Field]" = field(default_factory=dict[str, "_Field"])


class FieldTable:
    """The fields of a kind that are not applied, with what happens instead."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        """Takes what happens instead, by field below `spec`; `[]` stands for a list's entries."""
        self._root = _Field()
        for path, instead in fields.items():
            at = self._root
            for part in path.split("."):
                name = part.removesuffix("[]")
                at = at.below.setdefault(part, _Field(name, is_list=part != name))
            at.instead = instead

    def find(self, document: Document[Model]) -> Iterator[Diagnostic]:
        """Yields a warning for each field of the table that `document` gives."""
        spec = entry(document.node, "spec")
        seen: dict[str, int] = {}
        for path, instead in _given(spec, self._root, ()) if spec is not None else ():
            name = ".".join(part for part in path if isinstance(part, str))
            seen[name] = seen.get(name, 0) + 1
            if seen[name] <= _MOST_PLACES:
                message = f"{name} is accepted but not applied yet: {instead}"
                yield document.report(Severity.WARNING, CODE, message, *path)


def _given(node: Node, wanted: _Field, path: Path) -> Iterator[tuple[Path, str]]:
    """Yields path and consequence of each place in `node` that says something `wanted`."""
    if wanted.instead and not _is_silent(node):
        yield path, wanted.instead
    if not isinstance(node, MappingNode):
        return
    for below in wanted.below.values():
        key = spelled(node, below.name)
        inside = node.entries[key] if key is not None else None
        if inside is None:
            continue
        if not below.is_list:
            yield from _given(inside, below, (*path, below.name))
        elif isinstance(inside, Items):
            for index, item in enumerate(inside.items):
                yield from _given(item, below, (*path, below.name, index))


def _is_silent(node: Node) -> bool:
    if isinstance(node, Scalar):
        return node.value in {None, "", False}
    return not (node.items if isinstance(node, Items) else True)
