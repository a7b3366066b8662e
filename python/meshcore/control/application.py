"""The application that a sidecar starts and stops."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress

from meshcore.errors import StartFailed

# How long an application may take to end after it was asked to.
STOP_SECONDS = 10.0
# Signals that are passed on as they are.
FORWARDED = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)
# Exit status of a process that a signal ended. Source: POSIX shells.
_SIGNALLED = 128


class Application:
    """A running application, in a process group of its own."""

    def __init__(self, command: Sequence[str], extra: Mapping[str, str]) -> None:
        """Starts it.

        Raises:
            StartFailed: There is no such program, or it cannot be run.
        """
        try:
            # A group of its own: Ctrl-C must reach it after the drain, not before.
            environment = {**os.environ, **extra}  # noqa: TID251 - handed on
            self._process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603 - we are asked to
                command, env=environment, process_group=0
            )
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise StartFailed(f"{command[0]}: {why}") from error

    def status(self) -> int | None:
        """Returns its exit status, as a shell would; `None` while it runs."""
        status = self._process.poll()
        if status is None:
            return None
        return status if status >= 0 else _SIGNALLED - status

    def send(self, number: int) -> None:
        """Sends a signal to it and the processes it started."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def stop(self, within_seconds: float = STOP_SECONDS) -> int:
        """Asks it to end, ends it if it does not; returns its exit status.

        One that SIGTERM ended did as it was told: its status is 0.
        """
        self.send(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(within_seconds)
        self.send(signal.SIGKILL)
        self._process.wait()
        status = self.status() or 0
        return 0 if status == _SIGNALLED + signal.SIGTERM else status
