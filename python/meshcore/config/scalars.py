"""What a plain YAML scalar means: the rules of kubectl, without YAML 1.1's surprises.

Booleans are YAML 1.1's (`yes` is true), as kubectl reads them; timestamps and base-60 numbers
stay text. Source: YAML 1.1 type repository; go-yaml v2, which Kubernetes reads YAML with.
"""

import re

_BOOLEANS = {
    spelling: value
    for word, value in (
        ("true", True), ("yes", True), ("on", True),
        ("false", False), ("no", False), ("off", False),
    )
    for spelling in (word, word.capitalize(), word.upper())
}  # fmt: skip
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})", re.ASCII)
_BASED_INT = re.compile(r"[-+]?0(?:x[0-9a-fA-F]{1,16}|o?[0-7]{1,21}|b[01]{1,64})", re.ASCII)
_FLOAT = re.compile(
    r"[-+]?(?:[0-9]{1,40}\.[0-9]{0,40}|\.[0-9]{1,40}|[0-9]{1,40}(?=[eE]))(?:[eE][-+]?[0-9]{1,3})?",
    re.ASCII,
)


def resolve(text: str) -> str | int | float | bool | None:
    """Returns the value of a scalar that was written without quotes and without a tag."""
    if text in _NULLS:
        return None
    if text[0].isalpha():
        return _BOOLEANS.get(text, text)
    if _INT.fullmatch(text):
        return int(text)
    if _BASED_INT.fullmatch(text):
        return _based(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def tagged(tag: str, text: str) -> str | int | float | bool | None:
    """Returns the value of a scalar with a tag such as `!!str`.

    Raises:
        ValueError: The tag is not one of JSON's types, or the text is not of that type.
    """
    kind = tag.removeprefix("tag:yaml.org,2002:")
    if tag == "!" or kind == "str":
        return text
    value = resolve(text)
    types: dict[str, type | tuple[type, ...]] = {
        "int": int, "float": (int, float), "bool": bool, "null": type(None),
    }  # fmt: skip
    if kind not in types or kind == tag:
        raise ValueError(f"the tag {tag!r} is not allowed, only !!str, !!int, !!float, !!bool")
    if not isinstance(value, types[kind]) or (isinstance(value, bool) and kind != "bool"):
        raise ValueError(f"{text[:40]!r} is not of type {kind}")
    return float(value) if kind == "float" and value is not None else value


def _based(text: str) -> int:
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-").lower()
    if digits[1] in "xob":
        return sign * int(digits, 0)
    return sign * int(digits, 8)  # 0644 is octal, as in YAML 1.1
