"""Exit statuses. Source: istioctl's (65, 79), sysexits.h, POSIX shells (130)."""

from enum import IntEnum


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
