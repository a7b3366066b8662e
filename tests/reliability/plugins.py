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
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from benches.peers import processes
from tests.integration.harness import Mesh, Sidecar, mesh
from tests.reliability import rig
from tests.reliability.plugin_cases import CASES, HEAD, HOOK, TIMEOUT_MS, Case

# Requests a second to routes without a plugin, and as many to those with the bad one.
RATE = 250
PLAIN_CLIENTS, BAD_CLIENTS = 2, 16
SLACK_MS = 10
# A process that hangs is ended after a second.
RESTART_SECONDS = 10.0
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

    statuses: Mapping[str, int]
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

    @property
    def where(self) -> str:
        """Where the plugin ran."""
        return "isolated" if self.isolated else "in process"

    @property
    def undeclared(self) -> int:
        """Answers that are neither declared for failures nor the hook's decision."""
        return self.bad.other_than("503", *(["200"] if self.case.may_decide else []))

    def faults(self) -> Iterator[str]:
        """What must not be, whatever the machine."""
        name = f"{self.case.name}, {self.where}"
        if not self.is_alive:
            yield f"{name}: the sidecar ended"
        if lost := self.plain.other_than("200"):
            yield f"{name}: {lost} of {self.plain.asked} requests without the plugin were lost"
        if self.undeclared:
            yield f"{name}: {self.undeclared} other than the declared answer: {self.bad.statuses}"
        if self.isolated and self.case.kills and not self.restarts:
            yield f"{name}: its process was not started again"


def measured_faults(outcome: Outcome) -> Iterator[str]:
    """What must not be on a machine that does nothing else."""
    yield from outcome.faults()
    calm, plain, bad = outcome.calm, outcome.plain, outcome.bad
    name = f"{outcome.case.name}, {outcome.where}"
    if plain.p99_ms > 1.2 * calm.p99_ms and plain.p99_ms > calm.p99_ms + 1:
        yield f"{name}: p99 of the others {plain.p99_ms:.1f} ms, before {calm.p99_ms:.1f} ms"
    if plain.asked / plain.seconds < 0.95 * calm.asked / calm.seconds:
        yield f"{name}: the others had {plain.asked} answers, before {calm.asked}"
    if bad.late * 100 > bad.asked:
        yield f"{name}: {bad.late} of {bad.asked} answers came later than {TIMEOUT_MS} + 10 ms"


# === the client ===


class Caller(threading.Thread):
    """Asks for one path at its own pace, over a kept connection."""

    def __init__(self, address: str, path: str, pause: float, until: float) -> None:
        super().__init__()
        self._address, self._path, self._pause, self._until = address, path, pause, until
        self.statuses: Counter[str] = Counter()
        self.took_ms: list[float] = []

    def run(self) -> None:
        connection = HTTPConnection(self._address, timeout=10)
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


def call(address: str, path: str, seconds: float, rate: float) -> dict[str, Answers]:
    """Asks for `/` and for a path, each at this rate; returns how both fared."""
    until = time.monotonic() + seconds
    both = {
        "plain": [Caller(address, "/", PLAIN_CLIENTS / rate, until) for _ in range(PLAIN_CLIENTS)],
        "bad": [Caller(address, path, BAD_CLIENTS / rate, until) for _ in range(BAD_CLIENTS)],
    }
    for caller in [*both["plain"], *both["bad"]]:
        caller.start()
    return {name: _fared(callers, seconds) for name, callers in both.items()}


