"""The line of a change in a control plane: files -> parsed, checked, compiled -> sidecars."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from meshcore.config import Source
from meshcore.config.resources import Settings
from meshcore.control import shrink
from meshcore.control.compilation import Compilation
from meshcore.control.in_force import Difference, InForce
from meshcore.control.resources import SETTINGS, Resource, together
from meshcore.errors import ConfigError, Diagnostic, MeshcoreError, Severity
from meshcore.sources.watch import Change

_log = logging.getLogger("meshcore")


class Server(Protocol):
    """What hands resources to sidecars."""

    def update(
        self, revision: int, changed: Sequence[tuple[str, bytes]], removed: Sequence[str]
    ) -> None:
        """Puts a change in force, or raises and leaves all as it was."""
        ...


class Listener(Protocol):
    """What hears how changes fared."""

    def began(self) -> None:
        """A change was noticed."""
        ...

    def applied(
        self, in_force: InForce, difference: Difference, found: Sequence[Diagnostic]
    ) -> None:
        """It is in force."""
        ...

    def same(self) -> None:
        """It says what is in force already."""
        ...

    def rejected(self, revision: int, error: MeshcoreError) -> None:
        """It was refused; what was in force stays in force."""
        ...


class Distribution:
    """The resources of one mesh on their way."""

    def __init__(
        self,
        begin: Callable[[Settings], Server],
        read: Callable[[], Sequence[Source]],
        number: Callable[[Sequence[Source], int], int],
        confirm: Callable[[InForce, Compilation], None],
    ) -> None:
        """Begins with nothing in force.

        Args:
            begin: Starts what hands resources to sidecars, for the first ones there are.
            read: Returns the documents as they are now.
            number: Returns the number of what they say, at least as great as the other one.
            confirm: Raises if a change takes away what nobody confirmed.
        """
        self.in_force = InForce()
        self._begin = begin
        self._server: Server | None = None
        self._read = read
        self._number = number
        self._confirm = confirm
        self._compilation = Compilation()
        self._touched: set[str] = set()

    def resume(self, revision: int, resources: Mapping[str, Resource]) -> None:
        """Hands out what was in force before this process.

        Raises:
            MeshcoreError: It is not accepted; nothing is in force.
        """
        difference = self.in_force.difference(resources, resources)
        self._update(revision, difference, resources)
        self._touched.update(resources)

    def distribute(self, changes: Iterable[Change], listener: Listener) -> None:
        """Applies every change until there are no more. A fault of ours ends one, not all."""
        for _ in changes:
            listener.began()
            try:
                self.apply(listener)
            except Exception:  # noqa: BLE001 - what is in force must stay changeable
                _log.exception("a change failed by a fault of meshcore, please report it")
                self._compilation = Compilation()
                self._touched.update(self.in_force.resources)

    def apply(self, listener: Listener) -> None:
        """Applies what the documents say now.

        One that fails anywhere leaves what is in force untouched, and is reported to `listener`;
        the next is tried as if nothing had happened.

        Raises:
            MeshcoreError: It fails, and nothing is in force; or the server cannot begin.
        """
        revision = self.in_force.revision + 1
        try:
            sources = self._read()
            revision = self._number(sources, self.in_force.revision)
            difference, found = self._prepare(sources)
            if difference.is_empty:
                listener.same()
                return
            revision = max(revision, self.in_force.revision + 1)
            self._update(revision, difference, self._compilation.resources)
        except MeshcoreError as error:
            if not self.in_force.revision:
                raise
            listener.rejected(revision, error)
            return
        self._touched.clear()
        listener.applied(self.in_force, difference, found)

    def _update(
        self, revision: int, difference: Difference, wanted: Mapping[str, Resource]
    ) -> None:
        if self._server is None:
            self._server = self._begin(wanted[SETTINGS]["settings"])
        self._server.update(revision, difference.changed, difference.removed)
        self.in_force.take(revision, difference, wanted)

    def _prepare(self, sources: Sequence[Source]) -> tuple[Difference, Sequence[Diagnostic]]:
        """Returns what is to change, and what was found beside.

        Raises:
            ConfigError: The documents are refused, or take away what nobody confirmed.
        """
        outcome = self._compilation.take(sources)
        self._touched |= self._compilation.take_touched()
        if outcome.is_refused:
            raise ConfigError([found for found in outcome.diagnostics if found.is_refusal])
        difference = self.in_force.difference(self._compilation.resources, self._touched)
        if difference.removes_guarded:
            self._confirm(self.in_force, self._compilation)
        return difference, outcome.diagnostics


def confirmed(in_force: InForce, wanted: Compilation, mesh: Path, state: Path) -> None:
    """Lets a change pass that opens nothing by what it leaves out, or is confirmed.

    Raises:
        ConfigError: As `shrink.check` raises it.
    """
    before = together(in_force.resources.values(), in_force.revision)
    after = together(wanted.resources.values(), 0)
    shrink.check(before, after, None, mesh, state)  # type: ignore[arg-type]  # it is one


def is_empty(sources: Sequence[Source], mesh: str) -> None:
    """Refuses a mesh without a document.

    Raises:
        ConfigError: There is none.
    """
    if not sources:
        what = "no documents here: *.yaml and *.yml files are read"
        raise ConfigError([Diagnostic(Severity.ERROR, "MC0304", what, file=mesh)])
