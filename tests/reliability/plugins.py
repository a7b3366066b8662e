"""Plugins that misbehave in a sidecar: what its other routes notice, and what their own get.

Half of the load goes to routes without the plugin. It comes from a process of its own, so that a
plugin that takes a processor is the sidecar's matter alone.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from benches.peers import processes
from tests.integration.harness import Mesh, Sidecar, mesh
from tests.reliability import rig
from tests.reliability.plugin_cases import CASES, HOOK, HEAD, TIMEOUT_MS, Case

# Requests a second to routes without a plugin, and as many to those with the bad one.
RATE = 250
PLAIN_CLIENTS, BAD_CLIENTS = 2, 16
SLACK_MS = 10
_MESH = """
services:
  reviews:
    port: 9080
    endpoints: ["@11:9080"]
"""
# What the load goes to before, to compare with: a plugin as it should be.
GOOD = "good"
_GOOD = HEAD + HOOK + "def good(request): return deny(503)\n"


@dataclass(frozen=True)
class Answers:
    """How requests to a route fared."""

    statuses: dict[str, int]
    """How many had which status; `lost` had no answer."""
    seconds: float
    p99_ms: float
    max_ms: float
    late: int
    """Answers that took longer than the hook's limit and 10 ms more."""

    @property
    def asked(self) -> int:
        return sum(self.statuses.values())

    def other_than(self, *statuses: str) -> int:
        """How many had another status."""
        return self.asked - sum(self.statuses.get(status, 0) for status in statuses)


@dataclass(frozen=True)
class Outcome:
    """What a bad plugin did."""

    case: Case
    isolated: bool
    calm: Answers
    """Routes without the plugin, while a good one is asked."""
    plain: Answers
    """The same, while the bad one is."""
    bad: Answers
    restarts: int
    grown_bytes: int
    """Memory of the sidecar, without the plugin's process."""
    is_alive: bool

    def faults(self) -> Iterator[str]:
        """What must not be, whatever the machine."""
        where = f"{self.case.name}, {'isolated' if self.isolated else 'in process'}"
        if not self.is_alive:
            yield f"{where}: the sidecar ended"
        if lost := self.plain.other_than("200"):
            yield f"{where}: {lost} of {self.plain.asked} requests without the plugin were lost"
        allowed = ("503", "200") if self.case.may_decide else ("503",)
        if wrong := self.bad.other_than(*allowed):
            yield f"{where}: {wrong} other than the declared answer: {self.bad.statuses}"
        if self.isolated and self.case.kills and not self.restarts:
            yield f"{where}: its process was not started again"


def measured_faults(outcome: Outcome) -> Iterator[str]:
    """What must not be on a machine that does nothing else."""
    yield from outcome.faults()
    calm, plain, bad = outcome.calm, outcome.plain, outcome.bad
    name = f"{outcome.case.name}, {'isolated' if outcome.isolated else 'in process'}"
    if plain.p99_ms > 1.2 * calm.p99_ms and plain.p99_ms > calm.p99_ms + 1:
        yield f"{name}: p99 of the others {plain.p99_ms:.1f} ms, before {calm.p99_ms:.1f} ms"
    if plain.asked / plain.seconds < 0.95 * calm.asked / calm.seconds:
        yield f"{name}: the others had {plain.asked} answers, before {calm.asked}"
    if bad.late * 100 > bad.asked:
        yield f"{name}: {bad.late} of {bad.asked} answers came later than {TIMEOUT_MS} + 10 ms"


# === the client ===


class Caller(threading.Thread):
    """Asks for one path at its own pace, over a kept connection."""

    def __init__(self, port: int, path: str, pause: float, until: float) -> None:
        super().__init__()
        self._port, self._path, self._pause, self._until = port, path, pause, until
        self.statuses: Counter[str] = Counter()
        self.took_ms: list[float] = []

    def run(self) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
        due = time.monotonic()
        while (began := time.monotonic()) < self._until:
            try:
                connection.request("GET", self._path, headers={"host": "reviews:9080"})
                with connection.getresponse() as answer:
                    answer.read()
                    status = str(answer.status)
            except (OSError, HTTPException):
                connection.close()
                status = "lost"
            self.statuses[status] += 1
            self.took_ms.append((time.monotonic() - began) * 1000)
            due = max(due + self._pause, time.monotonic() - self._pause)
            time.sleep(max(0.0, due - time.monotonic()))
        connection.close()


def call(port: int, path: str, seconds: float, rate: float) -> dict[str, dict[str, object]]:
    """Asks for `/` and for a path, each at this rate; returns how both fared."""
    until = time.monotonic() + seconds
    both = {
        "plain": [Caller(port, "/", PLAIN_CLIENTS / rate, until) for _ in range(PLAIN_CLIENTS)],
        "bad": [Caller(port, path, BAD_CLIENTS / rate, until) for _ in range(BAD_CLIENTS)],
    }
    for caller in [*both["plain"], *both["bad"]]:
        caller.start()
    return {name: _fared(callers, seconds) for name, callers in both.items()}


