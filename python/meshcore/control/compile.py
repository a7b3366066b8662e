"""The child process that compiles: `python -m meshcore.control.compile [--revision N] PATH...`.

A process of its own, so that the interpreter beside the data plane stays small. Writes one JSON
object to standard output:

    {"mesh": {...} or null, "diagnostics": [...]}

Exit status: 0 compiled; 65 (EX_DATAERR) refused, `mesh` is null; 64 (EX_USAGE) wrong arguments.
"""

import argparse
import gc
import json
import os
import sys
from collections.abc import Sequence

from meshcore.config import compile_mesh
from meshcore.errors import ConfigError, Diagnostic
from meshcore.sources.file import read


def main(arguments: Sequence[str] | None = None) -> int:
    """Compiles the files named by `arguments`; returns the exit status."""
    parser = argparse.ArgumentParser(prog="meshcore.control.compile", exit_on_error=False)
    parser.add_argument("--revision", type=int, default=1)
    parser.add_argument("paths", nargs="+")
    try:
        given = parser.parse_args(arguments)
    except argparse.ArgumentError as error:
        sys.stderr.write(f"meshcore.control.compile: {error}\n")
        return os.EX_USAGE
    gc.disable()  # the process is gone before there is much to collect
    try:
        result = compile_mesh(read(given.paths), given.revision)
    except ConfigError as error:
        return _answer(None, error.diagnostics)
    return _answer(result.mesh, result.diagnostics)


def _answer(mesh: object, diagnostics: Sequence[Diagnostic]) -> int:
    answer = {"mesh": mesh, "diagnostics": [item.to_json() for item in diagnostics]}
    # Not `json.dump`: only `dumps` is encoded in C, which is several times faster.
    sys.stdout.write(json.dumps(answer, separators=(",", ":")) + "\n")
    sys.stdout.flush()
    return os.EX_OK if mesh is not None else os.EX_DATAERR


if __name__ == "__main__":
    sys.exit(main())
