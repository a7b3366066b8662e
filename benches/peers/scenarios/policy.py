"""What deciding adds to a request."""

from benches.peers.loads import requests
from benches.peers.scenario import Scenario, one
from benches.peers.swaps import SWAPPING, latency

SCENARIOS = [
    Scenario(
        name="authorization",
        title="20 rules of authorization, of which the last allows",
        unit="us/request",
        measure=requests(32),
        rows={
            f"{name}, {rules} rules": one(name, rules=rules, inbound=True)
            for name in ("meshcore", "HAProxy", "Envoy")
            for rules in (0, 20)
        },
        against="Envoy, 0 rules",
    ),
    Scenario(
        name="python",
        title="A Python function authorizes: reads one header and sets one",
        unit="us/request",
        measure=requests(32),
        rows={
            "meshcore, none": one("meshcore", inbound=True),
            "meshcore, inline": one("meshcore", inbound=True, more="inline"),
            "meshcore, cached": one("meshcore", inbound=True, more="cached"),
            "meshcore, queued": one("meshcore", inbound=True, more="queued"),
            "Envoy, none": one("Envoy"),
            "Envoy, Lua": one("Envoy", more="lua"),
            "Envoy, ext_authz": one("Envoy", more="ext_authz"),
        },
        against="meshcore, none",
    ),
    *(
        Scenario(
            name=f"routes-{name}",
            title=f"10, 1,000 and 10,000 routes, the last one asked: {title}",
            unit="us/request",
            measure=requests(32),
            rows={
                f"{title}, {routes:,}": one(proxy, routes=routes, more=more)
                for routes in (10, 1_000, 10_000)
            },
            against=f"{title}, 10",
        )
        for name, proxy, title, more in (
            ("meshcore", "meshcore", "meshcore", ""),
            ("haproxy", "HAProxy", "HAProxy", ""),
            ("nginx", "nginx", "nginx", ""),
            ("envoy", "Envoy", "Envoy", ""),
            ("envoy-tree", "Envoy", "Envoy tree", "tree"),
        )
    ),
    Scenario(
        name="swap",
        title="p99.9 at 20,000 requests a second, routes being swapped",
        unit="ms",
        measure=latency,
        rows={
            "meshcore, still": one("swappable", routes=10),
            "meshcore, swapping": one("swappable", routes=10, more=SWAPPING),
        },
        against="meshcore, still",
    ),
]
