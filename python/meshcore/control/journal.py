"""What a control plane put in force, on disk: a line for each change, so that each costs the same.

The first line has the whole mesh, each later one a change of it. A line that a crash cut off is
passed over, and its change was then never reported as kept.
"""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshcore.control import atomic
from meshcore.control.resources import Resource

# Bytes of changes beyond the size of the whole mesh, after which they are written together.
MOST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Kept:
    """What was in force when it was written last."""

    revision: int
    resources: dict[str, Resource]


@dataclass(slots=True)
class Journal:
    """The file of one mesh. Only one process writes it."""

    path: Path
    _whole_bytes: int = 0
    _size_bytes: int = 0

    def read(self) -> Kept | None:
        """Returns what was kept; `None` if nothing was, or it cannot be read."""
        try:
            data = self.path.read_bytes()
        except OSError:
            return None
        revision, resources = 0, dict[str, Resource]()
        lines = data.splitlines(keepends=True)
        for line in lines:
            change = _change(line)
            if change is None:
                break
            revision = change["revision"]
            resources |= change["changed"]
            for name in change["removed"]:
                resources.pop(name, None)
        else:  # whole, so that changes may be added
            self._whole_bytes, self._size_bytes = len(lines[0]) if lines else 0, len(data)
        return Kept(revision, resources) if revision else None

    def write_whole(self, revision: int, resources: Mapping[str, bytes]) -> None:
        """Replaces what was kept.

        Raises:
            OSError: It cannot be written; what was kept stays.
        """
        line = _line(revision, resources.items(), ())
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        atomic.write(str(self.path), line)
        self._whole_bytes = self._size_bytes = len(line)

    def append(
        self, revision: int, changed: Sequence[tuple[str, bytes]], removed: Sequence[str]
    ) -> bool:
        """Adds a change, and brings it to the disk; whether it did.

        It does not before the first whole mesh, nor when changes have become many or what is
        there is not what was written: then the whole mesh is to be written.

        Raises:
            OSError: It cannot be written; what was kept stays.
        """
        if not self._whole_bytes or self._size_bytes > 2 * self._whole_bytes + MOST_BYTES:
            return False
        line = _line(revision, changed, removed)
        with self.path.open("r+b") as file:
            if file.seek(0, os.SEEK_END) != self._size_bytes:
                return False
            try:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):
                    file.truncate(self._size_bytes)
                raise
        self._size_bytes += len(line)
        return True


def _line(revision: int, changed: Any, removed: Sequence[str]) -> bytes:  # noqa: ANN401 - pairs
    values = b",".join(json.dumps(name).encode() + b":" + value for name, value in changed)
    gone = json.dumps(list(removed)).encode()
    return b'{"revision":%d,"removed":%b,"changed":{%b}}\n' % (revision, gone, values)


def _change(line: bytes) -> dict[str, Any] | None:
    """Returns a line as it was written; `None` if it was not written to its end."""
    if not line.endswith(b"\n"):
        return None
    try:
        change = json.loads(line)
    except ValueError:
        return None
    shape = {"revision": int, "removed": list, "changed": dict}
    is_one = isinstance(change, dict) and change.keys() == shape.keys()
    return change if is_one and all(isinstance(change[k], shape[k]) for k in shape) else None
