"""`meshcore expand`."""

from pathlib import Path
from typing import Annotated

import typer

from meshcore.cli.exits import Exit
from meshcore.config.expand import expand as written_out
from meshcore.config.parse import parse
from meshcore.errors import UnreadableSource
from meshcore.sources.file import read


def expand(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE|DIR...", help="Documents.")],
) -> None:
    """Show the Istio documents that a short form stands for, as YAML.

    Exit status: 65 when a document cannot be read; nothing is printed then.
    """
    try:
        parsed = parse(read(paths))
    except UnreadableSource as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(Exit.BAD_DATA) from error
    refusals = [item for item in parsed.diagnostics if item.is_refusal]
    for item in parsed.diagnostics:
        typer.echo(item.render(), err=True)
    if refusals:
        raise typer.Exit(Exit.BAD_DATA)
    typer.echo(written_out(parsed.documents), nl=False)
