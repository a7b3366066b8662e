"""The name that was probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches

# Most names that are looked through, and the longest list of allowed names in a hint.
_MOST_CANDIDATES = 2_000
_MOST_SHOWN = 16
_LONGEST_NAME = 100
# Most searches through names of a whole mesh in one change: each may take a twentieth of a second.
MAX_HINTS = 20


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Returns the candidate most like `name`, or `None` when none is near."""
    names = {c.lower(): c for c, _ in zip(candidates, range(_MOST_CANDIDATES), strict=False)}
    if len(name) > _LONGEST_NAME:
        return None
    close = get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    return names[close[0]] if close else None


def did_you_mean(name: str, candidates: Iterable[str], *, show_allowed: bool = True) -> str:
    """Returns a hint: the nearest name, and what is allowed. May be empty."""
    names = list(candidates)
    near = nearest(name, names)
    hint = f'did you mean "{near}"?' if near else ""
    if show_allowed and names:
        shown = ", ".join(sorted(names)[:_MOST_SHOWN]) + (
            ", ..." if len(names) > _MOST_SHOWN else ""
        )
        hint = f"{hint} allowed: {shown}".strip()
    return hint
