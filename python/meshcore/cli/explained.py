"""Commands that say what is wrong, rather than raise it."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import typer

from meshcore.cli.exits import Exit
from meshcore.errors import MeshcoreError

_P = ParamSpec("_P")


def explained(command: Callable[_P, None]) -> Callable[_P, None]:
    """Makes a command end with a message and a status where an error of ours would leave it."""

    @wraps(command)
    def told(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except MeshcoreError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(Exit.FAILED) from error

    return told
