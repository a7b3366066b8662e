"""Configuration from files and directories."""

import os
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from meshcore.config import MAX_SOURCE_BYTES, Source
from meshcore.errors import Diagnostic, Severity, UnreadableSource

# Most of everything that is read at a time, and most files.
MAX_TOTAL_BYTES = 64 * 1024 * 1024
MAX_FILES = 10_000
# Deepest directory below a given one.
MAX_DEPTH = 32

# How long a file must have been still before it was read, so that its times tell another text.
# Source: the coarsest clock of a file system in use, that of FAT.
_CLOCK_NS = 2_000_000_000
_SUFFIXES = frozenset({".yaml", ".yml"})


def read(paths: Sequence[str | Path]) -> list[Source]:
    """Returns the text of files, and of the `*.yaml` and `*.yml` below directories, sorted.

    Names that begin with a dot are passed over in directories. The entries of a mounted ConfigMap,
    which are links into its `..data`, are read once.

    Raises:
        UnreadableSource: A path is missing, is not a file or directory, cannot be read, is not
            UTF-8, or is too large. Says so of every such path; nothing large is read.
    """
    return Files(paths).read()


@dataclass(slots=True)
class Files:
    """Files that are looked at again and again: only what differs is read."""

    paths: Sequence[str | Path]
    _known: dict[Path, tuple[tuple[int, ...], Source]] = field(
        default_factory=dict[Path, tuple[tuple[int, ...], Source]]
    )

    def read(self) -> list[Source]:
        """Returns what `read` returns; a file that is as it was has the same `Source`.

        Raises:
            UnreadableSource: As `read` raises it.
        """
        known, self._known = self._known, {}
        problems: list[Diagnostic] = []
        sources: list[Source] = []
        left_bytes = MAX_TOTAL_BYTES
        now_ns = time.time_ns()
        for path in _listed(self.paths, problems):
            state = _state(path)
            before, source = known.get(path, (None, None))
            if source is None or state != before or len(source.data) > left_bytes:
                source = _read_one(path, left_bytes, problems)
            if source is not None:
                left_bytes -= len(source.data)
                sources.append(source)
                if state is not None and max(state[:2]) < now_ns - _CLOCK_NS:
                    self._known[path] = state, source
        if problems:
            raise UnreadableSource(problems)
        return sources


def _listed(paths: Sequence[str | Path], problems: list[Diagnostic]) -> list[Path]:
    files = list(dict.fromkeys(_files(paths, problems)))
    if len(files) > MAX_FILES:
        raise UnreadableSource([_problem(files[MAX_FILES], f"more than {MAX_FILES} files")])
    return files


def _state(path: Path) -> tuple[int, ...] | None:
    """Returns what differs when a file differs; its times come first."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _files(paths: Sequence[str | Path], problems: list[Diagnostic]) -> Iterator[Path]:
    for given in paths:
        path = Path(given)
        try:
            mode = path.stat().st_mode
        except OSError as error:
            problems.append(_problem(path, _why(error), "check the path"))
            continue
        if stat.S_ISDIR(mode):
            yield from _below(path, 0, problems)
        else:
            yield path


def _below(directory: Path, depth: int, problems: list[Diagnostic]) -> Iterator[Path]:
    """Yields the files below a directory. Links to directories are not followed."""
    if depth > MAX_DEPTH:
        problems.append(_problem(directory, f"directories are nested deeper than {MAX_DEPTH}"))
        return
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError as error:
        problems.append(_problem(directory, _why(error)))
        return
    for entry in entries:
        if entry.name.startswith("."):  # hidden, and `..data` of a mounted ConfigMap
            continue
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _below(path, depth + 1, problems)
        elif path.suffix in _SUFFIXES and not _leads_to_directory(entry):
            yield path


def _leads_to_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, for one: reading it says what is wrong
        return False


def _read_one(path: Path, left_bytes: int, problems: list[Diagnostic]) -> Source | None:
    try:
        data = _data(path, left_bytes, problems)
    except OSError as error:
        problems.append(_problem(path, _why(error)))
        return None
    if data is None:
        return None
    try:
        return Source(_name(path), data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"not UTF-8: byte 0x{data[error.start]:02x} in line {line} cannot be read"
        problems.append(_problem(path, message, "save the file as UTF-8"))
        return None


def _data(path: Path, left_bytes: int, problems: list[Diagnostic]) -> bytes | None:
    """Returns what is in a file, or `None` when it is too large, which is known before reading."""
    # Not blocking: a named pipe without a writer would be waited for without end.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        limit = min(MAX_SOURCE_BYTES, left_bytes)
        if not stat.S_ISREG(found.st_mode):
            problems.append(_problem(path, "neither a file nor a directory"))
            return None
        data = file.read(limit + 1) if found.st_size <= limit else b""
        size = max(found.st_size, len(data))
    if size <= limit:
        return data
    if size > MAX_SOURCE_BYTES:
        allowed = f"{_mebibytes(MAX_SOURCE_BYTES)} for one file"
    else:
        allowed = f"{_mebibytes(MAX_TOTAL_BYTES)} for all files together"
    message = f"{_mebibytes(size)} is over the limit of {allowed}"
    problems.append(_problem(path, message, "split it, or take out what is not configuration"))
    return None


def _mebibytes(size_bytes: int) -> str:
    return f"{size_bytes / (1024 * 1024):.4g} MiB"


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _problem(path: Path, message: str, hint: str = "") -> Diagnostic:
    return Diagnostic(
        severity=Severity.ERROR, code="MC0003", message=message, file=_name(path), hint=hint
    )


def _name(path: Path) -> str:
    """Returns a path as text, in which bytes that are not UTF-8 are written out."""
    return os.fsencode(path).decode(errors="backslashreplace")
