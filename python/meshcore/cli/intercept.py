"""`meshcore intercept`: which connections the kernel redirects to a sidecar."""
# ruff: noqa: FBT002 - a flag of the command line is false by default

from typing import Annotated

import typer

from meshcore.cli import intercept_options as options
from meshcore.cli.app import PLAIN
from meshcore.cli.explained import explained
from meshcore.control import redirect
from meshcore.control.interception.capture import USER
from meshcore.control.nameservers import nameservers

intercept = typer.Typer(
    no_args_is_help=True,
    help="Redirect the connections of this host, or container, to a sidecar.",
    **PLAIN,
)
_Port = typer.Option(min=1, max=65535, metavar="PORT")


@intercept.command()
@explained
def apply(  # noqa: PLR0913, PLR0917 - one for each option
    inbound_ports: options.InboundPortsAlone = None,
    exclude_inbound_ports: options.InboundPortsExcludedAlone = None,
    outbound_ports: options.OutboundPortsAlone = None,
    exclude_outbound_ports: options.OutboundPortsExcludedAlone = None,
    outbound_ranges: options.OutboundRangesAlone = None,
    exclude_outbound_ranges: options.OutboundRangesExcludedAlone = None,
    backend: options.BackendAlone = "auto",
    uid: Annotated[
        list[int] | None,
        typer.Option(help="User of the sidecar; may be repeated.", show_default=str(USER)),
    ] = None,
    gid: Annotated[
        list[int] | None,
        typer.Option(help="Group of the sidecar; may be repeated.", show_default=str(USER)),
    ] = None,
    outbound_port: Annotated[int, _Port] = 15001,
    inbound_port: Annotated[int, _Port] = 15006,
    no_inbound: Annotated[
        bool, typer.Option("--no-inbound", help="Leave alone what comes in.")
    ] = False,
    dns_port: Annotated[int, _Port] = 15053,
    no_dns: Annotated[bool, typer.Option("--no-dns", help="Leave DNS alone.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the rules, change nothing.")
    ] = False,
) -> None:
    """Redirect connections to a sidecar that runs with `--intercepted`, in place of what was.

    Connections of the sidecar itself are known by its user or group and are let pass. Needs root,
    or the capability NET_ADMIN. `meshcore run --intercept` does this itself.
    """
    written = (inbound_ports, exclude_inbound_ports, outbound_ports, exclude_outbound_ports,
               outbound_ranges, exclude_outbound_ranges)  # fmt: skip
    wanted = options.capture(
        written,
        outbound_port=outbound_port,
        inbound_port=None if no_inbound else inbound_port,
        dns_port=None if no_dns else dns_port,
        uids=tuple(uid or (() if gid else (USER,))),
        gids=tuple(gid or (() if uid else (USER,))),
        nameservers=tuple(nameservers()),
    )
    by = options.backend(backend)
    if dry_run:
        typer.echo(redirect.preview(wanted, by), nl=False)
    else:
        redirect.apply(wanted, by)


@intercept.command()
@explained
def clear() -> None:
    """Redirect nothing any more. Takes out what meshcore put in, and nothing else."""
    options.backend("auto")
    typer.echo("cleared" if redirect.clear() else "nothing was redirected", err=True)


@intercept.command()
@explained
def show() -> None:
    """Show the rules that are in force."""
    options.backend("auto")
    if rules := redirect.show():
        typer.echo(rules)
    else:
        typer.echo("nothing is redirected", err=True)
