"""What is held, and how soon a proxy is there. Source: proc(5), `VmRSS`."""

from benches.peers.memory import first_response, for_idle_connection, idle
from benches.peers.scenario import Scenario, peers

_ALL = ("meshcore", "HAProxy", "nginx", "Envoy")
_ROUNDS = 3

SCENARIOS = [
    Scenario(
        name="idle-connection",
        title="Memory for an idle connection, plain",
        unit="KiB",
        measure=for_idle_connection,
        rows=peers(*_ALL),
        against="Envoy",
        is_fresh=True,
        rounds=_ROUNDS,
    ),
    Scenario(
        name="idle-connection-mtls",
        title="Memory for an idle connection, mutual TLS",
        unit="KiB",
        measure=for_idle_connection,
        rows=peers(*_ALL, accepts_tls=True),
        against="Envoy",
        is_fresh=True,
        rounds=_ROUNDS,
    ),
    Scenario(
        name="idle",
        title="Memory of all processes after the first scrape",
        unit="MiB",
        measure=idle,
        rows=peers(*_ALL),
        against="Envoy",
        is_fresh=True,
        rounds=_ROUNDS,
    ),
    Scenario(
        name="start",
        title="Start to first response",
        unit="ms",
        measure=first_response,
        rows=peers(*_ALL),
        against="Envoy",
        is_fresh=True,
        is_pinned=False,
        rounds=_ROUNDS,
    ),
]
