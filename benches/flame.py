"""Where does the time of a request go? `python -m benches.flame [SCENARIO]` draws a flame graph.

The data plane without Python does what the scenario asks of meshcore, and perf looks at it 1,999
times a second, in the kernel too. A frame is as wide as the share of the samples that it is in.
Plain outbound scenarios only: `http1`, and those of HTTP/2. Needs perf: `make flame` installs it.
"""

import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.sax.saxutils import escape

from benches.peers import processes
from benches.peers.proxies import PROXIES, ROOT, Setting
from benches.peers.proxies.origin import fast
from benches.peers.scenarios import SCENARIOS
from benches.peers.start import started

SECONDS = 4.0
WIDTH, STEP, CHARACTER = 1200.0, 17, 6.6
# Narrower frames are left out, as nobody can read them.
LEAST = 1.0
_STYLE = """
  .back { fill: #ffffff } text { font: 11px ui-monospace, monospace; fill: #1f2328 }
  rect { stroke: #ffffff; stroke-width: 0.6; fill: #f6c68a }
  .kernel { fill: #c8ccd2 } .meshcore { fill: #8ec1ff } .tokio { fill: #b7e3c0 }
  @media (prefers-color-scheme: dark) {
    .back { fill: #0d1117 } text { fill: #f0f3f6 }
    rect { stroke: #0d1117; fill: #7a4b12 }
    .kernel { fill: #3d444d } .meshcore { fill: #1f4f8f } .tokio { fill: #1f5a31 }
  }
"""


def main() -> None:
    """Measures, draws, and prints what takes most by itself."""
    name = sys.argv[1] if len(sys.argv) > 1 else "http1"
    stacks = Counter(_sampled(name))
    out = ROOT / "benches/results" / f"flame-{name}.svg"
    out.parent.mkdir(exist_ok=True)
    out.write_text(draw(stacks))
    total, alone = stacks.total(), Counter[str]()
    for stack, count in stacks.items():
        alone[stack[-1]] += count
    for function, count in alone.most_common(25):
        print(f"{count / total:7.1%}  {function}")
    print(f"written to {out.relative_to(ROOT)}, of {total} samples")


def _sampled(name: str) -> Iterator[tuple[str, ...]]:
    """Yields the functions of each sample, the outermost first."""
    scenario = SCENARIOS[name]
    row = tuple(replace(s, proxy=PROXIES["without Python"]) for s in scenario.rows["meshcore"])
    with tempfile.TemporaryDirectory(prefix="meshcore-flame-") as scratch:
        directory, port = Path(scratch), processes.free_port()
        origin = fast(scenario.origin, directory, port)
        with (
            processes.running(origin, port, processor=processes.LOAD_PROCESSOR),
            started(row, Setting(directory, 0, port)) as running,
        ):
            scenario.measure(running, 0.5)  # warm
            perf = [
                "perf",
                "record",
                "-q",
                "-e",
                "cpu-clock",
                "-F",
                "1999",
                "-o",
                f"{scratch}/perf",
            ]
            pid = str(running.processes[-1].pid)
            command = [*perf, "--call-graph", "dwarf,32768", "-p", pid]
            with subprocess.Popen(command) as recording:
                scenario.measure(running, SECONDS)
                recording.terminate()
        script = ["perf", "script", "-i", f"{scratch}/perf", "--no-inline", "-F", "ip,sym"]
        said = subprocess.run(script, capture_output=True, check=True, text=True)
    for sample in said.stdout.split("\n\n"):
        lines = [line for line in sample.splitlines() if line.strip()]
        functions = [_short(line) for line in lines if "[unknown]" not in line]
        if functions:
            yield tuple(reversed(functions))


def _short(line: str) -> str:
    """Returns a function as people call it, of a line with its address."""
    address, _, function = line.strip().partition(" ")
    in_kernel = address.startswith("ffffffff")
    function = re.sub(r"::h[0-9a-f]{16}$|\+0x[0-9a-f]+$", "", function)
    return f"{function} (kernel)" if in_kernel else function


@dataclass
class Frame:
    """A function, called by those below it."""

    samples: int = 0
    above: dict[str, "Frame"] = field(default_factory=dict)


def draw(stacks: Counter[tuple[str, ...]]) -> str:
    """Returns the picture: callers below, what they call above."""
    root = Frame()
    for stack, count in stacks.items():
        frame = root
        frame.samples += count
        for function in stack:
            frame = frame.above.setdefault(function, Frame())
            frame.samples += count
    placed = list(_placed(root, 0.0, 0, WIDTH / max(root.samples, 1)))
    height = STEP * (1 + max((depth for _, _, depth, _ in placed), default=0)) + 8
    boxes = "".join(_box(place, height, root.samples) for place in placed)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {height}" role="img">\n'
        f"<title>Where the time goes</title>\n<style>{_STYLE}</style>\n"
        f'<rect class="back" width="100%" height="100%"/>\n{boxes}</svg>\n'
    )


def _placed(
    frame: Frame, left: float, depth: int, scale: float
) -> Iterable[tuple[str, float, int, int]]:
    for function, above in sorted(frame.above.items()):
        if above.samples * scale >= LEAST:
            yield function, left, depth, above.samples
            yield from _placed(above, left, depth + 1, scale)
        left += above.samples * scale


def _box(place: tuple[str, float, int, int], height: int, total: int) -> str:
    function, left, depth, samples = place
    width, top = samples / total * WIDTH, height - STEP * (depth + 1) - 4
    room = int((width - 6) / CHARACTER)
    shown = function if len(function) <= room else f"{function[: room - 1]}…"
    text = f'<text x="{left + 3:.1f}" y="{top + 12}">{escape(shown)}</text>' if room > 3 else ""
    told = f"<title>{escape(function)}: {samples / total:.1%}</title>"
    box = f'<rect class="{_kind(function)}" x="{left:.1f}" y="{top}" width="{width:.1f}"'
    return f'<g>{told}{box} height="{STEP}"/>{text}</g>\n'


def _kind(function: str) -> str:
    kinds: Sequence[str] = ("meshcore", "tokio")
    if function.endswith("(kernel)"):
        return "kernel"
    return next((kind for kind in kinds if kind in function), "")


if __name__ == "__main__":
    main()
