"""Changes to documents that leave them documents, so that a fuzzer gets beyond YAML's syntax."""

import importlib
import pkgutil
import random
from collections.abc import Iterable, Iterator
from copy import deepcopy
from functools import cache
from itertools import islice
from typing import Any, TypeAlias

import yaml

from meshcore.config import models
from meshcore.config.models.base import Model

Tree: TypeAlias = Any
# A place in a tree: what holds it, and the key or index there.
Place: TypeAlias = tuple[dict[str, Tree] | list[Tree], Any]

# Aliases can make a tree larger than its text by far.
_MOST_PLACES = 2000

_DEEPEST = 20

_WORDS = (
    None, "", "*", ".", "/", "a", "default", "web", "a.b", "*.a.b", "5s", "0s", "-1", "1e3", 0, 1,
    100, 65535, 65536, 2**64, 0.5, float("nan"), True, "(", "(a|b)*", "{*}/{**}", "10.0.0.0/8",
    "::1", "spiffe://td/ns/a/sa/b", [], {}, "\u2028", "x: y", "a\nb", "~", "0x10", "1:30",
)  # fmt: skip


def changed(data: bytes, seed: int) -> bytes:
    """Returns other documents made of `data`, or `data` when that is not YAML.

    Equal seeds give equal changes.
    """
    chance = random.Random(seed)  # noqa: S311 - nothing is secret
    try:
        trees = list(yaml.safe_load_all(data))
        for _time in range(chance.randint(1, 4)):
            _change(trees, chance)
        text = yaml.safe_dump_all(trees, sort_keys=False, allow_unicode=bool(seed % 2))
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return data
    return text.encode("utf-8", "surrogatepass")


def _change(trees: list[Tree], chance: random.Random) -> None:
    places = list(islice(_places(trees), _MOST_PLACES))
    if not places:
        return
    holder, key = chance.choice(places)
    match chance.randrange(6), holder:
        case 0, _:
            del holder[key]
        case 1, dict():
            holder[chance.choice(field_names())] = deepcopy(chance.choice(places)[0])
        case 2, dict():
            holder[chance.choice(field_names())] = holder.pop(key)
        case 3, list():
            holder.append(deepcopy(holder[key]))
        case 4, _:
            other, at = chance.choice(places)
            holder[key] = deepcopy(other[at])
        case _:
            holder[key] = chance.choice(_WORDS)


def _places(tree: Tree, depth: int = 0) -> Iterator[Place]:
    keys: Iterable[Any] = ()
    if isinstance(tree, dict):
        keys = list(tree)
    elif isinstance(tree, list):
        keys = range(len(tree))
    for key in keys:
        yield tree, key
        if depth < _DEEPEST:
            yield from _places(tree[key], depth + 1)


@cache
def field_names() -> list[str]:
    """Returns the names of all fields of all kinds, as documents spell them."""
    for module in pkgutil.iter_modules(models.__path__, f"{models.__name__}."):
        importlib.import_module(module.name)
    found, left = set[str](), [Model]
    while left:
        model = left.pop()
        left += model.__subclasses__()
        found |= {field.alias or name for name, field in model.model_fields.items()}
    return sorted(found)
