"""Servers on loopback that run while they are needed, and what they take of the machine."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

START_SECONDS = 30
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def started(command: list[str], log: IO[bytes] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a program inside the block. Its input stays open, and its output can be read."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def running(command: list[str], port: int, log: IO[bytes] | None = None) -> Iterator[int]:
    """Runs a server inside the block; yields its process once it accepts on the port."""
    with started(command, log) as process:
        wait_for(port, process)
        yield process.pid


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Waits until somebody accepts on the port.

    Raises:
        SystemExit: The process ended, or nobody did in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"{process.args} does not listen on port {port}")


def cpu_seconds(pid: int) -> float:
    """Returns the processor time a process has used. Source: proc_pid_stat(5)."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def resident_bytes(pid: int) -> int:
    """Returns the memory that a process holds; 0 for a zombie."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def is_alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return _stat(pid)[0] != "Z"
    except FileNotFoundError:
        return False


def _stat(pid: int) -> list[str]:
    """The fields behind the name, which may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
