"""The application that a sidecar starts and stops."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from meshcore.errors import StartFailed

# How long an application may take to end after it was asked to.
STOP_SECONDS = 10.0
# How often processes that it left are looked for.
_LOOK_SECONDS = 0.02
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
        self._is_over = False

    def status(self) -> int | None:
        """Returns its exit status, as a shell would; `None` while it runs."""
        status = self._process.poll()
        if status is None:
            return None
        return status if status >= 0 else _SIGNALLED - status

    def send(self, number: int) -> None:
        """Sends a signal to it and the processes it started."""
        if self._process.poll() is None:
            self._signal(number)

    def kill(self) -> None:
        """Ends it and the processes it started at once."""
        self._signal(signal.SIGKILL)

    def stop(self, within_seconds: float = STOP_SECONDS) -> int:
        """Asks it and the processes it started to end, ends those that do not.

        Returns its exit status. One that SIGTERM ended did as it was told: its status is 0.
        """
        if not self._is_over:
            self._end(within_seconds)
        status = self.status() or 0
        return 0 if status == _SIGNALLED + signal.SIGTERM else status

    def _end(self, within_seconds: float) -> None:
        until = time.monotonic() + within_seconds
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(within_seconds)
        while self._has_others() and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
        self.kill()
        self._process.wait()
        self._is_over = True

    def _has_others(self) -> bool:
        """Whether processes of its group are left; they are looked for when it has ended."""
        if self._process.returncode is None:
            return False
        with suppress(ChildProcessError):
            while os.waitpid(-self._process.pid, os.WNOHANG)[0]:
                pass  # as the first process of a container we are given those that it left
        return self._signal(0)

    def _signal(self, number: int) -> bool:
        """Sends a signal to its group; whether there is one.

        The group outlives its first process. When that was waited for and the group is empty, its
        number may come to mean another one: nothing is sent after `stop`.
        """
        if self._is_over:
            return False
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True
