"""Nodes to a model, with every mistake said at its place."""

from collections.abc import Iterator
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from meshcore.config.models.base import Model
from meshcore.config.nodes import Items, Mapping, Node, Scalar, find
from meshcore.config.source import Source
from meshcore.config.suggest import did_you_mean
from meshcore.errors import Diagnostic, Severity

ModelT = TypeVar("ModelT", bound=Model)
Path = tuple[str | int, ...]

# Most mistakes that are reported for one document.
MAX_MISTAKES = 50
# Most values of one document: each may be a mistake, and each mistake takes a kilobyte.
MAX_VALUES = 200_000

_WANTED = {
    "missing": "Required value: the field must be given",
    "string_type": 'text is needed, put it in quotes: "{input}"',
    "int_type": "a whole number is needed, not {kind}",
    "float_type": "a number is needed, not {kind}",
    "bool_type": "true or false is needed, not {kind}",
    "list_type": "a list is needed, not {kind}",
    "dict_type": "a mapping is needed, not {kind}",
    "model_type": "a mapping is needed, not {kind}",
    "model_attributes_type": "a mapping is needed, not {kind}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "string_too_short": "must not be empty",
    "string_too_long": "longer than {max_length} characters",
    "too_short": "must not be empty",
    "too_long": "has more than {max_length} entries",
}


def validate(
    node: Node, model: type[ModelT], source: Source, origin: str, under: Path = ()
) -> tuple[ModelT | None, list[Diagnostic]]:
    """Returns the model that `node` is read into, or what is wrong with it.

    Args:
        node: What is read.
        model: What it is read into.
        source: Where it was written.
        origin: The document, for messages.
        under: Where the node stands in its document, for messages.
    """
    size = node.size if isinstance(node, (Items, Mapping)) else 1
    if size > MAX_VALUES:
        return None, [_too_many(node, source, origin, under)]
    try:
        return model.model_validate(node.plain()), []
    except ValidationError as error:
        # One mistake may be reported for each form that a field may have; one is enough.
        found: dict[tuple[int, int], Diagnostic] = {}
        for details in error.errors(include_url=False)[: MAX_MISTAKES * 4]:
            diagnostic = _diagnostic(details, node, model, (source, origin, under))
            found.setdefault((diagnostic.line, diagnostic.column), diagnostic)
        return None, list(found.values())[:MAX_MISTAKES]


def _too_many(node: Node, source: Source, origin: str, under: Path) -> Diagnostic:
    return Diagnostic(
        severity=Severity.ERROR,
        code="MC0001",
        message=f"{_shown(under)}: more than {MAX_VALUES:,} values in one document",
        origin=origin,
        file=source.name,
        line=node.line,
        column=node.column,
        source_line=source.line(node.line),
        hint="split it into several",
    )


def nulls(node: Node, path: Path = ()) -> Iterator[Path]:
    """Yields the path of every null in `node`."""
    if isinstance(node, Scalar):
        if node.value is None:
            yield path
    elif isinstance(node, Items):
        for index, item in enumerate(node.items):
            yield from nulls(item, (*path, index))
    else:
        for key, value in node.entries.items():
            yield from nulls(value, (*path, key))


def _diagnostic(
    details: ErrorDetails, node: Node, model: type[Model], where: tuple[Source, str, Path]
) -> Diagnostic:
    source, origin, under = where
    context = details.get("ctx", {})
    path: Path = (*_in_document(details["loc"], node), *context.get("at", ()))
    message, hint = _words(details, path, model)
    line, column = find(node, path)
    if details["type"] == "extra_forbidden":
        line, column = _key_place(node, path) or (line, column)
    shown = _shown((*under, *path))
    return Diagnostic(
        severity=Severity.ERROR,
        code="IST0106",
        message=f"{shown}: {message}" if shown else message,
        origin=origin,
        file=source.name,
        line=line,
        column=column,
        source_line=source.line(line),
        hint=hint,
    )


