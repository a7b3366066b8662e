"""Numbers of revisions, the same in all sidecars that share a state directory."""

import fcntl
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from meshcore.config import Source


def number(file: Path, sources: Sequence[Source], least: int) -> int:
    """Returns the number of what `sources` say, at least `least`; `file` remembers the last one.

    The same text has the same number as long as nothing else came between. When `file` cannot be
    written, it is the number after `least`.
    """
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return least + 1
    with os.fdopen(descriptor, "r+", encoding="utf-8") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        known, last = _last(opened.read())
        digest = _digest(sources)
        found = last if digest == known else last + 1
        found = max(found, least)
        if (digest, found) != (known, last):
            opened.seek(0)
            opened.truncate()
            json.dump({"digest": digest, "revision": found}, opened)
        return found


def _last(text: str) -> tuple[str, int]:
    try:
        last = json.loads(text)
        return str(last["digest"]), int(last["revision"])
    except (ValueError, KeyError, TypeError):
        return "", 0  # empty, or cut off: numbers only grow from what is in force


def _digest(sources: Sequence[Source]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for source in sources:
        for part in (source.name, source.data):
            data = part if isinstance(part, bytes) else part.encode()
            digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
