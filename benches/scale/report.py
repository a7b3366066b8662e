"""Results for people: `scale.md` and `scale.svg` beside `scale.json`."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benches.scale.run import Measured

_ABOUT = (
    "Written by `make bench-scale`; how it is measured stands in"
    " [benches/README.md](../README.md). Less is better everywhere."
)
_ROWS = (
    ("change of an endpoint, p50 ms", lambda one: _percentile(one["endpoint_ms"], 50)),
    ("change of an endpoint, p99 ms", lambda one: _percentile(one["endpoint_ms"], 99)),
    ("change of a route, p50 ms", lambda one: _percentile(one["route_ms"], 50)),
    ("change of a route, p99 ms", lambda one: _percentile(one["route_ms"], 99)),
    ("of it files, checks and compiling, mean ms", lambda one: one["python_ms"]),
    ("processor time of a change, all clients, ms", lambda one: one["cpu_ms"]),
    ("memory of the control plane, MiB", lambda one: one["idle_mib"]),
    ("more for each client, KiB", lambda one: one["client_kib"]),
    ("first start until it serves, s", lambda one: one["ready_seconds"]),
    ("start after a kill until it serves, s", lambda one: one["restart_seconds"]),
    ("start after a kill until all clients are current, s", lambda one: one["resync_seconds"]),
)
WIDTH, LEFT, TOP, BAR, STEP = 760, 190, 60, 14, 22
_STYLE = """
  .back { fill: #ffffff } text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600 } .unit, .value { fill: #59636e; font-size: 12px }
  .p50 { fill: #0969da } .p99 { fill: #afb8c1 }
  @media (prefers-color-scheme: dark) {
    .back { fill: #0d1117 } text { fill: #e6edf3 } .unit, .value { fill: #9198a1 }
    .p50 { fill: #4493f8 } .p99 { fill: #4d5560 }
  }
"""


def write(folder: Path) -> None:
    """Writes the table and the picture of what is in `scale.json`."""
    kept = json.loads((folder / "scale.json").read_text())
    measured: list[dict[str, Any]] = kept["measured"]
    parts = [
        "# Scale",
        _ABOUT,
        "![Times from a saved file to the slowest client, by size of the mesh](scale.svg)",
        "\n".join(
            f"- {name}: {kept['machine'][name]}"
            for name in ("processor", "system", "meshcore", "Python", "date")
        ),
        _table(measured),
    ]
    (folder / "scale.md").write_text("\n\n".join(parts) + "\n")
    (folder / "scale.svg").write_text(_picture(measured))


def line(one: "Measured") -> str:
    """Returns a line for a terminal."""
    fields = asdict(one)
    words = [f"{name} {_shown(value(fields))}" for name, value in _ROWS]
    return f"{one.services} services, {one.clients} clients: " + "; ".join(words)


def _table(measured: Sequence[dict[str, Any]]) -> str:
    heads = [f"{one['services']:,} services" for one in measured]
    rows = [
        f"| {name} | " + " | ".join(_shown(value(one)) for one in measured) + " |"
        for name, value in _ROWS
    ]
    clients, most = measured[-1]["clients"], measured[-1]["documents"]
    head = f"| {clients} clients, at most {most:,} documents | " + " | ".join(heads) + " |"
    return "\n".join([head, "|---|" + "--:|" * len(measured), *rows])


def _picture(measured: Sequence[dict[str, Any]]) -> str:
    bars = [
        (f"{one['services']:,} services, {what}", kind, _percentile(one[field], percent))
        for one in measured
        for what, field in (("endpoint", "endpoint_ms"), ("route", "route_ms"))
        for kind, percent in (("p99", 99), ("p50", 50))
    ]
    most = max(value for _, _, value in bars)
    scale = (WIDTH - LEFT - 90) / most
    drawn = []
    for number, (label, kind, value) in enumerate(bars):
        top = TOP + number // 2 * STEP
        width = f'width="{max(1.0, value * scale):.1f}" height="{BAR}" rx="2"'
        drawn.append(f'<rect class="{kind}" x="{LEFT}" y="{top}" {width}/>')
        if kind == "p99":
            drawn.append(f'<text x="{LEFT - 8}" y="{top + 12}" text-anchor="end">{label}</text>')
            end = LEFT + value * scale + 8
            drawn.append(f'<text class="value" x="{end:.1f}" y="{top + 12}">{value:,.0f}</text>')
    height = TOP + len(bars) // 2 * STEP + 16
    clients = measured[-1]["clients"]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' width="{WIDTH}" height="{height}" role="img">\n<title>Scale</title>\n'
        f'<style>{_STYLE}</style>\n<rect class="back" width="100%" height="100%"/>\n'
        f'<text class="title" x="16" y="24">From a saved file to the slowest of {clients}'
        ' clients</text>\n<text class="unit" x="16" y="42">milliseconds, p50 in p99</text>\n'
        + "\n".join(drawn)
        + "\n</svg>\n"
    )


def _percentile(values: Sequence[float], percent: int) -> float:
    if len(values) < 2:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
