"""A supervised sidecar that is killed again and again, and how soon it serves again."""

import http.client
import os
import signal
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benches.peers import processes
from tests.integration.harness import Mesh, Sidecar, children, eventually, mesh

DEATHS = 10
# Longer than after which a death is no early one; Source: `LONG_LIFE_SECONDS` of the supervisor.
APART_SECONDS = 10.5
WITHIN_SECONDS = 1.0
SIGNALS = (signal.SIGKILL, signal.SIGSEGV)

_MESH = """
services:
  web:
    port: 8080
    endpoints: ["@21:8080"]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: default}
spec:
  hosts: [api.test]
  resolution: STATIC
  ports: [{number: 9080, name: http, protocol: HTTP}]
  endpoints: [{address: "@11"}]
"""


@dataclass
class Outcome:
    """What deaths did."""

    took_ms: list[float] = field(default_factory=list)
    """From a death to the answer to a question that was asked at once."""
    refused: int = 0
    """Questions without an answer."""
    memory_bytes: tuple[int, int] = (0, 0)
    """Resident, of the supervisor and of an idle sidecar."""


def run(deaths: int = DEATHS, apart_seconds: float = APART_SECONDS) -> Outcome:
    """Kills so often."""
    with (
        tempfile.TemporaryDirectory(prefix="meshcore-restart-") as directory,
        mesh(Path(directory)) as made,
    ):
        return _run(made, deaths, apart_seconds)


def _run(made: Mesh, deaths: int, apart_seconds: float) -> Outcome:
    made.write(_MESH)
    made.program("application", 11, 9080, "v1")
    supervisor = made.sidecar("web", "--supervise")
    outcome = Outcome()
    for number in range(deaths):
        time.sleep(apart_seconds)
        sidecar = eventually(lambda: children(supervisor.pid, "meshcore.cli.sidecar"))[0]
        _ask(supervisor)
        supervisor.scrape()
        outcome.memory_bytes = (supervisor.memory_bytes(), processes.resident_bytes(sidecar))
        began = time.monotonic()
        os.kill(sidecar, SIGNALS[number % len(SIGNALS)])
        try:
            eventually(lambda dead=sidecar: not processes.is_alive(dead))
            _ask(supervisor)
        except OSError:
            outcome.refused += 1
        outcome.took_ms.append((time.monotonic() - began) * 1000)
    supervisor.signal()
    supervisor.wait()
    return outcome


def _ask(sidecar: Sidecar) -> None:
    connection = http.client.HTTPConnection(*sidecar.host_port("outbound"), timeout=20)
    connection.request("GET", "/bytes/10", headers={"host": "api.test:9080"})
    with connection.getresponse() as answer:
        answer.read()
    connection.close()
    if answer.status != http.client.OK:
        raise ConnectionError(str(answer.status))


def table(outcome: Outcome) -> str:
    """Returns the figures, as Markdown."""
    supervisor, sidecar = (bytes_ / 2**20 for bytes_ in outcome.memory_bytes)
    return (
        "| deaths | refused | serves again after (ms): median, most"
        " | resident (MiB): supervisor, sidecar |\n"
        "|---|---|---|---|\n"
        f"| {len(outcome.took_ms)} | {outcome.refused} | {statistics.median(outcome.took_ms):.0f},"
        f" {max(outcome.took_ms):.0f} | {supervisor:.1f}, {sidecar:.1f} |"
    )
