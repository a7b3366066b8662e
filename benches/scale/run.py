"""Asks: what does a change cost in a mesh of many services and sidecars?

`make bench-scale`, or `python -m benches.scale.run [--smoke]` with what is installed. Unit:
milliseconds from a file that is saved to the acknowledgement of the slowest client. Clients are
simulated, all in one process: `crates/meshcore-discovery/examples/clients.rs`.
"""

import argparse
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from benches.peers.native import program as built
from benches.peers.results import machine
from benches.scale import documents, report
from benches.scale.plane import WITHIN_SECONDS, Clients, Plane, TooLate

RESULTS = Path(__file__).resolve().parents[1] / "results"
# Services that all clients use; the changes are theirs.
HOT = 5
# How long the control plane is left alone before its memory is read.
REST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured at one size of the mesh."""

    services: int
    documents: int
    clients: int
    ready_seconds: float
    endpoint_ms: list[float]
    route_ms: list[float]
    python_ms: float
    """Mean of a change, from files to the server."""
    cpu_ms: float
    """Processor time of the control plane for one change, for all clients."""
    idle_mib: float
    client_kib: float
    restart_seconds: float
    """From the start after a kill until it serves what was in force."""
    resync_seconds: float
    """From the start after a kill until all clients have all that holds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--changes", type=int, default=50)
    parser.add_argument("--smoke", action="store_true", help="small, and thrown away")
    parser.add_argument("--program", help="the simulated clients, if built elsewhere")
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    sizes, clients, changes = asked.sizes, asked.clients, asked.changes
    if asked.smoke:
        sizes, clients, changes = [10], 5, 4
    measured = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            measured.append(measure(Path(folder), size, clients, changes, asked.program))
        print(report.line(measured[-1]))
    if not asked.smoke:
        about = {**machine(), "date": f"{datetime.now(tz=UTC):%Y-%m-%d}"}
        kept = {"machine": about, "measured": [asdict(one) for one in measured]}
        (asked.out / "scale.json").write_text(json.dumps(kept, indent=1) + "\n")
        report.write(asked.out)


def measure(
    folder: Path, services: int, number: int, changes: int, program: str | None = None
) -> Measured:
    """Measures a mesh of one size."""
    mesh, state = folder / "mesh", folder / "state"
    documents.write(mesh, services)
    plane = Plane.start(mesh, state)
    clients = None
    try:
        time.sleep(REST_SECONDS)
        idle = plane.resident_bytes()
        first = int(plane.sync()["revision"])
        hosts = [documents.host(n) for n in range(HOT)]
        clients = Clients.start(program or built("examples/clients"), plane, number, hosts)
        clients.wait_for(first)
        time.sleep(REST_SECONDS)
        with_clients = plane.resident_bytes()
        cpu, (python, count) = plane.cpu_seconds(), plane.documents_seconds()
        times = [_change(mesh, clients, n, first + n + 1) for n in range(changes)]
        cpu_after, (python_after, count_after) = plane.cpu_seconds(), plane.documents_seconds()
        assert count_after - count == changes
        ready_seconds = plane.ready_seconds
        plane.kill()
        plane, restart, resync = _again(plane, mesh, state, number)
    finally:
        if clients is not None:
            clients.stop()
        plane.stop()
    return Measured(
        services=services,
        documents=services * (3 + documents.WORKLOADS),
        clients=number,
        ready_seconds=ready_seconds,
        endpoint_ms=times[::2],
        route_ms=times[1::2],
        python_ms=(python_after - python) / changes * 1000,
        cpu_ms=(cpu_after - cpu) / changes * 1000,
        idle_mib=idle / (1 << 20),
        client_kib=(with_clients - idle) / number / 1024,
        restart_seconds=restart,
        resync_seconds=resync,
    )


def _change(mesh: Path, clients: Clients, number: int, revision: int) -> float:
    """Changes an endpoint, or a route, in turn; returns how long it took in milliseconds."""
    service, is_route = number % HOT, number % 2
    began = time.monotonic()
    if is_route:
        documents.edit(mesh, service, timeout_ms=5001 + number, last_address=number)
    else:
        documents.edit(mesh, service, last_address=number + 1)
    return (clients.wait_for(revision) - began) * 1000


def _again(plane: Plane, mesh: Path, state: Path, number: int) -> tuple[Plane, float, float]:
    """Starts a control plane that was killed; waits until all clients have all that holds."""
    began = time.monotonic()
    again = Plane.start(mesh, state, plane.ports)
    while True:
        clients = again.sync()["clients"]
        if len(clients) == number and all(one["is_current"] for one in clients):
            return again, again.ready_seconds, time.monotonic() - began
        if time.monotonic() - began > WITHIN_SECONDS:
            again.stop()
            raise TooLate("clients did not come back")
        time.sleep(0.02)


if __name__ == "__main__":
    main()
