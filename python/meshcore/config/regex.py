"""Whether an expression is one that the data plane can use.

Expressions are RE2's in Istio and the `regex` crate's here: both run in linear time, and so have
neither references back nor looking around. The data plane compiles them and has the last word;
this finds what a person is likely to get wrong, with the line it stands in.
"""

import re
import warnings
from functools import lru_cache

# Longest expression. Source: Istio's own examples stay under 200 characters.
MAX_CHARACTERS = 4096
# Deepest nesting of groups. Source: `nest_limit` of the `regex` crate is 250.
MAX_GROUP_DEPTH = 100

_TOKEN = re.compile(
    r"""
    (?P<reference>\\[1-9]|\(\?P=|\\k[<{]) | (?P<look>\(\?<?[=!]) | (?P<atomic>\(\?>)
    | (?P<conditional>\(\?\() | (?P<comment>\(\?\#) | (?P<possessive>[*+?}]\+)
    | (?P<posix>\[:\^?[a-z]+:\]) | (?P<property>\\[pP](?:\{\^?[\w=:]+\}|[A-Za-z])) | (?P<end>\\z)
    | (?P<wide>\\[xuU]\{[0-9a-fA-F]+\}) | (?P<flags>\(\?[imsUuxR]*(?:-[imsUuxR]+)?\))
    | (?P<scoped>\(\?[imsUuxR]*(?:-[imsUuxR]+)?:) | (?P<named>\(\?<(?![=!])) | (?P<escape>\\.)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_REFUSED = {
    "reference": "a reference to a group (such as \\1) has no linear-time form",
    "look": "looking ahead or behind has no linear-time form",
    "atomic": "atomic groups are not supported",
    "conditional": "conditional groups are not supported",
    "possessive": "possessive repeats are not supported",
    "comment": "comments in groups are not supported",
}
# How what Python's `re` spells differently is written for it, to check the rest.
_REWRITTEN = {
    "posix": "a-z",
    "property": r"\w",
    "end": r"\Z",
    "wide": "x",
    "flags": "",
    "scoped": "(?:",
    "named": "(?P<",
}


@lru_cache(maxsize=4096)
def why_refused(expression: str) -> str | None:
    """Returns why `expression` cannot be used, or `None` when it can."""
    if len(expression) > MAX_CHARACTERS:
        return f"longer than {MAX_CHARACTERS} characters"
    parts: list[str] = []
    depth = deepest = 0
    is_class = False
    for token in _TOKEN.finditer(expression):
        kind, text = token.lastgroup or "other", token.group()
        if is_class and kind not in {"posix", "property", "wide", "escape", "other"}:
            kind = "class"
        if kind in _REFUSED:
            return _REFUSED[kind]
        is_class = (is_class or text == "[") and text != "]"
        depth += _opens(text, kind) if not is_class else 0
        deepest = max(deepest, depth)
        parts.append(_REWRITTEN.get(kind, text))
    if deepest > MAX_GROUP_DEPTH:
        return f"groups are nested deeper than {MAX_GROUP_DEPTH}"
    return _syntax_problem("".join(parts))


def _opens(text: str, kind: str) -> int:
    if kind in {"scoped", "named"} or (kind == "other" and text == "("):
        return 1
    return -1 if text == ")" and kind == "other" else 0


def _syntax_problem(expression: str) -> str | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on sets in sets, which both engines differ on
            re.compile(expression)
    except (re.error, OverflowError, RecursionError, ValueError) as error:
        return str(error)
    return None
