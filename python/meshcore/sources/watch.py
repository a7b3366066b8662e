"""Notices that files changed, by looking at them.

Looking costs no thread and no library (watchfiles takes 2.3 MB here, most of it for anyio), and
works where notifications do not: network file systems, mounted ConfigMaps, bind mounts. A look at
one file takes 2 microseconds, and looks become rarer when there are many.
"""
# pathlib would take 1.3 MB beside the data plane.
# ruff: noqa: PTH116

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue

# How often files are looked at.
EVERY_SECONDS = 0.25
# Part of one processor that looking may take at most.
SHARE = 0.01
# How long files must have been still. An editor writes in several steps.
STILL_SECONDS = 0.1
# Longest wait for files to be still.
STILL_WITHIN_SECONDS = 2.0
# Deepest directory below a given one, as in `meshcore.sources.file`.
MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Change:
    """Something to read again."""

    documents: bool = False
    plugins: bool = False


@dataclass(frozen=True, slots=True)
class Pace:
    """How often files are looked at, and how long they must have been still."""

    every_seconds: float = EVERY_SECONDS
    share: float = SHARE
    still_within_seconds: float = STILL_WITHIN_SECONDS


class Watch:
    """Watches the documents, and the files of plugins, of one process."""

    def __init__(
        self, documents: Sequence[str], plugins: Sequence[str] = (), pace: Pace | None = None
    ) -> None:
        self._documents = documents
        self._plugins = plugins
        self._pace = pace or Pace()
        self._seen = self._look()
        # Of what may be used in a signal's handler, whatever it interrupts; an event may not.
        self._woken: SimpleQueue[None] = SimpleQueue()
        self._is_asked = False
        self.is_closed = False
        """Whether there are no more changes."""

    def ask(self) -> None:
        """Makes a change of everything now, whether or not a file changed."""
        self._is_asked = True
        self._woken.put(None)

    def close(self) -> None:
        """Ends `changes`."""
        self.is_closed = True
        self._woken.put(None)

    def changes(self) -> Iterator[Change]:
        """Yields changes as they are noticed, until the watch is closed."""
        pause = self._pace.every_seconds
        while True:
            with suppress(Empty):
                self._woken.get(timeout=pause)
            if self.is_closed:
                return
            if self._is_asked:
                self._is_asked = False
                self._seen = self._look()
                yield Change(documents=True, plugins=bool(self._plugins))
                continue
            began = time.monotonic()
            if self._look() != self._seen:
                yield self._settled()
                pause = self._pace.every_seconds
            else:
                took = time.monotonic() - began
                pause = max(self._pace.every_seconds, took / self._pace.share)

    def _settled(self) -> Change:
        """Waits until the files are still; returns what changed."""
        before, now = self._seen, self._look()
        until = time.monotonic() + self._pace.still_within_seconds
        while time.monotonic() < until:
            time.sleep(STILL_SECONDS)
            last, now = now, self._look()
            if last == now:
                break
        self._seen = now
        return Change(documents=before[0] != now[0], plugins=before[1] != now[1])

    def _look(self) -> tuple[int, int]:
        return fingerprint(self._documents), fingerprint(self._plugins)


def fingerprint(paths: Sequence[str]) -> int:
    """Returns a number that changes when a file changes, comes or goes; directories go deep."""
    found = 0
    for path in paths:
        for name, state in _states(path, 0):
            found = hash((found, name, state))
    return found


def _states(path: str, depth: int) -> Iterator[tuple[str, tuple[int, ...] | None]]:
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except NotADirectoryError:
        yield path, _state(path)
        return
    except OSError:
        yield path, None
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        try:
            is_directory = entry.is_dir(follow_symlinks=False)
        except OSError:
            continue
        if not is_directory and entry.name.endswith((".yaml", ".yml")):
            yield entry.path, _state(entry.path)
        elif is_directory and depth < MAX_DEPTH:
            yield from _states(entry.path, depth + 1)


def _state(path: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
