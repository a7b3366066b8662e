"""The directory of one demo: its files, and what its processes write."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib.resources import as_file, files
from pathlib import Path

from meshcore.demo.addresses import Taken
from meshcore.errors import StartFailed

_PREFIX = "meshcore-demo-"
# Locked as long as the demo runs, which the kernel undoes however that ends.
_LOCK = ".lock"


@contextmanager
def directory(addresses: Taken) -> Generator[Path]:
    """A new directory with the files of the demo, removed at the end.

    Those of demos that were killed are removed too.

    Raises:
        StartFailed: It cannot be written.
    """
    _remove_abandoned()
    try:
        made = Path(tempfile.mkdtemp(prefix=_PREFIX))
        lock = os.open(made / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        _write(made, addresses)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise StartFailed(f"{error.filename}: {why}, set TMPDIR to another directory") from error
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(lock)


def _write(made: Path, addresses: Taken) -> None:
    with as_file(files("meshcore.demo") / "files") as origin:
        for path in sorted(path for path in origin.rglob("*") if path.suffix in {".yaml", ".py"}):
            copy = made / path.relative_to(origin)
            copy.parent.mkdir(exist_ok=True)
            copy.write_text(addresses.fitted(path.read_text()))


def _remove_abandoned() -> None:
    for found in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another user's, or just being made
            lock = os.open(found / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(found, ignore_errors=True)
            finally:
                os.close(lock)
