"""A mesh that carries HTTP/1, HTTP/2, gRPC, TCP and WebSockets, and callers of all that.

Calls go from the sidecar of `web` to that of `api` with mutual TLS, and to two more endpoints of
HTTP that have none.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.harness import Mesh, Process, Sidecar, eventually, mesh
from tests.reliability.rig import ROOT

_SERVICE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: %(name)s, namespace: default}
spec:
  hosts: [%(name)s.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [%(ports)s]
  workloadSelector: {labels: {%(label)s: "yes"}}
---"""
_WORKLOAD = """
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: %(name)s, namespace: default}
spec:
  address: "@%(last)d"
  labels: {%(labels)s}
  serviceAccount: %(name)s
---"""
_IN_MESH = 'security.istio.io/tlsMode: istio, meshcore.io/inbound-port: "15006"'
_HTTP = "{number: %d, name: http, protocol: HTTP}"
_ALL = (
    "{number: 9081, name: chat, protocol: HTTP}, {number: 50051, name: grpc, protocol: GRPC},"
    " {number: 7000, name: tcp, protocol: TCP}"
)
_API = f'api: "yes", all: "yes", version: v1, {_IN_MESH}'
_WEB = f'web: "yes", {_IN_MESH}'
DOCUMENTS = "".join([
    _SERVICE % {"name": "api", "label": "api", "ports": _HTTP % 9080},
    _SERVICE % {"name": "all", "label": "all", "ports": _ALL},
    _SERVICE % {"name": "web", "label": "web", "ports": _HTTP % 8080},
    _WORKLOAD % {"name": "api", "last": 11, "labels": _API},
    _WORKLOAD % {"name": "web", "last": 21, "labels": _WEB},
])  # fmt: skip


def endpoint(last: int, version: str) -> str:
    """Returns the document of an endpoint of `api` without a sidecar."""
    labels = f'api: "yes", version: {version}, security.istio.io/tlsMode: disabled'
    return _WORKLOAD % {"name": f"api-{last}", "last": last, "labels": labels}


@dataclass
class Traffic:
    """The mesh, its two sidecars, and its callers."""

    mesh: Mesh
    api: Sidecar
    web: Sidecar
    callers: Process

    def end(self) -> "Carried":
        """Ends the callers; returns how they fared."""
        self.callers.signal()
        assert self.callers.wait(60) == 0, self.callers.said()
        found = json.loads(self.callers.said().splitlines()[-1])
        lost = {kind: whys for kind, whys in found["lost"].items() if whys}
        return Carried(found["asked"], lost)

    def settled(self) -> int:
        """Waits until both sidecars have the same revision in force; returns it."""

        def look() -> int:
            one, other = self.web.status()["revision"], self.api.status()["revision"]
            return one if one == other else 0

        return eventually(look)


@dataclass(frozen=True)
class Carried:
    """What the callers saw."""

    by_kind: dict[str, int] = field(default_factory=dict)
    """Questions, by kind."""
    lost: dict[str, dict[str, int]] = field(default_factory=dict)
    """Kinds with something lost, and why."""

    @property
    def asked(self) -> int:
        """How many questions there were."""
        return sum(self.by_kind.values())

    @property
    def lost_count(self) -> int:
        """How many had no answer."""
        return sum(sum(whys.values()) for whys in self.lost.values())


@contextmanager
def traffic(directory: Path, rate: float, drain: str = "5s") -> Iterator[Traffic]:
    """Runs all of it, and asks at this rate altogether each second."""
    with mesh(directory) as made:
        made.write(DOCUMENTS)
        made.write(endpoint(12, "v2"), "v2.yaml")
        for last, name in ((11, "v1"), (12, "v2"), (13, "v3")):
            made.program("application", last, 9080, name)
        made.program("chat", 11, 9081)
        made.program("talk", 11, 50051)
        made.program("tcp", 11, 7000)
        api, web = made.sidecars(api_options(drain), web_options(drain))
        host, port = web.host_port("outbound")
        callers = made.start(
            "env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tests.reliability.callers",
            host, port, rate,
        )  # fmt: skip
        eventually(lambda: "started" in callers.said())
        yield Traffic(made, api, web, callers)


def api_options(drain: str) -> tuple[object, ...]:
    """Options of the sidecar that is called."""
    ports = [word for port in (9080, 9081, 50051, 7000) for word in ("--port", port)]
    return ("api", "--version", "v1", "--drain", drain, *ports)


def web_options(drain: str) -> tuple[object, ...]:
    """Options of the sidecar that calls."""
    return ("web", "--drain", drain)
