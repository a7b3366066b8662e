"""The plugins of a sidecar: those in force, and those that wait for a mesh to go with."""

from collections.abc import Iterable

from meshcore.errors import PluginRejected
from meshcore.plugin.registry import Hook, Registry


class Plugins:
    """The plugins in force. A change replaces all of them, or none."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = tuple(paths)
        self._in_force = Registry()
        self._waiting: Registry | None = None

    @property
    def are_owed(self) -> bool:
        """Whether plugins were loaded that are not in force yet."""
        return self._waiting is not None

    def load(self) -> list[Hook]:
        """Loads all files again; returns their hooks, which wait for `took_over`.

        Raises:
            PluginRejected: One cannot be loaded; those in force stay, and none wait: the file
                has to change first.
        """
        if self._waiting is not None:
            _unload(self._waiting)
            self._waiting = None
        fresh = Registry()
        try:
            for path in self._paths:
                fresh.load(path)
        except PluginRejected:
            _unload(fresh)
            raise
        self._waiting = fresh
        return fresh.hooks()

    def took_over(self) -> None:
        """Those that waited are in force; those of before are let go."""
        if self._waiting is not None:
            _unload(self._in_force)
            self._in_force, self._waiting = self._waiting, None


def _unload(registry: Registry) -> None:
    for plugin in registry.plugins:
        registry.unload(plugin.path)
