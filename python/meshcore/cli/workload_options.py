"""The options of `meshcore run` that say which workload it stands for."""

from ipaddress import ip_address
from typing import Annotated

import typer

_MAX_PORT = 65535

Service = Annotated[
    str | None,
    typer.Option(envvar="MESHCORE_SERVICE", help="Service of the mesh that it stands beside."),
]
Gateway = Annotated[
    str | None,
    typer.Option(
        envvar="MESHCORE_GATEWAY",
        metavar="NAME",
        help="Be this gateway instead: open the servers of the Gateways that select it.",
    ),
]
Port = Annotated[
    list[int] | None,
    typer.Option(
        envvar="MESHCORE_PORT",
        min=1,
        max=_MAX_PORT,
        metavar="PORT",
        help="Port that is served; may be repeated.",
        show_default="those of the service",
    ),
]
Version = Annotated[
    str | None, typer.Option(envvar="MESHCORE_VERSION", help="Version of the service.")
]
Namespace = Annotated[
    str, typer.Option(envvar="MESHCORE_NAMESPACE", help="Namespace of the service.")
]
Address = Annotated[
    str | None,
    typer.Option(envvar="MESHCORE_ADDRESS", help="Address of the workload, if it has several."),
]
App = Annotated[
    str | None,
    typer.Option(
        envvar="MESHCORE_APP",
        metavar="HOST:PORT",
        help="Where the application listens.",
        show_default="the address and port of the workload",
    ),
]
Name = Annotated[str | None, typer.Option(envvar="MESHCORE_NAME", help="Name of the workload.")]
ServiceAccount = Annotated[
    str | None,
    typer.Option(
        envvar="MESHCORE_SERVICE_ACCOUNT",
        help="Service account of its identity.",
        show_default="that of the workload",
    ),
]
NoInbound = Annotated[
    bool,
    typer.Option("--no-inbound", envvar="MESHCORE_NO_INBOUND", help="Nobody calls it."),
]


def which(service: str | None, gateway: str | None) -> str:
    """Returns the service, or the name of the gateway.

    Raises:
        BadParameter: Neither is given, or both are.
    """
    if (service is None) == (gateway is None):
        raise typer.BadParameter("say one of them", param_hint="--service / --gateway")
    return service or gateway or ""


def address_of(text: str | None) -> str | None:
    """Returns the address as it is written usually.

    Raises:
        BadParameter: It is none.
    """
    try:
        return str(ip_address(text)) if text else None
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is not an IP address", param_hint="--address"
        ) from error


def application_of(text: str | None) -> str | None:
    """Returns an address with an IP and a port, of `HOST:PORT` or `PORT`.

    Raises:
        BadParameter: It is neither.
    """
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    host = host.strip("[]").replace("localhost", "127.0.0.1") or "127.0.0.1"
    try:
        address = ip_address(host)
    except ValueError as error:
        hint = f"{host!r} is not an IP address or localhost"
        raise typer.BadParameter(hint, param_hint="--app") from error
    if not port.isdecimal() or not 0 < int(port) <= _MAX_PORT:
        raise typer.BadParameter(f"{port!r} is not a port", param_hint="--app")
    return f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"
