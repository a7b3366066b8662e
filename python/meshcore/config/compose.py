"""YAML text to nodes, within bounded time, depth and memory.

Works on libyaml's events with a stack of its own, so that neither nesting nor aliases can exhaust
anything: an alias shares the node it names, and is counted with all that it stands for.
"""

from dataclasses import dataclass, field

import yaml
from yaml.events import (
    AliasEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from meshcore.config import scalars
from meshcore.config.nodes import Items, Mapping, Node, Scalar
from meshcore.config.source import MAX_SOURCE_BYTES, Source
from meshcore.errors import Diagnostic

# Deepest nesting. Source: Istio's kinds need 14; the rest is for Kubernetes' own.
MAX_DEPTH = 64
# Most values in one change, aliases counted with what they stand for: about 10,000 services.
MAX_NODES = 2_000_000
# Most duplicate keys that are reported for one source.
MAX_PROBLEMS = 100

_MERGE = "<<"
# Stands for a colon while libyaml reads: of the Unicode private use area.
_SPARED = "\ue03a"


@dataclass(slots=True)
class Budget:
    """How many more nodes may be made, over all sources of a change."""

    nodes: int = MAX_NODES


class _Stopped(Exception):
    """Nothing more can be read of this source."""

    def __init__(self, message: str, event: Event, hint: str = "") -> None:
        super().__init__(message)
        self.line, self.column = _place(event)
        self.hint = hint


@dataclass(slots=True)
class _Open:
    """A collection that is not closed yet."""

    node: Items | Mapping
    anchor: str | None
    key: str | None = None
    key_place: tuple[int, int] = (0, 0)
    merges: list[tuple[Node, Event]] = field(default_factory=list[tuple[Node, Event]])


def compose(source: Source, budget: Budget, problems: list[Diagnostic]) -> list[Node]:
    """Returns the documents of `source`; what is wrong with it is added to `problems`.

    After a syntax error the documents before it are returned. Empty documents are left out.
    """
    if len(source.data) > MAX_SOURCE_BYTES:
        problems.append(too_large(source, len(source.data)))
        return []
    composer = _Composer(source, budget, problems)
    try:
        loader = yaml.CSafeLoader(_spared(source.text))
        try:
            while loader.check_event():  # pyright: ignore[reportUnknownMemberType]
                composer.take(loader.get_event())  # type: ignore[arg-type]  # there is one
        finally:
            loader.dispose()
    except UnicodeDecodeError as error:
        problems.append(source_not_text(source, error))
    except _Stopped as stop:
        problems.append(source.diagnostic(str(stop), stop.line, stop.column, stop.hint))
    except yaml.YAMLError as error:
        problems.append(_syntax_error(source, error))
    return composer.documents


def too_large(source: Source, size_bytes: int) -> Diagnostic:
    """Returns the error for a source over the limit. Does not look at its text."""
    limit = MAX_SOURCE_BYTES // (1024 * 1024)
    message = f"{size_bytes / (1024 * 1024):.1f} MiB is over the limit of {limit} MiB for one file"
    return source.diagnostic(message, hint="split it into several files")


def source_not_text(source: Source, error: UnicodeDecodeError) -> Diagnostic:
    """Returns the error for a source that is not UTF-8."""
    line = bytes(error.object).count(b"\n", 0, error.start) + 1
    plain = Source(source.name, "")  # its lines cannot be shown
    return plain.diagnostic(
        f"not UTF-8: byte 0x{error.object[error.start]:02x} cannot be read",
        line,
        1,
        "save the file as UTF-8",
    )


class _Composer:
    """Builds nodes from events, one document after the other."""

    def __init__(self, source: Source, budget: Budget, problems: list[Diagnostic]) -> None:
        self.documents: list[Node] = []
        self._source = source
        self._budget = budget
        self._problems = problems
        self._most_problems = len(problems) + MAX_PROBLEMS
        self._stack: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}

    def take(self, event: Event) -> None:
        if isinstance(event, ScalarEvent):
            self._scalar(event)
        elif isinstance(event, (MappingStartEvent, SequenceStartEvent)):
            self._open(event)
        elif isinstance(event, (MappingEndEvent, SequenceEndEvent)):
            self._close(event)
        elif isinstance(event, AliasEvent):
            self._alias(event)

    def _scalar(self, event: ScalarEvent) -> None:
        self._spend(1, event)
        if _SPARED in event.value and _SPARED not in self._source.text:
            event.value = event.value.replace(_SPARED, ":")
        place = _place(event)
        top = self._stack[-1] if self._stack else None
        if top is not None and isinstance(top.node, Mapping) and top.key is None:
            top.key, top.key_place = event.value, place
            if event.anchor:
                self._anchors[event.anchor] = Scalar(event.value, *place)
            return
        node = Scalar(self._value(event), *place)
        if event.anchor:
            self._anchors[event.anchor] = node
        self._add(node, event)

    def _value(self, event: ScalarEvent) -> str | int | float | bool | None:
        if event.implicit[0]:
            return scalars.resolve(event.value)
        if event.implicit[1]:
            return str(event.value)
        try:
            return scalars.tagged(event.tag or "!", event.value)
        except ValueError as error:
            raise _Stopped(str(error), event) from error

    def _open(self, event: MappingStartEvent | SequenceStartEvent) -> None:
        self._spend(1, event)
        self._check_depth(1, event)
        kind = "map" if isinstance(event, MappingStartEvent) else "seq"
        if event.tag not in {None, "!", f"tag:yaml.org,2002:{kind}"}:
            raise _Stopped(f"the tag {event.tag!r} is not allowed here", event)
        if (
            self._stack
            and isinstance(self._stack[-1].node, Mapping)
            and self._stack[-1].key is None
        ):
            raise _Stopped("a key must be text", event, "put a text before the colon")
        line, column = _place(event)
        node = Mapping(line=line, column=column) if kind == "map" else Items([], line, column)
        if event.anchor:
            self._anchors[event.anchor] = None  # open: an alias to it would be endless
        self._stack.append(_Open(node, event.anchor))

    def _close(self, event: Event) -> None:
        opened = self._stack.pop()
        for merged, at in reversed(opened.merges):
            self._merge(opened.node, merged, at)
        if opened.anchor:
            self._anchors[opened.anchor] = opened.node
        self._add(opened.node, event)

    def _alias(self, event: AliasEvent) -> None:
        if event.anchor not in self._anchors:
            raise _Stopped(f"the alias *{event.anchor} has no anchor before it", event)
        node = self._anchors[event.anchor]
        if node is None:
            raise _Stopped(f"the alias *{event.anchor} contains itself", event)
        top = self._stack[-1] if self._stack else None
        if top is not None and isinstance(top.node, Mapping) and top.key is None:
            if not isinstance(node, Scalar):
                raise _Stopped("a key must be text", event)
            top.key, top.key_place = str(node.value), _place(event)
            return
        if not isinstance(node, Scalar):
            self._spend(node.size, event)
            self._check_depth(node.depth, event)
        self._add(node, event)

    def _add(self, node: Node, event: Event) -> None:
        if not self._stack:
            if not (isinstance(node, Scalar) and node.value is None):
                self.documents.append(node)
            self._anchors.clear()
            return
        top = self._stack[-1]
        _grow(top.node, node)
        if isinstance(top.node, Items):
            top.node.items.append(node)
            return
        key, top.key = top.key or "", None
        if key == _MERGE:
            top.merges.append((node, event))
        elif key in top.node.entries:
            self._report_duplicate(key, top)
        else:
            top.node.entries[key] = node
            top.node.places[key] = top.key_place

    def _report_duplicate(self, key: str, top: _Open) -> None:
        if len(self._problems) >= self._most_problems or not isinstance(top.node, Mapping):
            return
        first, _ = top.node.places[key]
        self._problems.append(
            self._source.diagnostic(
                f"the key {key[:80]!r} is given twice",
                *top.key_place,
                hint=f"remove one; the first is in line {first}",
            )
        )

    def _merge(self, into: Items | Mapping, merged: Node, event: Event) -> None:
        parts = merged.items if isinstance(merged, Items) else [merged]
        for part in parts:
            if not isinstance(part, Mapping) or not isinstance(into, Mapping):
                raise _Stopped("<< needs a mapping, or a list of mappings", event)
            self._spend(len(part.entries), event)
            for key, node in part.entries.items():
                if key not in into.entries:
                    into.entries[key] = node
                    into.places[key] = part.places[key]

    def _spend(self, nodes: int, event: Event) -> None:
        self._budget.nodes -= nodes
        if self._budget.nodes < 0:
            raise _Stopped(
                f"more than {MAX_NODES:,} values, aliases counted with what they stand for",
                event,
                "split the configuration, or write aliases out",
            )

    def _check_depth(self, depth: int, event: Event) -> None:
        if len(self._stack) + depth > MAX_DEPTH:
            raise _Stopped(f"nested deeper than {MAX_DEPTH} levels", event)


