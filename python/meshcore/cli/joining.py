"""The options of `meshcore run` that say which control plane the sidecar belongs to."""

from pathlib import Path

import typer

from meshcore.control.settings import Joining
from meshcore.units import duration_ms

_MAX_PORT = 65535


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
