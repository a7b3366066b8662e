"""The demo from its start to its end."""

import signal
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from meshcore.demo.addresses import taken
from meshcore.demo.directory import directory
from meshcore.demo.load import Guest, Load, loaded
from meshcore.demo.mesh import Mesh
from meshcore.demo.processes import READY_WITHIN_SECONDS, Processes
from meshcore.demo.screen import Screen
from meshcore.demo.tour import Ground, Step, Walked, walk
from meshcore.errors import StartFailed

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# In a row, so that each of the programs was asked.
_WHOLE_PAGES = 10


class Told(Exception):
    """The demo was told to end."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be shown."""

    steps: Sequence[Step]
    pauses: bool
    """Whether it waits for Enter before each step."""
    stays: bool
    """Whether the mesh goes on after the last step, until it is told to end."""
    port: int | None = None
    """Port of the door; a free one if it is not said."""


def show(plan: Plan, screen: Screen) -> bool:
    """Shows the demo; whether each step showed what it should.

    Raises:
        StartFailed: The mesh cannot be started.
        Told: It was interrupted before the last step.
    """
    began = time.monotonic()
    with _told_by_signals(), taken(plan.port) as addresses, directory(addresses) as made:
        mesh = Mesh(made, addresses)
        processes = Processes(made)
        try:
            screen.starting(mesh.start(processes), len(list(mesh.commands())))
            _wait_whole(mesh)
            screen.started(mesh, time.monotonic() - began)
            with loaded(mesh.url) as load:
                return _tour(plan, screen, Ground(mesh, processes), load, began)
        finally:
            _ignore_signals()
            processes.end()


def _tour(plan: Plan, screen: Screen, ground: Ground, load: Load, began: float) -> bool:
    def has_fallen() -> bool:
        return ground.processes.ended() is not None

    walked = list(
        _walked(plan, screen, ground, lambda ask: screen.wait(ask, load.sight, has_fallen))
    )
    holds = all(one.verdict.holds for one in walked) and not load.sight().lost
    is_staying = plan.stays and len(walked) == len(plan.steps)
    try:
        if walked:
            screen.ended(walked, load.sight(), time.monotonic() - began)
        if is_staying:
            screen.staying(ground.mesh)
            while screen.wait("q: end", load.sight, has_fallen):
                pass  # Enter was pressed
    except Told:
        if not is_staying:  # else that is how it ends, from the last step on
            raise
    if (fallen := ground.processes.ended()) is not None:
        raise StartFailed(f"{fallen} has ended:\n{ground.processes.last_of(fallen)}")
    return holds


def _walked(
    plan: Plan, screen: Screen, ground: Ground, goes_on: Callable[[str], bool]
) -> Generator[Walked]:
    """Walks through the steps until somebody has seen enough."""
    for number, step in enumerate(plan.steps, 1):
        if plan.pauses and not goes_on("Enter: next   q: end"):
            return
        screen.step(step, number, len(plan.steps))
        walked = walk(step, ground, screen.part)
        screen.walked(walked)
        yield walked


def _wait_whole(mesh: Mesh) -> None:
    """Waits until all programs behind the sidecars answer."""
    guest, whole = Guest(mesh.url), 0
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while whole < _WHOLE_PAGES:
        page = guest.page()
        whole = whole + 1 if page.is_whole and mesh.has_programs() else 0
        if time.monotonic() > deadline:
            raise StartFailed(f"no page at {mesh.url}: {page.status} {page.why} {page.content}")
        if not whole:
            time.sleep(0.05)
    guest.close()


@contextmanager
def _told_by_signals() -> Generator[None]:
    """Makes the signals that end programs raise `Told`, once: the end is in order."""

    def tell(number: int, frame: FrameType | None) -> None:
        del frame
        _ignore_signals()
        raise Told(signal.Signals(number).name)

    before = {number: signal.signal(number, tell) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_signals() -> None:
    """From now on it ends, which takes as long as the slowest process is given."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
