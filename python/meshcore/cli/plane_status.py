"""What a control plane says of its sidecars."""

import http.client
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import typer

from meshcore.cli.exits import Exit
from meshcore.cli.output import Output, table, write
from meshcore.cli.times import shown_time
from meshcore.cli.where import plane_state_of
from meshcore.control.running import CONTROL_PLANE, running
from meshcore.units import format_ms

# How long an answer may take: it may have to describe thousands of sidecars.
WITHIN_SECONDS = 10.0
_HEAD = ("sidecar", "namespace", "address", "revision", "health", "contact", "refused")


@dataclass(frozen=True, slots=True)
class Sidecar:
    """One sidecar, as its control plane sees it."""

    name: str
    namespace: str
    address: str
    revision: int | None
    """What it has acknowledged; `None` if it is not connected."""
    behind: int
    """Revisions that it has not acknowledged yet."""
    health: str
    """`healthy`, `unhealthy`, `gone`, or `-` if it did not register."""
    connected_ms: int | None
    """How long it has been connected, or `None`."""
    gone_ms: int | None
    """How long it has not been, or `None`."""
    refused: tuple[Mapping[str, Any], ...]

    @property
    def is_well(self) -> bool:
        """Whether it has all that holds, refuses nothing and can be called."""
        return self.behind == 0 and not self.refused and self.health in {"healthy", "-"}


def of_this_host(mesh: Path, state: Path | None) -> str | None:
    """Returns where the control plane of a mesh that runs here shows its pages, if one does."""
    for one in running(str(plane_state_of(mesh, state)), str(mesh)):
        if one.name == CONTROL_PLANE:
            return one.addresses.get("monitoring")
    return None


def show(control: str, output: Output) -> None:
    """Writes what the control plane at `control` says; exits with the status of `meshcore status`.

    Raises:
        typer.Exit: It does not answer (3), knows no sidecar (4), or one is not well (3).
    """
    said = _ask(control)
    own = said["control_plane"]
    try:
        sidecars = sorted(_sidecars(said), key=lambda one: (one.namespace, one.name, one.address))
    except (KeyError, TypeError, ValueError, AttributeError):
        _end(f"{control} says what this version does not understand: it may be of another version")
    if output is Output.TABLE:
        _show(own, sidecars)
    else:
        write({"control_plane": own, "sidecars": [_plain(one) for one in sidecars]}, output)
    if not sidecars:
        raise typer.Exit(Exit.NOT_FOUND)
    if own.get("refused") or not all(one.is_well for one in sidecars):
        raise typer.Exit(Exit.NOT_READY)


def _ask(control: str) -> Mapping[str, Any]:
    try:
        with closing(http.client.HTTPConnection(control, timeout=WITHIN_SECONDS)) as connection:
            connection.request("GET", "/debug/syncz")
            response = connection.getresponse()
            body = response.read()
        if response.status == http.client.FORBIDDEN:
            _end(f"{control} tells this only to its own host: run this there, or start it with"
                 " --expose-debug")  # fmt: skip
        said = json.loads(body)
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        _end(f"{control} does not answer: {why.lower()}")
    if not isinstance(said, dict) or not isinstance(said.get("control_plane"), dict):
        _end(f"what listens at {control} is no control plane: its port is 15014 if nothing is said")
    return said


def _end(why: str) -> NoReturn:
    typer.echo(f"error: {why}", err=True)
    raise typer.Exit(Exit.NOT_READY)


def _sidecars(said: Mapping[str, Any]) -> Iterator[Sidecar]:
    """Yields the sidecars that are connected, and the workloads whose sidecar is gone."""
    registered = {(*_key(one), one["address"]): one for one in said.get("workloads", ())}
    revision = int(said.get("revision") or 0)
    for client in said.get("clients", ()):
        workload = _first(registered.pop((*_key(client), it), None) for it in client["addresses"])
        acknowledged = int(client["acknowledged_revision"])
        yield Sidecar(
            name=client["workload"] or client["id"],
            namespace=client["namespace"],
            address=workload["address"] if workload else ", ".join(client["addresses"]),
            revision=acknowledged,
            behind=0 if client["is_current"] else max(1, revision - acknowledged),
            health=_health(workload),
            connected_ms=int(client["connected_ms"]),
            gone_ms=None,
            refused=tuple(client["refused"]),
        )
    for workload in registered.values():
        yield Sidecar(
            name=workload["workload"],
            namespace=workload["namespace"],
            address=workload["address"],
            revision=None,
            behind=0,
            health="gone",
            connected_ms=None,
            gone_ms=int(workload["gone_ms"] or 0),
            refused=(),
        )


def _first(found: Iterable[Mapping[str, Any] | None]) -> Mapping[str, Any] | None:
    return next((one for one in found if one is not None), None)


def _key(one: Mapping[str, Any]) -> tuple[str, str]:
    return str(one["namespace"]), str(one["workload"])


def _health(workload: Mapping[str, Any] | None) -> str:
    if workload is None:
        return "-"
    return "healthy" if workload["is_healthy"] else "unhealthy"


def _age(milliseconds: int) -> str:
    seconds = milliseconds // 1000
    return format_ms((seconds if seconds < 600 else seconds // 60 * 60) * 1000)  # noqa: PLR2004 - ten minutes


def _show(own: Mapping[str, Any], sidecars: list[Sidecar]) -> None:
    typer.echo(f"control plane {own['version']}: {own['mesh']}, revision {own['revision']}")
    refusal = own.get("refused")
    if refusal:
        when = shown_time(refusal["at"])
        typer.echo(f"\nrevision {refusal['revision']} of the documents was refused at {when}:")
        typer.echo(refusal["why"] + "\n")
    if not sidecars:
        typer.echo("no sidecar is connected: start one with meshcore run --control", err=True)
        return
    typer.echo(table(_HEAD, [_row(one) for one in sidecars]))
    for one in sidecars:
        for refused in one.refused:
            typer.echo(f"\n{one.name} in {one.namespace} refused {refused['name']}:")
            typer.echo(str(refused["reason"]))


def _row(one: Sidecar) -> tuple[str, ...]:
    revision = "?" if one.revision is None else str(one.revision)
    return (
        one.name,
        one.namespace,
        one.address,
        f"{revision} ({one.behind} behind)" if one.behind else revision,
        one.health,
        f"connected {_age(one.connected_ms)}"
        if one.connected_ms is not None
        else f"gone {_age(one.gone_ms or 0)}",
        str(len(one.refused)),
    )


def _plain(one: Sidecar) -> dict[str, Any]:
    return {
        "name": one.name,
        "namespace": one.namespace,
        "address": one.address,
        "revision": one.revision,
        "behind": one.behind,
        "health": one.health,
        "connected_ms": one.connected_ms,
        "gone_ms": one.gone_ms,
        "refused": list(one.refused),
    }
