"""`meshcore token`: what a sidecar joins with."""

from pathlib import Path
from typing import Annotated

import typer

from meshcore.cli.app import PLAIN
from meshcore.cli.explained import explained
from meshcore.cli.output import Output, OutputOption, table, write
from meshcore.cli.times import duration_seconds, shown_time
from meshcore.cli.where import ControlStateOption, control_state_of
from meshcore.control import atomic
from meshcore.errors import CertificateError
from meshcore.native_identity import ControlState

token = typer.Typer(
    no_args_is_help=True,
    help="Make, list and revoke tokens, with which sidecars join a control plane.",
    **PLAIN,
)


@token.command()
@explained
def create(
    service: Annotated[
        str,
        typer.Option(
            envvar="MESHCORE_SERVICE_ACCOUNT",
            help="Service account of the identity; the service's name, if it has no other.",
        ),
    ],
    namespace: Annotated[
        str, typer.Option(envvar="MESHCORE_NAMESPACE", help="Namespace of the identity.")
    ] = "default",
    ttl: Annotated[
        str,
        typer.Option(envvar="MESHCORE_TOKEN_TTL", help="How long it is valid: 90 days at most."),
    ] = "1h",
    state: ControlStateOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            envvar="MESHCORE_OUT", help="File for it, for its owner alone.", show_default="print it"
        ),
    ] = None,
) -> None:
    """Make a token for an identity. Whoever has it can be that identity."""
    seconds = duration_seconds("--ttl", ttl)
    text, made = _open(state).create_token(namespace, service, seconds)
    until = shown_time(made["expires_at"])
    if out is None:
        typer.echo(text)
    else:
        try:
            atomic.write(str(out), f"{text}\n".encode(), 0o600)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise CertificateError(f"{out}: {why}, give a file as --out") from error
    typer.echo(f"{made['identity']}, token {made['id']}, until {until}", err=True)


@token.command("list")
@explained
def list_(state: ControlStateOption = None, output: OutputOption = Output.TABLE) -> None:
    """List the tokens that have not ended. The tokens themselves are not kept."""
    found = _open(state).tokens()
    if output is not Output.TABLE:
        write(found, output)
        return
    rows = [
        [
            one["id"],
            one["identity"],
            shown_time(one["issued_at"]),
            shown_time(one["expires_at"]),
            "yes" if one["is_revoked"] else "no",
        ]
        for one in found
    ]
    typer.echo(table(("id", "identity", "made", "until", "revoked"), rows))


@token.command()
@explained
def revoke(
    token_id: Annotated[
        str, typer.Argument(metavar="ID", help="Id of the token, see meshcore token list.")
    ],
    state: ControlStateOption = None,
) -> None:
    """Take a token back.

    Certificates of its identity stay valid until they end, and are only renewed with another token.
    """
    revoked = _open(state).revoke_token(token_id)
    typer.echo(f"revoked the token {token_id} of {revoked['identity']}")


def _open(state: Path | None) -> ControlState:
    return ControlState(control_state_of(state))