def _fared(callers: Iterable[Caller], seconds: float) -> dict[str, object]:
    statuses: Counter[str] = Counter()
    took_ms: list[float] = []
    for caller in callers:
        caller.join()
        statuses += caller.statuses
        took_ms += caller.took_ms
    took_ms.sort()
    return {
        "statuses": statuses,
        "seconds": seconds,
        "p99_ms": took_ms[len(took_ms) * 99 // 100],
        "max_ms": took_ms[-1],
        "late": sum(ms > TIMEOUT_MS + SLACK_MS for ms in took_ms),
    }


# === the sidecar ===


@dataclass
class Served:
    """A sidecar with bad plugins."""

    sidecar: Sidecar
    isolated: bool

    @property
    def port(self) -> int:
        return self.sidecar.host_port("inbound")[1]

    def load(self, path: str, seconds: float, rate: float = RATE) -> tuple[Answers, Answers]:
        """Loads `/` and a path from another process; returns how both fared."""
        command = [sys.executable, "-m", __name__, str(self.port), path, str(seconds), str(rate)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=rig.ROOT)
        said = json.loads(done.stdout)
        return Answers(**said["plain"]), Answers(**said["bad"])

    def measure(self, case: Case, seconds: float, rate: float = RATE) -> Outcome:
        """Asks a good plugin, then a bad one."""
        calm, _ = self.load(f"/{GOOD}", seconds, rate)
        memory = self.sidecar.memory_bytes()
        plain, bad = self.load(f"/{case.name}", seconds, rate)
        is_alive = processes.is_alive(self.sidecar.pid)
        grown = self.sidecar.memory_bytes() - memory if is_alive else 0
        restarts = self.metric("restarts_total", case) if is_alive and self.isolated else 0
        return Outcome(case, self.isolated, calm, plain, bad, restarts, grown, is_alive)

    def metric(self, name: str, case: Case) -> int:
        """Returns what is counted of the process of a plugin."""
        wanted = rf'^meshcore_plugin_process_{name}{{plugin="{_module(case.name)}"}} (\d+)$'
        found = re.search(wanted, self.sidecar.scrape(), re.MULTILINE)
        return int(found[1]) if found else 0


@contextmanager
def served(cases: Iterable[Case], *, isolate: bool) -> Iterator[Served]:
    """A sidecar with a good plugin and these."""
    with (
        tempfile.TemporaryDirectory(prefix="meshcore-plugins-") as directory,
        mesh(Path(directory)) as made,
        rig.fast_origin(_made(made.directory / "origin")) as origin,
    ):
        made.write(_MESH)
        texts = {GOOD: _GOOD.format(timeout=TIMEOUT_MS, name=GOOD, isolate="")}
        texts |= {case.name: case.plugin(isolate=isolate) for case in cases}
        paths = [_write(made, name, text) for name, text in texts.items()]
        options = [f"--plugin={path}" for path in paths]
        app = f"--app=127.0.0.1:{origin}"
        yield Served(made.sidecar("reviews", app, *options), isolate)


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _module(name: str) -> str:
    return name.replace("-", "_")


def _write(made: Mesh, name: str, text: str) -> Path:
    path = made.directory / f"{_module(name)}.py"
    path.write_text(text)
    return path


def full(seconds: float = 20) -> Iterator[Outcome]:
    """Yields every bad plugin in a sidecar of its own, in both modes where it can be survived."""
    for case in CASES.values():
        for isolate in (False, True):
            if isolate or not case.kills:
                with served([case], isolate=isolate) as one:
                    yield one.measure(case, seconds)


def table(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """Yields the figures as lines of Markdown, as they come."""
    yield (
        "| plugin | runs | others: answers, lost, p99 (ms) | before: answers, p99 (ms)"
        " | its own: asked, not as declared, late, p99 (ms), max | restarts | RSS |"
    )
    yield "|---|---|---|---|---|---|---|"
    for o in outcomes:
        allowed = ("503", "200") if o.case.may_decide else ("503",)
        yield (
            f"| {o.case.name} | {'isolated' if o.isolated else 'in process'}"
            f" | {o.plain.asked}, {o.plain.other_than('200')}, {o.plain.p99_ms:.1f}"
            f" | {o.calm.asked}, {o.calm.p99_ms:.1f}"
            f" | {o.bad.asked}, {o.bad.other_than(*allowed)}, {o.bad.late}, {o.bad.p99_ms:.1f},"
            f" {o.bad.max_ms:.0f} | {o.restarts} | {o.grown_bytes / 2**20:+.0f} MiB |"
        )


def main() -> None:
    """Loads a sidecar: `plugins PORT PATH SECONDS RATE`; prints how that fared, as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("seconds", type=float)
    parser.add_argument("rate", type=float)
    given = parser.parse_args()
    print(json.dumps(call(given.port, given.path, given.seconds, given.rate)))


if __name__ == "__main__":
    main()