def _spared(text: str) -> str:
    """Returns `text` so that `[fd00::]` is an address, as kubectl reads it.

    libyaml takes a colon before a bracket for the end of a key.
    """
    if _SPARED in text:
        return text
    for bracket in ",[]{}":
        text = text.replace(f"::{bracket}", f":{_SPARED}{bracket}")
    return text


def _grow(parent: Items | Mapping, child: Node) -> None:
    if isinstance(child, Scalar):
        parent.size += 1
    else:
        parent.size += child.size
        parent.depth = max(parent.depth, child.depth + 1)


def _place(event: Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)


# What libyaml says from 0.2.6 on, whose own limit is reached before ours in one long line.
_LIBYAML_TOO_DEEP = "maximum nesting depth"


def _syntax_error(source: Source, error: yaml.YAMLError) -> Diagnostic:
    """Returns the error for text that is not YAML."""
    problem = str(getattr(error, "problem", None) or error).split("\n", maxsplit=1)[0]
    if _LIBYAML_TOO_DEEP in problem:
        said = f"nested deeper than {MAX_DEPTH} levels"
    else:
        said = f"not YAML: {problem}"
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        position = getattr(error, "position", None)  # of a character that YAML does not allow
        line = source.text.count("\n", 0, position) + 1 if isinstance(position, int) else 0
        return source.diagnostic(said, line, 1 if line else 0)
    hint = "indent with spaces" if "\t" in source.line(mark.line + 1) else ""
    return source.diagnostic(said, mark.line + 1, mark.column + 1, hint)
