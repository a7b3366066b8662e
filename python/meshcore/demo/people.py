"""The tour for people: on a terminal, or as text in a file."""

import os
import select
import sys
from collections.abc import Callable, Iterable, Sequence

from rich.console import Console, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from meshcore.demo.load import Sight
from meshcore.demo.mesh import Mesh
from meshcore.demo.parts import Changed, Part, Printed, Rows, Tally, Typed, Verdict
from meshcore.demo.screen import LOOK_SECONDS
from meshcore.demo.tour import Step, Walked

# Sentences are not wider; tables and commands may be.
_WIDEST = 100
_NARROWEST = 20
_BAR = 40
_INDENT = 2
# The workload whose command is shown.
_EXAMPLE = "tastings-v1"
_PICTURE = """\
browser ── door ── shop ─┬─ catalog
                         ├─ tastings v1
                         ├─ tastings v2 ─┬─ ratings
                         └─ tastings v3 ─┘
"""
_ASCII = str.maketrans("─┬├└┘█●○✓✗", "-+|++#*.+!")


class People:
    """The tour for people."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._live: Live | None = None

    def starting(self, ready: Iterable[str], of: int) -> None:
        names: list[str] = []
        with self._drawn() as live:
            live.update(self._progress(names, of))
            for name in ready:
                names.append(name)
                live.update(self._progress(names, of))

    def started(self, mesh: Mesh, seconds: float) -> None:
        commands = dict(mesh.commands())
        self._say(f"A tea shop on this machine: {len(commands)} sidecars in {seconds:.1f} s.",
                  "bold")  # fmt: skip
        self._console.print()
        self._block(self._text(_PICTURE.rstrip("\n")))
        self._say("Each program stands behind a sidecar, and is started with it:")
        self._block(self._command(str(commands[_EXAMPLE])))
        self._say("Open in a browser:")
        self._block(Text(mesh.url, "bold cyan"))
        self._say("All files are in a directory of their own, where every command can be tried:")
        self._block(Text(str(mesh.directory), "bold"))

    def step(self, step: Step, number: int, of: int) -> None:
        self._console.print()
        self._say(f"{number}/{of}  {step.title}", "bold")
        self._say(step.intro, "dim")
        self._console.print()

    def part(self, part: Part) -> None:
        match part:
            case Typed():
                self._block(self._command(part.command), indent=_INDENT, has_gap=False)
            case Printed():
                self._block(Text(part.text), is_table=part.is_table)
            case Changed():
                self._block(_changed(part))
            case Rows():
                self._console.print(_inset(_table(part), 2 * _INDENT))
                self._console.print()
            case Tally():
                self._tally(part)
            case Verdict():
                mark, style = ("✓", "green") if part.holds else ("✗ Not as it should be:", "red")
                self._say(f"{mark} {part.said if part.holds else part.seen}", style)

    def walked(self, walked: Walked) -> None:
        del walked  # the verdict was shown

    def wait(self, ask: str, sight: Callable[[], Sight], until: Callable[[], bool]) -> bool:
        self._console.print()
        with self._drawn() as live:
            while not until():
                live.update(_waiting(sight(), ask))
                if (line := _typed()) is not None:
                    return line != "" and line.strip().lower() not in {"q", "quit"}
        return False

    def ended(self, walked: Sequence[Walked], sight: Sight, seconds: float) -> None:
        failed = [one.step.name for one in walked if not one.verdict.holds]
        lost = f"{sight.lost} of them were lost" if sight.lost else "none was lost"
        self._console.print()
        self._say(
            f"{len(walked) - len(failed)} of {len(walked)} steps showed what they should, in "
            f"{seconds:.0f} s. Meanwhile a guest asked for {sight.pages} pages, and {lost}.",
            "bold red" if failed or sight.lost else "bold green",
        )
        if failed:
            self._say(f"Not as it should be: {', '.join(failed)}. What was seen is above.", "red")

    def staying(self, mesh: Mesh) -> None:
        self._console.print()
        self._say(f"The mesh goes on at {mesh.url} until Ctrl-C.")

    def _say(self, text: str, style: str = "") -> None:
        """Says a sentence; lines are broken between words."""
        width = min(self._console.width, _WIDEST) - _INDENT
        for line in self._text(text, style).wrap(self._console, max(width, _NARROWEST)):
            line.rstrip()
            self._console.print(_inset(line, _INDENT))

    def _block(
        self, text: Text, *, indent: int = 2 * _INDENT, is_table: bool = False, has_gap: bool = True
    ) -> None:
        """Shows lines as they are; on a terminal, those that are too long are cut or broken."""
        room = max(self._console.width - indent, _NARROWEST)
        for line in text.split("\n", allow_blank=True):
            if is_table and self._console.is_terminal:
                line.truncate(room, overflow="ellipsis")
            for part in line.wrap(self._console, room) if self._console.is_terminal else [line]:
                self._console.print(Text(" " * indent) + part, soft_wrap=True)
        if has_gap:
            self._console.print()

    def _command(self, command: str) -> Text:
        return Text.assemble(("$ ", "dim"), (command, "bold"))

    def _tally(self, part: Tally) -> None:
        """Draws bars that grow in their place."""
        if self._live is None:
            self._live = Live(console=self._console, refresh_per_second=10)
            self._live.start()
        self._live.update(_inset(self._bars(part), 2 * _INDENT))
        if part.is_last:
            self._live.stop()
            self._live = None
            self._console.print()

    def _bars(self, part: Tally) -> Table:
        bars, total = Table.grid(padding=(0, 2)), sum(part.counts.values()) or 1
        for name, count in part.counts.items():
            share = count / total
            bar = self._text("█" * round(share * _BAR), "cyan")
            bars.add_row(name, Text(str(count), justify="right"), f"{share:4.0%}", bar)
        return bars

    def _progress(self, names: Sequence[str], of: int) -> RenderableType:
        ready, left = self._text("●" * len(names), "green"), self._text("○" * (of - len(names)))
        said = f"  {names[-1]} is ready" if names else "  starting"
        return _inset(ready + left + Text(said, "dim"), _INDENT)

    def _drawn(self) -> Live:
        """Returns a place for a line that is drawn again and again, and gone at the end."""
        return Live(console=self._console, transient=True, refresh_per_second=10)

    def _text(self, text: str, style: str = "") -> Text:
        is_plain = self._console.options.ascii_only
        return Text(text.translate(_ASCII) if is_plain else text, style)


def _changed(part: Changed) -> Text:
    styles = {"-": "red", "+": "green"}
    return Text("\n").join(Text(line, styles.get(line[:1], "dim")) for line in part.lines)


def _table(part: Rows) -> Table:
    rows = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="")
    for name in part.head:
        rows.add_column(name.upper())
    for row in part.rows:
        rows.add_row(*(Text(cell) for cell in row))
    return rows


def _waiting(sight: Sight, ask: str) -> RenderableType:
    shares = "".join(f"  {version} {count}" for version, count in sight.versions.items())
    load = (
        f"{sight.pages} pages  {sight.rate:.1f}/s  {sight.lost} lost  "
        f"{sight.median_ms:.0f} ms{shares}   "
    )
    return _inset(Text.assemble((load, "dim"), (ask, "bold")), _INDENT)


def _inset(shown: RenderableType, indent: int) -> Padding:
    return Padding(shown, (0, 0, 0, indent), expand=False)


def _typed() -> str | None:
    """Returns the line that was typed, empty at the end of the input; `None` if none was."""
    if not sys.stdin.isatty():
        select.select([], [], [], LOOK_SECONDS)
        return None
    readable, _, _ = select.select([sys.stdin], [], [], LOOK_SECONDS)
    return os.read(sys.stdin.fileno(), 1024).decode(errors="replace") if readable else None
