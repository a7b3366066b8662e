"""Bytes that nobody looks at."""

from benches.peers.loads import bulk, ping_pong
from benches.peers.scenario import Scenario, peers

_ROWS = peers(
    "floor", "meshcore", "HAProxy", "nginx", "Envoy", client_speaks="tcp", origin_speaks="tcp"
)

SCENARIOS = [
    Scenario(
        name="tcp-ping-pong",
        title="TCP, 64 bytes there and back, 16 connections",
        unit="us/message",
        measure=ping_pong(),
        rows=_ROWS,
        against="floor",
        origin="echo",
    ),
    Scenario(
        name="tcp-bulk",
        title="TCP in bulk, one way, one connection",
        unit="us/MiB",
        measure=bulk,
        rows=_ROWS,
        against="HAProxy",
        origin="count",
    ),
]
