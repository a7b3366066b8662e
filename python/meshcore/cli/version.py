"""`meshcore version`."""

import typer

from meshcore.cli.about import about, versions
from meshcore.cli.output import Output, OutputOption, write


def version(output: OutputOption = Output.TABLE) -> None:
    """Show the version of meshcore and of Python."""
    if output is Output.TABLE:
        typer.echo(about())
    else:
        write(versions(), output)
