"""Requests over kept connections."""

from benches.peers.loads import multiplexed, requests
from benches.peers.scenario import Scenario, peers

_ALL = ("floor", "meshcore", "HAProxy", "nginx", "Envoy")
_UNIT = "us/request"
_NAMES = {"http1": "HTTP/1.1", "http2": "HTTP/2"}


def _http2(name: str, connections: int, streams: int, to: str) -> Scenario:
    """HTTP/2 from the client on. Debian's nginx speaks no HTTP/2 to an origin."""
    rows = [row for row in _ALL if row != "floor" and (to == "http1" or row != "nginx")]
    word = "streams" if streams > 1 else "stream"
    return Scenario(
        name=name,
        title=f"HTTP/2 to {_NAMES[to]}, {connections} connections of {streams} {word}",
        unit=_UNIT,
        measure=multiplexed(connections, streams),
        rows=peers(*rows, client_speaks="http2", origin_speaks=to),
        against="Envoy",
        origin="http2" if to == "http2" else "http",
    )


SCENARIOS = [
    Scenario(
        name="http1",
        title="HTTP/1.1, 32 connections, saturated",
        unit=_UNIT,
        measure=requests(32),
        rows=peers(*_ALL),
        against="floor",
    ),
    Scenario(
        name="http1-1000rps",
        title="HTTP/1.1, 1,000 requests a second",
        unit=_UNIT,
        measure=requests(32, rate=1000),
        rows=peers(*_ALL),
        against="floor",
    ),
    _http2("http2-http1-32", 4, 32, "http1"),
    _http2("http2-http1-1", 8, 1, "http1"),
    _http2("http2-http2-32", 4, 32, "http2"),
    _http2("http2-http2-1", 8, 1, "http2"),
]
