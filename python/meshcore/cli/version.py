"""`meshcore version`."""

import sys

import typer

from meshcore import __version__
from meshcore.cli.output import Output, OutputOption, write


def version(output: OutputOption = Output.TABLE) -> None:
    """Show the version of meshcore and of Python."""
    python = ".".join(map(str, sys.version_info[:3]))
    if output is Output.TABLE:
        typer.echo(f"meshcore {__version__} (Python {python})")
    else:
        write({"meshcore": __version__, "python": python}, output)
