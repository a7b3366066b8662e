"""The kinds of documents that meshcore reads: a file a kind, named as the kind in snake_case.

A file here has `KIND`; its namesake in `compile/` makes resources of it, its namesake in `check/`
looks at it together with the others. Nothing else needs to know of a new kind.
"""

import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Generic, TypeVar, cast

from meshcore.config.models.base import Model

SpecT = TypeVar("SpecT", bound=Model)


@dataclass(frozen=True, slots=True)
class Kind(Generic[SpecT]):
    """A kind of document."""

    name: str
    groups: tuple[str, ...]
    """API groups it is served in; Kubernetes' own is empty."""
    versions: tuple[str, ...]
    spec: type[SpecT]
    """What its `spec` is read into."""
    needs_spec: bool = True
    has_spec: bool = True
    """Whether it says what it says below `spec`, rather than beside its metadata."""
    refuses_null_below: str = ""
    """Field of `spec` in which null would lift a constraint, and is an error."""

    def api_versions(self) -> list[str]:
        """Returns what `apiVersion` may be."""
        return [f"{group}/{v}" if group else v for group in self.groups for v in self.versions]

    def is_served_as(self, api_version: str) -> bool:
        """Whether `apiVersion` may be this."""
        group, _, version = api_version.rpartition("/")
        return group in self.groups and version in self.versions


def module_of(kind: str) -> str:
    """Returns the name of the file that is about `kind`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()


@cache
def names_in(package: str) -> frozenset[str]:
    """Returns the names of the files in one of the three packages with a file a kind."""
    return frozenset(module.name for module in iter_modules(import_module(package).__path__))


@cache
def kind_named(name: str) -> Kind[Model] | None:
    """Returns the kind with this name, or `None` when meshcore does not know it."""
    module = module_of(name)
    if module not in names_in(__name__):
        return None
    kind = getattr(import_module(f"{__name__}.{module}"), "KIND", None)
    if not isinstance(kind, Kind):
        return None
    known = cast("Kind[Model]", kind)
    return known if known.name == name else None


def kinds_of_group(group: str) -> list[str]:
    """Returns the names of the kinds that are read of an API group."""
    modules = (import_module(f"{__name__}.{name}") for name in sorted(names_in(__name__)))
    kinds = (getattr(module, "KIND", None) for module in modules)
    return [kind.name for kind in kinds if isinstance(kind, Kind) and group in kind.groups]
