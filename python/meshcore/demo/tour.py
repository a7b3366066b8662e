"""The tour: runs steps in a mesh, and looks whether each shows what it should."""

import difflib
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from meshcore.demo.load import Guest, Page
from meshcore.demo.mesh import Mesh
from meshcore.demo.parts import Changed, Part, Printed, Typed, Verdict
from meshcore.demo.processes import Command, Processes, Ran

# How long a change may take until it shows, on a loaded machine.
WITHIN_SECONDS = 30.0
_LOOK_SECONDS = 0.03


@dataclass(frozen=True, slots=True)
class Ground:
    """What a step stands on."""

    mesh: Mesh
    processes: Processes

    def run(self, line: str, *, is_table: bool = False) -> Generator[Part, None, Ran]:
        """Runs a command, and shows it and what it prints."""
        command = Command.of(line)
        yield Typed(line)
        ran = self.processes.run(command)
        yield Printed(ran.output.rstrip(), is_table)
        return ran

    def edit(self, line: str, file: str) -> Generator[Part, None, None]:
        """Runs a command that changes a file, and shows what has changed."""
        path = self.mesh.directory / file
        before = path.read_text()
        yield Typed(line)
        ran = self.processes.run(Command.of(line))
        yield Changed(file, tuple(_changes(before, path)))
        if ran.output:
            yield Printed(ran.output)

    def until(self, path: str, wanted: Callable[[Page], bool]) -> tuple[Page, float]:
        """Asks for a page until it is as wanted, or time is up.

        Returns the last page, and how many seconds it took.
        """
        guest, began = Guest(self.mesh.url), time.monotonic()
        while True:
            page, seconds = guest.page(path), time.monotonic() - began
            if wanted(page) or seconds > WITHIN_SECONDS:
                guest.close()
                return page, seconds
            time.sleep(_LOOK_SECONDS)


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the tour."""

    name: str
    title: str
    intro: str
    walk: Callable[[Ground], Iterator[Part]]


@dataclass(frozen=True, slots=True)
class Walked:
    """A step that was walked, and how it went."""

    step: Step
    commands: tuple[str, ...]
    verdict: Verdict
    seconds: float


def walk(step: Step, ground: Ground, show: Callable[[Part], None]) -> Walked:
    """Walks a step, and shows each part as it happens."""
    began = time.monotonic()
    commands: list[str] = []
    verdict = Verdict(holds=False, said="", seen="the step ended early")
    for part in step.walk(ground):
        if isinstance(part, Typed):
            commands.append(part.command)
        if isinstance(part, Verdict):
            verdict = part
        show(part)
    return Walked(step, tuple(commands), verdict, time.monotonic() - began)


def _changes(before: str, path: Path) -> Iterator[str]:
    lines = difflib.unified_diff(
        before.splitlines(), path.read_text().splitlines(), lineterm="", n=1
    )
    yield from (line for line in lines if not line.startswith(("---", "+++", "@@")))
