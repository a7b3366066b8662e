"""What YAML becomes: values that know where they were written."""

from dataclasses import dataclass, field
from typing import TypeAlias

# A value of JSON, which is what Kubernetes makes of YAML before anything reads it.
Plain: TypeAlias = "str | int | float | bool | list[Plain] | dict[str, Plain] | None"


@dataclass(slots=True)
class Scalar:
    """A single value."""

    value: str | int | float | bool | None
    line: int = 0
    column: int = 0

    def plain(self) -> Plain:
        return self.value


@dataclass(slots=True)
class Items:
    """A sequence. `size` and `depth` count what an alias to it stands for."""

    items: "list[Node]" = field(default_factory=list["Node"])
    line: int = 0
    column: int = 0
    size: int = 1
    depth: int = 1

    def plain(self) -> Plain:
        return [item.plain() for item in self.items]


@dataclass(slots=True)
class Mapping:
    """A mapping. Keys are text, as in JSON; `places` has the line and column of each."""

    entries: "dict[str, Node]" = field(default_factory=dict[str, "Node"])
    places: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    line: int = 0
    column: int = 0
    size: int = 1
    depth: int = 1

    def plain(self) -> Plain:
        """Returns the mapping without its nulls: null is "not said", as in Kubernetes."""
        return {
            key: node.plain()
            for key, node in self.entries.items()
            if not (isinstance(node, Scalar) and node.value is None)
        }


Node: TypeAlias = Scalar | Items | Mapping


def find(root: Node, path: tuple[str | int, ...]) -> tuple[int, int]:
    """Returns line and column of what `path` leads to.

    Parts that lead nowhere are passed over (a validator may have added its own). The place of a
    mapping's entry is that of its key when the path ends there, so that a caret points at a name.
    """
    node, place = root, (root.line, root.column)
    for index, part in enumerate(path):
        is_last = index == len(path) - 1
        if isinstance(node, Mapping) and (key := spelled(node, str(part))) is not None:
            place = node.places.get(key, place)
            node = node.entries[key]
            if is_last and isinstance(node, Scalar):
                place = (node.line, node.column)
        elif isinstance(node, Items) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
            place = (node.line, node.column)
    return place


def spelled(node: Mapping, name: str) -> str | None:
    """Returns the key under which `node` has the field `name`, in camelCase or snake_case."""
    if name in node.entries:
        return name
    wanted = name.lower()
    return next(
        (k for k in node.entries if "_" in k and k.replace("_", "").lower() == wanted), None
    )


def entry(node: Node | None, name: str) -> Node | None:
    """Returns the value under `name`, or `None` when there is none."""
    return node.entries.get(name) if isinstance(node, Mapping) else None


def text(node: Node | None) -> str:
    """Returns the value when it is text, else nothing."""
    return node.value if isinstance(node, Scalar) and isinstance(node.value, str) else ""