def _words(details: ErrorDetails, path: Path, model: type[Model]) -> tuple[str, str]:
    """Returns the message for a mistake, and its hint."""
    kind, context, given = details["type"], details.get("ctx", {}), details["input"]
    if kind == "extra_forbidden":
        return "unknown field", did_you_mean(str(path[-1]), _fields_of(model, path[:-1]))
    if kind == "literal_error":
        allowed = [part.strip(" '") for part in context["expected"].replace(" or ", ",").split(",")]
        return f'Unsupported value: "{_brief(given)}"', did_you_mean(_brief(given), allowed)
    if kind == "refused":
        return str(context["message"]), str(context.get("hint", ""))
    return _plain_words(kind, context, given) or details["msg"][:1].lower() + details["msg"][1:], ""


def _plain_words(kind: str, context: dict[str, Any], given: object) -> str:
    """Returns the message for a mistake that pydantic found, or nothing when there is none."""
    if kind == "string_type" and isinstance(given, (list, dict)):
        return f"text is needed, not {'a list' if isinstance(given, list) else 'a mapping'}"
    words = {**context, "input": _brief(given), "kind": _kind_of(given)}
    return _WANTED.get(kind, "").format_map(words)


def _in_document(loc: Path, node: Node) -> Path:
    """Returns the parts of `loc` that are in the document, without a union's own."""
    path: list[str | int] = []
    at: Node | None = node
    for index, part in enumerate(loc):
        is_last = index == len(loc) - 1
        if isinstance(at, Mapping) and str(part) in at.entries:
            at = at.entries[str(part)]
        elif isinstance(at, Items) and isinstance(part, int) and part < len(at.items):
            at = at.items[part]
        elif not (is_last and isinstance(at, Mapping)):
            continue
        path.append(part)
    return tuple(path)


def _key_place(node: Node, path: Path) -> tuple[int, int] | None:
    """Returns where the last key of `path` stands."""
    at: Node | None = node
    for part in path[:-1]:
        if isinstance(at, Mapping):
            at = at.entries.get(str(part))
        elif isinstance(at, Items) and isinstance(part, int):
            at = at.items[part]
    return at.places.get(str(path[-1])) if isinstance(at, Mapping) else None


def _fields_of(model: type[Model], path: Path) -> list[str]:
    """Returns the names of the fields of the model that `path` leads to."""
    at: Any = model
    for part in path:
        at = _step(at, part)
    models = [m for m in _unwrapped(at) if isinstance(m, type) and issubclass(m, Model)]
    return [field.alias or name for found in models for name, field in found.model_fields.items()]


def _step(annotation: Any, part: str | int) -> Any:  # noqa: ANN401 - annotations are of any type
    """Returns the annotation of what is under `part`, or `None`."""
    for option in _unwrapped(annotation):
        if isinstance(option, type) and issubclass(option, Model):
            for name, field in option.model_fields.items():
                if part in {name, field.alias}:
                    return field.annotation
        arguments = get_args(option)
        if get_origin(option) in {list, dict} and arguments:
            return arguments[-1]
    return None


def _unwrapped(annotation: Any) -> list[Any]:  # noqa: ANN401 - annotations are of any type
    """Returns what an annotation may be: without `Annotated`, the options of a union."""
    if hasattr(annotation, "__metadata__"):
        return _unwrapped(annotation.__origin__)
    if get_origin(annotation) in {Union, UnionType}:
        return [found for option in get_args(annotation) for found in _unwrapped(option)]
    return [annotation]


def _shown(path: Path) -> str:
    """Returns a path as people write it: `http[0].match[1].uri`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")[:200]


def _brief(value: object) -> str:
    text = (
        {True: "true", False: "false"}.get(value, str(value))
        if isinstance(value, bool)
        else str(value)
    )
    return text if len(text) <= 60 else text[:60] + "..."  # noqa: PLR2004 - enough to know it


def _kind_of(value: object) -> str:
    names: dict[type, str] = {
        dict: "a mapping", list: "a list", str: "text", bool: "true or false",
        type(None): "nothing",
    }  # fmt: skip
    kind = names.get(type(value), "a number")
    return f"{kind} ({_brief(value)})" if isinstance(value, (str, int, float)) else kind
