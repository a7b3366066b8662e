"""Where the tour is shown: what a screen has to do, and the one for programs."""

import json
import select
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from meshcore.demo.load import Sight
from meshcore.demo.mesh import Mesh
from meshcore.demo.parts import Part
from meshcore.demo.tour import Step, Walked

# How often a screen that waits looks whether something has come.
LOOK_SECONDS = 0.25


class Screen(Protocol):
    """Where the tour is shown."""

    def starting(self, ready: Iterable[str], of: int) -> None:
        """Goes along with the start of the sidecars; `ready` yields each that is ready."""
        ...

    def started(self, mesh: Mesh, seconds: float) -> None:
        """Says that all runs, and where."""
        ...

    def step(self, step: Step, number: int, of: int) -> None:
        """Says which step begins."""
        ...

    def part(self, part: Part) -> None:
        """Shows a part of it."""
        ...

    def walked(self, walked: Walked) -> None:
        """Says how it went."""
        ...

    def wait(self, ask: str, sight: Callable[[], Sight], until: Callable[[], bool]) -> bool:
        """Shows how the load fares until a line is typed, or something comes; whether to go on."""
        ...

    def ended(self, walked: Sequence[Walked], sight: Sight, seconds: float) -> None:
        """Says how all went."""
        ...

    def staying(self, mesh: Mesh) -> None:
        """Says that the mesh goes on."""
        ...


class Programs:
    """The tour as JSON: a line for the start, one for each step, one for the end."""

    def starting(self, ready: Iterable[str], of: int) -> None:
        del of
        for _ in ready:
            pass

    def started(self, mesh: Mesh, seconds: float) -> None:
        commands = [str(command) for _, command in mesh.commands()]
        self._write(
            {"step": "start", "holds": True, "seconds": round(seconds, 2), "url": mesh.url,
             "directory": str(mesh.directory), "commands": commands}
        )  # fmt: skip

    def step(self, step: Step, number: int, of: int) -> None:
        del step, number, of

    def part(self, part: Part) -> None:
        del part

    def walked(self, walked: Walked) -> None:
        verdict = walked.verdict
        self._write(
            {"step": walked.step.name, "title": walked.step.title, "holds": verdict.holds,
             "seconds": round(walked.seconds, 2), "commands": walked.commands,
             "measured": verdict.measured, "said": verdict.said if verdict.holds else verdict.seen}
        )  # fmt: skip

    def wait(self, ask: str, sight: Callable[[], Sight], until: Callable[[], bool]) -> bool:
        del ask, sight
        while not until():
            select.select([], [], [], LOOK_SECONDS)
        return False

    def ended(self, walked: Sequence[Walked], sight: Sight, seconds: float) -> None:
        holds = all(one.verdict.holds for one in walked) and not sight.lost
        self._write(
            {"step": "end", "holds": holds, "seconds": round(seconds, 2), "pages": sight.pages,
             "lost": sight.lost}
        )  # fmt: skip

    def staying(self, mesh: Mesh) -> None:
        del mesh  # the start has said where

    def _write(self, value: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        sys.stdout.flush()
