"""The line of a change: noticed -> parsed, checked, compiled -> in force."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from meshcore.control.compiler import Prepared
from meshcore.errors import MeshcoreError
from meshcore.plugin.registry import Registered
from meshcore.sources.watch import Change


class DataPlane(Protocol):
    """What puts a mesh in force."""

    def apply(self, mesh: bytes, hooks: Iterable[Registered] | None = None) -> int:
        """Puts a mesh in force, with other hooks if some are given; returns its revision."""
        ...


class Plugins(Protocol):
    """What loads plugins, and knows which are in force."""

    @property
    def are_owed(self) -> bool:
        """Whether plugins were loaded that are not in force yet."""
        ...

    def load(self) -> Iterable[Registered]:
        """Loads them; returns their hooks, which wait for `took_over`."""
        ...

    def took_over(self) -> None:
        """Those that waited are in force."""
        ...


class Status(Protocol):
    """What hears how changes fared."""

    def began(self, change: Change) -> None:
        """A change was noticed."""
        ...

    @property
    def revision(self) -> int:
        """What is in force."""
        ...

    def applied(self, prepared: Prepared) -> None:
        """It is in force."""
        ...

    def same(self) -> None:
        """It says what is in force already."""
        ...

    def rejected(self, error: MeshcoreError) -> None:
        """It was refused; what was in force stays in force."""
        ...


def reconcile(
    changes: Iterable[Change],
    prepare: Callable[[Change], Prepared],
    plugins: Plugins,
    data_plane: DataPlane,
    status: Status,
) -> None:
    """Applies every change until there are no more.

    A change that fails anywhere leaves what is in force untouched and is reported to `status`;
    the next change is tried as if nothing had happened. It brings the plugins as well, if those
    of an earlier change were loaded and its documents refused.
    """
    for noticed in changes:
        change = replace(noticed, plugins=noticed.plugins or plugins.are_owed)
        status.began(change)
        try:
            hooks = plugins.load() if change.plugins else None
            prepared = prepare(change)  # parse -> check -> compile, in a child process
            if hooks is None and prepared.revision == status.revision:
                status.same()
                continue
            data_plane.apply(prepared.mesh, hooks)
        except MeshcoreError as error:
            status.rejected(error)
        else:
            if hooks is not None:
                plugins.took_over()
            status.applied(prepared)
