"""Servers on loopback that run while they are needed, and what they take of the machine."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

START_SECONDS = 30
NS_PER_SECOND = 1e9
# The proxy has one for itself; load and origin share the other.
PROXY_PROCESSOR, LOAD_PROCESSOR = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def started(
    command: list[str], log: IO[bytes] | None = None, processor: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a program inside the block, on one processor if that is said.

    Its input stays open, and its output can be read.
    """
    pipe = subprocess.PIPE
    pinned = [] if processor is None else ["taskset", "--cpu-list", str(processor)]
    with subprocess.Popen([*pinned, *command], stdin=pipe, stdout=pipe, stderr=log) as process:
        try:
            yield process
        finally:
            for pid in reversed(family(process.pid)):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@contextmanager
def running(
    command: list[str], port: int, log: IO[bytes] | None = None, processor: int | None = None
) -> Iterator[int]:
    """Runs a server inside the block; yields its process once it accepts on the port."""
    with started(command, log, processor) as process:
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
        time.sleep(0.002)
    raise SystemExit(f"{process.args!r} does not listen on port {port}")


def family(pid: int) -> list[int]:
    """Returns the process, its children and theirs."""
    found = [pid]
    for one in found:
        for listed in Path(f"/proc/{one}/task").glob("*/children"):
            with suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, listed.read_text().split())
    return found


def cpu_seconds(pid: int) -> float:
    """Returns the processor time that the threads of a process and its children have used.

    Source: `schedstat` of proc(5), which counts ns; `stat` counts ticks of 4 ms.
    """
    total = 0
    for one in family(pid):
        for task in Path(f"/proc/{one}/task").glob("*/schedstat"):
            with suppress(FileNotFoundError, ProcessLookupError):
                total += int(task.read_text().split()[0])
    return total / NS_PER_SECOND


def resident_bytes(pid: int) -> int:
    """Returns the memory that a process holds; 0 for a zombie."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def is_alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    # The name, which may hold anything, is in parentheses.
    return stat.rpartition(")")[2].split()[0] != "Z"
