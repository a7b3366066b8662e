"""The options of `meshcore run` that say which control plane the sidecar belongs to."""

from pathlib import Path
from typing import Annotated

import typer

from meshcore.cli.times import duration_option
from meshcore.control.settings import Joining
from meshcore.units import duration_ms

_MAX_PORT = 65535

Control = Annotated[
    str | None,
    typer.Option(
        envvar="MESHCORE_CONTROL",
        metavar="HOST:PORT",
        help="Control plane that says what the mesh is, in place of documents;"
        " http://HOST:PORT calls it in plain text, on this host.",
    ),
]
Token = Annotated[
    Path | None,
    typer.Option(
        envvar="MESHCORE_TOKEN",
        exists=True,
        dir_okay=False,
        help="File of the token that the control plane knows the sidecar by.",
    ),
]
Group = Annotated[
    str | None,
    typer.Option(envvar="MESHCORE_GROUP", help="WorkloadGroup that the workload registers with."),
]
DiscoveryWait = Annotated[
    str,
    typer.Option(
        envvar="MESHCORE_DISCOVERY_WAIT",
        callback=duration_option,
        metavar="DURATION",
        help="How long the first request to a host waits for the control plane.",
    ),
]
DiscoveryUnused = Annotated[
    str,
    typer.Option(
        envvar="MESHCORE_DISCOVERY_UNUSED",
        callback=duration_option,
        metavar="DURATION",
        help="After how long without calls a host is dropped.",
    ),
]


def joining_of(
    control: str | None, token: Path | None, group: str | None, wait: str, unused: str
) -> Joining | None:
    """Returns the control plane that the options name, if they name one.

    Raises:
        BadParameter: One of them cannot be used, or not without the other.
    """
    if control is None:
        if token or group:
            hint = "--token" if token else "--group"
            raise typer.BadParameter("is for a control plane: say --control", param_hint=hint)
        return None
    is_plain, address = control.startswith("http://"), control.removeprefix("http://")
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= _MAX_PORT:
        raise typer.BadParameter(f"{control!r} is not HOST:PORT", param_hint="--control")
    if is_plain and host.strip("[]") not in {"localhost", "::1"} and not host.startswith("127."):
        raise typer.BadParameter(
            "plain text is for this host alone: say HOST:PORT without http://",
            param_hint="--control",
        )
    path = str(token.absolute()) if token else None
    return Joining(address, is_plain, path, group, duration_ms(wait), duration_ms(unused))
