"""Documents to resources: parse, expand, check, compile. Does no I/O.

result = compile_mesh([Source("mesh.yaml", text)], revision=1)
result.mesh          # what the data plane takes, or None when something is refused
result.diagnostics   # everything that was found, with positions
"""

from typing import TYPE_CHECKING, Any

from meshcore.config.source import MAX_SOURCE_BYTES, Source

if TYPE_CHECKING:
    from meshcore.config.document import Document
    from meshcore.config.expand import expand
    from meshcore.config.parse import Parsed, parse
    from meshcore.config.result import Result, compile_mesh

__all__ = [
    "MAX_SOURCE_BYTES",
    "Document",
    "Parsed",
    "Result",
    "Source",
    "compile_mesh",
    "expand",
    "parse",
]

# Loaded when asked for: models take a tenth of a second, and who only reads files needs none.
_HOMES = {
    "Document": "meshcore.config.document",
    "Parsed": "meshcore.config.parse",
    "Result": "meshcore.config.result",
    "compile_mesh": "meshcore.config.result",
    "expand": "meshcore.config.expand",
    "parse": "meshcore.config.parse",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Loads what is asked for."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'meshcore.config' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - as above

    return getattr(import_module(home), name)
