"""What a sidecar starts with: the documents, or the last good state if they are bad."""

import logging
from collections.abc import Callable
from typing import TypeVar

from meshcore.control import compiler
from meshcore.control.compiler import Prepared, Refused
from meshcore.control.last_good import LastGood
from meshcore.errors import Diagnostic, Severity, SnapshotRejected

_log = logging.getLogger("meshcore")
_Begun = TypeVar("_Begun")


def first(
    prepare: Callable[[], Prepared], last_good: LastGood, begin: Callable[[Prepared], _Begun]
) -> tuple[_Begun, Prepared, Refused | None]:
    """Begins with the documents; with the last good state, loudly, if those are refused.

    Args:
        prepare: Returns the documents, compiled.
        last_good: What was in force before.
        begin: Starts the data plane with one or the other.

    Returns:
        What `begin` returned, what it began with, and why that is not what the documents say.

    Raises:
        Refused: The documents are refused, and there is no last good state.
        SnapshotRejected: The data plane refuses the last good state as well.
    """
    try:
        prepared = prepare()
    except Refused as refused:
        return _again(refused, last_good, begin)
    try:
        return begin(prepared), prepared, None
    except SnapshotRejected as error:
        found = Diagnostic(Severity.ERROR, "MC0303", f"the data plane refuses it: {error}")
        return _again(Refused(prepared.revision, [found]), last_good, begin)


def in_force(last_good: LastGood) -> Prepared | None:
    """Returns what was in force when the process before died; `None` if it cannot be read."""
    kept = last_good.read()
    try:
        return compiler.read(kept) if kept is not None else None
    except ValueError:
        return None


def _again(
    refused: Refused, last_good: LastGood, begin: Callable[[Prepared], _Begun]
) -> tuple[_Begun, Prepared, Refused | None]:
    prepared = in_force(last_good)
    if prepared is None:
        raise refused
    _log.error(
        "THE DOCUMENTS ARE BAD. Starting with the last good state, revision %d, from %s:\n%s",
        prepared.revision, last_good.path, refused,
    )  # fmt: skip
    return begin(prepared), prepared, refused