def _fared(callers: Iterable[Caller], seconds: float) -> Answers:
    statuses: Counter[str] = Counter()
    took_ms: list[float] = []
    for caller in callers:
        caller.join()
        statuses += caller.statuses
        took_ms += caller.took_ms
    took_ms.sort()
    late = sum(ms > TIMEOUT_MS + SLACK_MS for ms in took_ms)
    return Answers(dict(statuses), seconds, took_ms[len(took_ms) * 99 // 100], took_ms[-1], late)


# === the sidecar ===


@dataclass
class Served:
    """A sidecar with bad plugins."""

    sidecar: Sidecar
    isolated: bool
    is_short: bool
    """Whether the load comes from this process: good for counts, not for times."""

    @property
    def address(self) -> str:
        return self.sidecar.addresses["inbound"]

    def load(self, path: str, seconds: float, rate: float = RATE) -> tuple[Answers, Answers]:
        """Loads `/` and a path; returns how both fared."""
        if self.is_short:
            said = call(self.address, path, seconds, rate)
            return said["plain"], said["bad"]
        command = [sys.executable, "-m", __name__, self.address, path, str(seconds), str(rate)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=rig.ROOT)
        both = json.loads(done.stdout)
        return Answers(**both["plain"]), Answers(**both["bad"])

    def calm(self, seconds: float, rate: float = RATE) -> Answers:
        """How the other routes fare while a good plugin is asked."""
        return self.load(f"/{GOOD}", seconds, rate)[0]

    def measure(self, case: Case, calm: Answers, seconds: float, rate: float = RATE) -> Outcome:
        """How all routes fare while a bad plugin is asked."""
        memory = self.sidecar.memory_bytes()
        plain, bad = self.load(f"/{case.name}", seconds, rate)
        is_alive = processes.is_alive(self.sidecar.pid)
        grown = self.sidecar.memory_bytes() - memory if is_alive else 0
        restarts = self.restarts(case) if is_alive and self.isolated else 0
        return Outcome(case, self.isolated, calm, plain, bad, restarts, grown, is_alive)

    def restarts(self, case: Case) -> int:
        """How often the process of a plugin was started again; waited for, if it has to be."""
        wanted = rf'^meshcore_plugin_process_restarts_total{{plugin="{_module(case.name)}"}} (\d+)$'
        until = time.monotonic() + RESTART_SECONDS
        while True:
            found = re.search(wanted, self.sidecar.scrape(), re.MULTILINE)
            restarts = int(found[1]) if found else 0
            if restarts or not case.kills or time.monotonic() > until:
                return restarts
            time.sleep(0.1)


@contextmanager
def served(cases: Iterable[Case], *, isolate: bool, is_short: bool = False) -> Iterator[Served]:
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
        yield Served(made.sidecar("reviews", app, *options), isolate, is_short)


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _module(name: str) -> str:
    return name.replace("-", "_")


def _write(made: Mesh, name: str, text: str) -> Path:
    path = made.directory / f"{_module(name)}.py"
    path.write_text(text)
    return path


def full(seconds: float = 10) -> Iterator[Outcome]:
    """Yields every bad plugin in a sidecar of its own, in both modes where it can be survived."""
    for case in CASES.values():
        for isolate in (False, True):
            if isolate or not case.kills:
                with served([case], isolate=isolate) as one:
                    yield one.measure(case, one.calm(seconds), seconds)


HEADER = """\
| plugin | runs | others: answers, lost, p99 (ms) | before: answers, p99 (ms) \
| its own: answers, not as declared, late, p99 (ms), longest | started again | RSS |
|---|---|---|---|---|---|---|"""


def row(o: Outcome) -> str:
    """Returns the figures as a line of a table in Markdown."""
    return (
        f"| {o.case.name} | {o.where}"
        f" | {o.plain.asked}, {o.plain.other_than('200')}, {o.plain.p99_ms:.1f}"
        f" | {o.calm.asked}, {o.calm.p99_ms:.1f}"
        f" | {o.bad.asked}, {o.undeclared}, {o.bad.late}, {o.bad.p99_ms:.1f}, {o.bad.max_ms:.0f}"
        f" | {o.restarts} | {o.grown_bytes / 2**20:+.0f} MiB |"
    )


def main() -> None:
    """Loads a sidecar: `plugins ADDRESS PATH SECONDS RATE`; prints how that fared, as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("path")
    parser.add_argument("seconds", type=float)
    parser.add_argument("rate", type=float)
    given = parser.parse_args()
    both = call(given.address, given.path, given.seconds, given.rate)
    print(json.dumps({name: asdict(answers) for name, answers in both.items()}))


if __name__ == "__main__":
    main()
