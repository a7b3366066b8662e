"""Moments and durations for people and programs."""

from datetime import UTC, datetime

import typer

from meshcore.errors import InvalidUnit
from meshcore.units import duration_ms


def shown_time(unix_seconds: float) -> str:
    """Returns a moment in RFC 3339, in UTC."""
    return datetime.fromtimestamp(unix_seconds, tz=UTC).isoformat(timespec="seconds")


def duration_seconds(option: str, text: str) -> int:
    """Returns what an option says as whole seconds; exits if it is no duration."""
    try:
        return duration_ms(text) // 1000
    except InvalidUnit as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def duration_option(text: str) -> str:
    """Returns the text of an option that is a duration, as a callback of it.

    Raises:
        BadParameter: It is none.
    """
    try:
        duration_ms(text)
    except InvalidUnit as error:
        raise typer.BadParameter(str(error)) from error
    return text
