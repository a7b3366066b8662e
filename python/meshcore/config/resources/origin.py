"""Words that all resources share."""

from typing import Literal, TypeAlias, TypedDict

Labels: TypeAlias = dict[str, str]
StringMatch: TypeAlias = Literal["present"] | dict[str, str]
ExportTo: TypeAlias = Literal["all", "own", "nobody"] | dict[str, str]


class Origin(TypedDict):
    """The document a resource was compiled from."""

    kind: str
    namespace: str
    name: str
    file: str
    line: int
