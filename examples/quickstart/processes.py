"""Programs and sidecars of the demo: started, waited for, and surely ended."""

import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

READY_WITHIN_S = 30
END_WITHIN_S = 10


class DemoError(Exception):
    """The demo cannot go on."""


@dataclass
class Processes:
    """All processes of the demo, below one directory."""

    directory: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # What a person types is what runs: `meshcore` and `python` of this environment.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # noqa: TID251
        self.environment = {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}  # noqa: TID251

    def start(self, name: str, command: str) -> None:
        """Starts a command whose output goes to `NAME.log`."""
        with (self.directory / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(  # noqa: S603 - written in this demo
                shlex.split(command),
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the demo, which ends them in order
            )

    def wait_ready(self, names: list[str]) -> None:
        """Waits until each sidecar has written its ready file.

        Raises:
            DemoError: One has ended, or is not ready in time.
        """
        deadline = time.monotonic() + READY_WITHIN_S
        for name in names:
            while not (self.directory / f"{name}.ready").exists():
                if self.running[name].poll() is not None:
                    raise DemoError(f"{name} did not start:\n{self.log(name)}")
                if time.monotonic() > deadline:
                    raise DemoError(f"{name} was not ready in time:\n{self.log(name)}")
                time.sleep(0.02)

    def run(self, command: str) -> str:
        """Runs a shell command to its end; returns what it printed."""
        done = subprocess.run(  # noqa: S602 - written in this demo
            command,
            shell=True,
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
        return done.stdout + done.stderr

    def log(self, name: str) -> str:
        """Returns what a process has printed so far."""
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def end(self) -> None:
        """Ends all that still run: asked first, then made to."""
        for process in self.running.values():
            process.terminate()
        deadline = time.monotonic() + END_WITHIN_S
        for process in self.running.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
