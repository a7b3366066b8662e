"""`meshcore graph`."""

import http.client
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from meshcore.cli.admin import WITHIN_SECONDS
from meshcore.cli.exits import Exit
from meshcore.cli.output import Output, OutputOption, table, write
from meshcore.cli.where import MeshOption, StateOption, mesh_of, state_of
from meshcore.control.running import running
from meshcore.errors import InvalidUnit
from meshcore.telemetry.calls import Calls, Counted, Edge, counted
from meshcore.units import duration_ms

_HEAD = ("source", "destination", "rate", "errors", "p50", "p99", "mTLS identity")
# Sidecars that are asked at the same time.
_AT_ONCE = 16


def _period(text: str) -> str:
    try:
        period_ms = duration_ms(text)
    except InvalidUnit as error:
        raise typer.BadParameter(str(error)) from error
    if not period_ms:
        raise typer.BadParameter("a rate needs a time, such as 2s")
    return text


def graph(
    over: Annotated[
        str,
        typer.Option(
            envvar="MESHCORE_OVER", callback=_period, metavar="DURATION",
            help="How long is counted.",
        ),
    ] = "2s",
    mesh: MeshOption = None,
    state: StateOption = None,
    output: OutputOption = Output.TABLE,
) -> None:  # fmt: skip
    """Show who calls whom in a mesh: rate, errors, latency, proved identity, what was denied.

    It asks the metrics of the mesh's sidecars on this machine twice, and shows what came in
    between. A call is taken from the side of who is called, if that has a sidecar here.

    Exit status: 0 done, 3 a sidecar does not answer, 4 there is none.
    """
    where = mesh_of(mesh)
    found = list(running(str(state_of(where, state)), str(where)))
    ports = [port for one in found if (port := one.addresses.get("metrics"))]
    if not ports:
        typer.echo("no sidecar runs here: start one with meshcore run", err=True)
        raise typer.Exit(Exit.NOT_FOUND)
    began, before = time.monotonic(), _scraped(ports)
    time.sleep(duration_ms(over) / 1000)
    seconds, now = time.monotonic() - began, _scraped(ports)
    try:
        since = counted(now.texts).since(counted(before.texts))
    except ValueError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(Exit.FAILED) from error
    if output is Output.TABLE:
        _show(since, seconds)
    else:
        write(_plain(since, seconds), output)
    if now.silent:
        typer.echo("\n".join(["", *now.silent]), err=True)
        raise typer.Exit(Exit.NOT_READY)


@dataclass(frozen=True, slots=True)
class _Scraped:
    """What metrics ports said."""

    texts: dict[str, str]
    """By the port."""
    silent: list[str]
    """Those that did not answer, and why."""


def _scraped(ports: Sequence[str]) -> _Scraped:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = dict(zip(ports, pool.map(_scrape, ports), strict=True))
    texts = {port: answer for port, answer in answers.items() if isinstance(answer, str)}
    silent = [
        f"{port} does not answer: {str(getattr(answer, 'strerror', '') or answer).lower()}"
        for port, answer in answers.items()
        if not isinstance(answer, str)
    ]
    return _Scraped(texts, silent)


def _scrape(port: str) -> str | Exception:
    try:
        with closing(http.client.HTTPConnection(port, timeout=WITHIN_SECONDS)) as connection:
            connection.request("GET", "/stats/prometheus")
            return connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException, UnicodeDecodeError) as error:
        return error


def _show(since: Counted, seconds: float) -> None:
    called = _called(since)
    if called:
        domains = {_domain(calls.identity) for _, calls in called if calls.identity}
        rows = [_row(edge, calls, seconds) for edge, calls in called]
        for row, (_, calls) in zip(rows, called, strict=True):
            row.append(_identity(calls, is_short=len(domains) == 1))
        typer.echo(table(_HEAD, rows))
    else:
        typer.echo(f"nobody called anybody in {seconds:.1f} s")
    for policy, count in _denied(since):
        typer.echo(f"\ndenied {count:.0f}: {policy}")


def _row(edge: Edge, calls: Calls, seconds: float) -> list[str]:
    errors = calls.errors / calls.requests
    return [
        edge.source,
        edge.destination,
        f"{calls.requests / seconds:.1f}/s",
        f"{errors:.0%}" if errors else "-",
        _milliseconds(calls.within_ms(0.5)),
        _milliseconds(calls.within_ms(0.99)),
    ]


def _milliseconds(found: float | None) -> str:
    if found is None:
        return "-"
    return f"{found:.1f}ms" if found < 10 else f"{found:.0f}ms"  # noqa: PLR2004 - two digits


def _identity(calls: Calls, *, is_short: bool) -> str:
    """Returns what the caller has proved; without the trust domain where there is only one."""
    if calls.identity:
        return calls.identity.split("/", 3)[-1] if is_short else calls.identity
    return "none: not encrypted" if calls.is_proved else "not known here"


def _domain(identity: str) -> str:
    return identity.removeprefix("spiffe://").partition("/")[0]


def _plain(since: Counted, seconds: float) -> dict[str, Any]:
    return {
        "seconds": round(seconds, 3),
        "calls": [
            {
                "source": edge.source,
                "destination": edge.destination,
                "requests": int(calls.requests),
                "errors": int(calls.errors),
                "p50_ms": calls.within_ms(0.5),
                "p99_ms": calls.within_ms(0.99),
                "identity": calls.identity,
            }
            for edge, calls in _called(since)
        ],
        "denied": [{"policy": policy, "requests": int(count)} for policy, count in _denied(since)],
    }


def _called(since: Counted) -> list[tuple[Edge, Calls]]:
    return [(edge, calls) for edge, calls in since.calls.items() if calls.requests]


def _denied(since: Counted) -> Iterator[tuple[str, float]]:
    """Yields what denied, over all sidecars."""
    policies = dict.fromkeys(policy for _, policy in since.denied)
    for policy in policies:
        yield policy, sum(count for (_, by), count in since.denied.items() if by == policy)
