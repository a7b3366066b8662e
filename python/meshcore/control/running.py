"""Sidecars and control planes that run, as files, so that others of the host find them."""
# pathlib would take 1.3 MB beside the data plane.
# ruff: noqa: PTH103, PTH108, PTH112, PTH118, PTH120, PTH123, PTH208

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from meshcore.control import atomic

# The name of a control plane among them.
CONTROL_PLANE = "control plane"


@dataclass(frozen=True, slots=True)
class Running:
    """A sidecar, or a control plane, that was started and has not said that it ended."""

    name: str
    mesh: str
    """File or directory of its documents."""
    pid: int
    addresses: Mapping[str, str | None]

    @property
    def is_alive(self) -> bool:
        """Whether its process is there."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


@dataclass(frozen=True, slots=True)
class Entry:
    """The file of one sidecar."""

    path: str

    @classmethod
    def of_this_process(cls, state: str) -> "Entry":
        """Returns the file of the calling process."""
        return cls(os.path.join(state, "running", f"{os.getpid()}.json"))

    def write(self, name: str, mesh: str, addresses: Mapping[str, str | None]) -> None:
        """Says that it runs.

        Raises:
            OSError: The file cannot be written.
        """
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        entry = {"name": name, "mesh": mesh, "pid": os.getpid(), "addresses": addresses}
        atomic.write(self.path, json.dumps(entry).encode())

    def remove(self) -> None:
        """Says that it ended."""
        with suppress(OSError):
            os.unlink(self.path)


def running(state: str, mesh: str) -> Iterator[Running]:
    """Yields the sidecars of a mesh in a state directory, by name.

    Forgets those whose process is gone.
    """
    directory = os.path.join(state, "running")
    found: list[Running] = []
    for name in os.listdir(directory) if os.path.isdir(directory) else ():
        path = os.path.join(directory, name)
        one = _read(path) if name.endswith(".json") else None
        if one is None:
            continue
        if one.is_alive:
            found.append(one)
        else:
            Entry(path).remove()
    of_mesh = [one for one in found if one.mesh == mesh]
    yield from sorted(of_mesh, key=lambda one: (one.name, one.pid))


def _read(path: str) -> Running | None:
    try:
        with open(path, encoding="utf-8") as file:
            raw = json.load(file)
        return Running(str(raw["name"]), raw["mesh"], int(raw["pid"]), dict(raw["addresses"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # removed meanwhile, or not ours
