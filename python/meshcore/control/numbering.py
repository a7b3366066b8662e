"""Numbers of revisions, the same in all sidecars that share a state directory."""

import fcntl
import hashlib
import json
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from meshcore.config import Source
from meshcore.control import atomic


def number(file: Path, sources: Sequence[Source], least: int) -> int:
    """Returns the number of what `sources` say, at least `least`; `file` remembers the last one.

    The same text has the same number as long as nothing else came between. Any other text has a
    greater number than the last one and than `least`, which may be in force. When `file` cannot
    be written, every text is another one.
    """
    try:
        with _locked(file):
            known, last = _last(file)
            digest = _digest(sources)
            found = max(last, least) if digest == known else max(last, least) + 1
            if (digest, found) != (known, last):
                data = json.dumps({"digest": digest, "revision": found}).encode()
                with suppress(OSError):
                    atomic.write(str(file), data)
            return found
    except OSError:
        return least + 1


@contextmanager
def _locked(file: Path) -> Generator[None]:
    """Lets one at a time in. The lock is a file of its own, because `file` is replaced."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(file.with_name(f"{file.name}.lock"), flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _last(file: Path) -> tuple[str, int]:
    try:
        last = json.loads(file.read_bytes())
        return str(last["digest"]), int(last["revision"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return "", 0  # gone, or cut off: numbers only grow from what is in force


def _digest(sources: Sequence[Source]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for source in sources:
        digest.update(source.digest)
    return digest.hexdigest()
