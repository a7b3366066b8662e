"""The line of a change: noticed -> parsed, checked, compiled -> in force."""

from collections.abc import Callable, Iterable
from typing import Protocol

from meshcore.control.compiler import Prepared
from meshcore.errors import MeshcoreError
from meshcore.plugin.registry import Hook
from meshcore.sources.watch import Change


class DataPlane(Protocol):
    """What puts a mesh in force."""

    def apply(self, mesh: bytes, hooks: Iterable[Hook] | None = None) -> int:
        """Puts a mesh in force, with other hooks if some are given; returns its revision."""
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
    load: Callable[[], Iterable[Hook]],
    data_plane: DataPlane,
    status: Status,
) -> None:
    """Applies every change until there are no more.

    A change that fails anywhere leaves what is in force untouched and is reported to `status`;
    the next change is tried as if nothing had happened.
    """
    for change in changes:
        status.began(change)
        try:
            hooks = load() if change.plugins else None
            prepared = prepare(change)  # parse -> check -> compile, in a child process
            if prepared.revision == status.revision:
                status.same()
                continue
            data_plane.apply(prepared.mesh, hooks)
        except MeshcoreError as error:
            status.rejected(error)
        else:
            status.applied(prepared)
