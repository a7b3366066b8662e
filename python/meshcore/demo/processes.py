"""Processes of the demo: started, waited for, and surely ended."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from meshcore.errors import StartFailed

# What a loaded machine needs at most.
READY_WITHIN_SECONDS = 60.0
_END_WITHIN_SECONDS = 15.0
_COMMAND_WITHIN_SECONDS = 60.0
_LOOK_SECONDS = 0.02
# Lines of a log that are shown when its process fails.
_LAST_LINES = 12


@dataclass(frozen=True, slots=True)
class Command:
    """A command as a person would type it."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> "Command":
        """Splits a line as a shell would."""
        return cls(tuple(shlex.split(text)))

    def __str__(self) -> str:
        return shlex.join(self.words)

    def arguments(self) -> list[str]:
        """Returns what is run: `meshcore` and `python` are those of this process."""
        python = [sys.executable, "-P"]
        begin = {"meshcore": [*python, "-m", "meshcore"], "python": python}
        return [
            part
            for i, word in enumerate(self.words)
            for part in (begin.get(word, [word]) if self._is_program(i) else [word])
        ]

    def _is_program(self, index: int) -> bool:
        return index == 0 or self.words[index - 1] == "--"


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that has ended."""

    status: int
    output: str


@dataclass
class Processes:
    """All processes of a demo. They end with this one, however it ends."""

    directory: Path
    running: dict[str, subprocess.Popen[bytes]] = field(
        default_factory=dict[str, "subprocess.Popen[bytes]"]
    )

    def start(self, name: str, command: Command) -> None:
        """Starts a command whose output goes to `NAME.log`.

        From the main thread only: they end with the thread that started them.
        """
        bound = [sys.executable, "-P", "-m", "meshcore.demo.bound", str(os.getpid())]
        with (self.directory / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(  # noqa: S603 - written in this package
                [*bound, *command.arguments()],
                cwd=self.directory,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the demo, which ends them in order
            )

    def wait_ready(self, names: Sequence[str]) -> Iterator[str]:
        """Yields each process when it has written `NAME.ready`.

        Raises:
            StartFailed: One has ended, or is not ready in time.
        """
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        left = list(names)
        while left:
            for name in [n for n in left if (self.directory / f"{n}.ready").exists()]:
                left.remove(name)
                yield name
            for name in left:
                if self.running[name].poll() is not None:
                    raise StartFailed(f"{name} ended while it started:\n{self.last_of(name)}")
            if left and time.monotonic() > deadline:
                raise StartFailed(
                    f"{', '.join(left)} not ready within {READY_WITHIN_SECONDS:.0f} s:\n"
                    f"{self.last_of(left[0])}"
                )
            time.sleep(_LOOK_SECONDS)

    def run(self, command: Command) -> Ran:
        """Runs a command to its end."""
        try:
            done = subprocess.run(  # noqa: S603 - written in this package
                command.arguments(),
                cwd=self.directory,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=_COMMAND_WITHIN_SECONDS,
            )
        except OSError as error:
            return Ran(127, f"{command.words[0]}: {(error.strerror or str(error)).lower()}")
        except subprocess.TimeoutExpired:
            return Ran(124, f"no end within {_COMMAND_WITHIN_SECONDS:.0f} s")
        return Ran(done.returncode, done.stdout.decode(errors="replace"))

    def ended(self) -> str | None:
        """Returns the name of a process that has ended by itself."""
        return next((name for name, one in self.running.items() if one.poll() is not None), None)

    def end(self) -> None:
        """Ends all that still run, and what they left: asked first, then made to."""
        running = [one for one in self.running.values() if one.poll() is None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + _END_WITHIN_SECONDS
        for process in running:
            while not _has_ended(process) and time.monotonic() < deadline:
                time.sleep(_LOOK_SECONDS)
            # Before it is waited for: then its number may come to mean another group.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def last_of(self, name: str) -> str:
        """Returns the last lines of the log of a process."""
        log = self.directory / f"{name}.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "\n".join(f"  {line}" for line in lines[-_LAST_LINES:])


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether a process has ended; it is still to be waited for."""
    look = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, process.pid, look) is not None


def _environment() -> dict[str, str]:
    """Returns that of this process without settings of meshcore, which are for another mesh."""
    found = os.environ.items()  # noqa: TID251 - handed on
    return {name: value for name, value in found if not name.startswith("MESHCORE_")}
