"""Quantities with a unit. A bare number is refused: nobody can tell what was meant."""

import re
from fractions import Fraction

from meshcore.errors import InvalidUnit

# Units of a duration, in nanoseconds. Source: Go's time.ParseDuration, which Istio reads with.
_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART = r"(?:\d{1,19}(?:\.\d{0,19})?|\.\d{1,19})(?:ns|us|µs|μs|ms|s|m|h)"
_DURATION = re.compile(rf"(?:{_PART}){{1,16}}", re.ASCII)
_PARTS = re.compile(r"([\d.]+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)

# Longest duration. Source: protobuf's Duration, 10,000 years.
_MAX_MILLISECONDS = 315_576_000_000_000


def duration_ms(text: str) -> int:
    """Returns the milliseconds of a duration in Go's form, such as `1h2m3.5s` or `100ms`.

    Raises:
        InvalidUnit: No unit, not a duration, negative, finer than 1ms, or over 10,000 years.
    """
    if text == "0":
        return 0
    if not _DURATION.fullmatch(text):
        raise InvalidUnit(_why(text))
    total = sum(Fraction(number) * _NANOSECONDS[unit] for number, unit in _PARTS.findall(text))
    milliseconds = Fraction(total, 1_000_000)
    if milliseconds.denominator != 1:
        raise InvalidUnit(f"{text!r} is finer than a millisecond, write whole milliseconds")
    if milliseconds > _MAX_MILLISECONDS:
        raise InvalidUnit(f"{text!r} is longer than 10,000 years")
    return int(milliseconds)


def format_ms(milliseconds: int) -> str:
    """Returns a duration in the form that `duration_ms` reads, such as `1m30s`."""
    parts: list[str] = []
    rest = milliseconds
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _why(text: str) -> str:
    shown = text if len(text) <= 40 else text[:40] + "..."  # noqa: PLR2004 - enough to know it
    if re.fullmatch(r"[\d.]+", text, re.ASCII):
        return f"{shown!r} has no unit, write {shown}s or {shown}ms"
    if text.startswith("-"):
        return f"{shown!r} is negative"
    return f"{shown!r} is not a duration, write one such as 10s, 1.5s, 250ms or 1h30m"
