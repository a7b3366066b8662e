"""What a scenario is: proxies in rows, an origin, and what is measured of each row."""

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from benches.peers.processes import cpu_seconds, family, resident_bytes
from benches.peers.proxies import PROXIES, Proxy, Setting

Origin: TypeAlias = Literal["http", "http2", "echo", "count"]


@dataclass(frozen=True)
class Step:
    """One proxy on the way, and what it does."""

    proxy: Proxy
    does: Mapping[str, Any]
    """Fields of `Setting`."""


Row: TypeAlias = tuple[Step, ...]
"""Proxies from the origin to the client."""


def peers(*names: str, **does: object) -> dict[str, Row]:
    """Returns a row for each of these proxies, all of which do the same."""
    return {name: (Step(PROXIES[name], does),) for name in names}


def one(proxy: str, **does: object) -> Row:
    """Returns the row of one proxy."""
    return (Step(PROXIES[proxy], does),)


@dataclass(frozen=True)
class Running:
    """A row whose proxies run."""

    setting: Setting
    """That of the proxy that clients talk to."""
    processes: tuple[subprocess.Popen[bytes], ...]
    """All proxies; clients talk to the last."""
    began: float
    """When the first was started, of `time.monotonic`."""
    pace: dict[str, float] = field(default_factory=dict)
    """Units a second of the last round, for loads that count instead of looking at a clock."""

    def count(self, seconds: float, least: int) -> int:
        """Returns how many units will take about so long; `least` while nothing is known."""
        return max(least, round(self.pace.get("per_second", 0.0) * seconds))

    @property
    def port(self) -> int:
        """Where clients connect to."""
        return self.setting.port

    def cpu_seconds(self) -> float:
        """Processor time of all proxies, with their children."""
        return sum(cpu_seconds(process.pid) for process in self.processes)

    def resident_bytes(self) -> int:
        """Memory of all proxies, with their children."""
        pids = [pid for process in self.processes for pid in family(process.pid)]
        return sum(map(resident_bytes, pids))


@dataclass(frozen=True)
class Measured:
    """One round of one row."""

    value: float
    """In the scenario's unit; less is better."""
    notes: Mapping[str, float] = field(default_factory=dict)
    """Beside it, by name with the unit."""


Measure: TypeAlias = Callable[[Running, float], Measured]
"""Measures a round of about so many seconds, and checks every answer."""


@dataclass(frozen=True)
class Scenario:
    """Something that all rows do, in turns."""

    name: str
    title: str
    unit: str
    measure: Measure
    rows: Mapping[str, Row]
    against: str
    """The row that others are shown as a ratio of."""
    origin: Origin = "http"
    is_fresh: bool = False
    """Proxies are started anew for each round, one at a time."""
    is_pinned: bool = True
    rounds: int | None = None
    """At most so many, where a round is long."""
