"""Fields that are read and have no effect in this version, said at their place.

Each kind has one table of them in its file here; a field that comes to be applied leaves it.
"""

from collections.abc import Iterator, Mapping

from meshcore.config.document import Document
from meshcore.config.models.base import Model
from meshcore.config.nodes import Items, Node, Scalar, entry, spelled
from meshcore.config.nodes import Mapping as MappingNode
from meshcore.errors import Diagnostic, Severity

CODE = "MC0103"
# Most findings of one field in one document: a list of a thousand needs no thousand lines.
_MOST_PLACES = 5

Path = tuple[str | int, ...]


def not_applied(document: Document[Model], table: Mapping[str, str]) -> Iterator[Diagnostic]:
    """Yields a warning for each field of `table` that `document` gives.

    Args:
        document: What is looked at.
        table: What happens instead, by field below `spec`. `[]` stands for every entry of a list.
    """
    spec = entry(document.node, "spec")
    if spec is None:
        return
    for field, instead in table.items():
        for count, path in enumerate(_given(spec, tuple(field.split(".")), ())):
            if count == _MOST_PLACES:
                break
            name = field.replace("[]", "")
            message = f"{name} is accepted but not applied yet: {instead}"
            yield document.report(Severity.WARNING, CODE, message, *path)


def _given(node: Node, parts: tuple[str, ...], path: Path) -> Iterator[Path]:
    """Yields the path of each place in `node` that `parts` lead to, and that says something."""
    if not parts:
        if not _is_silent(node):
            yield path
        return
    if not isinstance(node, MappingNode):
        return
    name = parts[0].removesuffix("[]")
    key = spelled(node, name)
    if key is None:
        return
    inside = node.entries[key]
    if not parts[0].endswith("[]"):
        yield from _given(inside, parts[1:], (*path, name))
    elif isinstance(inside, Items):
        for index, item in enumerate(inside.items):
            yield from _given(item, parts[1:], (*path, name, index))


def _is_silent(node: Node) -> bool:
    if isinstance(node, Scalar):
        return node.value in {None, "", False}
    return not (node.items if isinstance(node, Items) else True)
