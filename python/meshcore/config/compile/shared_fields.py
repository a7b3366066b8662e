"""Fields that several kinds have."""

from collections.abc import Sequence

from meshcore.config.models.base import LabelSelector, StringMatch
from meshcore.config.resources import ExportTo, Labels
from meshcore.config.resources import StringMatch as Match


def export_to(names: Sequence[str]) -> list[ExportTo]:
    """Returns who sees a resource."""
    words: dict[str, ExportTo] = {"*": "all", ".": "own", "~": "nobody"}
    return [words.get(name, {"namespace": name}) for name in names]


def selector(written: LabelSelector | None) -> Labels:
    """Returns the labels that are wanted; none selects all."""
    return dict(written.match_labels) if written is not None else {}


def string_match(written: StringMatch) -> Match:
    """Returns a match on text; one that asks for nothing asks for presence."""
    if written.exact is not None:
        return {"exact": written.exact}
    if written.prefix is not None:
        return {"prefix": written.prefix}
    if written.regex is not None and written.regex != "*":
        return {"regex": written.regex}
    return "present"
