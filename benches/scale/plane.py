"""A control plane and many clients as processes, and what they take."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from benches.peers.processes import cpu_seconds, resident_bytes

# A mesh of 13,000 documents is compiled in seconds, on a busy machine in more of them.
READY_WITHIN_SECONDS = 180.0
WITHIN_SECONDS = 60.0


class TooLate(Exception):
    """Something did not happen in time."""


@dataclass
class Plane:
    """A running control plane."""

    process: subprocess.Popen[bytes]
    addresses: dict[str, str]
    ready_seconds: float

    @classmethod
    def start(cls, mesh: Path, state: Path, ports: tuple[int, int] = (0, 0)) -> "Plane":
        """Starts it, and waits until it serves."""
        ready = state.with_suffix(".ready")
        ready.unlink(missing_ok=True)
        command = [
            sys.executable, "-m", "meshcore", "control", "--mesh", mesh, "--state", state,
            "--address", "127.0.0.1", "--plain-port", str(ports[0]), "--secure-port", "0",
            "--monitoring-port", str(ports[1]), "--ready-file", ready, "--log-level", "error",
        ]  # fmt: skip
        began = time.monotonic()
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        while not ready.exists():
            if process.poll() is not None:
                _, said = process.communicate()
                raise TooLate(f"the control plane ended: {said.decode()}")
            if time.monotonic() - began > READY_WITHIN_SECONDS:
                process.kill()
                raise TooLate("the control plane is not ready")
            time.sleep(0.005)
        took = time.monotonic() - began
        return cls(process, json.loads(ready.read_text())["addresses"], took)

    @property
    def ports(self) -> tuple[int, int]:
        """The ports for clients and for pages."""
        plain, pages = self.addresses["plain"], self.addresses["monitoring"]
        return int(plain.rpartition(":")[2]), int(pages.rpartition(":")[2])

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.process.pid)

    def resident_bytes(self) -> int:
        return resident_bytes(self.process.pid)

    def sync(self) -> dict[str, Any]:
        """Returns what it says of its clients."""
        with urllib.request.urlopen(f"http://{self.addresses['monitoring']}/debug/syncz") as page:
            said: dict[str, Any] = json.load(page)
            return said

    def documents_seconds(self) -> tuple[float, int]:
        """Returns how long all changes of documents took in Python, and how many there were."""
        with urllib.request.urlopen(f"http://{self.addresses['monitoring']}/metrics") as page:
            lines = page.read().decode().splitlines()
        name = "meshcore_control_change_seconds"
        values = dict(line.split(" ", 1) for line in lines if line.startswith(name))
        return float(values[f"{name}_sum"]), int(float(values[f"{name}_count"]))

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        self.process.wait(WITHIN_SECONDS)
        if self.process.stderr is not None:
            self.process.stderr.close()


@dataclass
class Clients:
    """Many clients of a control plane in one process."""

    process: subprocess.Popen[bytes]
    reached: "SimpleQueue[tuple[int, float]]" = field(default_factory=SimpleQueue)
    """Revisions that all of them have reached, with the time."""

    @classmethod
    def start(cls, program: str, plane: Plane, number: int, hosts: list[str]) -> "Clients":
        command = [program, plane.addresses["plain"], str(number), "team-0", *hosts]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        clients = cls(process)
        threading.Thread(target=clients._read, daemon=True).start()
        return clients

    def wait_for(self, revision: int) -> float:
        """Waits until all have reached a revision; returns when they had."""
        until = time.monotonic() + WITHIN_SECONDS
        while True:
            try:
                found, at = self.reached.get(timeout=max(0.0, until - time.monotonic()))
            except Empty:
                raise TooLate(f"revision {revision} did not reach all clients") from None
            if found >= revision:
                return at

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            at = time.monotonic()
            self.reached.put((json.loads(line)["revision"], at))
