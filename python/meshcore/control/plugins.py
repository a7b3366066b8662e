"""The plugins of a sidecar: those in force, and those that wait for a mesh to go with."""
# pathlib would take 1.3 MB beside the data plane.
# ruff: noqa: PTH123

from collections.abc import Iterable

from meshcore.control import isolated
from meshcore.errors import PluginRejected
from meshcore.plugin.registry import Loaded, Registered, Registry, load

# A file without this word asks for no process, so that it need not be loaded there to find out.
_ASKS = b"isolate"


class Plugins:
    """The plugins in force. A change replaces all of them, or none."""

    def __init__(self, paths: Iterable[str], *, isolate: bool = False) -> None:
        """Takes the files; nothing is loaded yet.

        Args:
            paths: Python files.
            isolate: Whether each runs in a process of its own, although it does not ask for it.
        """
        self._paths = tuple(paths)
        self._isolates = isolate
        self._in_force = Registry()
        self._waiting: Registry | None = None

    @property
    def are_owed(self) -> bool:
        """Whether plugins were loaded that are not in force yet."""
        return self._waiting is not None

    def load(self) -> list[Registered]:
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
                fresh.load(path, self._load)
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

    def _load(self, path: str) -> Loaded:
        """Loads a file where it is to run: what is in it is not run here to find out where."""
        try:
            with open(path, "rb") as file:
                source = file.read()
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise PluginRejected(f"{path}: {why}") from error
        if self._isolates or _ASKS in source:
            outside = isolated.load(path, source)
            if self._isolates or outside.is_isolated:
                return outside
        plugin = load(path, source)
        if plugin.is_isolated:
            plugin.forget()
            raise PluginRejected(
                f'{path}: a hook that it imports says isolate="process", which the file has to say'
                " itself: say it there, or start the sidecar with --isolate-plugins"
            )
        return plugin


def _unload(registry: Registry) -> None:
    for plugin in registry.plugins:
        registry.unload(plugin.path)
