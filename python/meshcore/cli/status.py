"""`meshcore status`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from meshcore.cli import plane_status
from meshcore.cli.admin import Answer, ask, ask_all
from meshcore.cli.exits import Exit
from meshcore.cli.output import Output, OutputOption, table, write
from meshcore.cli.times import shown_time
from meshcore.cli.where import MeshOption, StateOption, mesh_of, state_of
from meshcore.units import format_ms

_HEAD = ("sidecar", "namespace", "state", "revision", "refused", "certificate", "admin")


def status(
    admin: Annotated[
        list[str] | None,
        typer.Option(
            envvar="MESHCORE_ADMIN", metavar="HOST:PORT",
            help="Admin port of one sidecar; may be repeated.",
            show_default="all sidecars of the mesh on this machine",
        ),
    ] = None,
    control: Annotated[
        str | None,
        typer.Option(
            envvar="MESHCORE_STATUS_CONTROL", metavar="HOST:15014",
            help="Control plane, which knows all its sidecars.",
            show_default="that of the mesh, if it runs on this machine",
        ),
    ] = None,
    mesh: MeshOption = None,
    state: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:  # fmt: skip
    """Show the sidecars of a mesh: what is in force, what was refused and why, certificates.

    With a control plane: what each sidecar has of what holds, whether it can be called, and what
    it refused.

    Exit status: 0 all are ready, 3 one is not, 4 there is none.
    """
    if admin:
        answers = ask(admin)
    elif control:
        plane_status.show(control, output)
        return
    else:
        where = mesh_of(mesh)
        if (control := plane_status.of_this_host(where, state)) is not None:
            plane_status.show(control, output)
            return
        answers = ask_all(where, state_of(where, state))
    if output is Output.TABLE:
        _show(answers)
    else:
        write([_plain(answer) for answer in answers], output)
    if not answers:
        raise typer.Exit(Exit.NOT_FOUND)
    if any(_state(answer) != "ready" for answer in answers):
        raise typer.Exit(Exit.NOT_READY)


def _show(answers: Sequence[Answer]) -> None:
    if not answers:
        typer.echo("no sidecar runs here: start one with meshcore run", err=True)
        return
    typer.echo(table(_HEAD, [_row(answer) for answer in answers]))
    for answer in answers:
        if answer.status is None:
            typer.echo(f"\n{answer.admin} does not answer: {answer.why}")
        for refusal in (answer.status or {}).get("refusals", ()):
            when = shown_time(refusal["at"])
            who = _node(answer).get("name", answer.admin)
            typer.echo(f"\n{who} refused revision {refusal['revision']} at {when}:")
            typer.echo(refusal["why"])
        _show_gateway(answer)


def _show_gateway(answer: Answer) -> None:
    """Shows what a gateway does not serve, and why."""
    gateway = (answer.status or {}).get("gateway") or {}
    who = _node(answer).get("name", answer.admin)
    for row in gateway.get("tls", ()):
        if row["error"]:
            typer.echo(f"\n{who} refuses handshakes of {row['server']}:\n{row['error']}")
        elif row["stale"]:
            typer.echo(f"\n{who} keeps the certificate of {row['server']}:\n{row['stale']}")
    for row in gateway.get("left_out", ()):
        typer.echo(f"\n{who} leaves {row['server']} out:\n{row['why']}")


def _row(answer: Answer) -> tuple[str, ...]:
    status, node = answer.status or {}, _node(answer)
    return (
        node.get("name", "?"),
        node.get("namespace", "?"),
        _state(answer),
        str(status.get("revision", "?")),
        str(len(status.get("refusals", ()))),
        _certificate(status.get("certificate")),
        answer.admin,
    )


def _plain(answer: Answer) -> dict[str, Any]:
    status, node = answer.status or {}, _node(answer)
    certificate = status.get("certificate") or {}
    return {
        "name": node.get("name"),
        "namespace": node.get("namespace"),
        "state": _state(answer),
        "revision": status.get("revision"),
        "refusals": [
            {**refusal, "at": shown_time(refusal["at"])} for refusal in status.get("refusals", ())
        ],
        "certificate": {
            "identity": certificate.get("identity"),
            "not_after": shown_time(certificate["not_after"]),
        }
        if certificate
        else None,
        "services": status.get("services"),
        "gateway": status.get("gateway"),
        "version": status.get("version"),
        "uptime_seconds": status.get("uptime_seconds"),
        "admin": answer.admin,
        "why": answer.why,
    }


def _node(answer: Answer) -> dict[str, Any]:
    node: dict[str, Any] = (answer.status or {}).get("node", {})
    return node


def _state(answer: Answer) -> str:
    return str(answer.status["state"]) if answer.status else "no answer"


def _certificate(certificate: dict[str, Any] | None) -> str:
    if not certificate:
        return "none"
    left = int(certificate["not_after"] - datetime.now(tz=UTC).timestamp())
    if left <= 0:
        return "ended"
    return "ends in " + format_ms(_rounded(left) * 1000)


def _rounded(seconds: int) -> int:
    """Returns whole minutes where seconds are of no interest."""
    return seconds if seconds < 600 else seconds // 60 * 60  # noqa: PLR2004 - ten minutes
