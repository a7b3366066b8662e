"""`meshcore demo`."""
# ruff: noqa: FBT002 - a flag of the command line is false by default

import sys
from typing import Annotated

import typer

from meshcore.cli.exits import Exit
from meshcore.demo.people import People
from meshcore.demo.screen import Programs
from meshcore.demo.show import Plan, Told, show
from meshcore.demo.steps import STEPS
from meshcore.demo.tour import Step
from meshcore.errors import StartFailed

_MAX_PORT = 65535
_NAMES = ", ".join(step.name for step in STEPS)


def demo(
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            envvar="MESHCORE_DEMO_CHECK",
            help="Do not wait for Enter; fail if a step does not show what it should.",
        ),
    ] = False,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep", envvar="MESHCORE_DEMO_KEEP", help="Leave it running after the tour."
        ),
    ] = False,
    step: Annotated[
        list[str] | None,
        typer.Option(
            envvar="MESHCORE_DEMO_STEP", metavar="NAME", show_default="all",
            help=f"Only this step, may be repeated: {_NAMES}.",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            envvar="MESHCORE_DEMO_PORT", min=1, max=_MAX_PORT, metavar="PORT",
            help="Port for the browser.", show_default="a free one from 8080 on",
        ),
    ] = None,
    json: Annotated[
        bool,
        typer.Option(
            "--json", envvar="MESHCORE_DEMO_JSON",
            help="Print one JSON object for each step, and do not wait for Enter.",
        ),
    ] = False,
) -> None:  # fmt: skip
    """Show a whole mesh on this machine: seven sidecars, a shop behind them, and a tour.

    It needs no root, writes below a directory of its own, listens on loopback addresses alone,
    and all of it ends with this command.

    Exit status: 0 done, 1 it could not start or a step did not show what it should, 130
    interrupted.
    """
    steps = _chosen(step)
    is_attended = sys.stdin.isatty() and sys.stdout.isatty()
    plan = Plan(steps, is_attended and not check and not json, keep, port)
    try:
        holds = show(plan, Programs() if json else People())
    except StartFailed as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(Exit.FAILED) from error
    except Told as error:
        raise typer.Exit(Exit.INTERRUPTED) from error
    if not holds:
        raise typer.Exit(Exit.FAILED)


def _chosen(names: list[str] | None) -> tuple[Step, ...]:
    for name in names or ():
        if name not in {step.name for step in STEPS}:
            raise typer.BadParameter(f"{name!r} is none of {_NAMES}", param_hint="--step")
    return tuple(step for step in STEPS if not names or step.name in names)
