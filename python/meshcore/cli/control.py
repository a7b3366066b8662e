"""`meshcore control`."""
# ruff: noqa: FBT002 - a flag of the command line is false by default

import errno
import gc
import logging
import os
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from meshcore import __version__
from meshcore.cli.exits import Exit
from meshcore.cli.where import MeshOption, StateOption, mesh_of, plane_state_of
from meshcore.control.plane import Plane
from meshcore.control.plane_settings import PlanePorts, PlaneSettings
from meshcore.errors import ConfigError, MeshcoreError
from meshcore.native import ControlPlane

_MAX_PORT = 65535


def _port(env: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        envvar=f"MESHCORE_{env}", min=0, max=_MAX_PORT, metavar="PORT", help="0 takes a free one."
    )
    return option


def control(  # noqa: PLR0913, PLR0917 - one for each option
    mesh: MeshOption = None,
    state: StateOption = None,
    address: Annotated[
        str,
        typer.Option(
            envvar="MESHCORE_CONTROL_ADDRESS",
            help="IP address that sidecars and Prometheus reach; the plain port is of this host.",
        ),
    ] = "0.0.0.0",  # noqa: S104 - sidecars of other hosts come in, by mutual TLS
    plain_port: Annotated[int, _port("PLAIN_PORT")] = 15010,
    secure_port: Annotated[int, _port("SECURE_PORT")] = 15012,
    monitoring_port: Annotated[int, _port("MONITORING_PORT")] = 15014,
    allow_shrink: Annotated[
        bool,
        typer.Option(
            "--allow-shrink",
            envvar="MESHCORE_ALLOW_SHRINK",
            help="Apply changes that remove most services or policies without confirmation.",
        ),
    ] = False,
    expose_debug: Annotated[
        bool,
        typer.Option(
            "--expose-debug",
            envvar="MESHCORE_EXPOSE_DEBUG",
            help="Show debug pages and status to other hosts as well.",
        ),
    ] = False,
    ready_file: Annotated[
        Path | None,
        typer.Option(
            envvar="MESHCORE_READY_FILE",
            dir_okay=False,
            help="File that is written (JSON) when sidecars are served.",
        ),
    ] = None,
    log_level: Annotated[
        str,
        typer.Option(envvar="MESHCORE_LOG_LEVEL", metavar="debug|info|warning|error", help="Log."),
    ] = "info",
) -> None:
    """Run the control plane of a mesh, until SIGTERM.

    Sidecars join it with a token and ask for what they use. Changes of the documents are applied
    as they are saved; a bad one is refused and what is in force stays, also over a restart.
    SIGHUP reads the documents now.

    Exit status: 0 ended, 1 a port or the state directory cannot be had, 65 bad documents.
    """
    logging.basicConfig(
        level=_level(log_level), format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )  # fmt: skip
    where = mesh_of(mesh)
    settings = PlaneSettings(
        mesh=where,
        state=plane_state_of(where, state),
        version=__version__,
        address=_ip(address),
        ports=PlanePorts(plain_port, secure_port, monitoring_port),
        allow_shrink=allow_shrink,
        exposes_debug=expose_debug,
        ready_file=ready_file.absolute() if ready_file else None,
    )
    gc.disable()  # until the documents are read: there is no garbage among them, and many are kept
    try:
        plane = Plane.start(settings, ControlPlane)
        typer.echo(_banner(plane), err=True)
        plane.run()
    except KeyboardInterrupt as error:
        raise typer.Exit(Exit.INTERRUPTED) from error
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(Exit.BAD_DATA) from error
    except MeshcoreError as error:
        typer.echo(f"error: {error}", err=True)
        if os.strerror(errno.EADDRINUSE).lower() in str(error).lower():
            typer.echo("another control plane or program listens there: see --*-port", err=True)
        raise typer.Exit(Exit.FAILED) from error


def _level(name: str) -> str:
    if name not in {"debug", "info", "warning", "error"}:
        raise typer.BadParameter(f"{name!r} is none of debug, info, warning, error",
                                 param_hint="--log-level")  # fmt: skip
    return name.upper()


def _ip(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError as error:
        what = f"{text!r} is not an IP address"
        raise typer.BadParameter(what, param_hint="--address") from error


def _banner(plane: Plane) -> str:
    """Returns a few lines: what it serves and where, and what to do next."""
    settings, addresses = plane.settings, plane.addresses()
    in_force = plane.distribution.in_force
    services = [value["service"] for value in in_force.resources.values() if "service" in value]
    count = f"{len(services)} service{'' if len(services) == 1 else 's'}"
    secure, plain = addresses.get("secure"), addresses["plain"]
    where = (
        f"{secure} by mutual TLS, {plain} on this machine" if secure else f"{plain}, this machine"
    )
    rows = [
        ("mesh", f"{settings.mesh}, revision {in_force.revision}, {count}"),
        ("sidecars", where),
        ("metrics", f"http://{addresses['monitoring']}/metrics"),
        ("state", f"{settings.state}"),
    ]
    lines = [f"meshcore {settings.version}: control plane"]
    lines += [f"  {name:<9} {value}" for name, value in rows]
    first = min(services, key=lambda service: str(service["host"]), default=None)
    port = str(secure or plain).rpartition(":")[2]
    if first is not None:
        lines += _next(str(first["name"]), str(first["namespace"]), port, settings.state)
    return "\n".join(lines)


def _next(service: str, namespace: str, port: str, state: Path) -> list[str]:
    of = f"--service {service}" + ("" if namespace == "default" else f" --namespace {namespace}")
    token = f"{service}.token"
    return [
        "next, a sidecar beside a service:",
        f"  meshcore token create {of} --state {state} --out {token}",
        f"  meshcore run {of} --control 127.0.0.1:{port} --token {token}",
    ]
