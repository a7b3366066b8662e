"""What is to be reached. Source: issue 3, its table "to reach"."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Values: TypeAlias = Mapping[str, Mapping[str, Sequence[float]]]
"""Of each round, by scenario and row."""


@dataclass(frozen=True)
class Target:
    """A bound for a row of a scenario, as it is or against another row of the same scenario."""

    what: str
    scenario: str
    at_most: float
    unit: str = "of it"
    row: str = "meshcore"
    against: str | None = None
    how: Literal["value", "ratio", "difference"] = "ratio"

    def reached(self, values: Values) -> float | None:
        """Returns the median over all rounds; `None` where it was not measured."""
        rows = values.get(self.scenario, {})
        own = rows.get(self.row)
        if self.how == "value":
            return statistics.median(own) if own else None
        other = rows.get(self.against or "")
        if not own or not other:
            return None
        paired = zip(own, other, strict=True)
        if self.how == "ratio":
            return statistics.median(a / b for a, b in paired)
        return statistics.median(a - b for a, b in paired)


def _ratio(what: str, scenario: str, against: str, at_most: float) -> Target:
    return Target(what, scenario, at_most, f"of {against}", against=against)


def _added(what: str, scenario: str, rows: tuple[str, str], at_most: float, unit: str) -> Target:
    row, against = rows
    return Target(what, scenario, at_most, unit, row, against, "difference")


def _value(what: str, scenario: str, at_most: float, unit: str, row: str = "meshcore") -> Target:
    return Target(what, scenario, at_most, unit, row, how="value")


def _python(how: str, at_most: float) -> Target:
    rows = (f"meshcore, {how}", "meshcore, none")
    return _added(f"Python authorize, {how}", "python", rows, at_most, "us")


TARGETS = [
    _ratio("HTTP/1.1", "http1", "floor", 1.15),
    _ratio("HTTP/1.1", "http1", "HAProxy", 1.0),
    _ratio("HTTP/1.1", "http1", "nginx", 1.0),
    _value("HTTP/1.1 user instructions", "instructions", 16_000, "", "without Python"),
    _ratio("HTTP/2 to HTTP/1.1, 32 streams", "http2-http1-32", "Envoy", 0.45),
    _ratio("HTTP/2 to HTTP/2, 32 streams", "http2-http2-32", "Envoy", 0.42),
    _ratio("HTTP/2 to HTTP/2, 1 stream", "http2-http2-1", "Envoy", 0.56),
    _ratio("sidecar pair, mutual TLS", "pair", "Envoy", 0.50),
    _ratio("full TLS 1.3 handshake, mutual", "handshakes", "Envoy", 0.75),
    _ratio("TCP in bulk", "tcp-bulk", "HAProxy", 0.80),
    _ratio("TCP ping-pong", "tcp-ping-pong", "floor", 1.05),
    _added(
        "10,000 routes against 10",
        "routes-meshcore",
        ("meshcore, 10,000", "meshcore, 10"),
        0.2,
        "us",
    ),
    _python("inline", 0.6),
    _python("cached", 0.15),
    _python("queued", 2.0),
    _value("idle memory, all processes", "idle", 32.0, "MiB"),
    _value("idle connection, plain", "idle-connection", 2.0, "KiB"),
    _value("idle connection, mutual TLS", "idle-connection-mtls", 14.0, "KiB"),
    _value("start to first response", "start", 300.0, "ms"),
    _added(
        "route swap, rise of p99.9, none lost",
        "swap",
        ("meshcore, swapping", "meshcore, still"),
        0.5,
        "ms",
    ),
]
