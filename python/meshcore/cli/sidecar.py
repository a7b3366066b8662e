"""The process beside an application: `python -m meshcore.cli.sidecar SETTINGS LAUNCH`.

`meshcore run` becomes this process when it has read the command line, so that what reads command
lines does not stay in memory. The documents are compiled by a child while the rest is imported.
"""
# pathlib would take 1.3 MB beside the data plane.
# ruff: noqa: PTH103

import logging
import os
import sys
from dataclasses import replace

from meshcore.control.compiler import Child
from meshcore.control.settings import Launch, Settings

_log = logging.getLogger("meshcore")


def main() -> int:
    """Runs the sidecar of the settings and the launch (JSON); returns the exit status."""
    settings, launch = Settings.from_json(sys.argv[1]), Launch.from_json(sys.argv[2])
    logging.basicConfig(
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )
    if _is_usable(settings.state):
        return _serve(settings, launch)
    from tempfile import TemporaryDirectory  # noqa: PLC0415 - takes memory, seldom needed

    _log.warning("%s cannot be written: the last good state will not be kept", settings.state)
    with TemporaryDirectory(prefix="meshcore-") as borrowed:
        return _serve(replace(settings, state=borrowed), launch)


def _serve(settings: Settings, launch: Launch) -> int:
    if settings.joining is not None:
        from meshcore.cli.join import join  # noqa: PLC0415 - not without a control plane

        return join(settings, launch)
    # After a death there is something to begin with at once: what was in force.
    child = None if launch.listeners else Child(settings)
    from meshcore.cli.serve import serve  # noqa: PLC0415 - the child works meanwhile

    return serve(settings, launch, child)


def _is_usable(state: str) -> bool:
    """Whether files can be written in the state directory, which is made if it is missing."""
    try:
        os.makedirs(state, mode=0o700, exist_ok=True)
    except OSError:
        return False
    return os.access(state, os.W_OK | os.X_OK)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # before it listens to signals
        sys.exit(130)
