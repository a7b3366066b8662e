"""Refuses a change that removes most of the services, unless somebody confirmed it.

What refuses calls goes with them: a sidecar without documents lets everybody in.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from meshcore.config.resources import Mesh
from meshcore.control.settings import CONFIRM
from meshcore.errors import ConfigError, Diagnostic, Severity

# So many services may go, unless they are all of them.
FEW = 3


def check(before: Mapping[str, Any], after: Mesh, mesh: Path, state: Path) -> None:
    """Lets a change pass that keeps at least half of the services, or removes few, or is confirmed.

    Raises:
        ConfigError: It removes more than that, and `state/confirm` is not newer than it.
    """
    old = {service["host"] for service in before.get("services", ())}
    gone = old - {service["host"] for service in after["services"]}
    is_small = len(gone) <= FEW and bool(after["services"])
    if is_small or 2 * len(gone) <= len(old) or _is_confirmed(mesh, state):
        return
    message = f"removes {len(gone)} of {len(old)} services, which may be a mistake"
    hint = f"to confirm: touch {state / CONFIRM}"
    raise ConfigError([Diagnostic(Severity.ERROR, "MC0301", message, file=str(mesh), hint=hint)])


def _is_confirmed(mesh: Path, state: Path) -> bool:
    try:
        confirmed_ns = (state / CONFIRM).stat().st_mtime_ns
    except OSError:
        return False
    return confirmed_ns >= max(_changed_ns(mesh), default=0)


def _changed_ns(mesh: Path) -> Iterator[int]:
    """Yields when each file or directory changed last, which no copy can set back."""
    yield mesh.stat().st_ctime_ns
    for folder, below, files in os.walk(mesh):
        below[:] = [name for name in below if not name.startswith(".")]
        yield Path(folder).stat().st_ctime_ns
        for name in files:
            if name.endswith((".yaml", ".yml")):
                yield Path(folder, name).stat().st_ctime_ns
