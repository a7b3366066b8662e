"""A hundred certificates one after the other, under load, through `meshcore run` as users start it.

The server's come in files that are written one by one, the client's from the development authority.
Each request makes a handshake of its own, so that every certificate is used.
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.integration.harness import Mesh, Sidecar, mesh

ROTATIONS = 100
RATE = 200
# How long a rotation may take: files and age are looked at once a second.
WITHIN_SECONDS = 10.0

_MESH = """
services:
  reviews:
    port: 9080
    endpoints: ["@11:9080"]
    allow: [web]
  web:
    port: 8080
    endpoints: ["@21:8080"]
"""
_ONCE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: once, namespace: default}
spec:
  host: reviews.default.svc.cluster.local
  trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}}
"""


@dataclass
class Outcome:
    """How handshakes fared."""

    server_certificates: int
    client_certificates: int
    requests: int
    handshakes: int
    failed_requests: dict[str, int]
    failed_handshakes: int


def run(rotations: int = ROTATIONS) -> Outcome:
    """Rotates both sides so often."""
    with tempfile.TemporaryDirectory(prefix="meshcore-rotations-") as made, mesh(Path(made)) as at:
        at.write(_MESH)
        at.write(_ONCE, "once.yaml")
        at.program("application", 11, 9080, "v1")
        given = at.directory / "given"
        _issue(at, given)
        files = ("--cert", given / "cert-chain.pem", "--key", given / "key.pem",
                 "--ca", given / "root-cert.pem")  # fmt: skip
        server, client = at.sidecars(("reviews", *files), ("web", "--cert-ttl", "3s"))
        load = at.load(client, "reviews:9080", rate=RATE)
        servers, clients = {_serial(server)}, {_serial(client)}
        end = time.monotonic() + WITHIN_SECONDS * rotations
        _issue(at, given)
        while min(len(servers), len(clients)) <= rotations and time.monotonic() < end:
            clients.add(_serial(client))
            if (serial := _serial(server)) not in servers:
                servers.add(serial)
                _issue(at, given)
            time.sleep(0.1)
        found = load.end_of_it()
        return Outcome(
            len(servers) - 1, len(clients) - 1, sum(found["answered"].values()),
            _count(server, "meshcore_tls_handshakes_total"), found["failed"],
            sum(_count(one, "meshcore_tls_handshakes_failed_total") for one in (server, client)),
        )  # fmt: skip


def _issue(at: Mesh, out: Path) -> None:
    done = at.meshcore(
        "cert", "issue", "--service-account", "reviews", "--out", out, "--mesh", at.documents
    )
    assert done.returncode == 0, done.stderr


def _serial(sidecar: Sidecar) -> str:
    return str(sidecar.status()["certificate"]["serial"])


def _count(sidecar: Sidecar, name: str) -> int:
    lines = sidecar.scrape().splitlines()
    return sum(int(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def failures(o: Outcome, rotations: int = ROTATIONS) -> list[str]:
    """What must not be."""
    is_whole = min(o.server_certificates, o.client_certificates) >= rotations
    is_right = not o.failed_requests and not o.failed_handshakes and o.handshakes >= o.requests > 0
    return [] if is_whole and is_right else [f"{o}"]
