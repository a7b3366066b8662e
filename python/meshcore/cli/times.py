"""Moments for people and programs."""

from datetime import UTC, datetime


def shown_time(unix_seconds: float) -> str:
    """Returns a moment in RFC 3339, in UTC."""
    return datetime.fromtimestamp(unix_seconds, tz=UTC).isoformat(timespec="seconds")
