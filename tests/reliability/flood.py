"""Floods, and the bystander who only wants an answer.

The flood comes from a process of its own, so that what it costs the client is known, and begins
again on a new connection whenever it ends. The bystander asks fifty times a second on a kept
connection: first while another data plane is flooded, then while its own is. So both times share
the processors with the same flood.
"""

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.reliability import rig
from tests.reliability.flood_cases import FLOODS, FRAMES
from tests.reliability.h2_wire import PREFACE, SETTINGS, frame

RATE = 50
_REQUEST = b"GET / HTTP/1.1\r\nHost: origin.test\r\n\r\n"
# A flood is given up when the proxy takes no more for so long.
STUCK_SECONDS = 3.0
# The data plane gives back what it has freed every ten seconds (`TRIM_EVERY_S` in worker.rs).
TRIMMED_SECONDS = 11.0


@dataclass
class Outcome:
    """What a flood did."""

    flood: str
    runs: int
    """Connections that flooded, one after the other."""
    ended: str
    """How the last one ended."""
    lost: int
    """Requests of the bystander without an answer."""
    calm_p99_ms: float
    p99_ms: float
    grown_bytes: int
    proxy_cpu_s: float
    client_cpu_s: float
    """Python's, which needs many times what a flooder in C would."""
    is_alive: bool


# === the client ===


def flood(port: int, name: str, frames: int) -> str:
    """Sends a flood on one connection, reading what comes; returns how the connection ended."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(STUCK_SECONDS)
        reading = threading.Thread(target=_read_all, args=(client,), daemon=True)
        reading.start()
        try:
            client.sendall(PREFACE + frame(SETTINGS))
            for batch in _batches(name, frames):
                client.sendall(batch)
        except TimeoutError:
            return "open, takes no more"
        except OSError:
            return "closed by the proxy"
        reading.join(0.3)
        return "open" if reading.is_alive() else "closed by the proxy"


def _batches(name: str, frames: int) -> Iterator[bytes]:
    batch = bytearray()
    for piece in FLOODS[name](frames):
        batch += piece
        if len(batch) > 32_768:
            yield bytes(batch)
            batch.clear()
    yield bytes(batch)


def _read_all(client: socket.socket) -> None:
    while True:
        try:
            if not client.recv(65536):
                return
        except TimeoutError:
            continue
        except OSError:
            return


# === the bystander ===


class Bystander:
    """Asks at a rate and notes how long each answer takes."""

    def __init__(self, port: int) -> None:
        self.took_ms: list[float] = []
        self.lost = 0
        self._port = port
        self._stop = threading.Event()

    @contextmanager
    def asking(self) -> Iterator["Bystander"]:
        """Asks inside the block."""
        thread = threading.Thread(target=self._ask)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def p99_ms(self) -> float:
        """The 99th percentile; the longest of fewer than a hundred."""
        return statistics.quantiles(self.took_ms, n=100)[-1] if len(self.took_ms) > 1 else 0.0

    def _ask(self) -> None:
        client = None
        while not self._stop.wait(1 / RATE):
            began = time.perf_counter()
            try:
                client = client or socket.create_connection(("127.0.0.1", self._port), timeout=5)
                client.sendall(_REQUEST)
                _read_answer(client)
                self.took_ms.append((time.perf_counter() - began) * 1000)
            except OSError:
                self.lost += 1
                client = None
        if client:
            client.close()


def _read_answer(client: socket.socket) -> None:
    got = b""
    while not got.endswith(b"x" * 1024):
        piece = client.recv(4096)
        if not piece:
            raise ConnectionResetError
        got += piece


@contextmanager
def origin() -> Iterator[int]:
    """nginx, which is fast enough not to be what the bystander waits for; yields its port."""
    with tempfile.TemporaryDirectory(prefix="meshcore-origin-") as directory:
        Path(directory).chmod(0o755)  # it may give up root
        with rig.fast_origin(Path(directory)) as port:
            yield port


# === the measurement ===


def run(
    names: Sequence[str], seconds: float = 4.0, frames: int = FRAMES, settled: float = 0.3
) -> list[Outcome]:
    """Floods with each of the names, for so long; each data plane is new and warm.

    Its memory is looked at `settled` seconds afterwards.
    """
    return [_run(name, (seconds, settled), frames) for name in names]


def _run(name: str, times: tuple[float, float], frames: int) -> Outcome:
    seconds, settled = times
    with ExitStack() as stack:
        port = stack.enter_context(origin())
        ours, other = (stack.enter_context(_warm(port)) for _ in range(2))
        with Bystander(ours.port).asking() as calm:
            _flood_elsewhere(other.port, name, frames, seconds)
        memory, cpu = ours.memory_bytes(), ours.cpu_seconds()
        with Bystander(ours.port).asking() as bystander:
            ended, runs, client_cpu = _flood_elsewhere(ours.port, name, frames, seconds)
        cpu = ours.cpu_seconds() - cpu if ours.is_alive() else 0.0
        time.sleep(settled)
        is_alive = ours.is_alive()
        return Outcome(
            flood=name,
            runs=runs,
            ended=ended,
            lost=bystander.lost,
            calm_p99_ms=calm.p99_ms(),
            p99_ms=bystander.p99_ms(),
            grown_bytes=ours.memory_bytes() - memory if is_alive else 0,
            proxy_cpu_s=cpu,
            client_cpu_s=client_cpu,
            is_alive=is_alive,
        )


@contextmanager
def _warm(port: int) -> Iterator[rig.Running]:
    with (
        tempfile.TemporaryDirectory(prefix="meshcore-flood-") as directory,
        rig.meshcore(Path(directory), port) as proxy,
    ):
        flood(proxy.port, "PING", 100)
        yield proxy


def _flood_elsewhere(port: int, name: str, frames: int, seconds: float) -> tuple[str, int, float]:
    """Floods from another process; returns how it ended, how often it began, and its CPU."""
    command = [sys.executable, "-m", __name__, str(port), name, str(frames), str(seconds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=rig.ROOT)
    said = json.loads(done.stdout)
    return said["ended"], said["runs"], said["cpu_s"]


def table(outcomes: list[Outcome]) -> str:
    """Returns the figures, as Markdown."""
    head = (
        "| flood | times | connection | bystander p99 (ms): other flooded, own | lost | RSS | CPU"
    )
    lines = [f"{head} proxy, client (s) |", "|---|---|---|---|---|---|---|"]
    lines += [
        f"| {o.flood} | {o.runs} | {o.ended} | {o.calm_p99_ms:.1f}, {o.p99_ms:.1f} | {o.lost}"
        f" | {o.grown_bytes / 1024:+.0f} KiB | {o.proxy_cpu_s:.2f}, {o.client_cpu_s:.2f} |"
        for o in outcomes
    ]
    return "\n".join(lines)


def main() -> None:
    """Floods again and again: `flood PORT NAME FRAMES SECONDS`; prints how it ended, as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("name", choices=FLOODS)
    parser.add_argument("frames", type=int)
    parser.add_argument("seconds", type=float)
    given = parser.parse_args()
    end, began, runs, ended = time.monotonic() + given.seconds, time.process_time(), 0, ""
    while not runs or time.monotonic() < end:
        ended = flood(given.port, given.name, given.frames)
        runs += 1
    print(json.dumps({"ended": ended, "runs": runs, "cpu_s": time.process_time() - began}))


if __name__ == "__main__":
    main()
