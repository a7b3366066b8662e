"""Numbers of revisions, the same in all sidecars that share a state directory."""

import fcntl
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from meshcore.config import Source


def number(state: str, sources: Sequence[Source], least: int) -> int:
    """Returns the number of what `sources` say, at least `least`.

    The same text has the same number as long as nothing else came between. Without a state
    directory that can be written, it is the number after `least`.
    """
    try:
        descriptor = os.open(
            Path(state, "revision.json"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
    except OSError:
        return least + 1
    with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        known, last = _last(file.read())
        digest = _digest(sources)
        found = last if digest == known else last + 1
        found = max(found, least)
        if (digest, found) != (known, last):
            file.seek(0)
            file.truncate()
            json.dump({"digest": digest, "revision": found}, file)
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
