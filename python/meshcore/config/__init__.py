"""Documents to resources: parse, expand, check, compile. Does no I/O.

`compile_mesh([Source(name, text)], revision)` goes the whole way: its result has the `mesh` that
the data plane takes (or `None`, when something is refused) and the `diagnostics`, with positions.
The steps alone are `parse.parse`, `expand.expand`, `check.check`, `compile.compile_documents`.
"""

from typing import TYPE_CHECKING, Any

from meshcore.config.source import MAX_SOURCE_BYTES, Source

if TYPE_CHECKING:
    from meshcore.config.document import Document
    from meshcore.config.result import Result, compile_mesh

__all__ = [
    "MAX_SOURCE_BYTES",
    "Document",
    "Result",
    "Source",
    "compile_mesh",
]

# Loaded when asked for: models take a tenth of a second, and who only reads files needs none.
_HOMES = {
    "Document": "meshcore.config.document",
    "Result": "meshcore.config.result",
    "compile_mesh": "meshcore.config.result",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Loads what is asked for."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'meshcore.config' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - as above

    return getattr(import_module(home), name)
