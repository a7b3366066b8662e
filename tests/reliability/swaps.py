"""Routes, listeners and endpoints that change again and again under load: nothing is lost.

A listener here is what a port takes and from whom: the documents that become filter chains of a
listener in Istio.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.integration.harness import eventually
from tests.reliability.traffic import Carried, Traffic, endpoint, traffic

SWAPS = 100
RATE = 2000.0


def _routes(number: int) -> tuple[str, str]:
    first = number * 37 % 101
    return (
        "routes.yaml",
        f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: api, namespace: default}}
spec:
  host: api.default.svc.cluster.local
  subsets:
  - {{name: v1, labels: {{version: v1}}}}
  - {{name: v2, labels: {{version: v2}}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: api, namespace: default}}
spec:
  hosts: [api.default.svc.cluster.local]
  http:
  - name: number-{number}
    match: [{{uri: {{prefix: /bytes/}}, port: 9080}}]
    headers: {{request: {{set: {{x-number: "{number}"}}}}}}
    route:
    - {{destination: {{host: api.default.svc.cluster.local, subset: v1}}, weight: {first}}}
    - {{destination: {{host: api.default.svc.cluster.local, subset: v2}}, weight: {100 - first}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: all, namespace: default}}
spec:
  hosts: [all.default.svc.cluster.local]
  http:
  - match: [{{port: 50051}}]
    timeout: {100 + number}s
    route: [{{destination: {{host: all.default.svc.cluster.local, port: {{number: 50051}}}}}}]
  tcp:
  - match: [{{port: 7000}}]
    route: [{{destination: {{host: all.default.svc.cluster.local, port: {{number: 7000}}}}}}]
""",
    )


def _listeners(number: int) -> tuple[str, str]:
    modes = ("PERMISSIVE", "STRICT")
    port = (9080, 50051, 7000)[number % 3]
    return (
        "listeners.yaml",
        f"""
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: api, namespace: default}}
spec:
  selector: {{matchLabels: {{api: "yes"}}}}
  mtls: {{mode: {modes[number % 2]}}}
  portLevelMtls: {{{port}: {{mode: {modes[number // 2 % 2]}}}}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: api, namespace: default}}
spec:
  selector: {{matchLabels: {{api: "yes"}}}}
  rules:
  - from: [{{source: {{principals: [cluster.local/ns/default/sa/web, "number/{number}"]}}}}]
""",
    )


def _endpoints(number: int) -> tuple[str, str]:
    present = ([12], [12, 13], [13], [])[number % 4]
    return "v2.yaml", "".join(endpoint(last, "v2") for last in present) or "# none\n"


KINDS: dict[str, Callable[[int], tuple[str, str]]] = {
    "routes": _routes,
    "listeners": _listeners,
    "endpoints": _endpoints,
}


@dataclass(frozen=True)
class Outcome:
    """What swaps of one kind did."""

    kind: str
    swaps: int
    carried: Carried


def run() -> list[Outcome]:
    """Swaps all kinds, each under a load of its own."""
    return [swap([kind], SWAPS, RATE) for kind in KINDS]


def swap(kinds: Sequence[str], swaps: int, rate: float) -> Outcome:
    """Swaps each of these kinds so often, under one load."""
    with (
        tempfile.TemporaryDirectory(prefix="meshcore-swaps-") as directory,
        traffic(Path(directory), rate) as carrying,
    ):
        for number in range(1, swaps + 1):
            for kind in kinds:
                _swap(carrying, *KINDS[kind](number))
        return Outcome(" ".join(kinds), swaps, carrying.end())


def _swap(carrying: Traffic, name: str, text: str) -> None:
    """Writes a document, and waits until both sidecars have it in force."""
    before = carrying.settled()
    carrying.mesh.write(text, name)

    def is_new() -> bool:
        assert not carrying.web.status()["refusals"], carrying.web.status()["refusals"]
        return carrying.settled() > before

    eventually(is_new)


def table(outcomes: Sequence[Outcome]) -> str:
    """Returns the figures, as Markdown."""
    lines = ["| swaps | | questions | of them, by kind | lost |", "|---|---|---|---|---|"]
    for o in outcomes:
        carried = o.carried
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(carried.by_kind.items()))
        lines.append(f"| {o.kind} | {o.swaps} | {carried.asked} | {kinds} | {carried.lost_count} |")
    return "\n".join(lines)
