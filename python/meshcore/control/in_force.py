"""The resources that a control plane hands out, and what a change makes different."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from meshcore.control.resources import Resource

# Kinds whose removal takes away what protects a mesh, or most of it: `shrink` has a look.
_GUARDED = ("service/", "authorization/", "peer_auth/")


@dataclass(frozen=True, slots=True)
class Difference:
    """What is to change."""

    changed: tuple[tuple[str, bytes], ...]
    """Names and values, as JSON."""
    removed: tuple[str, ...]
    words: tuple[str, ...]
    """The same for people: a sign and the name of each."""

    @property
    def is_empty(self) -> bool:
        """Whether all is as it was."""
        return not self.changed and not self.removed

    @property
    def removes_guarded(self) -> bool:
        """Whether something goes that a mesh should not lose by mistake."""
        return any(name.startswith(_GUARDED) for name in self.removed)


@dataclass(slots=True)
class InForce:
    """Resources by name."""

    revision: int = 0
    resources: dict[str, Resource] = field(default_factory=dict[str, Resource])
    values: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """The same as JSON."""

    def difference(self, wanted: Mapping[str, Resource], names: Iterable[str]) -> Difference:
        """Returns what is to change for `wanted` to hold, which differs in `names` at most."""
        changed: list[tuple[str, bytes]] = []
        removed: list[str] = []
        words: list[str] = []
        for name in sorted(names):
            resource, before = wanted.get(name), self.values.get(name)
            value = None if resource is None else encoded(resource)
            if value is None and before is not None:
                removed.append(name)
                words.append(f"- {name}")
            elif value is not None and value != before:
                changed.append((name, value))
                words.append(f"{'+' if before is None else '~'} {name}")
        return Difference(tuple(changed), tuple(removed), tuple(words))

    def take(self, revision: int, difference: Difference, wanted: Mapping[str, Resource]) -> None:
        """Makes a difference of `wanted` be in force."""
        self.revision = revision
        for name, value in difference.changed:
            self.resources[name], self.values[name] = wanted[name], value
        for name in difference.removed:
            del self.resources[name], self.values[name]


def encoded(resource: Resource) -> bytes:
    """Returns a resource as it travels. What is the same has the same bytes."""
    return json.dumps(resource, separators=(",", ":")).encode()
