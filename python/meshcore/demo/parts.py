"""What a step of the tour is made of, as it happens. A screen shows it, or a file keeps it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Typed:
    """A command that is run now, as a person would type it."""

    command: str


@dataclass(frozen=True, slots=True)
class Printed:
    """What it printed, or what was seen."""

    text: str
    is_table: bool = False
    """Whether lines are cut where they are too long, rather than broken."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What has changed in a file, as lines of a unified diff without its head."""

    file: str
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts that grow; one follows the other until the last."""

    counts: Mapping[str, int]
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """A small table."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a step showed what it should, by measurement. The last part of a step."""

    holds: bool
    said: str
    """What that means, in plain words."""
    measured: Mapping[str, Any] = field(default_factory=dict[str, Any])
    seen: str = ""
    """What was there instead, when it does not hold."""


Part: TypeAlias = Typed | Printed | Changed | Tally | Rows | Verdict
