"""`meshcore cert rotate-root`: another root for the mesh, without a failed handshake."""

from pathlib import Path
from typing import Annotated

import typer

from meshcore.cli.app import PLAIN
from meshcore.cli.explained import explained
from meshcore.cli.output import Output, OutputOption, table, write
from meshcore.cli.times import duration_seconds, shown_time
from meshcore.cli.where import ControlStateOption, control_state_of
from meshcore.native_identity import ControlState

rotation = typer.Typer(
    no_args_is_help=True,
    help="Replace the root of a mesh: the new one is trusted, then signs, then the old one goes.",
    **PLAIN,
)


@rotation.command()
@explained
def begin(
    overlap: Annotated[
        str,
        typer.Option(
            envvar="MESHCORE_OVERLAP",
            help="How long the new root is trusted before it signs: as long as a sidecar may be "
            "without its control plane.",
        ),
    ] = "10m",
    cacerts: Annotated[
        Path | None,
        typer.Option(
            envvar="MESHCORE_CACERTS",
            exists=True,
            file_okay=False,
            help="Directory of an authority to use, with Istio's four files.",
            show_default="a new root",
        ),
    ] = None,
    state: ControlStateOption = None,
) -> None:
    """Trust a new root everywhere. It signs when the overlap has passed."""
    opened = _open(state)
    seconds = duration_seconds("--overlap", overlap)
    opened.begin_rotation(seconds, str(cacerts.absolute()) if cacerts else None)
    typer.echo(_told(opened))


@rotation.command()
@explained
def status(state: ControlStateOption = None, output: OutputOption = Output.TABLE) -> None:
    """Show where a rotation stands."""
    opened = _open(state)
    found = opened.rotation()
    if output is not Output.TABLE:
        write(found, output)
        return
    rows = [
        [one["name"], one["part"], one["root"], shown_time(one["not_after"])]
        for one in found["authorities"]
    ]
    typer.echo(table(("authority", "part", "root", "until"), rows))
    typer.echo(_told(opened))


@rotation.command()
@explained
def finish(
    state: ControlStateOption = None,
    now: Annotated[  # noqa: FBT002 - an option
        bool,
        typer.Option("--now", help="Cut off who still has a certificate of the old root."),
    ] = False,
) -> None:
    """Trust the old root no more. It goes by itself when its last certificate has ended."""
    _open(state).finish_rotation(now=now)
    typer.echo("the old root is trusted no more")


def _open(state: Path | None) -> ControlState:
    return ControlState(control_state_of(state))


def _told(opened: ControlState) -> str:
    found = opened.rotation()
    until = shown_time(found["until"]) if found["until"] else ""
    return {
        "stable": "no rotation is going on",
        "adding": f"both roots are trusted; the new one signs from {until} on",
        "retiring": f"the new root signs; the last certificate of the old one ends by {until}",
    }[str(found["phase"])]
