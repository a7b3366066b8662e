"""Plugins in processes of their own, as the sidecar starts them."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from meshcore.errors import PluginError, PluginRejected
from meshcore.native import PluginProcess
from meshcore.plugin.registry import new_hook_id, plugin_name

# How long a plugin may take to be loaded: it may import much.
LOAD_SECONDS = 30.0

_MODULE = "meshcore.control.plugin_process"
# Of the sidecar's environment, a plugin gets what Python needs, and what is meant for plugins. The
# rest may hold secrets of the application.
_PASSED = frozenset(
    {
        "HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "PYTHONHOME",
        "PYTHONPATH", "SSL_CERT_DIR", "SSL_CERT_FILE", "TMPDIR", "TZ", "USER", "VIRTUAL_ENV",
    }
)  # fmt: skip
_PASSED_BEGINNINGS = ("LC_", "PLUGIN_")


@dataclass(frozen=True, slots=True)
class IsolatedHook:
    """A hook that runs in the process of its plugin."""

    id: int
    order: int
    callee: object
    model: Mapping[str, object]

    def to_model(self) -> dict[str, object]:
        """Returns the hook as the mesh model writes it, ready for JSON."""
        return {**self.model, "id": self.id, "mode": "process"}


@dataclass(frozen=True, slots=True)
class IsolatedPlugin:
    """One generation of a plugin file, and the process that it runs in.

    The process ends when nothing refers to it any more, or some time after others are in force.
    """

    name: str
    path: str
    hooks: tuple[IsolatedHook, ...]
    is_isolated: bool
    """Whether it asks for a process of its own."""
    process: PluginProcess = field(repr=False, compare=False)

    def forget(self) -> None:
        """It is not in force any more. Calls under way may still need the process."""


def load(path: str, source: bytes) -> IsolatedPlugin:
    """Loads a plugin file in a process of its own, and returns its hooks.

    Raises:
        PluginRejected: It cannot be loaded there, or its process ended, or it took too long.
    """
    name = plugin_name(path)
    hello = {"path": path, "source": source.decode("utf-8", "surrogateescape")}
    # What it prints comes at once, and what crashes says where. The last argument is for those
    # who list processes.
    command = [sys.executable, "-P", "-u", "-X", "faulthandler", "-m", _MODULE, path]
    try:
        process = PluginProcess(
            name, command, _environment(), json.dumps(hello).encode(), LOAD_SECONDS
        )
    except PluginError as error:
        raise PluginRejected(f"{path}: {error}") from error
    try:
        answer = json.loads(process.hello)
        said = answer["hooks"]
        hooks = tuple(_hook(process, place, one) for place, one in enumerate(said))
        refused, is_isolated = answer["refused"], bool(answer["is_isolated"])
    except (ValueError, TypeError, KeyError) as error:
        raise PluginRejected(f"{path}: its process does not say what hooks it has") from error
    if refused:
        raise PluginRejected(refused)
    return IsolatedPlugin(name, path, hooks, is_isolated, process)


def _hook(process: PluginProcess, place: int, said: Mapping[str, Any]) -> IsolatedHook:
    return IsolatedHook(new_hook_id(), int(said["order"]), process.hook(place), said["model"])


def _environment() -> list[tuple[str, str]]:
    return [
        (name, value)
        for name, value in os.environ.items()  # noqa: TID251 - handed on
        if name in _PASSED or name.startswith(_PASSED_BEGINNINGS)
    ]
