"""Exit statuses. Source: istioctl's (65, 79), sysexits.h, POSIX shells (130)."""

from collections.abc import Callable
from enum import IntEnum
from functools import wraps
from typing import ParamSpec

import typer

from meshcore.errors import CertificateError

_P = ParamSpec("_P")


class Exit(IntEnum):
    """What a command ends with."""

    OK = 0
    FAILED = 1
    """Something went wrong that none of the others says."""
    USAGE = 2
    """Options that do not fit together, or that name too many things."""
    NOT_READY = 3
    """What was asked is not there yet, or did not answer in time."""
    NOT_FOUND = 4
    """What was named does not exist."""
    BAD_DATA = 65
    """Documents or plugins that cannot be used."""
    FINDINGS = 79
    """`analyze` found something."""
    INTERRUPTED = 130


def explained(command: Callable[_P, None]) -> Callable[_P, None]:
    """Makes a command say what is wrong with certificates, rather than raise it."""

    @wraps(command)
    def told(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except CertificateError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(Exit.FAILED) from error

    return told
